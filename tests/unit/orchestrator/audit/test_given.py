"""What a build gave a step: its conditions, and a share of the CPUs where it kept to one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.audit.given import Given, given, unrecorded
from reproducibility.conditions import STANDARD, Conditions
from tests.fakes import FakeEngine, Made
from tests.unit.orchestrator.execution.test_scheduler import run, step

if TYPE_CHECKING:
    from orchestrator.execution.step import Result
    from orchestrator.store import Store

SHORT, LONG = step("a"), replace(step("a"), long=True)


def result(store: Store, cpus: int | None) -> Result:
    made = run(store, [SHORT], FakeEngine({"a": lambda _: Made({"out": b""})})).results["a"]
    assert made.provenance is not None
    return replace(made, provenance=replace(made.provenance, cpus=cpus))


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        (1, Given(Conditions(processors=1))),
        (3, Given(Conditions(processors=3))),
        (4, Given(STANDARD)),
        (9, Given(STANDARD)),  # on a larger machine
        (None, Given(STANDARD, recorded=False)),
    ],
)
def test_fewer_cpus_than_all_are_a_condition(
    store: Store, cpus: int | None, expected: Given
) -> None:
    assert given(LONG, result(store, cpus), 4) == expected


def test_only_long_steps_keep_to_a_share(store: Store) -> None:
    assert given(SHORT, result(store, None), 4) == Given(STANDARD)
    assert given(LONG, replace(result(store, None), provenance=None), 4).recorded is False


def test_what_is_not_recorded_is_told_of(store: Store) -> None:
    assert unrecorded([LONG], {"a": result(store, 1)}) == {}
    assert unrecorded([SHORT], {"a": result(store, None)}) == {}
    found = unrecorded([LONG], {"a": result(store, None)})["cpus"]
    assert (found.steps, found.of, found.recorded) == (("a",), 1, False)
