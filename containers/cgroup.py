"""Limits by control groups, where the machine has handed a part of the tree to this user.

Version 2 only: version 1 has no safe delegation. Nothing is taken that was not delegated: the group
that this process runs in must be writable and hold no process of anybody else.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from containers.policy import Limits

_NEEDED = ("memory", "pids")
_CPU_PERIOD = 100_000
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """One action's control group."""

    path: Path

    @property
    def entrance(self) -> str:
        """The file that a process writes its id to."""
        return str(self.path / "cgroup.procs")

    def peak_memory(self) -> int:
        """Bytes at most in use at one time, 0 where the kernel does not keep it (before 5.19)."""
        return _number(self.path / "memory.peak")

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended a process of the group for the memory limit."""
        with suppress(OSError):
            for line in (self.path / "memory.events").read_text("ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and int(count):
                    return True
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

    `reason`: empty where groups can be made.
    """

    def __init__(
        self, mounts: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")
    ) -> None:
        self._base: Path | None = None
        self._leaf: Path | None = None
        self.cpu = False
        self.reason = ""
        group = _own_group(mounts, own)
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

    def make(self, name: str, limits: Limits) -> Group | None:
        """A group with the limits set, or None where groups cannot be made.

        Raises:
            OSError: the kernel refused.
        """
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
        for file, value in settings.items():
            (path / file).write_text(value, "ascii")
        with suppress(OSError):  # not there where swap accounting is off
            (path / "memory.swap.max").write_text("0", "ascii")
        return Group(path)

    def close(self) -> None:
        """Go back to where this process was."""
        if self._base is None or self._leaf is None:
            return
        with suppress(OSError):
            (self._base / "cgroup.subtree_control").write_text(
                " ".join(f"-{name}" for name in (*_NEEDED, *(["cpu"] if self.cpu else []))), "ascii"
            )
            (self._base / "cgroup.procs").write_text(str(os.getpid()), "ascii")
            self._leaf.rmdir()
        self._base = None


def _own_group(mounts: Path, own: Path) -> Path | None:
    """The folder of this process's group in the version 2 tree."""
    with suppress(OSError):
        path = next(
            (line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), None
        )
        for line in mounts.read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 ") and path is not None:
                parts = fields.split()
                group = Path(parts[4]) / os.path.relpath(path, parts[3])
                return group if group.is_dir() else None
    return None


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
