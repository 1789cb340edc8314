"""Variations: what can be made different about the conditions of an action, one by one.

A build that gives the same bits under both does not depend on any of these. What an action really
saw is observed from inside (`golang/probe`), so that a variation that had no effect is found. An
engine says which of them it can apply (`Engine.capabilities`); what it cannot is said to have been
skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reproducibility.conditions import STANDARD, Conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Variation:
    """One variation.

    `name`: also that of the field of an observation by which it is seen from inside. `meaning`: for
    people. `condition`: the field of the conditions that it changes. `apply`: the conditions with
    it, on an engine whose actions usually have so many CPUs.
    """

    name: str
    meaning: str
    condition: str
    apply: Callable[[Conditions, int], Conditions]


def _parallelism(conditions: Conditions, processors: int) -> Conditions:
    """Half of them, which is what an action can use well while another runs beside it.

    One has no half: then a number that no Go program takes by itself (with a quota of one CPU
    on a machine of several, it takes two: runtime.GOMAXPROCS from Go 1.25 on).
    """
    return replace(conditions, parallelism=processors // 2 if processors > 1 else 3)


VARIATIONS = (
    Variation(
        "directory",
        "the path of the work directory, with a space in it",
        "work",
        lambda conditions, _: replace(conditions, work="/elsewhere/a longer path/work"),
    ),
    Variation(
        "group",
        "the id of the group, as seen inside",
        "group",
        lambda conditions, _: replace(conditions, group=4321),
    ),
    Variation(
        "host",
        "the host name",
        "host",
        lambda conditions, _: replace(conditions, host="another-host-name"),
    ),
    Variation(
        "order",
        "the order of the entries of each input directory",
        "order_seed",
        lambda conditions, _: replace(conditions, order_seed=27),
    ),
    Variation(
        "parallelism",
        "how many threads Go programs use, and how many actions the go command runs at once",
        "parallelism",
        _parallelism,
    ),
    Variation(
        "user",
        "the id of the user, as seen inside",
        "user",
        lambda conditions, _: replace(conditions, user=1234),
    ),
)
NAMES = tuple(variation.name for variation in VARIATIONS)


def varied(processors: int, names: Iterable[str] = NAMES) -> Conditions:
    """The usual conditions with variations, on an engine of so many CPUs."""
    conditions = STANDARD
    wanted = frozenset(names)
    for variation in VARIATIONS:
        if variation.name in wanted:
            conditions = variation.apply(conditions, processors)
    return conditions


VARIED = varied(1)
