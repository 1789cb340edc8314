"""Standard output that later steps use is whole, or it is an error that names limits.log."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from containers.cut import notice
from containers.policy import Limits, Policy
from orchestrator.execution import rebuilding
from orchestrator.execution.repeat import repeat
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Step
from reproducibility.compare import Verdict
from reproducibility.errors import ActionError
from reproducibility.variations import VARIED
from tests.fakes import FakeEngine, FakeObserver, Made, action
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from orchestrator.execution.step import Execution
    from orchestrator.store import Store
    from reproducibility.compare import Check

LIST = b"".join(b"package/%02d\n" % number for number in range(40))
LOG = 300
# What an older version kept of it, and gave to later steps.
CUT = LIST[: LOG - len(notice(LOG, len(LIST)))] + notice(LOG, len(LIST))
LISTING = Step("list", "", "", (), lambda _: action("list", outputs=()), says=True)


def saying(words: bytes) -> FakeEngine:
    return FakeEngine({"list": lambda _: Made({}, stdout=words)})


def run(
    store: Store, engine: FakeEngine, one: Step, log: int, *, rebuild: bool = False
) -> Execution:
    return Scheduler(
        engine=engine,
        store=store,
        policy=Policy(Limits(log=log)),
        observer=FakeObserver(),
        jobs=1,
        rebuild=rebuild,
        stop=threading.Event(),
    ).run([one])


def check(ran: Execution) -> Check:
    return rebuilding.checks(ran.compared.values())[0]


@pytest.mark.parametrize("log", [0, LOG, len(LIST) - 1])
@pytest.mark.parametrize("rebuild", [False, True])
def test_output_that_is_used_and_was_cut_is_an_error(
    store: Store, log: int, *, rebuild: bool
) -> None:
    with pytest.raises(ActionError, match=rf"list wrote more .* {log} bytes .*limits\.log") as told:
        run(store, saying(LIST), LISTING, log, rebuild=rebuild)
    assert "raise limits.log" in told.value.remedy
    # Nothing of it is remembered, so the next run with a larger limit makes it anew.
    found = run(store, saying(LIST), LISTING, len(LIST)).results["list"]
    assert (found.cached, store.read(found.stdout)) == (False, LIST)
    assert run(store, saying(b""), LISTING, log).results["list"].cached


def test_output_that_nobody_uses_may_be_cut(store: Store) -> None:
    engine = FakeEngine({"a": lambda _: Made({"out": b"1"}, stdout=LIST)})
    assert not run(store, engine, step("a"), LOG).results["a"].cached
    assert run(store, engine, step("a"), LOG).results["a"].cached


def test_an_observation_that_was_cut_is_an_error(store: Store) -> None:
    engine = FakeEngine(
        {"look": lambda _: Made({}, stdout=LIST), "a": lambda _: Made({"out": b"1"})}
    )
    one = replace(step("a"), observe=lambda _: action("look", outputs=()))
    with pytest.raises(ActionError, match="look wrote more"):
        run(store, engine, one, LOG)
    assert engine.runs == ["look"]


def test_cut_output_that_an_older_version_remembered_is_made_anew(store: Store) -> None:
    assert not run(store, saying(CUT), LISTING, LOG).results["list"].cached
    found = run(store, saying(LIST), LISTING, 1 << 20).results["list"]
    assert (found.cached, store.read(found.stdout)) == (False, LIST)
    assert run(store, saying(b""), LISTING, 1 << 20).results["list"].cached


def test_a_rebuild_does_not_compare_with_cut_output(store: Store) -> None:
    run(store, saying(CUT), LISTING, LOG)
    first = check(run(store, saying(LIST), LISTING, 1 << 20, rebuild=True))
    assert (first.verdict, "only the beginning was kept" in first.reason) == (Verdict.SKIP, True)
    # The whole of it is remembered now.
    second = check(run(store, saying(LIST), LISTING, 1 << 20, rebuild=True))
    assert second.verdict is Verdict.PASS
    third = check(run(store, saying(LIST + b"more"), LISTING, 1 << 20, rebuild=True))
    assert third.verdict is Verdict.FAIL


def test_a_step_under_other_conditions_is_not_compared_by_cut_output(store: Store) -> None:
    had = run(store, saying(LIST), LISTING, 1 << 20).results
    with pytest.raises(ActionError, match=r"limits\.log"):
        repeat(
            LISTING,
            had,
            VARIED,
            engine=saying(LIST),
            policy=Policy(Limits(log=LOG)),
            store=store,
            stop=threading.Event(),
        )
