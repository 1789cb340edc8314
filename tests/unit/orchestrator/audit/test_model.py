"""The file form of an audit: one value, one form; what is no audit is refused with words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.audit import model
from reproducibility import canonical
from reproducibility.errors import InputError
from tests import results as documents

ROUND: dict[str, Any] = {
    "conditions": {"host": "another", "user": 7},
    "outputs": documents.NOTHING,
    "seconds": 1.5,
    "check": documents.check(code="conditions.differs", verdict="FAIL"),
    "explanation": {"lines": ["out: blake3"], "document": {"differences": []}},
}
STEP: dict[str, Any] = {
    "name": "a",
    "stage": "T1",
    "key": documents.NOTHING,
    "outputs": documents.NOTHING,
    "built_under": {},
    "verdict": "FAIL",
    "rounds": [ROUND],
    "bisected": {
        "itself": False,
        "variations": ["host"],
        "runs": 9,
        "cause": "user",
        "sure": "certain",
    },
    "when": "2026-01-01T00:00:00Z",
    "went_on": False,
}
ENGINE = {"name": "sandbox", "identity": "Linux 6.1", "version": "0.8.0"}

CELL: dict[str, Any] = {
    "host": "amd64",
    "target": "riscv64",
    "root": "go 1.26.6",
    "engine": "sandbox",
    "how": "native emulated",
    "comparison": "native-build",
    "verdict": "PASS",
    "reason": "10 files are the same",
    "evidence": {
        "outputs": documents.NOTHING,
        "keys": [documents.NOTHING],
        "checks": ["native-build.same"],
        "engine": ENGINE,
        "emulator": {"name": "qemu-riscv64-static", "blake3": documents.NOTHING, "version": "7"},
        "tool": "0.1.0",
    },
    "when": "2026-01-01T00:00:00Z",
    "command": "",
    "failed": "",
}


def document(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A whole audit, as a JSON object."""
    made: dict[str, Any] = {
        "schema": 1,
        "verdict": "FAIL",
        "tool": "0.1.0",
        "host": {"architecture": "amd64", "kernel": "6.1", "python": "3.11.2"},
        "engine": ENGINE,
        "audited": {
            "result": documents.NOTHING,
            "spec": documents.NOTHING,
            "lock": documents.NOTHING,
            "image": documents.ZEROS,
            "archive": documents.ZEROS,
            "tool": "0.1.0",
            "engine": ENGINE,
        },
        "asked": {
            "vary": ["host"],
            "rounds": 1,
            "only": [],
            "budget": None,
            "whole": False,
            "bisect": True,
            "native": ["riscv64"],
            "root": "gcc",
        },
        "coverage": {
            "actions": 2,
            "audited": 1,
            "went_on": 0,
            "computations": 1,
            "computed": 1,
            "nothing_to_do": 0,
            "left_out": [{"step": "b", "why": "budget", "last": None}],
        },
        "variations": [
            {
                "name": "host",
                "meaning": "the host name",
                "state": "seen",
                "reason": "seen",
                "actions": 1,
                "guilty": ["a"],
            }
        ],
        "steps": [STEP],
        "computations": [
            {
                "name": "root",
                "expected": documents.NOTHING,
                "found": None,
                "check": documents.check(code="computed-again.failed", verdict="FAIL"),
                "explanation": None,
            }
        ],
        "surroundings": ["umask"],
        "missing": [],
        "checks": [documents.check()],
        "matrix": [CELL],
        "seconds": 2.5,
    }
    return {**made, **changes}


@pytest.mark.parametrize("again", [{}, {"varied": ["host", "zone"], "rounds": 2}])
def test_one_value_has_one_form(again: dict[str, Any]) -> None:
    """Evidence of earlier versions does not say what was varied, and is written as it was."""
    evidence = {**CELL["evidence"], **again}
    data = canonical.pretty(document(matrix=[{**CELL, "evidence": evidence}]))
    found = model.parse(data)
    assert model.dumps(found) == data
    assert model.parse(model.dumps(found)) == found
    assert found.steps[0].guilty


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "not the result of an audit"),
        (b"[]", "not the result of an audit"),
        (b"{", "not valid JSON"),
        (json.dumps(document(schema=2)).encode(), "another format"),
        (json.dumps(document(schema="1")).encode(), "another format"),
        (json.dumps(document(verdict="GOOD")).encode(), "malformed at verdict"),
        (json.dumps(document(extra=1)).encode(), "malformed at extra"),
        (json.dumps(document(seconds=-1)).encode(), "malformed at seconds"),
    ],
)
def test_what_is_no_audit_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model.parse(data)


def test_a_step_is_read_back_or_is_none() -> None:
    found = model.step_of(STEP)
    assert found is not None
    assert found.model_dump(mode="json") == STEP
    several: list[object] = [None, [], {}, {**STEP, "rounds": 1}, {**STEP, "key": "blake3:0"}]
    for wrong in several:
        assert model.step_of(wrong) is None
