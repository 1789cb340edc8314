"""Graph of a build as a value: its tasks with measured times, and the bytes between them.

Files that the same tasks read and the same tasks make are one parcel, so that what travels is
counted by blob, and the graph of a build with 50,000 files is still a small document.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCHEMA = 1
_IN, _OUT = 0, 1


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files that always travel together: how many they are, and their bytes."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Task:
    """An action, or with `local` a computation of the orchestrator.

    `seconds`: wall-clock time in the build, on `cpus` processors. `cpu`: CPU seconds of a run
    alone, 0 where that was not measured. `inputs`, `outputs`: numbers of parcels.
    """

    name: str
    needs: tuple[str, ...]
    seconds: float
    cpus: int
    cpu: float
    local: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Graph of a build; `tasks` in the plan's order, each after those that it needs.

    `told`: of the build that was measured: its date, jobs at once, and wall-clock seconds.
    """

    told: Mapping[str, Any]
    parcels: tuple[Parcel, ...]
    tasks: tuple[Task, ...]

    def dumps(self) -> str:
        """The graph as JSON, a line for each task."""
        rows = ",\n".join(
            json.dumps(
                {name: getattr(task, name) for name in Task.__slots__},
                sort_keys=True,
            )
            for task in self.tasks
        )
        told = json.dumps(dict(self.told), sort_keys=True)
        parcels = json.dumps([[parcel.files, parcel.size] for parcel in self.parcels])
        head = f'"schema": {SCHEMA},\n"told": {told},\n"parcels": {parcels}'
        return f'{{{head},\n"tasks": [\n{rows}\n]}}\n'

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read the JSON back.

        Raises:
            ValueError: it is of another version, or no such graph.
        """
        document = json.loads(text)
        if document.get("schema") != SCHEMA:
            raise ValueError(f"a graph of version {document.get('schema')}, not {SCHEMA}")
        tasks = tuple(
            Task(**{name: _tuple(value) for name, value in row.items()})
            for row in document["tasks"]
        )
        known: set[str] = set()
        for task in tasks:
            if not known.issuperset(task.needs) or task.name in known:
                raise ValueError(f"{task.name} stands before what it needs, or twice")
            known.add(task.name)
        parcels = tuple(Parcel(*pair) for pair in document["parcels"])
        return cls(document["told"], parcels, tasks)


def parcelled(
    files: Sequence[tuple[Mapping[str, int], Mapping[str, int]]],
) -> tuple[tuple[Parcel, ...], list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    """Parcels, and of each task the numbers of those that it reads and of those that it makes.

    `files`: of each task what it reads and what it makes, sizes by digest.
    """
    sizes: dict[str, int] = {}
    uses: dict[str, set[tuple[int, int]]] = {}
    for number, pair in enumerate(files):
        for side, blobs in enumerate(pair):
            sizes.update(blobs)
            for digest in blobs:
                uses.setdefault(digest, set()).add((number, side))
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for digest, used in uses.items():
        alike.setdefault(tuple(sorted(used)), []).append(sizes[digest])
    ordered = sorted(alike.items())
    parcels = tuple(Parcel(len(those), sum(those)) for _, those in ordered)
    sides = [
        (_at(ordered, number, _IN), _at(ordered, number, _OUT)) for number in range(len(files))
    ]
    return parcels, sides


def _at(
    ordered: Iterable[tuple[tuple[tuple[int, int], ...], object]], number: int, side: int
) -> tuple[int, ...]:
    return tuple(at for at, (used, _) in enumerate(ordered) if (number, side) in used)


def _tuple(value: Any) -> Any:  # noqa: ANN401 - JSON
    return tuple(value) if isinstance(value, list) else value
