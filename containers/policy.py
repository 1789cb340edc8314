"""Isolation as data: what every engine grants and limits, in one place.

An engine translates a `Policy` into its own means and reports, for each limit, whether this machine
enforces it. Nothing here starts a process.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reproducibility.conditions import Conditions

_MIB = 1 << 20
_WHOLE = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one action. Not part of its key.

    `memory`, `tmp`, `work`: bytes, of all processes together, of /tmp and of the work directory
    (and of the outputs, a hole in a file counted like its content). Where /tmp and the work
    directory lie in memory, `memory` counts what is in them too. `files`: files, folders and
    links in the work directory, in /tmp, and among the outputs.
    `processes`: threads and processes together. `cpus`: CPUs used at once, 0 for all.
    `seconds`: wall-clock time. `log`: bytes kept of each of stdout and stderr.
    """

    memory: int = 6144 * _MIB
    tmp: int = 4096 * _MIB
    work: int = 8192 * _MIB
    files: int = 262_144
    processes: int = 4096
    cpus: int = 0
    seconds: int = 3600
    log: int = 64 * _MIB

    def under(self, conditions: Conditions) -> Limits:
        """The limits of an action that is run under these conditions."""
        return replace(
            self,
            memory=self.memory * conditions.memory // _WHOLE,
            tmp=self.tmp * conditions.tmp // _WHOLE,
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the policy: its name, and what it means for the action."""

    name: str
    meaning: str


RULES = (
    Rule("no-network", "no interface but loopback, no route, no name service"),
    Rule("read-only-root", "the builder image's file tree cannot be written"),
    Rule("read-only-inputs", "input trees cannot be written"),
    Rule("one-writable-output", "only the work directory and /tmp can be written"),
    Rule("bounded-tmp", "/tmp is a tmpfs of limited size"),  # noqa: S108 - words
    Rule("bounded-work", "the work directory is of limited size, in bytes and in files"),
    Rule("unprivileged-user", "not root, on the machine either"),
    Rule("no-capabilities", "every capability set is empty"),
    Rule("no-new-privileges", "set-user-id programs gain nothing"),
    Rule("processes", "a limit on processes and threads"),
    Rule("memory", "a limit on memory"),
    Rule("cpus", "a limit on processors"),
    Rule("time", "a limit on wall-clock time"),
    Rule("fixed-identity", "fixed host name, locale, time zone; an environment made from nothing"),
    Rule(
        "own-namespaces",
        "sees none of the machine's processes, files, IPC objects or keyrings, and opens none of "
        "its devices",
    ),
    Rule("no-machine-paths", "sees no path of a folder of the machine"),
    Rule(
        "system-calls",
        "only the system calls of a list; sockets of the families unix, inet, inet6 and netlink, "
        "none bound to an address of their choice",
    ),
)


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Enforcement of one rule on a machine: by what means, or `not enforced` and why."""

    rule: str
    state: Literal["enforced", "not enforced"]
    means: str

    def document(self) -> dict[str, str]:
        """The entry as a JSON object."""
        return {"rule": self.rule, "state": self.state, "means": self.means}


@dataclass(frozen=True, slots=True)
class Share:
    """Share of the CPUs for one of several parallel actions: part `number` (from 0) of `of`.

    For speed, not for isolation: parallel actions that each keep to their own CPUs do not evict
    each other's data from the CPU caches. An engine that cannot tell which CPUs there are may
    ignore it.
    """

    number: int
    of: int

    def among(self, processors: Sequence[int]) -> list[int]:
        """This part of `processors`; empty where there are fewer than parts."""
        count = len(processors)
        return list(
            processors[count * self.number // self.of : count * (self.number + 1) // self.of]
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules and the limits that an action runs under.

    `share`: the CPUs it is to keep to while others run beside it, None for all. `beside`: how
    many actions may run at once, this one among them; the machine needs room for all of them.
    """

    limits: Limits = field(default_factory=Limits)
    share: Share | None = None
    beside: int = 1

    def describe(self) -> dict[str, object]:
        """The policy as a JSON object, sorted by rule."""
        return {
            "rules": {
                rule.name: rule.meaning for rule in sorted(RULES, key=lambda rule: rule.name)
            },
            "limits": {
                "memory_bytes": self.limits.memory,
                "tmp_bytes": self.limits.tmp,
                "work_bytes": self.limits.work,
                "files": self.limits.files,
                "processes": self.limits.processes,
                "cpus": self.limits.cpus,
                "seconds": self.limits.seconds,
                "log_bytes": self.limits.log,
            },
        }
