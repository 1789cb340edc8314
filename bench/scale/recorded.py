"""Graph of a finished build: times from its `result.json`, bytes from the trees in its store.

The plan is drawn once more, as an audit does, so that edges and inputs are those of the steps
themselves; a step whose key is not the one that the build names is refused.
"""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bench.scale.graph import Graph, Task, parcelled
from bench.scale.measured import measured
from containers.action import Action
from orchestrator.artifacts.names import IMAGE_STEP
from orchestrator.audit import subject
from orchestrator.execution.remembered import Remembered
from orchestrator.execution.step import Result
from orchestrator.progress.plain import SilentProgress
from orchestrator.store import Store
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from orchestrator.artifacts import model
    from orchestrator.execution.step import Step, Work

# As long without work, one run has ended and another begun.
_PAUSE = timedelta(seconds=60)


@dataclass(frozen=True)
class _Made:
    """A step with what it reads and what it makes: sizes by digest. `action`: what it ran."""

    name: str
    needs: tuple[str, ...]
    reads: Mapping[str, int]
    makes: Mapping[str, int]
    action: Action | None = None


def recorded(out: Path, place: Path, *, measure: bool = False) -> Graph:
    """The graph of the build in an output directory. `place`: the store that it was made with.

    `measure`: run each of its actions once more for its CPU seconds.

    Raises:
        InputError: there is no finished build, or the store no longer has what it made.
        InfrastructureError: an input is not in the store.
    """
    found = subject.find(out / "sourcery.toml", out / "sourcery.lock", out)
    with closing(Store(place)) as store:
        drawn = subject.Subject.draw(
            found,
            store,
            own=(),
            processors=1,
            capabilities={},
            offline=True,
            observer=SilentProgress(),
            stop=threading.Event(),
        )
        said = drawn.recorded
        made = _made(drawn.steps, said, Remembered(store, found.result.engine.name))
        root = _files([store.load_tree(found.result.root.tree)])
        actions = [one.action for one in made if one.action] if measure else []
        cpu = measured(actions, found.policy, store) if actions else {}
    made.append(_Made(IMAGE_STEP, tuple(one.name for one in made), root, {}))
    parcels, sides = parcelled([(one.reads, one.makes) for one in made])
    tasks = []
    for one, (inputs, outputs) in zip(made, sides, strict=True):
        step = said[one.name]
        cpus = (step.provenance and step.provenance.cpus) or 1
        own, local = cpu.get(one.name, 0.0), step.kind != "action"
        tasks.append(Task(one.name, one.needs, step.seconds, cpus, own, local, inputs, outputs))
    return Graph(_told([*said.values()]), parcels, tuple(tasks))


def _made(
    steps: Sequence[Step], said: Mapping[str, model.Step], remembered: Remembered
) -> list[_Made]:
    """Steps in the plan's order, but each after those that it needs."""
    results: dict[str, Result] = {}
    made = []
    waiting = list(steps)
    while waiting:
        step = next(step for step in waiting if results.keys() >= set(step.needs))
        waiting.remove(step)
        work = step.make(results)
        trees: Iterable[Tree] = (results[need].tree for need in step.needs)
        action = None
        if isinstance(work, Action):
            work = action = work.under(step.conditions)
            trees = (work.root, *(mount.tree for mount in work.mounts))
        results[step.name] = result = _result(step.name, work, said[step.name], remembered)
        made.append(
            _Made(step.name, step.needs, _files(trees), _files([result.tree]), action)
            if work is not None
            else _Made(step.name, step.needs, {}, {})
        )
    return made


def _result(name: str, work: Work | None, said: model.Step, remembered: Remembered) -> Result:
    if work is None:
        none = Tree()
        return Result(none.digest, none, none.digest, none.digest, 0.0, 0, cached=True)
    result = remembered.recall(work) if work.key == said.key else None
    if result is None:
        raise InputError(
            f"the store does not have what {name} made in this build",
            subject=name,
            remedy="build again with this store and this version of the program",
        )
    return result


def _files(trees: Iterable[Tree]) -> dict[str, int]:
    return {entry.digest: entry.size for tree in trees for entry in tree.files()}


def _told(steps: Sequence[model.Step]) -> dict[str, Any]:
    """What is known of the run that made most of the steps, from when each ended.

    `seconds`: from its first beginning to its last end; `steps`: those that it made.
    """
    spans = []
    for step in steps:
        if step.provenance is not None and step.name != IMAGE_STEP:
            end = datetime.fromisoformat(step.provenance.when)
            spans.append((end - timedelta(seconds=step.seconds), end, step.name))
    runs: list[list[tuple[datetime, datetime, str]]] = []
    for span in sorted(spans):
        if runs and span[0] - max(end for _, end, _ in runs[-1]) < _PAUSE:
            runs[-1].append(span)
        else:
            runs.append([span])
    longest = max(runs, key=len)
    whole = max(end for _, end, _ in longest) - longest[0][0]
    return {
        "date": f"{longest[0][0]:%Y-%m-%d}",
        "seconds": round(whole.total_seconds(), 1),
        "steps": [name for *_, name in longest],
    }
