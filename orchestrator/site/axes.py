"""Axes of charts: round numbers that cover values, and how each is written. Pure."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.markup import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Distances between lines of an axis: at most so many of them.
_MOST = 3
_DAY = 86400
_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600)


@dataclass(frozen=True)
class Axis:
    """The lines of an axis, from the lowest, and what is written at each."""

    lines: tuple[float, ...]
    labels: tuple[str, ...]

    def share(self, value: float) -> float:
        """How high a value lies, from 0 at the lowest line to 1 at the highest."""
        low, high = self.lines[0], self.lines[-1]
        return (value - low) / (high - low)


@dataclass(frozen=True)
class Unit:
    """A kind of values: how one is written at length and at an axis, and its round numbers.

    `zero`: whether an axis begins at zero. `steps`: distances between lines, from the smallest, for
    values of up to so much.
    """

    write: Callable[[float], str]
    mark: Callable[[float], str]
    steps: Callable[[float], Iterable[float]]
    zero: bool = True


def axis(values: Sequence[float], unit: Unit) -> Axis:
    """An axis that covers some values, which are not negative; there is at least one."""
    high = max(values)
    low = 0.0 if unit.zero else min(values)
    for step in unit.steps(high):
        bottom = math.floor(low / step)
        top = max(math.ceil(high / step), bottom + 1)
        if top - bottom <= _MOST:
            break
    else:
        raise AssertionError("steps have no end")
    lines = tuple(number * step for number in range(bottom, top + 1))
    return Axis(lines, tuple(unit.mark(line) for line in lines))


def _decimal(first: float) -> Iterator[float]:
    for power in itertools.count():
        yield from (first * factor * 10**power for factor in (1, 2, 5))


def _of_seconds(_: float) -> Iterator[float]:
    return itertools.chain(_SECONDS, _decimal(_DAY))


def _of_bytes(high: float) -> Iterator[float]:
    # What is written has three digits, and lines with the same words would say nothing.
    power = max(0, math.ceil(math.log2(max(high, 1) / 100)))
    return (2.0 ** (power + more) for more in itertools.count())


def _clock(seconds: float) -> str:
    """A round time span in few signs."""
    for unit, size in (("d", _DAY), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds else "0"


SECONDS = Unit(words.duration, _clock, _of_seconds)
BYTES = Unit(
    lambda value: words.size(round(value)),
    lambda value: words.size(round(value)),
    _of_bytes,
    zero=False,
)
COUNT = Unit(lambda value: f"{value:,.0f}", lambda value: f"{value:,.0f}", lambda _: _decimal(1))
