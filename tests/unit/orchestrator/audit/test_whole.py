"""A build from the inputs, end to end: compared step by step, and nothing of it is remembered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.audit import whole
from orchestrator.inputs import bundle
from reproducibility.codes import FROM_INPUTS
from reproducibility.compare import Check
from tests.fakes import Asked, Made
from tests.unit.orchestrator.audit.world import World, clean, codes, host_in_it, step_of
from tests.unit.orchestrator.execution.test_scheduler import chained, step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes import Work


@pytest.fixture(autouse=True)
def without_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of these tests need no inputs, and make no image."""
    monkeypatch.setattr(whole.Again, "_carry", lambda _self, _store, path: path.write_bytes(b""))
    monkeypatch.setattr(bundle, "read", lambda *_: None)
    made = [Check(FROM_INPUTS["same"], "sourcery.img", "same")]
    monkeypatch.setattr(whole.Again, "_image", lambda *_: made)


def world(folder: Path, monkeypatch: pytest.MonkeyPatch, **table: Work) -> World:
    names = list(table)
    made = World(folder, [step(n, *names[at - 1 : at]) for at, n in enumerate(names)], table)
    made.patch(monkeypatch)
    return made


def test_a_clean_build_comes_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world(tmp_path, monkeypatch, a=clean, b=chained)
    found = one.audit(whole=True)
    assert found.verdict != "FAIL"
    assert one.runs() == ["a", "b"]
    told = codes(found)
    assert {told["a"], told["b"]} == {"from-inputs.same"}
    assert told["build"] == "audit-coverage.whole"
    assert step_of(found, "a").rounds[0].conditions["host"] == "another-host-name"


def test_what_differs_makes_its_successors_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world(tmp_path, monkeypatch, a=clean, b=host_in_it, c=chained)
    found = one.audit(whole=True)
    assert [made.name for made in found.steps if made.guilty] == ["b", "c"]
    explanation = step_of(found, "b").rounds[0].explanation
    assert explanation is not None
    assert explanation.lines
    # The store goes on remembering what the build made.
    outputs = {made["name"]: made["outputs"] for made in _recorded(one)}
    again = one.audit(vary=())
    assert {made.name: str(made.outputs) for made in again.steps} == {
        name: outputs[name] for name in "abc"
    }
    assert not any(made.guilty for made in again.steps)


def test_a_step_that_fails_is_a_failure_of_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(asked: Asked) -> Made:
        status = int(asked.action.conditions.host != "builder")
        return Made({"out": b"1"}, stderr=b"where am I", exit_status=status)

    found = world(tmp_path, monkeypatch, a=fails).audit(whole=True)
    failed = [check for check in found.checks if check.code == "from-inputs.failed"]
    assert "where am I" in failed[0].reason
    assert found.verdict == "FAIL"


def _recorded(one: World) -> list[dict[str, str]]:
    steps: list[dict[str, str]] = json.loads((one.out / "result.json").read_bytes())["steps"]
    return steps
