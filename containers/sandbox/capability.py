"""Variations that the sandbox engine can apply on this machine, by what, and why not the others."""

from __future__ import annotations

import stat
from pathlib import Path

from containers.engine import Capability, refused_everywhere
from containers.host import system

_RANDOMIZE = Path("/proc/sys/kernel/randomize_va_space")
_ONE = "its actions have one CPU, and that has no half"
# What bubblewrap and the action's own limits give wherever they run.
BY_BUBBLEWRAP = {
    "directory": Capability("the work directory is bound at that path"),
    "environment": Capability("bubblewrap --setenv"),
    "group": Capability("bubblewrap --gid"),
    "home": Capability("bubblewrap --setenv"),
    "host": Capability("bubblewrap --hostname, in a UTS namespace"),
    "locale": Capability("bubblewrap --setenv"),
    "parallelism": Capability("GOMAXPROCS"),
    "path": Capability("bubblewrap --setenv"),
    "stdin": Capability("a pipe that holds a line"),
    "tmp": Capability("the size of the tmpfs"),
    "umask": Capability("umask(2)"),
    "user": Capability("bubblewrap --uid"),
    "zone": Capability("bubblewrap --setenv"),
}


def capabilities(program: str, processors: int, no_mounts: str) -> dict[str, Capability]:
    """One entry a variation.

    `program`: path of bubblewrap. `processors`: how many CPUs actions have. `no_mounts`: why the
    launcher cannot mount anything, or empty; then it can make no other namespaces either.
    """
    found = {
        "aslr": Capability("personality(2), ADDR_NO_RANDOMIZE", _not_fixed(program)),
        "cpus": Capability("processor affinity", "" if processors > 1 else _ONE),
        "domain": Capability("setdomainname(2), in a UTS namespace", no_mounts),
        "kernel": Capability("personality(2), UNAME26", refused_flag(system.UNAME26)),
        "memory": Capability("RLIMIT_DATA, and the cgroup's limit where there is one"),
        "mtime": Capability("input folders are made with other times"),
        "order": Capability("inputs are copied to a tmpfs in another order", no_mounts),
    }
    return found | BY_BUBBLEWRAP | refused_everywhere()


def refused_flag(flag: int) -> str:
    """Why a flag of personality(2) cannot be set here, or empty: it is tried on this thread."""
    try:
        system.set_personality(system.add_personality(flag))
    except OSError as error:
        return f"this machine refuses it, a container engine's filter perhaps: {error.strerror}"
    return ""


def _not_fixed(program: str) -> str:
    try:
        if _RANDOMIZE.read_text("ascii").strip() == "0":
            return "addresses are never random on this machine: kernel.randomize_va_space is 0"
        if Path(program).stat().st_mode & stat.S_ISUID:
            return "bubblewrap is set-user-ID here, and such programs lose the flag: execve(2)"
    except OSError as error:
        return f"it cannot be told whether addresses are random here: {error.strerror}"
    return refused_flag(system.ADDR_NO_RANDOMIZE)
