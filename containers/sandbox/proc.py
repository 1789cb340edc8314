"""Reads /proc: descendants, memory and open files of running processes."""

from __future__ import annotations

import itertools
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from containers.sandbox import own_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROC = Path("/proc")
_KIB = 1024
# What a process has for itself and what it shares, without files on a disk: proc_pid_status(5).
_COUNTED = frozenset({b"RssAnon", b"RssShmem", b"VmSwap", b"VmPTE"})
_MOST_DESCRIPTORS = 20_000


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


def memory_of(pids: Iterable[int]) -> int:
    """Bytes of memory of processes, roughly: never too little.

    Private and shared memory, what is swapped out, and page tables. What several of them share is
    counted once for each.
    """
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            for line in (_PROC / str(pid) / "status").read_bytes().splitlines():
                name, _, value = line.partition(b":")
                if name in _COUNTED:
                    total += int(value.split()[0]) * _KIB
    return total


@dataclass(frozen=True, slots=True)
class Inode:
    """A file, by its device and number."""

    device: int
    number: int


@dataclass
class Mapped:
    """Memory in bytes: what no file stands behind, and what files in memory hold, by file."""

    private: int = 0
    files: dict[Inode, int] = field(default_factory=dict)


def exact_memory_of(pids: Iterable[int]) -> Mapped:
    """Memory of processes, each page once.

    Files that lie in a file system are not counted. The cost is that of looking at every page of
    every process.
    """
    total = Mapped()
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            _add_mappings(_PROC / str(pid) / "smaps", total)
            for line in (_PROC / str(pid) / "status").read_bytes().splitlines():
                if line.startswith(b"VmPTE:"):
                    total.private += int(line.split()[1]) * _KIB
    return total


def _add_mappings(file: Path, total: Mapped) -> None:
    """Add what one process has mapped: proc_pid_smaps(5)."""
    inode = Inode(0, 0)
    proportional = 0
    for line in file.read_bytes().splitlines():
        fields = line.split()
        if not fields[0].endswith(b":"):
            major, _, minor = fields[3].partition(b":")
            inode = Inode(os.makedev(int(major, 16), int(minor, 16)), int(fields[4]))
        elif fields[0] == b"Pss:":
            proportional = int(fields[1]) * _KIB
        elif fields[0] == b"SwapPss:":
            total.private += int(fields[1]) * _KIB
        elif fields[0] == b"Anonymous:":
            private = min(int(fields[1]) * _KIB, proportional)
            total.private += private
            if inode.device == memory_device():
                shared = proportional - private
                total.files[inode] = total.files.get(inode, 0) + shared


def held_files(pids: Iterable[int]) -> dict[Inode, int]:
    """Bytes of each file without a name that one of several processes holds open.

    As far as this user may look: deleted files, and memory that a file stands for (memfd_create).
    A file in a message on its way between two processes is not seen. Of very many descriptors only
    the first ones are looked at, so that looking stays cheap.
    """
    found: dict[Inode, int] = {}
    for path in itertools.islice(_descriptors(pids), _MOST_DESCRIPTORS):
        with suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 - many, and cheap
            if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                found[Inode(status.st_dev, status.st_ino)] = status.st_blocks * 512
    return found


def _descriptors(pids: Iterable[int]) -> Iterator[str]:
    for pid in pids:
        with suppress(OSError), os.scandir(_PROC / str(pid) / "fd") as listing:
            for entry in listing:
                yield entry.path


@cache
def memory_device() -> int:
    """The device that shared memory without a name lies on: memfd_create, shmget, MAP_SHARED."""
    descriptor = os.memfd_create("probe")
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def available_memory(mounts: Path = own_groups.MOUNTS, own: Path = own_groups.OWN) -> int:
    """Bytes of memory that could be had now without swapping.

    What the machine has (MemAvailable), or less where this process's control groups, or those that
    it sees above them, leave less.
    """
    available = 0
    for line in (_PROC / "meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * _KIB
    return min([available, *own_groups.memory_left(mounts, own)])


def threads_of(user: int) -> int:
    """Return how many threads a user has, in all processes."""
    total = 0
    for folder in _processes():
        with suppress(OSError):
            if folder.stat().st_uid == user:
                total += sum(1 for _ in (folder / "task").iterdir())
    return total


def _processes() -> Iterator[Path]:
    return (folder for folder in _PROC.iterdir() if folder.name.isdigit())
