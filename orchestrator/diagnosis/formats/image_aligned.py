"""Puts the volume of one image to where that of another one starts, so that both can be compared.

A volume is the same wherever its partition starts: what lies within it is found by its place from
there. Of what lies before it, only as much is compared as both images have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.diagnosis.source import Pair, Source
    from orchestrator.image.fat.regions import Map


@dataclass(frozen=True, slots=True)
class Aligned:
    """The image `under`, of which the volume starts at `start` and not where it does, at `own`.

    What lies between where both images' volumes start is taken from the `other` one.
    """

    under: Source
    other: Source
    own: int
    start: int

    @property
    def size(self) -> int:
        """Return how many bytes there are."""
        return self.under.size - self.own + self.start

    def read(self, at: int, length: int) -> bytes:
        """The bytes at a place; fewer at the end."""
        both = min(self.own, self.start)
        end = at + length
        parts = (
            (self.under, 0, both, 0),
            (self.other, both, self.start, 0),
            (self.under, self.start, max(end, self.start), self.own - self.start),
        )
        return b"".join(
            source.read(max(at, first) + moved, min(end, last) - max(at, first))
            for source, first, last, moved in parts
            if max(at, first) < min(end, last)
        )


def aligned(pair: Pair, first: Map, second: Map) -> tuple[Pair, Map]:
    """The pair with its second side's volume where the first's starts, and that side's map."""
    if first.start == second.start:
        return pair, second
    moved = first.start - second.start
    side = Aligned(pair.second, pair.first, second.start, first.start)
    items = [
        replace(
            item,
            record=item.record + moved if item.record >= 0 else item.record,
            runs=tuple((at + moved, length) for at, length in item.runs),
        )
        for item in second.items
    ]
    found = replace(second, size=side.size, start=first.start, items=items, _runs={})
    return replace(pair, second=side), found
