"""Recognises a folder of nights by the header of its history (sqlite.org/fileformat.html, 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reproducibility import regular

if TYPE_CHECKING:
    from pathlib import Path

# The name of the history in the folder of the nights.
FILE: Final = "history.sqlite"
# "SRCY" (`PRAGMA application_id`): tells the history from other databases.
APPLICATION: Final = 0x53524359

_MAGIC = b"SQLite format 3\0"
_AT = 68


def keeps_nights(folder: Path) -> bool:
    """Return whether a folder has a history of nights in it, of whatever version."""
    try:
        with regular.opened(folder / FILE, follow=False) as stream:
            head = stream.read(_AT + 4)
    except OSError:
        return False
    return head.startswith(_MAGIC) and head[_AT:] == APPLICATION.to_bytes(4, "big")
