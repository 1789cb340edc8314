"""What the store remembers of audits: interrupted ones go on, finished ones do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.audit import model
from orchestrator.audit.history import History
from reproducibility import digest as digests
from tests.unit.orchestrator.audit.test_model import STEP

if TYPE_CHECKING:
    from orchestrator.store import Store

REQUEST = digests.of_bytes(b"request")
ACTION = digests.of_bytes(b"action")
STEP_OF = model.Step.model_validate(STEP)


def test_an_interrupted_audit_knows_what_it_found(store: Store) -> None:
    first = History(store, REQUEST)
    assert first.before(ACTION) is None
    first.remember(ACTION, STEP_OF)
    second = History(store, REQUEST)
    assert second.audit == first.audit
    found = second.before(ACTION)
    assert found is not None
    assert found.went_on
    assert found == STEP_OF.model_copy(update={"went_on": True})
    assert History(store, digests.of_bytes(b"another")).before(ACTION) is None


def test_another_audit_does_not_overwrite_what_an_interrupted_one_found(store: Store) -> None:
    first = History(store, REQUEST)
    first.remember(ACTION, STEP_OF)
    later = STEP_OF.model_copy(update={"when": "2030-01-01T00:00:00Z"})
    another = History(store, digests.of_bytes(b"another"))
    another.remember(ACTION, later)
    another.end()
    found = History(store, REQUEST).before(ACTION)
    assert found == STEP_OF.model_copy(update={"went_on": True})
    last = first.last(ACTION)
    assert last is not None
    assert last.step == later


def test_an_audit_that_ended_leaves_one_record_for_each_action(store: Store) -> None:
    first = History(store, REQUEST)
    first.remember(ACTION, STEP_OF)
    # One that went on knows of what the run before found.
    second = History(store, REQUEST)
    assert second.before(ACTION)
    second.end()
    records = (store.root / "results").rglob("*.json")
    assert sorted(path.parts[-3] for path in records) == ["audit", "audited"]


def test_a_finished_audit_begins_anew_and_knows_when_it_was(store: Store) -> None:
    first = History(store, REQUEST)
    first.remember(ACTION, STEP_OF)
    first.end()
    second = History(store, REQUEST)
    assert second.audit != first.audit
    assert second.before(ACTION) is None
    last = second.last(ACTION)
    assert last is not None
    assert (last.when, last.step) == (STEP_OF.when, STEP_OF)


def test_a_record_that_is_none_counts_as_none(store: Store) -> None:
    history = History(store, REQUEST)
    text = json.dumps(STEP)
    documents: list[dict[str, Any]] = [
        {},
        {"when": 1, "audit": "a", "step": text},
        {"when": "w", "audit": "a"},
        {"when": "w", "audit": "a", "step": STEP},
        {"when": "w", "audit": "a", "step": "{"},
    ]
    for document in documents:
        store.remember("audited", ACTION, document)
        assert history.last(ACTION) is None
    store.remember("audit", REQUEST, {"began": 7, "ended": False})
    assert History(store, REQUEST).audit != history.audit


def test_what_an_action_made_cannot_hinder_the_collection_of_garbage(store: Store) -> None:
    """Whatever begins like a digest in a record is taken for one."""
    check = {**STEP["rounds"][0]["check"], "reason": "blake3:this is no digest"}
    lines = {"lines": ["blake3:neither is this"], "document": {"first": "blake3:0"}}
    one = {**STEP["rounds"][0], "check": check, "explanation": lines}
    history = History(store, REQUEST)
    history.remember(ACTION, model.Step.model_validate({**STEP, "rounds": [one]}))
    last = history.last(ACTION)
    assert last is not None
    assert last.step.rounds[0].check.reason == "blake3:this is no digest"
    assert store.damaged_records() == []
    store.collect(unused_since=0)
