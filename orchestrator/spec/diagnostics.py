"""Diagnostics of a TOML file's mistakes: line, key path, what was expected, nearest valid key.

Pure: the text and what pydantic found go in, tables or an InputError come out.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from reproducibility import shape
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic import ValidationError

Key = shape.Key

_SHOWN = 60
_REMEDY = "correct it, or give the right file"
# How many mistakes are told one by one.
_MOST = 20
# Characters, and values in all tables: a hundred times what a large spec has.
_LARGEST = 256 << 10
_MOST_VALUES = 20_000
# How a model tags the two forms that an element of a list may have; no part of a key.
TABLE, TEXT = "<table>", "<text>"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Mistake at a key (`("source", 0, "version")`), and what to do about it."""

    key: Key
    message: str
    remedy: str


def tables(text: str, origin: Path, what: str = "the spec") -> dict[str, Any]:
    """The tables of a spec or of another TOML file, within the bounds of documents.

    `what`: the file in words.

    Raises:
        InputError: it is not TOML, or goes beyond them.
    """
    if len(text) > _LARGEST:
        raise InputError(
            f"{what} has {len(text)} characters, more than {_LARGEST}",
            subject=str(origin),
            remedy=_REMEDY,
        )
    beyond = shape.too_much_toml(text)
    if beyond is not None:
        line, words = beyond
        raise InputError(f"{what} holds {words}", subject=f"{origin}, line {line}", remedy=_REMEDY)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        where = f"{origin}, line {found[1]}" if found else f"{origin}, last line"
        raise InputError(f"not valid TOML: {error}", subject=where, remedy=_REMEDY) from error
    except (RecursionError, ValueError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"not valid TOML: {words}", subject=str(origin), remedy=_REMEDY) from error
    excess = shape.excess(data, _MOST_VALUES)
    if excess is not None:
        key, words = excess
        raise refusal([Mistake(key, words, "correct it")], text, origin, what)
    return data


def from_pydantic(
    error: ValidationError, root: type[BaseModel], *, choices: Sequence[str] = ()
) -> list[Mistake]:
    """Return what pydantic found, in words for the person who wrote the file.

    `root`: the model of the whole file; the descriptions of its fields say what is expected.
    `choices`: words of which a misspelt one gets its nearest.
    """
    errors = error.errors(include_url=False)
    keys = [tuple(part for part in found["loc"] if part not in {TABLE, TEXT}) for found in errors]
    above = {key[:end] for key in keys for end in range(len(key))}
    told = [
        (key, found)
        for key, found in zip(keys, errors, strict=True)
        # A list whose elements are wrong is said to be too short as well.
        if key not in above
    ]
    return [
        # To look for the nearest key takes its time, and of very many not all are shown.
        _mistake(key, found["type"], found["input"], root, choices if number < _MOST else None)
        for number, (key, found) in enumerate(told)
    ]


def _mistake(
    key: Key, kind: str, value: object, root: type[BaseModel], choices: Sequence[str] | None
) -> Mistake:
    if choices is None:
        return Mistake(key, "wrong", "")
    model, expected = _place(key, root)
    if kind == "extra_forbidden":
        valid = sorted(field.alias or name for name, field in model.model_fields.items())
        near = difflib.get_close_matches(str(key[-1])[:_SHOWN], valid, 1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        return Mistake(key, "unknown key", f"{remedy}valid here: {', '.join(valid)}")
    if kind == "missing":
        return Mistake(key, "missing", f"expected {expected}")
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
    remedy = f"expected {expected}"
    if kind == "literal_error" and isinstance(value, str):
        near = difflib.get_close_matches(value[:_SHOWN], choices, 1)
        remedy += f"; did you mean {near[0]!r}?" if near else ""
    return Mistake(key, f"got {shown}", remedy)


def _place(key: Key, root: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """The model that a key lies in, and the description of the key if it is a valid one."""
    model = root
    inside: type[BaseModel] | None = root
    expected = "another value"
    for part in key:
        if isinstance(part, int) or inside is None:
            continue
        model = inside
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if part not in fields:
            break
        expected = fields[part].description or expected
        inside = next(_models(fields[part].annotation), None)
    return model, expected


def _models(kind: object) -> Iterator[type[BaseModel]]:
    """The models in an annotation, as deep as they lie."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from _models(part)


def refusal(
    mistakes: Sequence[Mistake], text: str, origin: Path, what: str = "the spec"
) -> InputError:
    """The error that tells all mistakes in a file, with their lines in its text."""
    lines = _first_lines(key_lines(text))
    told = [
        (f"{_line(lines, mistake.key)}: {_spelled(mistake.key)}", mistake)
        for mistake in mistakes[:_MOST]
    ]
    if len(mistakes) == 1:
        where, mistake = told[0]
        return InputError(
            f"{_spelled(mistake.key)}: {mistake.message}",
            subject=f"{origin}, line {where}",
            remedy=mistake.remedy,
        )
    summary = "\n".join(
        [
            f"{len(mistakes)} mistakes in {what}",
            *(f"  line {where}: {found.message}; {found.remedy}" for where, found in told),
            *([f"  and {len(mistakes) - _MOST} more"] if len(mistakes) > _MOST else []),
        ]
    )
    return InputError(summary, subject=str(origin), remedy="mend them and run the command again")


def _spelled(key: Key) -> str:
    told = shape.spelled(key)
    return told if len(told) <= _SHOWN else told[:_SHOWN] + "..."


def _first_lines(lines: dict[Key, int]) -> dict[Key, int]:
    """The line of each key, and of each table around one that of the first thing in it."""
    first: dict[Key, int] = {}
    for key, line in lines.items():
        for end in range(1, len(key) + 1):
            first[key[:end]] = min(line, first.get(key[:end], line))
    return {**first, **lines}


def _line(lines: dict[Key, int], key: Key) -> int:
    """The line of a key or of the first thing in it, or of the nearest table around it."""
    ends = (key[:end] for end in range(len(key), 0, -1))
    return next((lines[end] for end in ends if end in lines), 1)


_STRING_OR_COMMENT = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*',
    re.DOTALL,
)
_BARE = r"[A-Za-z0-9_-]+"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_BARE}(?:\s*\.\s*{_BARE})*)\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_BARE}(?:\s*\.\s*{_BARE})*)\s*=")


def key_lines(text: str) -> dict[Key, int]:
    """The line (from 1) of each key and table with bare names, in valid TOML.

    Keys of inline tables are not looked for: their line is that of the key around them.
    """

    def blank(found: re.Match[str]) -> str:
        return "~" + "\n" * found[0].count("\n")

    lines: dict[Key, int] = {}
    counts: Counter[Key] = Counter()
    table: Key = ()
    depth = 0
    for number, line in enumerate(_STRING_OR_COMMENT.sub(blank, text).split("\n"), 1):
        header = None if depth else _HEADER.match(line)
        if header:
            *outer, last = re.split(r"\s*\.\s*", header[2])
            table = ()
            for part in outer:
                # Below an array of tables, a header means its last element.
                table = (*table, part)
                table = (*table, counts[table] - 1) if table in counts else table
            table = (*table, last)
            if header[1] == "[[":
                lines.setdefault(table, number)
                counts[table] += 1
                table = (*table, counts[table] - 1)
            lines[table] = number
            continue
        found = None if depth else _ASSIGNMENT.match(line)
        if found:
            lines[(*table, *re.split(r"\s*\.\s*", found[1]))] = number
        depth += sum(line.count(open_) for open_ in "[{") - sum(line.count(end) for end in "]}")
    return lines
