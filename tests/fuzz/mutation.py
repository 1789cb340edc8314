"""Inputs that are nearly right: a valid one with some edits, of its bytes or of the values in it.

An edit is three numbers, so that hypothesis can make one simpler, and a seed can make it again. It
means something for every input: where it says a place, that is taken modulo the size.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.fuzz.target import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

# What to do, where, and with which value.
Edit = tuple[int, int, int]
BOUND = 1 << 32

_TOKENS: tuple[bytes, ...] = (
    *(b"\0", b"\xff" * 8, b"\x80", b"\n", b"\n\n", b"\r\n", b" ", b"\t"),
    *(b"\xef\xbb\xbf", b"\xfe\xff"),
    *(b"-1", b"-", b"+", b"1_0", b"0x", b"1e999", b"9" * 20, b"9" * 5000, b"99999999999999999999"),
    *(b"../", b"/", b"//", b"/./", b"a/" * 600, b"\x1b[2J", b"\xc2\x9b", "\u202e".encode()),
    *(b"[", b"]", b"{", b"}", b"[" * 2000, b'{"a":' * 2000),
    *(b'"', b"'", b"\\", b"\\ud800", b"\\u0000"),
    *(b"=", b":", b",", b"#", b"%", b"%0a", b"null", b"true", b"nan", b"inf", b"{}", b"[]", b"0"),
    *("\u2028".encode(), "\u0661".encode(), "\xb2".encode(), "\uff11".encode(), b"\xed\xa0\x80"),
)  # fmt: skip
_NUMBERS = (
    *(0, 1, 2, 7, 8, 127, 128, 255, 256, 511, 512, 4095, 4096, 0x7FFF, 0x8000, 0xFFFF, 0x10000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 255, 1 << 31, 1 << 63, 1 << 64, 10**400, 0.5, -0.0, 1e308),
    *("", " ", "0", "-1", "x" * 5000, "\0", "\x1b]0;x\x07", "a\nb"),
    *("../..", "/", "/etc", "é", "\u202e"),
    *("blake3:", "blake3:" + "0" * 64, "sha256:" + "f" * 64, "0" * 64, "h1:", "1.27.3", "9" * 4000),
    *([], {}, [None], [[]], [""], ["a", "a"], {"": ""}, {"a": None}, [0, "a", None]),
    *([{}], {"Path": 1}),
)  # fmt: skip
_DIGITS = re.compile(rb"[0-9]+")


def mutated(data: bytes, edits: Iterable[Edit]) -> bytes:
    """An input after its edits: never more than `LARGEST` bytes."""
    for kind, at, value in edits:
        edit = _EDITS[kind % len(_EDITS)]
        data = edit(data, at, value)[:LARGEST]
    return data


def drawn(random: Random) -> list[Edit]:
    """Some edits; mostly few."""
    count = 1 + min(int(random.expovariate(0.7)), 12)
    return [
        (random.randrange(64), random.randrange(BOUND), random.randrange(BOUND))
        for _ in range(count)
    ]


def _flip(data: bytes, at: int, value: int) -> bytes:
    return _put(data, at, bytes([data[at % len(data)] ^ 1 << value % 8])) if data else b"\0"


def _set(data: bytes, at: int, value: int) -> bytes:
    return _put(data, at, bytes([value % 256]))


def _put(data: bytes, at: int, new: bytes) -> bytes:
    at %= len(data) or 1
    return data[:at] + new + data[at + len(new) :]


def _delete(data: bytes, at: int, value: int) -> bytes:
    at %= len(data) + 1
    return data[:at] + data[at + 1 + value % 64 :]


def _cut(data: bytes, at: int, _: int) -> bytes:
    return data[: at % (len(data) + 1)]


def _insert(data: bytes, at: int, value: int) -> bytes:
    at %= len(data) + 1
    return data[:at] + _TOKENS[value % len(_TOKENS)] + data[at:]


def _overwrite(data: bytes, at: int, value: int) -> bytes:
    return _put(data, at, _TOKENS[value % len(_TOKENS)])


def _double(data: bytes, at: int, value: int) -> bytes:
    at %= len(data) + 1
    piece = data[at : at + 1 + value % 512]
    return data[:at] + piece + data[at:]


def _move(data: bytes, at: int, value: int) -> bytes:
    """A piece of the input, over another one."""
    start = value % (len(data) + 1)
    return _put(data, at, data[start : start + 1 + value % 40])


def _number(data: bytes, at: int, value: int) -> bytes:
    """A number of 16, 32 or 64 bits, in either order of the bytes; sometimes beside a border."""
    number = _NUMBERS[value % len(_NUMBERS)] - value // 32 % 2
    width = (2, 4, 8)[value // 64 % 3]
    order = "little" if value // 256 % 4 else "big"
    if value // 1024 % 2:
        at -= at % 4
    return _put(data, at, (number % (1 << 8 * width)).to_bytes(width, order))  # type: ignore[arg-type]


def _digits(data: bytes, at: int, value: int) -> bytes:
    """Another number where one is written in digits."""
    found = list(_DIGITS.finditer(data))
    if not found:
        return data
    which = found[at % len(found)]
    number = b"%d" % (_NUMBERS[value % len(_NUMBERS)] - value // 32 % 2)
    if value // 64 % 2:
        number = number.rjust(len(which[0]), b"0")[-len(which[0]) :]
    return data[: which.start()] + number + data[which.end() :]


def _line(data: bytes, at: int, value: int) -> bytes:
    """A line gone, twice, or elsewhere."""
    lines = data.split(b"\n")
    line = lines.pop(at % len(lines))
    for _ in range(value % 3):
        lines.insert(value // 3 % (len(lines) + 1), line)
    return b"\n".join(lines)


def _value(data: bytes, at: int, value: int) -> bytes:
    """Another value in a JSON document, or one that is gone, doubled, or put elsewhere."""
    try:
        document = json.loads(data)
        holders = [one for one in _within(document) if one]
        if not holders:
            return json.dumps(_VALUES[value % len(_VALUES)]).encode()
        holder = holders[at % len(holders)]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = keys[at // len(holders) % len(keys)]
        what = value % 8
        other = _VALUES[value // 8 % len(_VALUES)]
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[str(other)[:60]] = holder[key]
        elif what == 1:
            holder.append(holder[key])
        elif what == 2:
            holder[key] = json.loads(json.dumps(holders[value // 8 % len(holders)]))
        elif what == 3:
            holder[key] = [holder[key]]
        else:
            holder[key] = other
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return _set(data, at, value)


def _within(value: object) -> list[Any]:
    """Every object and list in a JSON document."""
    found: list[Any] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            found.append(one)
            waiting += one.values() if isinstance(one, dict) else one
    return found


# JSON documents have more than one share, since what they hold is far from their bytes.
_EDITS: tuple[Callable[[bytes, int, int], bytes], ...] = (
    *(_flip, _set, _delete, _cut, _insert, _overwrite, _double, _move, _number, _digits, _line),
    *(_value, _value, _value, _value, _value),
)
