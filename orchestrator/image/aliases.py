"""The 8.3 aliases of a directory: one for each name, unique, numbered in the names' order.

Follows fatgen103, "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation
Algorithm", with ASCII only (a character above 127 would depend on the reader's code page), and
without the lower-case flags of Windows NT (not every reader knows them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.image import names
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BASE = 8
_EXTENSION = 3
# fatgen103 ends at ~999999; a directory has at most 65,536 entries, so five digits are enough.
_MOST_DIGITS = 6


def assign(ordered: Sequence[str], reserved: Iterable[str] = ()) -> list[bytes]:
    """The 11-byte name field for each name of one directory, in the same order.

    `ordered`: names that differ even when folded. `reserved`: folded names that no alias may take
    besides (the volume label, in the root).

    Raises:
        InputError: no free alias is left.
    """
    folded = [names.folded(name) for name in ordered]
    taken = {*folded, *reserved}
    free_from: dict[tuple[str, str, int], int] = {}
    fields = []
    for name, upper in zip(ordered, folded, strict=True):
        if names.is_short(upper):
            base, _, extension = upper.partition(".")
        else:
            base, extension = _numbered(name, upper, taken, free_from)
        fields.append(f"{base:<{_BASE}}{extension:<{_EXTENSION}}".encode("ascii"))
    return fields


def _numbered(
    name: str, upper: str, taken: set[str], free_from: dict[tuple[str, str, int], int]
) -> tuple[str, str]:
    """A base with a numeric tail, and the extension; marks the alias as taken.

    `free_from` remembers the next number for (start of the base, extension, digits), so that many
    similar names do not try every number again.
    """
    base, extension = _basis(upper)
    dotted = f".{extension}" if extension else ""
    for digits in range(1, _MOST_DIGITS + 1):
        start = base[: _BASE - 1 - digits]
        key = (start, extension, digits)
        for number in range(free_from.get(key, 10 ** (digits - 1)), 10**digits):
            tailed = f"{start}~{number}"
            alias = tailed + dotted
            if alias not in taken:
                taken.add(alias)
                free_from[key] = number + 1
                return tailed, extension
        free_from[key] = 10**digits
    raise InputError("no 8.3 alias is left for a name", subject=name)


def _basis(upper: str) -> tuple[str, str]:
    """Base of at most 8 and extension of at most 3 characters, without spaces and inner dots."""
    stem, dot, extension = upper.lstrip(". ").rpartition(".")
    if not dot:
        stem, extension = extension, ""
    stem = stem.replace(" ", "").replace(".", "")[:_BASE]
    extension = extension.replace(" ", "")[:_EXTENSION]
    return names.short_characters(stem), names.short_characters(extension)
