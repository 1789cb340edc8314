"""Counts the bytes in which two files differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis.source import unlike
from reproducibility import regular

if TYPE_CHECKING:
    from pathlib import Path

PIECE = 1 << 20


def differing_bytes(first: Path, second: Path) -> tuple[int, int]:
    """The first byte that differs, and how many do, as far as both files go; 0, 0 where none does.

    Raises:
        OSError: one cannot be read.
    """
    place, count, at = -1, 0, 0
    with regular.opened(first) as one, regular.opened(second) as other:
        while (left := one.read(PIECE)) and (right := other.read(PIECE)):
            if left != right:
                start, more = _in_piece(left, right)
                if more and place < 0:
                    place = at + start
                count += more
            at += min(len(left), len(right))
    return max(place, 0), count


def _in_piece(left: bytes, right: bytes) -> tuple[int, int]:
    """The first byte that differs, and how many do."""
    length = min(len(left), len(right))
    differing = unlike(left, right)
    count = length - differing.count(0)
    return length - len(differing.lstrip(b"\0")), count
