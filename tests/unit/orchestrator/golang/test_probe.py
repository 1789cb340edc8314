"""The observation of the variations: one that had no effect is found."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from containers.action import Mount
from orchestrator import resources
from orchestrator.golang import probe, standard_library
from reproducibility.compare import Check, Verdict
from reproducibility.conditions import STANDARD
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from reproducibility.variations import VARIED, varied
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.samples import made_by

USUAL: dict[str, Any] = {
    "directory": "/work",
    "group": 65534,
    "host": "builder",
    "order": "a b c",
    "parallelism": 2,
    "user": 65534,
}
OTHER: dict[str, Any] = {
    "directory": "/elsewhere",
    "group": 4321,
    "host": "another",
    "order": "b a c",
    "parallelism": 3,
    "user": 1234,
}


def checks(usual: object, other: object) -> list[Check]:
    """Of two runs that saw this."""
    first, second = (samples.result(Tree(), observed=seen) for seen in (usual, other))
    return probe.checks(first, second, {})


def verdicts(usual: object, other: object) -> dict[str, Verdict]:
    found = checks(usual, other)
    assert all(check.name == "variation" for check in found)
    return {check.subject: check.verdict for check in found}


def test_all_pass_where_all_differ() -> None:
    assert verdicts(USUAL, OTHER) == dict.fromkeys(probe.FIELDS, Verdict.PASS)


@pytest.mark.parametrize("field", probe.FIELDS)
def test_a_variation_without_effect_fails_and_it_alone(field: str) -> None:
    found = verdicts(USUAL, {**OTHER, field: USUAL[field]})
    assert found == {name: Verdict(2 * (name == field)) for name in probe.FIELDS}


@pytest.mark.parametrize("field", probe.FIELDS)
def test_a_field_that_nobody_observed_fails(field: str) -> None:
    without = {name: value for name, value in USUAL.items() if name != field}
    assert verdicts(without, OTHER)[field] is Verdict.FAIL
    assert verdicts(OTHER, without)[field] is Verdict.FAIL


def test_the_reason_shows_both_values_but_not_thousands_of_names() -> None:
    found = checks(USUAL, OTHER)
    reasons = {check.subject: check.reason for check in found}
    assert "builder and another" in reasons["host"]
    assert "a b c" not in reasons["order"]


@pytest.mark.parametrize("said", ["{", "[]", "null", '"x"', '{"user": 1, "user": 2}'])
def test_an_observation_that_is_no_observation(said: str) -> None:
    usual, other = (samples.result(Tree(), observed=seen) for seen in (USUAL, OTHER))
    assert usual.provenance is not None
    broken = replace(usual, provenance=replace(usual.provenance, observed=said))
    for pair in ((broken, other), (usual, broken)):
        with pytest.raises(InputError, match=r"observation|JSON"):
            probe.checks(*pair, {})


def test_what_a_run_did_not_write_down_is_not_taken_from_another() -> None:
    seen, unseen = samples.result(Tree(), observed=USUAL), samples.result(Tree())
    older = replace(seen, provenance=None)
    for pair, missing in (
        ((unseen, seen), "F1"),
        ((seen, older), "F2"),
        ((older, unseen), "F1 and F2"),
    ):
        found = probe.checks(*pair, {})
        assert {check.subject: check.verdict for check in found} == dict.fromkeys(
            probe.FIELDS, Verdict.SKIP
        )
        assert all(f"what {missing} saw was not recorded" in check.reason for check in found)


def test_one_processor_has_no_half() -> None:
    usual = {**USUAL, "parallelism": 1}
    found = {check.subject: check for check in checks(usual, {**OTHER, "parallelism": 1})}
    assert found["parallelism"].verdict is Verdict.SKIP
    assert "one processor" in found["parallelism"].reason
    # Told to use more threads than that, F2 did see something else.
    assert verdicts(usual, {**OTHER, "parallelism": 3})["parallelism"] is Verdict.PASS


def test_the_program_says_what_is_checked() -> None:
    source = resources.observer().read_text()
    assert set(re.findall(r'field\("(\w+)"', source)) == set(probe.FIELDS)


def test_each_run_is_observed_under_its_own_conditions() -> None:
    chain = replace(samples.chain(), varied=varied(3))
    results = samples.chain_results()
    f1, f2 = next(step for step in chain.steps() if step.name == "F1"), chain.second()
    assert f1.observe is not None
    assert f2.observe is not None
    assert (f1.conditions, f2.conditions) == (STANDARD, varied(3))
    first = f1.observe(results).under(f1.conditions).placed()
    second = f2.observe(results).under(f2.conditions).placed()
    assert (first.directory, second.directory) == (STANDARD.work, VARIED.work)
    assert first.mounts == second.mounts
    assert first.command == second.command
    assert set(second.environment) - set(first.environment) == {("GOMAXPROCS", "1")}
    # The program is there before F1, and is among what F1 builds again.
    assert {"T1/helpers"} <= {*f1.needs} & {*f2.needs}
    helpers = made_by(next(s for s in chain.steps() if s.name == "T1/helpers"), results)
    assert helpers.command[-1] == "sourcery/observe"
    assert Mount("/helpers/src/sourcery/observe", chain.observer) in helpers.mounts
    # No other step looks around, and no observation is a step, which would be remembered.
    steps = [*chain.steps(), f2, chain.cross("arm64"), *standard_library.standard(chain, "amd64")]
    assert {step.name for step in steps if step.observe} == {"F1", "F2"}


def test_the_processors_of_an_engine_decide_what_half_of_them_is() -> None:
    assert [varied(count).parallelism for count in (8, 3, 2)] == [4, 1, 1]
    # One, which a quota of one processor shows as two to a go program.
    assert varied(1).parallelism not in {1, 2}
