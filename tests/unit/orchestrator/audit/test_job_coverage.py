"""How much an audit covers, on fakes: a part is never the whole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from containers.host import durable
from orchestrator.audit import subject
from orchestrator.execution.step import Step
from reproducibility.errors import InfrastructureError, InputError
from tests import results as documents
from tests.unit.orchestrator.audit.world import (
    OBSERVE,
    World,
    clean,
    codes,
    host_in_it,
    state,
    step_of,
)
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.audit.subject import Finding, Subject
    from tests.fakes import Asked, Made, Work
    from tests.unit.orchestrator.audit.conftest import Making


def test_a_part_is_never_reported_as_the_whole(world: Making) -> None:
    one = world(a=clean, b=clean, ab=clean)
    found = one.audit(only=("a*",))
    assert codes(found)["build"] == "audit-coverage.part"
    assert found.verdict == "SKIP"
    assert [(left.step, left.why, left.last) for left in found.coverage.left_out] == [
        ("b", "not chosen", None),
        # A computation is a step as well; when it was computed again before is not kept.
        ("image", "not chosen", None),
    ]
    assert (found.coverage.audited, found.coverage.computed) == (2, 0)
    (check,) = (check for check in found.checks if check.subject == "build")
    assert check.reason == (
        "2 of 3 actions and 0 of 1 computations; the others: 2 not chosen by --only"
    )


def test_computations_that_were_not_chosen_are_named_beside_those_that_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = Step("boot/amd64", "boot", "amd64", (), lambda _: None, in_process=True)
    one = World(tmp_path, [step("a")], {"a": clean})
    document = json.loads((one.out / "result.json").read_bytes())
    one.write(steps=[*document["steps"], documents.step("boot/amd64", kind="computation")])
    drawn = one.draw
    one.patch(monkeypatch)

    def draw(found: Finding, *parts: object, **more: object) -> Subject:
        made = drawn(found, *parts, **more)
        return replace(made, steps=(*made.steps, boot))

    monkeypatch.setattr(subject.Subject, "draw", draw)
    found = one.audit(only=("a", "image"))
    assert [left.step for left in found.coverage.left_out] == ["boot/amd64"]
    assert (found.coverage.computations, found.coverage.computed) == (2, 1)


def test_no_step_of_a_name_is_an_error(world: Making) -> None:
    one = world(alpha=clean, beta=clean)
    with pytest.raises(InputError, match="no step") as caught:
        one.audit(only=("nothing/*",))
    assert "named as in alpha" in caught.value.remedy
    with pytest.raises(InputError, match="no step") as caught:
        one.audit(only=("alhpa",))
    assert "there is alpha;" in caught.value.remedy


def test_where_no_action_is_chosen_no_variation_is_told_of(world: Making) -> None:
    found = world(a=clean).audit(only=("image",))
    assert (found.variations, found.coverage.computed) == ((), 1)


class Stopwatch:
    """Shows what it was set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def after(self, runs: int, work: Work) -> Work:
        """Work that lets the time be over after so many runs."""
        left = iter(range(runs - 1))

        def timed(asked: Asked) -> Made:
            self.now = 0.0 if next(left, None) is not None else 10.0
            return work(asked)

        return timed


def test_a_budget_begins_no_further_round(world: Making) -> None:
    one = world(a=clean, b=clean)
    clock = Stopwatch()
    one.engine.table["a"] = clock.after(2, clean)
    found = one.audit(budget=5, rounds=4, clock=clock, jobs=1)
    assert one.runs() == ["a", "a"]
    assert len(step_of(found, "a").rounds) == 2
    # Not all that was asked for: it is not counted, and named.
    assert codes(found)["build"] == "audit-coverage.part"
    assert (found.verdict, found.coverage.audited) == ("SKIP", 0)
    assert [(left.step, left.why) for left in found.coverage.left_out] == [
        ("a", "budget"),
        ("b", "budget"),
    ]
    assert ("note", "a: 2 of 4 rounds; the budget was used up") in one.observer.told
    # Its turn is over: the next one begins with the other.
    clock.now = 0.0
    one.engine.table["b"] = clock.after(4, clean)
    assert [made.name for made in one.audit(budget=5, rounds=4, clock=clock, jobs=1).steps] == ["b"]


def test_what_a_budget_cut_short_is_tried_again_by_the_same_audit(world: Making) -> None:
    one = world(a=clean)
    clock = Stopwatch()
    one.engine.table["a"] = clock.after(1, clean)
    place = one.out / "audit.json"
    place.mkdir()
    (place / "in the way").touch()
    with pytest.raises(InfrastructureError, match="cannot be written"):
        one.audit(budget=5, rounds=2, clock=clock, jobs=1)
    durable.remove(place)
    clock.now = 0.0
    one.engine.table["a"] = clean
    found = one.audit(budget=5, rounds=2, clock=clock, jobs=1)
    assert (found.coverage.audited, found.coverage.went_on) == (1, 0)
    assert one.runs() == ["a", "a", "a"]


def test_a_budget_ends_the_search_for_the_smallest_cause(world: Making) -> None:
    one = world(a=host_in_it)
    clock = Stopwatch()
    one.engine.table["a"] = clock.after(3, host_in_it)
    found = one.audit(budget=5, bisect=True, clock=clock, jobs=1)
    assert one.runs() == ["a", "a", "a"]
    assert step_of(found, "a").bisected is None
    assert found.verdict == "FAIL"
    told = "a: the budget was used up before its smallest cause was found"
    assert ("note", told) in one.observer.told


class Clock:
    """Gives one second more each time that it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_a_budget_begins_nothing_further_and_the_next_one_goes_on(world: Making) -> None:
    one = world(a=clean, b=clean, c=clean)
    first = one.audit(budget=5, clock=Clock(), jobs=1)
    assert (len(first.steps), first.verdict) == (2, "SKIP")
    assert {left.why for left in first.coverage.left_out} == {"budget"}
    (left,) = first.coverage.left_out
    second = one.audit(budget=4, clock=Clock(), jobs=1)
    # The one that was never audited comes first; of the others it is known when they were.
    assert [made.name for made in second.steps] == [left.step]
    assert all(was.last for was in second.coverage.left_out)


@pytest.mark.parametrize("budget", [1, 2])
def test_a_budget_that_is_used_up_at_once_is_no_success(world: Making, budget: int) -> None:
    one = world(a=clean)
    found = one.audit(budget=budget, clock=Clock(), jobs=1)
    assert codes(found)["build"] == "audit-coverage.nothing"
    assert found.verdict == "FAIL"
    # Where the program that looks around saw it, no action was run under it.
    assert (OBSERVE in one.engine.runs) == (budget > 1)
    assert state(found, "host") == ("not run", "SKIP")
    assert one.runs() == []
    # What another process computes is not begun either.
    assert (found.coverage.computed, found.computations) == (0, ())
    assert {(left.step, left.why) for left in found.coverage.left_out} == {
        ("a", "budget"),
        ("image", "budget"),
    }
