"""Variations that a container engine can apply, by what, and why not the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containers.docker import enforcement
from containers.engine import Capability, refused_everywhere

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = "the container's environment"
_PERSONALITY = (
    "the API of container engines has no setting for it (of personality(2) they set the "
    "architecture at most), and a program in front that set it would be another command"
)
_UMASK = (
    "the API of container engines has no setting for it, and a program in front that set it would "
    "be another command"
)


def capabilities(about: Mapping[str, object], processors: int) -> dict[str, Capability]:
    """One entry a variation.

    `about`: what the engine says of itself (`GET /info`). `processors`: how many CPUs it has.
    """
    found = {
        "aslr": Capability("nothing", _PERSONALITY),
        "cpus": Capability("the cgroup's set of processors", _few(about, processors)),
        "directory": Capability("the work directory is mounted at that path"),
        "domain": Capability(
            "the sysctl kernel.domainname, in a UTS namespace", enforcement.refused_domain(about)
        ),
        "environment": Capability(_VARIABLE),
        "group": Capability("the container's user has that group"),
        "home": Capability(_VARIABLE),
        "host": Capability("the container's host name"),
        "kernel": Capability("nothing", _PERSONALITY),
        "locale": Capability(_VARIABLE),
        "memory": Capability("the cgroup's limit, and RLIMIT_DATA, which can be seen from inside"),
        "mtime": Capability("input folders are made, or unpacked, with other times"),
        "order": Capability("inputs are unpacked to a tmpfs in another order"),
        "parallelism": Capability("GOMAXPROCS"),
        "path": Capability(_VARIABLE),
        "stdin": Capability("the container's standard input is attached, and gets a line"),
        "tmp": Capability("the size of the tmpfs"),
        "umask": Capability("nothing", _UMASK),
        "user": Capability("the container's user"),
        "zone": Capability(_VARIABLE),
    }
    return found | refused_everywhere()


def _few(about: Mapping[str, object], processors: int) -> str:
    if processors < 2:  # noqa: PLR2004 - one has no half
        return "the engine's machine has one CPU, and that has no half"
    if about.get("CPUSet") is False:
        return "the engine's machine offers no sets of processors (CPUSet is false)"
    return ""
