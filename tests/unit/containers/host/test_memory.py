"""Freed memory goes back to the system, where the C library keeps it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from containers.host import memory

_PIECE = 100_000


def resident() -> int:
    """Bytes of this process's own memory."""
    found = re.search(r"^RssAnon:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10


@pytest.mark.skipif(
    "glibc" not in str(os.confstr("CS_GNU_LIBC_VERSION")), reason="not the GNU C library"
)
def test_freed_memory_is_given_back() -> None:
    pieces = [os.urandom(_PIECE) for _ in range(1000)]
    # What is still in use between the freed pieces is why the C library keeps them.
    del pieces[::2]
    before = resident()
    memory.give_back()
    assert resident() < before - 200 * _PIECE
    assert all(len(piece) == _PIECE for piece in pieces)


def test_another_c_library_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TRIM", None)
    memory.give_back()
