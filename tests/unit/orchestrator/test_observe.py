"""The observation of the variations: one that had no effect is found."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from containers.action import Mount
from orchestrator import resources
from orchestrator.toolchain import observe
from reproducibility.compare import Verdict
from reproducibility.errors import InputError
from reproducibility.variations import STANDARD, VARIED, varied
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


def verdicts(usual: object, other: object) -> dict[str, Verdict]:
    found = observe.checks(json.dumps(usual).encode(), json.dumps(other).encode())
    assert all(check.name == "variation" for check in found)
    return {check.subject: check.verdict for check in found}


def test_all_pass_where_all_differ() -> None:
    assert verdicts(USUAL, OTHER) == dict.fromkeys(observe.FIELDS, Verdict.PASS)


@pytest.mark.parametrize("field", observe.FIELDS)
def test_a_variation_without_effect_fails_and_it_alone(field: str) -> None:
    found = verdicts(USUAL, {**OTHER, field: USUAL[field]})
    assert found == {name: Verdict(2 * (name == field)) for name in observe.FIELDS}


@pytest.mark.parametrize("field", observe.FIELDS)
def test_a_field_that_nobody_observed_fails(field: str) -> None:
    without = {name: value for name, value in USUAL.items() if name != field}
    assert verdicts(without, OTHER)[field] is Verdict.FAIL
    assert verdicts(OTHER, without)[field] is Verdict.FAIL


def test_the_reason_shows_both_values_but_not_thousands_of_names() -> None:
    found = observe.checks(json.dumps(USUAL).encode(), json.dumps(OTHER).encode())
    reasons = {check.subject: check.reason for check in found}
    assert "builder and another" in reasons["host"]
    assert "a b c" not in reasons["order"]


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b"null", b'"x"', b'{"user": 1, "user": 2}'])
def test_an_observation_that_is_no_observation(said: bytes) -> None:
    for pair in ((said, json.dumps(OTHER).encode()), (json.dumps(USUAL).encode(), said)):
        with pytest.raises(InputError, match=r"observation|JSON"):
            observe.checks(*pair)


def test_the_program_says_what_is_checked() -> None:
    source = resources.observer().read_text()
    assert set(re.findall(r'field\("(\w+)"', source)) == set(observe.FIELDS)


def test_both_observations_are_the_same_but_for_the_surroundings() -> None:
    chain = samples.chain()
    program = samples.tree({"observe.go": Path(resources.observer()).read_bytes()})
    results = samples.chain_results()
    build, usual, other = observe.steps(replace(chain, varied=varied(3)), program)
    assert build.needs == ("F1", "T1/helpers", "std/amd64")
    assert usual.needs == other.needs == ("observe/build",)
    first, second = made_by(usual, results), made_by(other, results)
    assert (first.surroundings, second.surroundings) == (STANDARD, varied(3))
    assert (first.directory, second.directory) == (STANDARD.work, VARIED.work)
    assert first.mounts == second.mounts
    assert first.command == second.command
    assert set(second.environment) - set(first.environment) == {("GOMAXPROCS", "1")}
    made = made_by(build, results)
    assert made.command[-1] == "/probe/observe.go"
    assert Mount("/probe", program) in made.mounts
    # Nor are they ever given a share of the processors, which they would see.
    assert not usual.long
    assert not other.long
