"""What an audit tells has bounds, and all that is written within them can be read again."""

from __future__ import annotations

import json
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import names
from orchestrator.audit import bounds, model, running
from orchestrator.audit.history import History
from orchestrator.report import folder as report
from orchestrator.store import Store
from orchestrator.verify import documents
from orchestrator.verify.model import Findings
from reproducibility import canonical, regular
from reproducibility import digest as digests
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.errors import InputError
from reproducibility.manifest import LONGEST_PATH
from reproducibility.variations import VARIATIONS
from tests import results
from tests.unit.orchestrator.audit.test_model import ROUND, STEP
from tests.unit.orchestrator.audit.test_model import document as audit_document
from tests.unit.orchestrator.audit.world import Random, clean, step_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.audit.conftest import Making

REQUEST = digests.of_bytes(b"request")
ACTION = digests.of_bytes(b"action")
# A long path, of signs that take two bytes in JSON, and four in a string in it.
PATH = '"\\' * (LONGEST_PATH // 4)
MOST_ROUNDS = 100


def varied() -> Conditions:
    """Everything otherwise, in every round."""
    made = STANDARD
    for variation in VARIATIONS:
        if variation.condition:
            made = variation.apply(made, 64)
    return made


@cache
def largest_round() -> model.Round:
    """Nothing of it can be larger; of its explanation 200 findings are kept, of a check 100."""
    sample = {
        "path": PATH,
        "where": "a section",
        "offset": 10**9,
        "cause": "unknown",
        "sure": "possible",
        "reason": "nothing in the bytes tells where the difference comes from",
        "first": "\x1b" * 160,
        "second": "\x1b" * 160,
        "follows": False,
    }
    differences = [{"path": PATH, "field": "executable", "first": None, "second": None}] * 100
    check = results.check(
        code="conditions.differs", verdict="FAIL", reason="\x1b" * 8 * LONGEST_PATH
    )
    check |= {"differences": differences, "differences_total": 10**6}
    explanation = {"lines": [PATH] * 40, "document": {"findings": [sample] * 200}}
    document = {
        **ROUND,
        "conditions": varied().describe(),
        "check": check,
        "explanation": explanation,
    }
    return model.Round.model_validate(document)


def largest_step(name: str = "a") -> model.Step:
    made = model.Step.model_validate({**STEP, "name": name})
    return made.model_copy(update={"rounds": (largest_round(),) * MOST_ROUNDS})


def test_the_largest_record_of_a_step_is_read_back(store: Store) -> None:
    step = bounds.of_step(largest_step())
    history = History(store, REQUEST)
    history.remember(ACTION, step)
    last = history.last(ACTION)
    assert last is not None
    assert last.step == step
    sizes = [path.stat().st_size for path in (store.root / "results").rglob("*.json")]
    assert max(sizes) < regular.LARGEST_TEXT
    assert [one.outputs for one in step.rounds] == [largest_round().outputs] * MOST_ROUNDS
    assert {one.check.verdict for one in step.rounds} == {"FAIL"}


@pytest.mark.once
def test_the_largest_audit_is_read_back(tmp_path: Path) -> None:
    step = bounds.of_step(largest_step())
    told = [one.explanation is not None for one in step.rounds]
    assert any(told)
    short = step.model_copy(update={"rounds": (step.rounds[-1],) * MOST_ROUNDS})
    few = len("abcde")
    steps = tuple(
        (step if at < few else short).model_copy(update={"name": f"step {at}"})
        for at in range(bounds.MOST_RUNS // MOST_ROUNDS)
    )
    checks = tuple(step.rounds[0].check.model_copy(update={"subject": step.name}) for step in steps)
    explanation = largest_round().explanation
    sample = model.AuditResult.model_validate(audit_document())
    computations = tuple(
        one.model_copy(update={"explanation": explanation}) for one in sample.computations * 3
    )
    made = bounds.of_audit(
        sample.model_copy(update={"steps": steps, "checks": checks, "computations": computations})
    )
    data = model.dumps(made)
    assert len(data) <= bounds.LARGEST <= documents._LARGEST < regular.LARGEST_TEXT
    (tmp_path / names.AUDIT).write_bytes(data)
    findings = Findings()
    assert documents.read(tmp_path, {names.AUDIT: None}, findings).audit == made
    assert names.AUDIT not in {one.file for one in findings}
    (tmp_path / names.RESULT).write_text(json.dumps(results.document()))
    assert report.made(tmp_path).audit == made
    assert sum(len(step.rounds) for step in made.steps) == bounds.MOST_RUNS


def test_a_document_of_many_values_keeps_to_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = model.AuditResult.model_validate(audit_document())
    (step,) = sample.steps
    many = model.Explanation(lines=("why",), document={"findings": [","] * 2000})
    round_ = step.rounds[0].model_copy(update={"explanation": many})
    result = sample.model_copy(update={"steps": (step.model_copy(update={"rounds": (round_,)}),)})
    assert bounds.of_audit(result) == result
    monkeypatch.setattr(model, "MOST_VALUES", 1500)
    made = bounds.of_audit(result)
    assert made.steps[0].rounds[0].explanation is None
    assert model.parse(model.dumps(made)) == made


def test_first_rounds_of_every_step_are_told_before_second_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = model.AuditResult.model_validate(audit_document())
    (step,) = sample.steps
    long = model.Explanation(lines=("x" * 5000,), document={})
    rounds = (step.rounds[0].model_copy(update={"explanation": long}),) * 2
    steps = tuple(step.model_copy(update={"name": name, "rounds": rounds}) for name in "ab")
    result = sample.model_copy(update={"steps": steps})
    for less in range(0, 20_000, 500):
        monkeypatch.setattr(bounds, "LARGEST", len(model.dumps(result)) - less)
        kept = [
            [one.explanation is not None for one in step.rounds]
            for step in bounds.of_audit(result).steps
        ]
        if kept == [[True, False], [True, False]]:
            break
    else:
        pytest.fail("a second round was told before a first one")
    short = bounds.of_audit(result).steps[0].rounds[1]
    assert (short.outputs, short.check.verdict) == (rounds[1].outputs, "FAIL")
    assert short.check.reason.endswith("(not told in full)")


def test_what_is_short_stays_as_it_is() -> None:
    result = model.AuditResult.model_validate(audit_document())
    assert bounds.of_audit(result) == result
    assert bounds.of_step(result.steps[0]) == result.steps[0]


def test_an_action_that_differs_in_each_round_is_explained_a_few_times(
    world: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"cause": None, "findings": ["x" * 200] * 1000}
    explained: list[model.Explanation] = []

    def explain(*_: Any) -> model.Explanation:  # noqa: ANN401 - as the function has it
        explained.append(model.Explanation(lines=("why",), document=document))
        return explained[-1]

    monkeypatch.setattr(running, "explain", explain)
    one = world(a=Random(), b=clean)
    found = one.audit(rounds=MOST_ROUNDS)
    guilty = step_of(found, "a")
    assert (found.verdict, len(guilty.rounds)) == ("FAIL", MOST_ROUNDS)
    told = [one.explanation is not None for one in guilty.rounds]
    assert told == [True] * bounds.MOST_TOLD + [False] * (MOST_ROUNDS - bounds.MOST_TOLD)
    assert len(explained) == bounds.MOST_TOLD
    assert guilty.rounds[-1].check.reason.endswith("(not told in full)")
    assert len({one.outputs for one in guilty.rounds}) == MOST_ROUNDS
    # Whoever reads it, can: the page, and the store.
    assert report.made(one.out).audit == found
    with closing(Store(one.store)) as store:
        assert store.recall("audited", guilty.key) is not None


def test_more_runs_than_can_be_told_of_are_refused_before_the_first(
    world: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_RUNS", 5)
    one = world(a=clean, b=clean)
    with pytest.raises(InputError, match="2 actions in 3 rounds are 6 runs") as caught:
        one.audit(rounds=3)
    assert (caught.value.subject, "at most 2" in caught.value.remedy) == ("--rounds", True)
    assert one.engine.runs == []
    assert one.audit(rounds=2).verdict != "FAIL"
    assert one.audit(rounds=5, only=("a",)).verdict != "FAIL"


def test_marks_are_those_that_are_counted_when_it_is_read() -> None:
    assert canonical.marks(b'{"a": [1, 2], "b": ","}') == 5
