"""Lists of an archive's members: the same ones in another order, or others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair

    Member = TypeVar("Member")

# Members that differ, whose content is looked into.
LOOKED_INTO = 8


def explain(
    pair: Pair, to: Collector, kind: str, names: tuple[Sequence[str], Sequence[str]],
    places: Sequence[int],
) -> None:  # fmt: skip
    """Add the first member in which two lists differ; nothing where they are the same.

    `kind`: of archive, for people. `names`: of the members on each side. `places`: the byte at
    which each member of the first side begins.
    """
    if names[0] == names[1]:
        return
    number = next(
        (n for n, (a, b) in enumerate(zip(*names, strict=False)) if a != b), min(map(len, names))
    )
    same = sorted(names[0]) == sorted(names[1])
    reason = "the same members in another order"
    judged = Judgement(Cause.ORDER, Sureness.CERTAIN, reason) if same else UNKNOWN
    values = [side[number] if number < len(side) else None for side in names]
    place = places[number] if number < len(places) else None
    to.say(pair.path, f"{kind} member {number + 1}", judged, (values[0], values[1]), offset=place)


def looked_into(pair: Pair, to: Collector, differing: Sequence[Member]) -> Sequence[Member]:
    """The first members that differ, whose content is looked into; notes where there are more."""
    looked = differing[:LOOKED_INTO]
    if len(differing) > len(looked):
        to.note(f"{pair.path}: {len(differing)} members differ; {len(looked)} were looked into")
    return looked
