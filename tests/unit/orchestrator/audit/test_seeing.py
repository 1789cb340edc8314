"""Whether a program inside saw each variation, for every pair of conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.audit.seeing import Inputs, Looked, Window, seen
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.variations import NAMES, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping

SEEN = {name: 1 for name in NAMES if name not in REFUSED}


def outcome(name: str, *pairs: Looked, fixed: Mapping[str, Inputs] | None = None) -> str:
    checks = {check.subject: check for check in seen(pairs, NAMES, {}, fixed)}
    return checks[name].code.outcome


def pair(first: Mapping[str, int], second: Mapping[str, int], *names: str) -> Looked:
    return Looked(frozenset(names), first, second)


def test_what_nobody_saw_had_no_effect() -> None:
    without = {name: value for name, value in SEEN.items() if name != "zone"}
    other = {**SEEN, "zone": 2}
    assert outcome("zone", pair(SEEN, other, "zone")) == "seen"
    assert outcome("zone", pair(SEEN, SEEN, "zone")) == "no-effect"
    assert outcome("zone", pair(without, other, "zone")) == "no-effect"
    assert outcome("zone", pair(SEEN, without, "zone")) == "no-effect"
    # In every pair in which it was applied, and in none where it was not.
    assert outcome("zone", pair(SEEN, other, "zone"), pair(SEEN, SEEN, "zone")) == "no-effect"
    assert outcome("zone", pair(SEEN, other, "zone"), pair(SEEN, SEEN, "user")) == "seen"
    assert outcome("zone", pair(SEEN, other, "user")) == "no-effect"


@pytest.mark.parametrize(("recorded", "expected"), [(True, "input"), (False, "not-recorded")])
def test_steps_that_prove_nothing_make_a_skip(recorded: bool, expected: str) -> None:
    fixed = {"zone": Inputs(("a",), 3, "so it is", recorded=recorded)}
    assert outcome("zone", pair(SEEN, {**SEEN, "zone": 2}, "zone"), fixed=fixed) == expected
    assert outcome("zone", pair(SEEN, SEEN, "zone"), fixed=fixed) == "no-effect"


def test_what_is_an_input_to_every_step_is_run_with_none_and_no_failure() -> None:
    one = pair(SEEN, {**SEEN, "user": 2}, "user")
    every, some = (Inputs(("a", "b"), of, "so it is") for of in (2, 3))
    assert outcome("zone", one, fixed={"zone": every}) == "not-run"
    # One more step should have been run with it.
    assert outcome("zone", one, fixed={"zone": some}) == "no-effect"
    # It was applied to these; how many CPUs they had is what nobody knows.
    unknown = {"zone": Inputs(("a", "b"), 2, "so it is", recorded=False)}
    assert outcome("zone", one, fixed=unknown) == "no-effect"
    (check,) = (one for one in seen([one], NAMES, {}, {"zone": every}) if one.subject == "zone")
    assert check.reason == "to 2 of 2 actions that were chosen it is an input: so it is"


def test_it_is_looked_around_once_under_the_same_conditions() -> None:
    asked: list[Conditions] = []

    def looking(conditions: Conditions) -> dict[str, str]:
        asked.append(conditions)
        return {"host": conditions.host, "order": "long"}

    window = Window(looking)
    other = Conditions(host="elsewhere")
    for conditions in (STANDARD, other, STANDARD):
        window.look(conditions)
    assert asked == [STANDARD, other]
    assert window.told(STANDARD, other) == {"host": (STANDARD.host, "elsewhere")}
    assert window.told(STANDARD, Conditions(user=7)) == {}
