"""Assigns 8.3 aliases in a FAT directory: one for each name, unique, numbered in the names' order.

Follows fatgen103, "The Numeric-Tail Generation Algorithm", with ASCII only (a character above 127
would depend on the reader's code page), and without the lower-case flags of Windows NT (not every
reader knows them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.image.fat import names
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# fatgen103 ends at ~999999; a directory has at most 65,536 entries, so five digits are enough.
_MOST_DIGITS = 6


def assign(ordered: Sequence[str], reserved: Iterable[str] = ()) -> list[bytes]:
    """The 11-byte name field for each name of one directory, in the same order.

    `ordered`: names that differ even when folded. `reserved`: folded names that no alias may take
    besides (the volume label, in the root).

    Raises:
        InputError: no free alias is left.
    """
    folded = names.all_folded(ordered)
    taken = {*folded, *reserved}
    free_from: dict[tuple[str, str, int], int] = {}
    fields = []
    for name, upper in zip(ordered, folded, strict=True):
        base, extension, whole = names.basis(upper)
        if not whole:
            base = _numbered(base, extension, taken, free_from)
            if not base:
                raise InputError("no 8.3 alias is left for a name", subject=name)
        fields.append(f"{base:<8}{extension:<3}".encode("ascii"))
    return fields


def _numbered(
    base: str, extension: str, taken: set[str], free_from: dict[tuple[str, str, int], int]
) -> str:
    """The base with a numeric tail, marked as taken; empty where no number is left.

    `free_from` remembers the next number for (start of the base, extension, digits), so that many
    similar names do not try every number again.
    """
    dotted = f".{extension}" if extension else ""
    for digits in range(1, _MOST_DIGITS + 1):
        start = base[: 7 - digits]
        key = (start, extension, digits)
        for number in range(free_from.get(key, 10 ** (digits - 1)), 10**digits):
            tailed = f"{start}~{number}"
            if (alias := tailed + dotted) not in taken:
                taken.add(alias)
                free_from[key] = number + 1
                return tailed
        free_from[key] = 10**digits
    return ""
