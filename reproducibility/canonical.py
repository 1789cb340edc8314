"""Canonical JSON (after RFC 8785): one value has one byte sequence, so that its digest is stable.

UTF-8, keys sorted, no insignificant white space, no floating point numbers (their text form is not
unique between writers) and no duplicate keys on reading. Follows the intent of RFC 8785 for the
subset of JSON that the project uses.
"""

from __future__ import annotations

import json
import math
from typing import Any

from reproducibility import shape, visible
from reproducibility.errors import InputError


def dumps(value: object) -> bytes:
    """Canonical bytes of a JSON value.

    Raises:
        TypeError: the value holds a float, a key that is no string, or something that JSON cannot
            carry.
        ValueError: a string is not Unicode text (a lone surrogate).
    """
    _refuse_ambiguous(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def pretty(value: object) -> bytes:
    """Sorted, indented JSON for files that people read in a diff; ends with a newline.

    Raises:
        TypeError: the value holds something that JSON cannot carry.
        ValueError: a number is not finite, or a string is not Unicode text.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def shown(value: object) -> bytes:
    """Format as `pretty` for a terminal, with control characters escaped.

    Raises:
        TypeError: the value holds something that JSON cannot carry.
        ValueError: a number is not finite.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (visible.in_json(text) + "\n").encode()


def loads(
    data: bytes | str, *, subject: str = "JSON", most: int | None = None, remedy: str = ""
) -> Any:  # noqa: ANN401 - JSON is any value
    """Parse JSON in UTF-8, refusing duplicate keys, non-finite numbers and lone surrogates.

    And what is nested more than `shape.DEEPEST` deep, and integers of more digits than
    `shape.DIGITS`. `most`: how many values it may hold; they are counted before any is made, by
    brackets and commas, those in strings too. A value of two bytes takes a hundred in memory.
    `subject`, `remedy`: of the error.

    Raises:
        InputError: not JSON, more than `most` values, or a key appears twice; names the line and
            column of bad syntax.
    """
    if most is not None and marks(data) > most:
        raise InputError(f"holds more than {most} values", subject=subject, remedy=remedy)
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
        if "\\u" in text:  # only an escape can make a string that no file can hold
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON: {error.msg}",
            subject=f"{subject}, line {error.lineno}, column {error.colno}",
            remedy=remedy,
        ) from error
    except RecursionError as error:
        words = f"not valid JSON: nested too deeply: {error}"
        raise InputError(words, subject=subject, remedy=remedy) from error
    except ValueError as error:
        words = f"not valid JSON: {error}"
        raise InputError(words, subject=subject, remedy=remedy) from error
    # Most documents hold fewer at all than one may hold in another.
    if text.count("[") + text.count("{") > shape.DEEPEST:
        beyond = shape.excess(value, integers=False)
        if beyond is not None:
            words = f"not valid JSON: {beyond[1]}"
            raise InputError(words, subject=subject, remedy=remedy)
    return value


def marks(data: bytes | str) -> int:
    """Count brackets and commas: there are at most as many values, but for a single one."""
    if isinstance(data, str):
        return data.count("{") + data.count("[") + data.count(",")
    return data.count(b"{") + data.count(b"[") + data.count(b",")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            message = f"the key {key!r} appears twice"
            raise ValueError(message)
        seen[key] = value
    return seen


def _no_constant(name: str) -> float:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _integer(text: str) -> int:
    if len(text) > shape.DIGITS:
        message = f"a number of {len(text)} digits"
        raise ValueError(message)
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = f"{text} is too large for a number"
        raise ValueError(message)
    return number


def _refuse_ambiguous(value: object) -> None:
    if isinstance(value, float):
        message = f"canonical JSON carries no floating point number: {value!r}"
        if math.isfinite(value):
            message += " (use an integer or a string)"
        raise TypeError(message)
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                message = f"a key of canonical JSON is a string: {key!r}"
                raise TypeError(message)
            _refuse_ambiguous(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_ambiguous(item)
