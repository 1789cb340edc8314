"""Variations: what can be made different about the conditions of an action, one by one.

A build that gives the same bits under both does not depend on any of these. What an action really
saw is observed from inside (`golang/probe`, `golang/surroundings`), so that a variation that had no
effect is found. An engine says which of them it can apply (`Engine.capabilities`); what it cannot
is said to have been skipped. `docs/variations.md` says of each why a build might depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reproducibility.conditions import STANDARD, Conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Applied = Callable[[Conditions, int], Conditions]


def _unchanged(conditions: Conditions, _: int) -> Conditions:
    return conditions


def _to(**changes: str | int) -> Applied:
    """Return what sets fields of the conditions, whatever the number of CPUs."""
    return lambda conditions, _: replace(conditions, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Variation:
    """One variation.

    `name`: also that of the field of an observation by which it is seen from inside. `meaning`: for
    people. `condition`: the field of the conditions that it changes, empty where none can express
    it. `apply`: the conditions with it, on an engine whose actions usually have so many CPUs.
    `refusal`: why no engine can apply it, or empty.
    """

    name: str
    meaning: str
    condition: str = ""
    apply: Applied = _unchanged
    refusal: str = ""


def _parallelism(conditions: Conditions, processors: int) -> Conditions:
    """Half of them, which is what an action can use well while another runs beside it.

    One has no half: then a number that no Go program takes by itself (with a quota of one CPU
    on a machine of several, it takes two: runtime.GOMAXPROCS from Go 1.25 on).
    """
    return replace(conditions, parallelism=processors // 2 if processors > 1 else 3)


def _cpus(conditions: Conditions, processors: int) -> Conditions:
    """Half of them. An engine of one CPU says that it cannot (`Engine.capabilities`)."""
    return replace(conditions, processors=max(1, processors // 2))


# In the order in which they are shown.
VARIATIONS = (
    Variation(
        "aslr",
        "whether the kernel puts a program's memory at random addresses or always at the same ones",
        "addresses",
        _to(addresses="fixed"),
    ),
    Variation(
        "cpus",
        "how many CPUs there are, as a program sees by its affinity",
        "processors",
        _cpus,
    ),
    Variation(
        "directory",
        "the path of the work directory, with a space in it",
        "work",
        _to(work="/elsewhere/a longer path/work"),
    ),
    Variation(
        "domain",
        "the NIS domain name",
        "domain",
        _to(domain="another.domain"),
    ),
    Variation(
        "environment",
        "one more exported variable, and the variables in the opposite order",
        "exported",
        _to(exported="CAPTURED_ENVIRONMENT=somebody exported this"),
    ),
    Variation(
        "group",
        "the id of the group, as seen inside",
        "group",
        _to(group=4321),
    ),
    Variation(
        "home",
        "the home directory (HOME)",
        "home",
        _to(home="/tmp/another home"),  # noqa: S108 - a path inside
    ),
    Variation(
        "host",
        "the host name",
        "host",
        _to(host="another-host-name"),
    ),
    Variation(
        "kernel",
        "the kernel's release, as uname says it",
        "kernel",
        _to(kernel="2.6"),
    ),
    Variation(
        "locale",
        "the language and its rules (LANG, LC_ALL)",
        "locale",
        _to(locale="tr_TR.UTF-8"),
    ),
    Variation(
        "memory",
        "how much memory an action may take",
        "memory",
        _to(memory=90),
    ),
    Variation(
        "mtime",
        "the modification time of every input file and folder",
        "mtime",
        _to(mtime=1_234_567_891),
    ),
    Variation(
        "order",
        "the order of the entries of each input directory",
        "order_seed",
        _to(order_seed=27),
    ),
    Variation(
        "parallelism",
        "how many threads Go programs use, and how many actions the go command runs at once",
        "parallelism",
        _parallelism,
    ),
    Variation(
        "path",
        "where programs are looked for (PATH), with further folders that do not exist",
        "search_path",
        _to(search_path="/nonexistent/bin:/usr/local/another folder/bin"),
    ),
    Variation(
        "stdin",
        "what standard input is: a pipe that holds a line, and not nothing",
        "stdin",
        _to(stdin="pipe"),
    ),
    Variation(
        "time",
        "what the clock says",
        refusal="nothing moves the wall clock of one action alone: programs of Go are static and "
        "ask the kernel directly (by the vDSO or a system call), so a library that is loaded "
        "before others does not reach them, and a time namespace of Linux moves only the monotonic "
        "clock and that since the boot",
    ),
    Variation(
        "tmp",
        "the size of /tmp",
        "tmp",
        _to(tmp=90),
    ),
    Variation(
        "umask",
        "the bits that new files do not get (umask)",
        "umask",
        _to(umask=0o077),
    ),
    Variation(
        "user",
        "the id of the user, as seen inside",
        "user",
        _to(user=1234),
    ),
    Variation(
        "zone",
        "the time zone (TZ)",
        "zone",
        _to(zone="Asia/Kathmandu"),
    ),
)
# Applied by whoever runs an action, by taking another engine; no engine can be asked for it.
ENGINE = Variation("engine", "the engine that runs an action")
NAMES = tuple(variation.name for variation in VARIATIONS)
REFUSED = {variation.name: variation.refusal for variation in VARIATIONS if variation.refusal}
# Those of F2, the second build of the toolchain. The keys of its results depend on them.
FIXED_POINT = ("directory", "group", "host", "order", "parallelism", "user")


def varied(processors: int, names: Iterable[str] = NAMES) -> Conditions:
    """The usual conditions with variations, on an engine of so many CPUs."""
    conditions = STANDARD
    wanted = frozenset(names)
    for variation in VARIATIONS:
        if variation.name in wanted:
            conditions = variation.apply(conditions, processors)
    return conditions


def without(conditions: Conditions, names: Iterable[str]) -> Conditions:
    """Conditions that are as usual again in what the named variations change."""
    wanted = frozenset(names)
    fields = [one.condition for one in VARIATIONS if one.name in wanted and one.condition]
    return replace(conditions, **{field: getattr(STANDARD, field) for field in fields})


# F2's, on an engine of one CPU.
VARIED = varied(1, FIXED_POINT)
