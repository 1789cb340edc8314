"""What the kernel says about running processes: /proc, read without starting anything."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_PAGE = resource.getpagesize()


def descendants(ancestor: int) -> Iterator[int]:
    """A process's id, and those of all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in _processes():
        with suppress(OSError, ValueError, IndexError):
            # The program's name in parentheses may hold anything: proc(5).
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    waiting = [ancestor]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting.extend(children.get(pid, ()))


def memory_of(ancestor: int) -> int:
    """Bytes of memory that a process and all its descendants hold for themselves alone, summed."""
    total = 0
    for pid in descendants(ancestor):
        with suppress(OSError, ValueError, IndexError):
            resident, shared = (_PROC / str(pid) / "statm").read_text("ascii").split()[1:3]
            total += int(resident) - int(shared)
    return total * _PAGE


def threads_of(user: int) -> int:
    """How many threads a user has, in all processes."""
    total = 0
    for folder in _processes():
        with suppress(OSError):
            if folder.stat().st_uid == user:
                total += sum(1 for _ in (folder / "task").iterdir())
    return total


def _processes() -> Iterator[Path]:
    return (folder for folder in _PROC.iterdir() if folder.name.isdigit())
