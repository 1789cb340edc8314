"""Finds the smallest set of variations that makes an action differ (delta debugging). Pure.

The algorithm is ddmin: A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", IEEE Transactions on Software Engineering 28(2), 2002. Its result is minimal in that no
single variation can be left out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # What an action gave instead, or whether it did: anything that is false where it gave the same.
    Differs = Callable[[frozenset[str]], object]

# How often an action is run under the build's own conditions at first: most of what is random shows
# there, before the search.
_SAME = 2
# How often the set that was found has to differ, and the build's own conditions not to, one after
# the other. With `_SAME`, what differs with probability p whatever the conditions is blamed on one
# variation with p^3 (1-p)^5: at most 0.51 %, at p = 3/8.
_CONFIRMED = 3


@dataclass(frozen=True)
class Smallest:
    """Smallest cause. `itself`: it differs without any variation. `runs`: of the action.

    `steady`: the action gave the same whenever the set that was found was confirmed. Where not, it
    is random at least with that set.
    """

    itself: bool
    names: tuple[str, ...]
    runs: int
    steady: bool = True


def smallest(names: Sequence[str], differs: Differs) -> Smallest:
    """The smallest set of `names` with which an action differs, all of which together it does.

    `differs`: runs the action with a set of variations, and says whether it differs from the
    build's result; it may raise, to stop. In the end the set is tried again, and so are the build's
    own conditions, three times each: what does not hold is random, and blamed on the action itself.
    Without any name it is the action itself that differed.
    """
    counted = _Counted(differs)
    if not names or any(counted(frozenset()) for _ in range(_SAME)):
        return Smallest(itself=True, names=(), runs=counted.runs)
    found = _minimal(list(names), counted)
    gave: list[object] = []
    for _ in range(_CONFIRMED):
        gave.append(counted(frozenset(found)))
        if not gave[-1] or counted(frozenset()):
            return Smallest(itself=True, names=(), runs=counted.runs)
    return Smallest(
        itself=False,
        names=tuple(name for name in names if name in found),
        runs=counted.runs,
        steady=all(one == gave[0] for one in gave),
    )


class _Counted:
    def __init__(self, differs: Differs) -> None:
        self._differs = differs
        self.runs = 0

    def __call__(self, chosen: frozenset[str]) -> object:
        self.runs += 1
        return self._differs(chosen)


def _minimal(names: list[str], differs: Differs) -> list[str]:
    """Zeller's ddmin: halves first, then their complements, then smaller parts."""
    parts = 2
    while len(names) > 1:
        size = -(-len(names) // parts)
        groups = [names[start : start + size] for start in range(0, len(names), size)]
        group = next((group for group in groups if differs(frozenset(group))), None)
        if group is not None:
            names, parts = group, 2
            continue
        rest = next(
            (rest for rest in _complements(names, groups) if differs(frozenset(rest))), None
        )
        if rest is not None:
            names, parts = rest, max(len(groups) - 1, 2)
        elif len(groups) < len(names):
            parts = min(len(names), 2 * len(groups))
        else:
            break
    return names


def _complements(names: list[str], groups: list[list[str]]) -> list[list[str]]:
    """All but one group each; of two groups, each is the other's complement."""
    if len(groups) <= 2:  # noqa: PLR2004 - two halves
        return []
    return [[name for name in names if name not in group] for group in groups]
