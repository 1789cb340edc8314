"""Formats sizes and lists for people, for several commands. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_STEP = 1024
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def quantity(size: int) -> str:
    """Bytes for a person: `512 bytes`, `1.4 GiB (1,534,066,688 bytes)`."""
    if size < _STEP:
        return f"{size} bytes"
    return f"{short(size)} ({size:,} bytes)"


def short(size: int) -> str:
    """Bytes for a person, about: `512 bytes`, `1.4 GiB`."""
    amount = float(size)
    for unit in _UNITS:
        if amount < _STEP or unit == _UNITS[-1]:
            return f"{size} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= _STEP
    raise AssertionError  # the last unit takes everything


def grouped(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Second parts by their first one, both in the order in which they came."""
    found: dict[str, list[str]] = {}
    for name, subject in pairs:
        found.setdefault(name, []).append(subject)
    return list(found.items())
