"""Limits by cgroup version 1, for root.

Version 1 has no safe delegation, so this is for root only. In each hierarchy that is needed an
engine makes one folder below the group that it runs in, locked as long as it lives; below that,
one group an action. The next engine to start removes the folders whose lock nobody holds.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from containers.sandbox import own_groups

if TYPE_CHECKING:
    from containers.policy import Limits

_NEEDED = ("memory", "pids")
_PREFIX = "sourcery-"
_CPU_PERIOD = 100_000
_PATIENCE = 5.0
# The part of the memory for the buffers of TCP and UDP sockets. Version 1 counts them apart, and
# its limit gives way: each TCP connection gets some, however much the others have.
_FOR_SOCKETS = 16


@dataclass(frozen=True, slots=True)
class LegacyGroup:
    """One action's groups: `paths` by controller; two controllers may share one.

    `exits`: the files by which a process goes back to where the orchestrator is, as far as memory
    goes.
    """

    paths: dict[str, Path]
    exits: tuple[str, ...] = ()

    @property
    def entrances(self) -> list[str]:
        """The files that a process writes its id to, to come in: none, it is taken in."""
        return []

    def admit(self, pid: int) -> None:
        """Take a process in, before it starts others.

        To change groups takes as long as the kernel needs to be sure that nobody still looks at the
        old ones, which is a good part of an action's start; so it is done while the launcher loads.

        Raises:
            OSError: the kernel refused.
        """
        for path in set(self.paths.values()):
            with suppress(ProcessLookupError):  # it is gone already, and has said why
                _set(path / "cgroup.procs", pid)

    def peak_memory(self) -> int:
        """Bytes at most in use at one time."""
        with suppress(OSError, ValueError):
            return int((self.paths["memory"] / "memory.max_usage_in_bytes").read_text("ascii"))
        return 0

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel ended a process of the group for the memory limit."""
        with suppress(OSError):
            words = (self.paths["memory"] / "memory.oom_control").read_text("ascii").split()
            return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", "0")) > 0
        return False

    def exceeds(self) -> bool:
        """Return whether buffers of sockets exceed their part, which the kernel lets them."""
        memory = self.paths["memory"]
        with suppress(OSError, ValueError):
            used = int((memory / "memory.kmem.tcp.usage_in_bytes").read_text("ascii"))
            return used > 2 * int((memory / "memory.kmem.tcp.limit_in_bytes").read_text("ascii"))
        return False

    def close(self) -> None:
        """Kill what is left in the groups and remove them."""
        for path in set(self.paths.values()):
            _remove(path)


class Legacy:
    """The folders of one engine; `cpu`: whether CPUs can be limited too."""

    def __init__(self, bases: dict[str, Path]) -> None:
        """Make them below `bases` (the group that this process runs in, by controller).

        Raises:
            OSError: the kernel refuses.
        """
        self._locks: list[int] = []
        self._paths: dict[str, Path] = {}
        self._bases = bases
        self.cpu = "cpu" in bases
        made: dict[Path, Path] = {}
        try:
            for controller, base in bases.items():
                if base not in made:
                    sweep(base)
                    made[base], descriptor = _claim(base)
                    self._locks.append(descriptor)
                self._paths[controller] = made[base]
        except OSError:
            self.close()
            raise

    def make(self, name: str, limits: Limits) -> LegacyGroup:
        """A group with the limits set.

        Raises:
            OSError: the kernel refused.
        """
        wanted = [*_NEEDED, *(["cpu"] if limits.cpus and self.cpu else [])]
        paths = {controller: self._paths[controller] / name for controller in wanted}
        # The guard takes the groups' limits on nothing else away from what it guards, and each
        # change takes long.
        group = LegacyGroup(paths, (str(self._bases["memory"] / "cgroup.procs"),))
        try:
            for path in dict.fromkeys(paths.values()):
                path.mkdir()
            self._limit(paths, limits)
        except OSError:
            group.close()
            raise
        return group

    def _limit(self, paths: dict[str, Path], limits: Limits) -> None:
        memory = paths["memory"]
        for_sockets = limits.memory // _FOR_SOCKETS
        _set(memory / "memory.limit_in_bytes", limits.memory - for_sockets)
        _set(memory / "memory.kmem.tcp.limit_in_bytes", for_sockets)
        with suppress(FileNotFoundError):  # not there where swap accounting is off
            _set(memory / "memory.memsw.limit_in_bytes", limits.memory - for_sockets)
        _set(paths["pids"] / "pids.max", limits.processes)
        if "cpu" in paths:
            _set(paths["cpu"] / "cpu.cfs_period_us", _CPU_PERIOD)
            _set(paths["cpu"] / "cpu.cfs_quota_us", limits.cpus * _CPU_PERIOD)

    def close(self) -> None:
        """Remove the folders and let go of the locks."""
        for path in set(self._paths.values()):
            _remove(path)
        for descriptor in self._locks:
            os.close(descriptor)
        self._paths, self._locks = {}, []


def take(mounts: Path, own: Path) -> Legacy | str:
    """An engine's folders, or why there are none."""
    if os.geteuid() != 0:
        return "cgroup version 1 can be had by root only"
    found = own_groups.of_version_1(mounts, own)
    bases = {name: found[name] for name in (*_NEEDED, "cpu") if name in found}
    missing = [name for name in _NEEDED if name not in bases]
    if missing:
        return f"cgroup version 1 has no {' and no '.join(missing)} controller here"
    # Without it, what sockets of the internet's protocols hold is counted nowhere.
    if not (bases["memory"] / "memory.kmem.tcp.limit_in_bytes").exists():
        return "cgroup version 1 counts no memory of sockets here"
    if not (bases.get("cpu", Path()) / "cpu.cfs_quota_us").exists():
        bases.pop("cpu", None)
    if not all(os.access(base, os.W_OK) for base in bases.values()):
        return "the cgroup tree is read-only"
    try:
        return Legacy(bases)
    except OSError as error:
        return f"no cgroup can be made: {error.strerror}"


def sweep(base: Path) -> None:
    """Remove the folders below a group whose engines are gone."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(descriptor)


def _claim(base: Path) -> tuple[Path, int]:
    """A new folder, locked by us, that nobody has swept away between making and locking it."""
    while True:
        folder = base / f"{_PREFIX}{secrets.token_hex(8)}"
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(folder.stat(), os.fstat(descriptor)):
                return folder, descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)


def _remove(group: Path) -> None:
    """Kill what is left in a group and those below it, and remove them."""
    with suppress(OSError):
        for inner in group.iterdir():
            if inner.is_dir():
                _remove(inner)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            _kill(group)
            time.sleep(0.01)
        else:
            return


def _kill(group: Path) -> None:
    with suppress(OSError):
        for pid in map(int, (group / "cgroup.procs").read_text("ascii").split()):
            if pid > 0:  # 0: a process that this namespace does not see
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _set(file: Path, value: int) -> None:
    file.write_text(str(value), "ascii")
