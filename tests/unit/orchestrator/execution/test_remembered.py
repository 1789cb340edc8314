"""Where results come from: kept with each, not filled in from a later run, no part of equality."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import resources
from orchestrator.artifacts import result
from orchestrator.execution.step import Provenance
from tests.fakes import FakeEngine, Made, action, made
from tests.unit.orchestrator.execution.test_scheduler import POLICY, run, step

if TYPE_CHECKING:
    from orchestrator.execution.step import Execution
    from orchestrator.store import Store

STEPS = [step("a"), step("b", "a")]


def engine(own: str, means: str = "somehow", **table: bytes) -> FakeEngine:
    """One of two engines that share a name."""
    work = {name: made(data) for name, data in table.items()}
    return FakeEngine(work, name="docker", own=own, means=means)


def told(ran: Execution) -> dict[str, dict[str, Any]]:
    """What `result.json` says of each step."""
    made = {name: result.step(name, "a stage", found) for name, found in ran.results.items()}
    return {name: step.model_dump(mode="json") for name, step in made.items()}


def means(ran: Execution) -> dict[str, set[str]]:
    """By the isolation's name in `result.json`: by what means its rules were kept."""
    isolation = result.isolation(found.provenance for found in ran.results.values())
    return {str(one.id): {rule.means for rule in one.enforcement} for one in isolation.enforced}


def test_each_result_says_which_engine_made_it_in_what_isolation_and_when(store: Store) -> None:
    first = run(store, STEPS[:1], engine("ID:1", "cgroups", a=b"1"))
    # Another engine of the same name goes on with what the first one made.
    ran = run(store, STEPS, engine("ID:2", "nothing at all", b=b"2"))
    found = told(ran)
    assert found["a"]["origin"] == "remembered"
    assert found["b"]["origin"] == "ran here"
    one, other = (found[name]["provenance"] for name in "ab")
    assert one["engine"] == {"name": "docker", "identity": "ID:1", "version": "1"}
    assert other["engine"] == {"name": "docker", "identity": "ID:2", "version": "1"}
    assert means(ran) == {one["isolation"]: {"cgroups"}, other["isolation"]: {"nothing at all"}}
    assert one["when"] == told(first)["a"]["provenance"]["when"]
    assert one["tool"] == resources.VERSION
    # A third run has run nothing: neither its engine nor its isolation is anybody's.
    later = run(store, STEPS, engine("ID:3", "wishes"))
    engines = {step["provenance"]["engine"]["identity"] for step in told(later).values()}
    assert engines == {"ID:1", "ID:2"}
    assert means(later) == means(ran)
    assert [one["origin"] for one in told(later).values()] == ["remembered"] * 2


def test_limits_are_those_of_the_run_that_made_it(store: Store) -> None:
    run(store, STEPS[:1], engine("ID:1", a=b"1"))
    ran = run(store, STEPS[:1], engine("ID:1"))
    kept = ran.results["a"].provenance
    assert kept is not None
    assert kept.isolation["limits"] == POLICY.describe()["limits"]


def older(document: dict[str, Any]) -> None:
    del document["provenance"]


def nothing(document: dict[str, Any]) -> None:
    document["provenance"] = None


def malformed(document: dict[str, Any]) -> None:
    document["provenance"]["engine"] = "docker"


def half(document: dict[str, Any]) -> None:
    del document["provenance"]["when"]


def other_limits(document: dict[str, Any]) -> None:
    document["provenance"]["isolation"]["limits"] = "none"


def of_other_types(document: dict[str, Any]) -> None:
    document["provenance"]["tool"] = 7


@pytest.mark.parametrize("change", [older, nothing, malformed, half, other_limits, of_other_types])
def test_what_was_not_recorded_is_said_and_not_filled_in(store: Store, change: Any) -> None:  # noqa: ANN401 - one of the above
    run(store, STEPS[:1], engine("ID:1", "cgroups", a=b"1"))
    (place,) = (store.root / "results").rglob("*.json")
    document = json.loads(place.read_bytes())
    del document["seal"]  # earlier versions wrote none
    change(document)
    place.write_text(json.dumps(document))
    ran = run(store, STEPS[:1], engine("ID:2", "wishes"))
    found = told(ran)["a"]
    assert (found["origin"], found["provenance"]) == ("remembered", None)
    assert means(ran) == {}
    # Where it is made again and agrees, it is recorded from then on.
    run(store, STEPS[:1], engine("ID:2", "by rule", a=b"1"), rebuild=True)
    found = told(run(store, STEPS[:1], engine("ID:3")))["a"]
    assert found["provenance"]["engine"]["identity"] == "ID:2"


def test_where_a_result_comes_from_is_no_part_of_what_it_is(store: Store) -> None:
    ran = run(store, STEPS[:1], engine("ID:1", a=b"1")).results["a"]
    assert ran.provenance is not None
    assert replace(ran, provenance=None) == ran
    assert Provenance.parse(ran.provenance.document()) == ran.provenance


def test_a_step_with_nothing_to_do_ran_nowhere(store: Store) -> None:
    ran = run(store, [step("a", make=lambda _: None)], engine("ID:1"))
    found = told(ran)["a"]
    assert (found["kind"], found["origin"]) == ("nothing", "nothing to do")
    assert (found["action"], found["provenance"]) == (None, None)


def test_what_a_program_saw_is_told_with_the_result(store: Store) -> None:
    looking = action("look", outputs=())
    steps = [replace(STEPS[0], observe=lambda _: looking)]
    work = {"a": made(b"1"), "look": lambda _: Made(stdout=b'{"user":5}\n')}
    run(store, steps, FakeEngine(work))
    assert told(run(store, steps, FakeEngine({})))["a"]["provenance"]["observed"] == '{"user":5}'


def test_the_cpus_that_an_action_had_are_told_with_the_result(store: Store) -> None:
    work = {"a": made(b"1")}
    run(store, STEPS[:1], FakeEngine(work, processors=3))
    assert told(run(store, STEPS[:1], FakeEngine({})))["a"]["provenance"]["cpus"] == 3
