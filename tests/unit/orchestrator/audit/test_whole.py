"""A build from the inputs, end to end: compared step by step, and nothing of it is remembered."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import remaking
from orchestrator.audit import whole
from orchestrator.image.cpio import writer as cpio
from orchestrator.inputs import bundle
from reproducibility import digest
from reproducibility.codes import FROM_INPUTS
from reproducibility.compare import Check
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree
from tests.fakes import Asked, Made
from tests.unit.orchestrator.audit.world import World, clean, codes, host_in_it, step_of
from tests.unit.orchestrator.execution.test_scheduler import chained, step

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store import Store
    from tests.fakes import Work


# The fixture below takes its place.
IMAGE = whole.Again._image


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


@pytest.mark.parametrize("alike", [(), ("hash seed", "umask")])
def test_an_image_made_in_the_same_surroundings_proves_less(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, alike: tuple[str, ...]
) -> None:
    same = digest.of_bytes(b"archive")
    expected = {"root": same, "sourcery.img": same, "sourcery.cpio.zst": same}
    made = SimpleNamespace(tree=same, image=same, alike=alike)
    other = SimpleNamespace(result=lambda *_: made)
    monkeypatch.setattr(remaking, "started", lambda *_: nullcontext(other))
    monkeypatch.setattr(whole, "laid_out", lambda *_: (Tree(), None))
    monkeypatch.setattr(
        cpio, "write", lambda _tree, _place, path, **_: path.write_bytes(b"archive")
    )
    said = SimpleNamespace(
        cpio=SimpleNamespace(path="sourcery.cpio.zst"), image=SimpleNamespace(path="sourcery.img")
    )
    subject: Any = SimpleNamespace(
        found=SimpleNamespace(result=said),
        expected=expected,
        assembled=lambda _: SimpleNamespace(recipe=SimpleNamespace(epoch=0)),
    )
    again: Any = SimpleNamespace(stop=threading.Event())
    checks = IMAGE(again, subject, {}, store, tmp_path)
    assert [str(check.code) for check in checks[:3]] == ["from-inputs.same"] * 3
    further = [(str(check.code), check.verdict.name, check.subject) for check in checks[3:]]
    assert further == (
        [("computed-again.same-surroundings", "FAIL", "sourcery.img")] if alike else []
    )
    assert all(name in checks[-1].reason for name in alike)


def _recorded(one: World) -> list[dict[str, str]]:
    steps: list[dict[str, str]] = json.loads((one.out / "result.json").read_bytes())["steps"]
    return steps


def test_nothing_of_it_comes_from_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world(tmp_path, monkeypatch, a=clean)
    one.engine.taken_from["a"] = "action cache (all)"
    with pytest.raises(InfrastructureError, match="a was to be run again"):
        one.audit(whole=True)
