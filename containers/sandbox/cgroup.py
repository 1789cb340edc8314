"""Limits by cgroup version 2, where the machine has delegated a part of the tree to this user.

Of version 2 nothing is taken that was not delegated: the group that this process runs in must be
writable and hold no process of anybody else. Where that cannot be had, root takes version 1
(`cgroup_v1.py`).
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from containers.sandbox import cgroup_v1, own_groups

if TYPE_CHECKING:
    from containers.policy import Limits
    from containers.sandbox.cgroup_v1 import Legacy, LegacyGroup

_NEEDED = ("memory", "pids")
_CPU_PERIOD = 100_000
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """One action's control group."""

    path: Path

    @property
    def entrances(self) -> list[str]:
        """The files that a process writes its id to."""
        return [str(self.path / "cgroup.procs")]

    @property
    def exits(self) -> tuple[str, ...]:
        """The files by which a process leaves again: none, what enters stays (see `cgroup_v1`)."""
        return ()

    def admit(self, pid: int) -> None:
        """Do nothing: a process enters by itself."""

    def peak_memory(self) -> int:
        """Bytes at most in use at one time, 0 where the kernel does not keep it (before 5.19)."""
        return _number(self.path / "memory.peak")

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel ended a process of the group for the memory limit."""
        with suppress(OSError, ValueError):
            for line in (self.path / "memory.events").read_text("ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and int(count):
                    return True
        return False

    def exceeds(self) -> bool:
        """Return False: the kernel counts all memory itself, so none is in use beyond the limit."""
        return False

    def close(self) -> None:
        """Kill what is left in the group and remove it."""
        with suppress(OSError):
            (self.path / "cgroup.kill").write_text("1", "ascii")
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno != errno.EBUSY:
                    return
                time.sleep(0.01)


class Cgroups:
    """The part of the tree that is ours, or the reason why there is none.

    `reason`: empty where groups can be made. `version`: 2 or 1.
    """

    def __init__(self, mounts: Path = own_groups.MOUNTS, own: Path = own_groups.OWN) -> None:
        self._base: Path | None = None
        self._leaf: Path | None = None
        self._legacy: Legacy | None = None
        self.cpu = False
        self.reason = ""
        self.version = 2
        switched_off = _switched_off(Path("/proc/cmdline"))
        if switched_off:
            self.reason = f"the kernel was started with {switched_off}: cgroups do not count it all"
            return
        self._divide(mounts, own)
        if self.reason:
            self._take_legacy(mounts, own)

    def _divide(self, mounts: Path, own: Path) -> None:
        group = own_groups.of_version_2(mounts, own)
        if group is None:
            self.reason = "this machine has no cgroup version 2 tree"
            return
        offered = _words(group / "cgroup.controllers")
        missing = [name for name in _NEEDED if name not in offered]
        if missing:
            self.reason = f"cgroup version 2 has no {' and no '.join(missing)} controller here"
        elif not all(
            os.access(path, os.W_OK) for path in (group, group / "cgroup.subtree_control")
        ):
            self.reason = "no cgroup is delegated to this user"
        elif _words(group / "cgroup.procs") != {str(os.getpid())}:
            self.reason = "other processes live in this process's cgroup"
        else:
            self._take(group, offered)

    def _take_legacy(self, mounts: Path, own: Path) -> None:
        found = cgroup_v1.take(mounts, own)
        if isinstance(found, str):
            self.reason = f"{self.reason}; {found}"
            return
        self._legacy, self.reason, self.version, self.cpu = found, "", 1, found.cpu

    def _take(self, group: Path, offered: set[str]) -> None:
        """Move this process into a leaf, as a group with limits on its children must be empty."""
        wanted = [*_NEEDED, *(["cpu"] if "cpu" in offered else [])]
        leaf = group / "orchestrator"
        try:
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text(str(os.getpid()), "ascii")
            (group / "cgroup.subtree_control").write_text(
                " ".join(f"+{name}" for name in wanted), "ascii"
            )
        except OSError as error:
            with suppress(OSError):
                (group / "cgroup.procs").write_text(str(os.getpid()), "ascii")
                leaf.rmdir()
            self.reason = f"the cgroup cannot be divided: {error.strerror}"
            return
        self._base, self._leaf, self.cpu = group, leaf, "cpu" in wanted

    def make(self, name: str, limits: Limits) -> Group | LegacyGroup | None:
        """A group with the limits set, or None where groups cannot be made.

        Raises:
            OSError: the kernel refused.
        """
        if self._legacy is not None:
            return self._legacy.make(name, limits)
        if self._base is None:
            return None
        path = self._base / name
        path.mkdir()
        settings = {
            "memory.max": str(limits.memory),
            "memory.oom.group": "1",
            "pids.max": str(limits.processes),
        }
        if limits.cpus and self.cpu:
            settings["cpu.max"] = f"{limits.cpus * _CPU_PERIOD} {_CPU_PERIOD}"
        group = Group(path)
        try:
            for file, value in settings.items():
                (path / file).write_text(value, "ascii")
        except OSError:
            group.close()
            raise
        with suppress(OSError):  # not there where swap accounting is off
            (path / "memory.swap.max").write_text("0", "ascii")
        return group

    def close(self) -> None:
        """Go back to where this process was."""
        if self._legacy is not None:
            self._legacy.close()
            self._legacy = None
        if self._base is None or self._leaf is None:
            return
        with suppress(OSError):
            (self._base / "cgroup.subtree_control").write_text(
                " ".join(f"-{name}" for name in (*_NEEDED, *(["cpu"] if self.cpu else []))), "ascii"
            )
            (self._base / "cgroup.procs").write_text(str(os.getpid()), "ascii")
            self._leaf.rmdir()
        self._base = None


def _switched_off(line: Path) -> str:
    """The kernel's parameter that keeps some kind of memory from being counted, or empty."""
    return next(
        (word for word in sorted(_words(line)) if word.startswith("cgroup.memory=no")),
        "",
    )


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text("ascii").split())
    except OSError:
        return set()


def _number(file: Path) -> int:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        return 0
