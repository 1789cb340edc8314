"""Values of nights as series, for trends: what was measured in which night. Pure.

A value that a night does not have is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from orchestrator.history.model import StageName
from orchestrator.markup import words
from orchestrator.site import axes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.history.model import Night
    from orchestrator.site.axes import Unit

# Bytes of the largest image that is drawn; beyond that a record is damaged.
_LARGEST = 1 << 60
# Series that one group shows.
_MOST = 6
_LONGEST_NAME = 48

Value = float | None


@dataclass(frozen=True)
class Series:
    """Values by their nights, the oldest first."""

    name: str
    unit: Unit
    values: tuple[Value, ...]

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values if value is not None]

    def written(self, at: int) -> str:
        """The value of a night in words, by its place; nothing where it has none."""
        value = self.values[at]
        return "" if value is None else self.unit.write(value)


def stages(nights: Sequence[Night]) -> list[Series]:
    """Seconds of each stage that was not left out."""
    found: list[dict[str, float]] = [
        {one.name: one.seconds for one in night.stages if one.state != "left out"}
        for night in nights
    ]
    return [_series(name, axes.SECONDS, found, name) for name in get_args(StageName)]


def steps(nights: Sequence[Night]) -> list[Series]:
    """Seconds of the slowest steps, each of the run that made its output."""
    return _slowest([{one.name: one.seconds for one in night.steps} for night in nights])


def commands(nights: Sequence[Night]) -> list[Series]:
    """Seconds of the first run of commands on machines, the slowest ones."""
    return _slowest(
        [
            {
                f"{machine.platform}: {command}": seconds
                for machine in night.machines
                for command, seconds in sorted(machine.commands.items())
            }
            for night in nights
        ]
    )


def products(nights: Sequence[Night]) -> list[Series]:
    """Bytes of the image; how many checks passed, and how many did not, where they are known."""
    found = []
    for night in nights:
        values = {}
        if night.image is not None and night.image.size <= _LARGEST:
            values["size"] = night.image.size
        if night.checks:
            values["passed"] = sum(one.verdict == "PASS" for one in night.checks)
            values["others"] = len(night.checks) - values["passed"]
        found.append(values)
    return [
        _series("Image", axes.BYTES, found, "size"),
        _series("Checks that passed", axes.COUNT, found, "passed"),
        _series("Checks that failed or could not be made", axes.COUNT, found, "others"),
    ]


def _slowest(found: Sequence[Mapping[str, float]]) -> list[Series]:
    """The series whose last values are the largest, of what the last nights still had."""
    last: dict[str, float] = {}
    for values in found:
        last |= values
    names = sorted(last, key=lambda name: (-last[name], name))[:_MOST]
    return [_series(words.cut(name, _LONGEST_NAME), axes.SECONDS, found, name) for name in names]


def _series(name: str, unit: Unit, found: Iterable[Mapping[str, float]], key: str) -> Series:
    return Series(name, unit, tuple(values.get(key) for values in found))
