"""Audits that are interrupted, begun again and healed, on fakes."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from containers.host import durable
from containers.host.rename import exchange
from orchestrator.audit import job, model, result
from orchestrator.execution.remembered import Remembered
from orchestrator.store import DamagedBlob, Store
from reproducibility import digest
from reproducibility.conditions import Conditions
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError, Stopped
from tests.fakes import Asked, Made, action
from tests.unit.orchestrator.audit.world import (
    ABLE,
    clean,
    host_in_it,
)
from tests.unit.orchestrator.execution.test_scheduler import chained

if TYPE_CHECKING:
    from tests.unit.orchestrator.audit.conftest import Making


def test_an_interrupted_audit_goes_on_and_a_finished_one_begins_anew(world: Making) -> None:
    one = world(a=clean, b=clean)

    def stops(asked: Asked) -> Made:
        one.stop.set()
        return asked.until_stopped()

    one.engine.table["b"] = stops
    with pytest.raises(Stopped):
        one.audit(jobs=1)
    assert not (one.out / "audit.json").exists()
    assert one.runs() == ["a", "b"]
    one.stop.clear()
    one.engine.table["b"] = clean
    found = one.audit(jobs=1)
    assert one.runs() == ["a", "b", "b"]
    assert [(made.name, made.went_on) for made in found.steps] == [("a", True), ("b", False)]
    assert (found.coverage.audited, found.coverage.went_on) == (2, 1)
    assert one.audit().coverage.went_on == 0
    assert one.runs() == ["a", "a", "b", "b", "b"]


def test_another_request_does_not_go_on_where_one_was_interrupted(world: Making) -> None:
    one = world(a=clean, b=clean)
    one.engine.table["b"] = lambda _: (_ for _ in ()).throw(InfrastructureError("no disk"))
    with pytest.raises(InfrastructureError, match="no disk"):
        one.audit(jobs=1)
    one.engine.table["b"] = clean
    assert one.audit(vary=ABLE[:2]).coverage.went_on == 0
    assert one.runs() == ["a", "a", "b", "b"]


def test_a_shorter_audit_does_not_take_away_what_an_interrupted_one_found(world: Making) -> None:
    one = world(a=clean, b=clean)
    one.engine.table["b"] = lambda _: (_ for _ in ()).throw(InfrastructureError("no disk"))
    with pytest.raises(InfrastructureError, match="no disk"):
        one.audit(jobs=1)
    one.engine.table["b"] = clean
    assert one.audit(only=("a",)).coverage.went_on == 0
    assert one.audit(jobs=1).coverage.went_on == 1


def test_the_same_audit_does_not_run_twice_at_once(world: Making) -> None:
    one = world(a=clean)
    refused: list[InfrastructureError] = []

    def again(asked: Asked) -> Made:
        one.engine.table["a"] = clean
        try:
            one.audit()
        except InfrastructureError as error:
            refused.append(error)
        assert one.audit(vary=ABLE[:1]).coverage.audited == 1
        return clean(asked)

    one.engine.table["a"] = again
    assert one.audit().coverage.went_on == 0
    (error,) = refused
    assert f"already running, in process {os.getpid()}" in error.summary
    assert error.status == 4


def test_what_cannot_be_written_is_not_over(world: Making) -> None:
    one = world(a=clean)
    place = one.out / "audit.json"
    place.mkdir()
    (place / "in the way").touch()
    with pytest.raises(InfrastructureError, match="cannot be written"):
        one.audit()
    durable.remove(place)
    assert one.audit().coverage.went_on == 1
    assert one.runs() == ["a"]


@pytest.mark.parametrize("when", ["while actions run", "while it is written"])
def test_another_build_that_took_the_folder_is_not_said_to_be_audited(
    world: Making, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    one = world(a=clean)
    audited = (one.out / "result.json").read_bytes()

    def build() -> None:
        """The same spec and lock, and so the same image; another run."""
        steps = json.loads(audited)["steps"]
        new = one.folder / "new"
        shutil.copytree(one.out, new)
        one.write(steps=steps, seconds=77.0)
        document = (one.out / "result.json").read_bytes()
        (one.out / "result.json").write_bytes(audited)
        (new / "result.json").write_bytes(document)
        exchange(new, one.out)

    def meanwhile(asked: Asked) -> Made:
        build()
        return clean(asked)

    if when == "while actions run":
        one.engine.table["a"] = meanwhile
    else:
        real = result.audit_result

        def then(*parts: Any, **more: Any) -> model.AuditResult:  # noqa: ANN401 - passed on
            found = real(*parts, **more)
            build()
            return found

        monkeypatch.setattr(job, "audit_result", then)
    with pytest.raises(InfrastructureError, match="another build has taken") as caught:
        one.audit()
    assert caught.value.status == 4
    assert not (one.out / "audit.json").exists()
    # What was found stays, should that build be put back.
    exchange(one.folder / "new", one.out)
    one.engine.table["a"] = clean
    monkeypatch.undo()
    one.patch(monkeypatch)
    assert one.audit().coverage.went_on == 1
    assert one.runs() == ["a"]


def test_conditions_that_were_changed_by_hand_are_not_run(world: Making) -> None:
    one = world(a=clean, b=chained)
    document = json.loads((one.out / "result.json").read_bytes())
    document["steps"][1]["conditions"] = {"user": 0}
    one.write(steps=document["steps"])
    one.steps = [one.steps[0], replace(one.steps[1], conditions=Conditions(user=0))]
    with pytest.raises(InputError, match=r"result\.json was changed"):
        one.audit()
    assert one.runs() == []


def test_missing_results_are_built_first_and_said(world: Making) -> None:
    one = world(a=clean, b=chained)
    with closing(Store(one.store)) as store:
        document = json.loads((one.out / "result.json").read_bytes())
        for made in document["steps"][:2]:
            store.forget("action-sandbox", Digest.parse(made["key"]))
    found = one.audit()
    assert found.missing == ("a", "b")
    assert one.runs() == ["a", "a", "b", "b"]
    assert any("built now" in text for what, text in one.observer.told if what == "note")
    assert found.verdict != "FAIL"


def test_a_damaged_blob_is_made_again_and_the_audit_goes_on(world: Making) -> None:
    one = world(a=clean, b=clean)
    turns = iter([1])

    def damaged(asked: Asked) -> Made:
        if next(turns, 0):
            raise DamagedBlob(digest.of_bytes(b"x"), "nothing")
        return clean(asked)

    one.engine.table["b"] = damaged
    found = one.audit(jobs=1)
    assert found.verdict != "FAIL"
    assert one.runs() == ["a", "b", "b"]


def test_nothing_of_an_audit_is_taken_for_a_result(world: Making) -> None:
    one = world(a=host_in_it)
    one.audit()
    with closing(Store(one.store)) as store:
        document = json.loads((one.out / "result.json").read_bytes())["steps"][0]
        found = Remembered(store, "sandbox").recall(action("a"))
    assert found is not None
    assert str(found.tree.digest) == document["outputs"]
