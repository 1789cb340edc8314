"""Partings: where a key gave something else than it had given before. Pure.

What `orchestrate history bisect` tells. A step has one key as long as it is given the same, so such
a step is not deterministic, or a machine made a mistake. A computation that another version of this
program made otherwise is neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orchestrator.history.model import Seen
    from orchestrator.history.observations import Observation
    from reproducibility.digest import Digest

Now = Literal["still", "no longer", "not looked at since", "not built any more"]


@dataclass(frozen=True, slots=True)
class Parting:
    """Key of a step that gave something else than before.

    `night`: the first night in which it did; `step`, `place`: the step's name and its place in the
    plan then. `before`, `after`: what it gave first, and what it gave then; `seen`: by a build, or
    by an audit of that night. `until`: the last night in which it gave anything else than `before`.
    `now`: whether the last night that built something is such a one; where it is not, whether what
    saw it before has seen the step give `before` since.
    """

    key: Digest
    step: str
    place: int
    night: int
    before: Digest
    after: Digest
    seen: Seen
    until: int
    now: Now


@dataclass(frozen=True, slots=True)
class Bisected:
    """Answer of a bisection.

    `partings`: in the order of their nights, and of the plan within one; the first is the answer.
    `night`: the last one that built something, which `Parting.now` is about; None where none did.
    """

    partings: tuple[Parting, ...]
    night: int | None


def partings(
    observed: Mapping[Digest, Sequence[Observation]], night: int | None, keys: Collection[Digest]
) -> tuple[Parting, ...]:
    """Return the partings among what keys were seen to give, in order.

    `observed`: each in the order in which it was seen. `night`, `keys`: the last night that built
    something, and the keys of its steps.
    """
    found: list[Parting] = []
    for key, those in observed.items():
        # What computes is a part of what a computation is given.
        for tool in dict.fromkeys(one.tool for one in those):
            seen = [one for one in those if one.tool == tool]
            others = [one for one in seen if one.outputs != seen[0].outputs]
            if others:
                now = _now(seen, others, night) if key in keys else "not built any more"
                found.append(_parting(key, seen[0], others, now))
    return tuple(sorted(found, key=lambda one: (one.night, one.place)))


def _parting(key: Digest, before: Observation, others: Sequence[Observation], now: Now) -> Parting:
    first = others[0]
    return Parting(
        key=key,
        step=first.step,
        place=first.place,
        night=first.night,
        before=before.outputs,
        after=first.outputs,
        seen=first.seen,
        until=_last(others),
        now=now,
    )


def _now(seen: Sequence[Observation], others: Sequence[Observation], night: int | None) -> Now:
    until = _last(others)
    if until == night:
        return "still"
    if all(one.seen == "build" for one in others):
        return "no longer"
    # What an audit saw, a build may never show: it remembers what it made once.
    same = [one for one in seen if one.outputs == seen[0].outputs and one.seen == "audit"]
    return "no longer" if same and _last(same) > until else "not looked at since"


def _last(seen: Sequence[Observation]) -> int:
    return max(one.until for one in seen)
