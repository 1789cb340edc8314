"""Memory and disk space that a running action uses, measured from outside.

Where the kernel bounds something, it is looked at to say afterwards by what an action failed; where
it does not, an action that was seen to take too much is ended. Between two looks it can take more.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Literal

from containers.sandbox import proc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from containers.policy import Limits
    from containers.sandbox.cgroup import Group
    from containers.sandbox.cgroup_v1 import LegacyGroup

Exceeded = Literal["", "memory", "work", "tmp", "files"]

_BLOCK = 512
# A tmpfs with less than this part of its size left counts as full: what failed for want of room
# may have removed something before it ended.
_NEARLY_FULL = 64
# Bytes of a path that are handed to the kernel at once, which takes 4,096 at most.
_PATH = 4000


class Usage:
    """Memory and disk space of one action.

    `peak`: the most memory that was seen, in bytes.
    """

    def __init__(self, work: Path, limits: Limits, group: Group | LegacyGroup | None) -> None:
        """`work`: its work directory on a disk. `group`: what bounds its memory, or None."""
        self._limits = limits
        self._group = group
        self._mounted: dict[str, int] = {}
        self._filled: Exceeded = ""
        self._growth = Growth(work, limits)
        self.peak = 0

    def admit(self, pid: int) -> None:
        """Have the launcher counted, before it starts anything.

        Raises:
            OSError: the kernel refused.
        """
        if self._group is not None:
            self._group.admit(pid)

    def mounted(self, name: str, descriptor: int) -> None:
        """Take note of a tmpfs (`work` or `tmp`) by a descriptor, which is closed by `close`."""
        self._forget(name)
        self._mounted[name] = descriptor

    @property
    def work(self) -> int | None:
        """The work directory where that is a tmpfs, as a descriptor."""
        return self._mounted.get("work")

    def close(self) -> None:
        """Let go of all that is mounted."""
        for name in list(self._mounted):
            self._forget(name)

    def _forget(self, name: str) -> None:
        descriptor = self._mounted.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def look(self, pid: int) -> Exceeded:
        """Return what a process and its descendants take too much of now."""
        self._look_at_room()
        if self._group is not None:
            if self._group.exceeds():
                return "memory"
            if self.work is not None:
                return ""
        pids = list(proc.descendants(pid))
        held = proc.held_files(pids)
        if self._group is None:
            taken = self._memory(pids, held)
            self.peak = max(self.peak, taken)
            if taken > self._limits.memory:
                return "memory"
        return self._growth.exceeded(held) if self.work is None else ""

    def filled(self) -> Exceeded:
        """Return what has been full while it ran, or is now."""
        self._look_at_room()
        return self._filled

    def _memory(self, pids: list[int], held: dict[proc.Inode, int]) -> int:
        """Bytes of memory, exactly where a rough sum is above the limit.

        Memory that processes share is counted once for each by the rough sum, which costs a
        hundredth.
        """
        in_files = sum(_used(descriptor) for descriptor in self._mounted.values())
        unnamed = {
            inode: size for inode, size in held.items() if inode.device == proc.memory_device()
        }
        rough = in_files + sum(unnamed.values()) + proc.memory_of(pids)
        if rough <= self._limits.memory:
            return rough
        mapped = proc.exact_memory_of(pids)
        once = {**mapped.files, **unnamed}
        return in_files + mapped.private + sum(once.values())

    def _look_at_room(self) -> None:
        for name, descriptor in self._mounted.items():
            status = os.fstatvfs(descriptor)
            if status.f_bavail < status.f_blocks // _NEARLY_FULL:
                self._filled = "tmp" if name == "tmp" else "work"
            elif status.f_ffree == 0:
                self._filled = "files"


def _used(descriptor: int) -> int:
    status = os.fstatvfs(descriptor)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


class Growth:
    """Says whether a work directory on a disk has outgrown its limits.

    Counting its files costs, so that is done only when the file system has lost as much room.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._free = self._room()

    def exceeded(self, held: dict[proc.Inode, int]) -> Exceeded:
        """`held`: files that have no name any more and that the action holds open."""
        bytes_now, files_now = self._room()
        bytes_lost, files_lost = self._free[0] - bytes_now, self._free[1] - files_now
        if bytes_lost <= self._limits.work and files_lost <= self._limits.files:
            return ""
        device = self._folder.stat().st_dev
        total = sum(size for inode, size in held.items() if inode.device == device)
        for count, size in enumerate(chain((0,), sizes(self._folder))):
            total += size
            if total > self._limits.work:
                return "work"
            if count > self._limits.files:
                return "files"
        return ""

    def _room(self) -> tuple[int, int]:
        status = os.statvfs(self._folder)
        return status.f_bfree * status.f_frsize, status.f_ffree


def sizes(folder: Path) -> Iterator[int]:
    """Bytes on the disk of each file and folder below a folder, as far as they are seen now.

    No path is too long, and no link is followed, whatever the action does meanwhile.
    """
    with suppress(OSError):
        top = os.open(folder, _FOLDER)
        try:
            waiting: list[tuple[str, ...]] = [()]
            while waiting:
                parts = waiting.pop()
                with suppress(OSError):
                    yield from _look_into(top, parts, waiting)
        finally:
            os.close(top)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _look_into(top: int, parts: tuple[str, ...], waiting: list[tuple[str, ...]]) -> Iterator[int]:
    descriptor = _open_below(top, parts)
    try:
        with os.scandir(descriptor) as listing:
            for entry in listing:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((*_joined(parts), entry.name))
    finally:
        os.close(descriptor)


def _joined(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The same path in as few pieces as the kernel takes."""
    if len(parts) > 1 and len(os.fsencode(parts[-2])) + len(os.fsencode(parts[-1])) < _PATH:
        return (*parts[:-2], f"{parts[-2]}/{parts[-1]}")
    return parts


def _open_below(top: int, parts: tuple[str, ...]) -> int:
    current = os.dup(top)
    for part in parts:
        try:
            following = os.open(part, _FOLDER, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current
