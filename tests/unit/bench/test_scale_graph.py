"""The graph of a build: what travels together, its file, and how it is read from a result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bench.scale import measured
from bench.scale.graph import Graph, Parcel, Task, parcelled
from bench.scale.recorded import _made, _told
from containers import registry
from containers.policy import Limits, Policy
from orchestrator.artifacts.model import Step
from orchestrator.execution.remembered import Remembered
from orchestrator.execution.step import Computation, Computed
from orchestrator.execution.step import Step as Planned
from reproducibility.errors import ActionError, InputError
from reproducibility.manifest import Tree
from tests import results
from tests.fakes import FakeEngine, Made, action, made
from tests.unit.orchestrator.execution.test_scheduler import run, step

if TYPE_CHECKING:
    from orchestrator.store import Store

GRAPH = Graph(
    {"date": "2026-01-01", "seconds": 3.5, "steps": ["a"]},
    (Parcel(2, 30), Parcel(1, 7)),
    (
        Task("a", (), 1.5, 2, 2.25, local=False, inputs=(0,), outputs=(1,)),
        Task("b", ("a",), 2.0, 1, 0.0, local=True, inputs=(0, 1), outputs=()),
    ),
)


def test_files_that_the_same_tasks_use_are_one_parcel() -> None:
    both, made_by_a, only_a = {"x": 10, "y": 20}, {"m": 3}, {"z": 5}
    parcels, sides = parcelled([({**both, **only_a}, made_by_a), ({**both, **made_by_a}, {})])
    assert sorted((parcel.files, parcel.size) for parcel in parcels) == [(1, 3), (1, 5), (2, 30)]
    sizes = [[sum(parcels[at].size for at in side) for side in pair] for pair in sides]
    assert sizes == [[35, 3], [33, 0]]


def test_a_graph_comes_back_from_its_file() -> None:
    assert Graph.loads(GRAPH.dumps()) == GRAPH
    assert GRAPH.dumps() == Graph.loads(GRAPH.dumps()).dumps()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"schema": 1', '"schema": 2', "version 2"),
        ('"needs": []', '"needs": ["b"]', "a stands before"),
        ('"name": "b"', '"name": "a"', "a stands"),
    ],
)
def test_what_is_no_such_graph_is_refused(before: str, after: str, words: str) -> None:
    assert before in GRAPH.dumps()
    with pytest.raises(ValueError, match=words):
        Graph.loads(GRAPH.dumps().replace(before, after))


def plan() -> list[Planned]:
    """Two actions, one of which is planned before what it needs, and one that finds no work."""
    idle = step("idle", "first", make=lambda _: None)
    return [step("second", "first"), step("first"), idle]


def said(store: Store, *changed: str) -> dict[str, Any]:
    """What the build says of its steps; another key for those that are named."""
    engine = FakeEngine({"first": made(b"12345"), "second": made(b"123")}, name="sandbox")
    done = run(store, plan(), engine).results
    return {
        name: Step.model_validate(
            results.step(name, key=results.NOTHING if name in changed else str(result.key))
        )
        for name, result in done.items()
    }


def test_a_step_reads_its_mounts_and_makes_its_outputs(store: Store) -> None:
    found = _made(plan(), said(store), Remembered(store, "sandbox"))
    assert [one.name for one in found] == ["first", "second", "idle"]
    sizes = [(sum(one.reads.values()), sum(one.makes.values())) for one in found]
    assert sizes == [(0, 5), (5, 3), (0, 0)]
    assert [one.action is not None for one in found] == [True, True, False]


def test_a_computation_reads_what_the_steps_that_it_needs_made(store: Store) -> None:
    computing = Computation("boot", b"{}", lambda _: Computed(Tree()))
    steps = [*plan(), Planned("boot", "boot", "", ("first", "second"), lambda _: computing)]
    engine = FakeEngine({"first": made(b"12345"), "second": made(b"123")}, name="sandbox")
    done = run(store, steps, engine).results
    told = {
        name: Step.model_validate(results.step(name, key=str(result.key)))
        for name, result in done.items()
    }
    found = _made(steps, told, Remembered(store, "sandbox"))
    assert sum(found[-1].reads.values()) == 8


def test_a_step_of_another_build_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="what second made in this build"):
        _made(plan(), said(store, "second"), Remembered(store, "sandbox"))


def ended(name: str, seconds: float, after: float) -> Step:
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=after)
    provenance = {**results.PROVENANCE, "when": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
    return Step.model_validate(results.step(name, seconds=seconds, provenance=provenance))


def test_the_run_that_made_most_steps_is_timed() -> None:
    steps = [
        ended("a", 10, 10),
        ended("b", 100, 111),
        ended("c", 30, 60),
        ended("made later", 5, 1000),
        ended("image", 5, 115),
    ]
    told = _told(steps)
    assert (told["seconds"], told["date"]) == (111, "2026-01-01")
    assert told["steps"] == ["a", "b", "c"]


def test_cpu_seconds_are_those_of_each_action(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine({"a": made(b"1"), "b": made(b"2"), "c": lambda _: Made(exit_status=3)})
    monkeypatch.setattr(registry, "connect", lambda *_: engine)
    spent = iter([1.0, 3.5, 10.0, 10.25, 11.0])
    monkeypatch.setattr(measured, "_spent", lambda: next(spent))
    actions, policy = [action(name) for name in "abc"], Policy(Limits())
    assert measured.measured(actions[:2], policy, store) == {"a": 2.5, "b": 0.25}
    with pytest.raises(ActionError, match="c ended with exit status 3"):
        measured.measured(actions[2:], policy, store)
