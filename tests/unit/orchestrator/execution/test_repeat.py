"""One step run again under other conditions, and compared with what is remembered of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from containers import registry
from containers.engine import Capability
from containers.policy import Policy
from orchestrator.execution.repeat import repeat
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Step
from reproducibility.compare import Verdict
from reproducibility.conditions import Conditions
from reproducibility.errors import ActionError, InfrastructureError, InputError
from reproducibility.variations import VARIED
from tests.fakes import Asked, FakeEngine, FakeObserver, Made, action
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine
    from orchestrator.execution.step import Results
    from orchestrator.store import Store
    from reproducibility.compare import Check


def host_in_it(asked: Asked) -> Made:
    """Work that has a defect: the host name gets into what it makes."""
    return Made({"out": asked.action.conditions.host.encode()})


def results(engine: Engine, store: Store, steps: list[Step]) -> Results:
    scheduler = Scheduler(
        engine=engine,
        store=store,
        policy=Policy(),
        observer=FakeObserver(),
        jobs=1,
        stop=threading.Event(),
    )
    return scheduler.run(steps).results


def under(conditions: Conditions, engine: Engine, store: Store, one: Step, had: Results) -> Check:
    return repeat(
        one, had, conditions, engine=engine, policy=Policy(), store=store, stop=threading.Event()
    ).check


def test_a_step_is_run_under_two_other_conditions_and_compared(store: Store) -> None:
    engine, one = FakeEngine({"a": host_in_it}), step("a")
    had = results(engine, store, [one])
    user, host = Conditions(user=1), Conditions(host="elsewhere")
    assert under(user, engine, store, one, had).verdict is Verdict.PASS
    assert under(host, engine, store, one, had).verdict is Verdict.FAIL
    # What came of it is not taken for the step's result.
    assert results(FakeEngine({"a": host_in_it}), store, [one])["a"].tree == had["a"].tree


def test_a_third_engine_runs_a_step_after_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.ENGINES, "third", "tests.third_engine")
    had = results(FakeEngine({"a": lambda _: Made({"out": b"1"})}), store, [step("a")])
    with registry.connect("third", tmp_path) as third:
        assert under(VARIED, third, store, step("a"), had).verdict is Verdict.PASS


def test_what_fails_under_other_conditions_says_which(store: Store) -> None:
    def fails_elsewhere(asked: Asked) -> Made:
        status = 1 if asked.action.conditions.host == "elsewhere" else 0
        return Made({"out": b"1"}, stderr=b"no such host", exit_status=status)

    engine, one = FakeEngine({"a": fails_elsewhere}), step("a")
    had = results(engine, store, [one])
    with pytest.raises(ActionError, match="no such host") as caught:
        under(Conditions(host="elsewhere"), engine, store, one, had)
    assert "elsewhere" in caught.value.subject


def test_a_step_without_an_action_is_refused(store: Store) -> None:
    nothing = step("a", make=lambda _: None)
    with pytest.raises(InputError, match="runs no action"):
        under(VARIED, FakeEngine({}), store, nothing, {})


def test_a_step_that_only_says_something_is_compared_by_its_words(store: Store) -> None:
    def says(asked: Asked) -> Made:
        return Made({}, stdout=b"a list" if asked.action.conditions.user != 7 else b"another")

    engine = FakeEngine({"a": says})
    one = Step("a", "", "", (), lambda _: action("a", outputs=()), says=True)
    had = results(engine, store, [one])
    same, words = (
        (Conditions(host="h"), "conditions.same"),
        (Conditions(user=7), "conditions.words"),
    )
    for conditions, code in (same, words):
        assert str(under(conditions, engine, store, one, had).code) == code


def test_what_an_engine_cannot_apply_is_skipped_with_its_reason(store: Store) -> None:
    engine, one = FakeEngine({"a": host_in_it}), step("a")
    had = results(engine, store, [one])
    engine.able["order"] = Capability("a fake", "no tmpfs here")
    found = under(VARIED, engine, store, one, had)
    assert (found.verdict, "order: no tmpfs here" in found.reason) == (Verdict.SKIP, True)
    assert under(Conditions(user=1), engine, store, one, had).verdict is Verdict.PASS


def test_a_result_that_was_taken_from_a_cache_is_not_compared(store: Store) -> None:
    engine, one = FakeEngine({"a": host_in_it}), step("a")
    had = results(engine, store, [one])
    engine.taken_from["a"] = "action cache (own)"
    with pytest.raises(InfrastructureError, match=r"a was to be run again.*action cache \(own\)"):
        under(Conditions(user=1), engine, store, one, had)
