"""Bytes that are compared, wherever they lie: a file, a part of one, or memory.

A file is read, not mapped: a mapped file that somebody cuts short ends the process.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PIECE = 1 << 20
_BLOCK = 4096
# Bytes that are compared as numbers.
_COMPARED = 1 << 16
_NOT_ZERO = re.compile(rb"[^\0]")


class Source(Protocol):
    """Bytes with a size. A read beyond the end gives fewer bytes."""

    @property
    def size(self) -> int:
        """Return how many bytes there are."""
        ...

    def read(self, at: int, length: int) -> bytes:
        """The bytes at a place; fewer at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """Return how many bytes there are."""
        return len(self.data)

    def read(self, at: int, length: int) -> bytes:
        """The bytes at a place; fewer at the end."""
        return self.data[at : at + length]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file that is open. `size`: as it was found."""

    descriptor: int
    size: int

    def read(self, at: int, length: int) -> bytes:
        """The bytes at a place; fewer at the end.

        Raises:
            OSError: they cannot be read.
        """
        length = min(length, self.size - at)
        if length <= 0:
            return b""
        data = os.pread(self.descriptor, length, at)
        while len(data) < length:
            more = os.pread(self.descriptor, length - len(data), at + len(data))
            if not more:
                break
            data += more
        return data


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of another source one after the other. `runs`: (place, bytes)."""

    under: Source
    runs: Sequence[tuple[int, int]]
    size: int

    def read(self, at: int, length: int) -> bytes:
        """The bytes at a place; fewer at the end."""
        found = []
        length = min(length, self.size - at)
        for start, count in self.runs:
            if length <= 0:
                break
            if at < count:
                piece = self.under.read(start + at, min(length, count - at))
                found.append(piece)
                length -= min(length, count - at)
                at = 0
            else:
                at -= count
        return b"".join(found)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two sides of one file. `path`: its name for people; empty for the whole."""

    path: str
    first: Source
    second: Source

    def within(self, name: str, first: Source, second: Source) -> Pair:
        """A file within this one."""
        return Pair(f"{self.path} > {name}" if self.path else name, first, second)

    def whole(self, limit: int) -> tuple[bytes, bytes] | None:
        """Both as bytes; None where one has more than `limit`."""
        if max(self.first.size, self.second.size) > limit:
            return None
        return self.first.read(0, self.first.size), self.second.read(0, self.second.size)


def differing(first: Source, second: Source) -> Iterator[tuple[int, int]]:
    """Blocks of 4096 bytes in which two sources differ, as far as both go: (place, bytes)."""
    end = min(first.size, second.size)
    for start in range(0, end, PIECE):
        length = min(PIECE, end - start)
        one, other = first.read(start, length), second.read(start, length)
        if one == other:
            continue
        length = min(len(one), len(other))
        for at in range(0, length, _BLOCK):
            if one[at : at + _BLOCK] != other[at : at + _BLOCK]:
                yield start + at, min(_BLOCK, length - at)


def first_difference(first: Source, second: Source) -> int | None:
    """The first byte that differs, the end of the shorter one among them; None where none does."""
    for at, length in differing(first, second):
        one, other = first.read(at, length), second.read(at, length)
        return at + next(n for n in range(length) if one[n] != other[n])
    return None if first.size == second.size else min(first.size, second.size)


def runs(first: bytes, second: bytes, *, most: int, gap: int = 8) -> list[tuple[int, int]]:
    """Return where two pieces of one length differ, (start, end); less than `gap` apart is one."""
    found: list[tuple[int, int]] = []
    for start in range(0, min(len(first), len(second)), _COMPARED):
        one, other = first[start : start + _COMPARED], second[start : start + _COMPARED]
        if one == other:
            continue
        differing = unlike(one, other)
        at = 0
        while begin := _NOT_ZERO.search(differing, at):
            zeros = differing.find(bytes(gap), begin.start())
            at = zeros if zeros >= 0 else len(differing.rstrip(b"\0"))
            if found and start + begin.start() - found[-1][1] < gap:
                found[-1] = found[-1][0], start + at
            elif len(found) >= most:
                return found
            else:
                found.append((start + begin.start(), start + at))
    return found


def unlike(one: bytes, other: bytes) -> bytes:
    """As many bytes as both have: zero where they are the same."""
    length = min(len(one), len(other))
    numbers = [int.from_bytes(side[:length], "little") for side in (one, other)]
    return (numbers[0] ^ numbers[1]).to_bytes(length, "little")
