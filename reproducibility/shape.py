"""Limits on nesting and numbers in JSON and TOML documents, and paths of places in them. Pure.

What a text gives that is nested too deeply, or holds numbers that no other program reads, would
otherwise end something that recurses or prints, far from where the document was read.
"""

from __future__ import annotations

import re

Key = tuple[str | int, ...]

# Tables and arrays in one another. What this project writes has less than ten.
DEEPEST = 64
# Integers are of 64 bits, signed, in TOML and in what else reads JSON.
_BITS = 63
# Parts of a dotted key, and digits of a number, that a text may have before it is read.
_PARTS = 16
DIGITS = 100

_UNREAD = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*+(?:""")?'
    r"|'''(?:[^']|'(?!''))*+(?:''')?"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_DOTTED = re.compile(rf"(?<![\w~.-])(?:[\w~-]++[ \t]*+\.[ \t]*+){{{_PARTS}}}")
_LONG = re.compile(rf"(?<![\w.-])[+-]?[0-9](?:_?[0-9]){{{DIGITS}}}")


def excess(
    value: object, most: int | None = None, *, integers: bool = True
) -> tuple[Key, str] | None:
    """Return where a document exceeds the limits, and which; None where it keeps to them.

    `most`: how many values it may hold. `integers`: whether those are bounded, to 64 bits.
    """
    count = 0
    waiting: list[tuple[Key, object]] = [((), value)]
    while waiting:
        key, here = waiting.pop()
        count += 1
        if most is not None and count > most:
            return (), f"holds more than {most} values"
        if isinstance(here, dict | list):
            if len(key) >= DEEPEST:
                return key, f"nested more than {DEEPEST} deep"
            parts = here.items() if isinstance(here, dict) else enumerate(here)
            waiting += [((*key, part), inner) for part, inner in parts]
        elif integers and isinstance(here, int) and here.bit_length() > _BITS:
            return key, "a number of more than 64 bits"
    return None


def too_much_toml(text: str) -> tuple[int, str] | None:
    """The line (from 1) of what a reader of TOML takes too long for or fails at, and what it is."""
    blank = _UNREAD.sub(lambda found: "~" + "\n" * found[0].count("\n"), text)
    for pattern, words in (
        (_DOTTED, f"a key of more than {_PARTS} parts"),
        (_LONG, f"a number of more than {DIGITS} digits"),
    ):
        found = pattern.search(blank)
        if found:
            return blank.count("\n", 0, found.start()) + 1, words
    return None


def spelled(key: Key) -> str:
    """A place in a document, as in `inputs[3].digest`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


def within(key: Key, document: object, *, missing: bool = False) -> Key:
    """The parts of a key that are in a document: without a model's own names for alternatives.

    `missing`: the last part names what is not there.
    """
    found: list[str | int] = []
    here = document
    for at, part in enumerate(key):
        inside: dict[str | int, object] = {}
        if isinstance(here, dict):
            inside = here
        elif isinstance(here, list):
            inside = dict(enumerate(here))
        if part not in inside and not (missing and at == len(key) - 1):
            continue
        here = inside.get(part)
        found.append(part)
    return tuple(found)
