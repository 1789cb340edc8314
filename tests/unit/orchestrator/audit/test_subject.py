"""What is audited: a finished build of this spec and this lock, planned as it was."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from containers import registry
from containers.policy import Limits, Policy
from containers.remote.farm import Farm, Settings
from orchestrator import resources
from orchestrator.audit import subject
from orchestrator.audit.subject import OnDemand, Subject
from orchestrator.lock import file as locks
from orchestrator.spec import model as specs
from reproducibility import digest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from reproducibility.variations import VARIED
from tests import results as documents
from tests.fakes import FakeEngine, FakeObserver, action, made
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store import Store

SPEC, LOCK = (str(digest.of_bytes(name)) for name in (b"spec", b"lock"))


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder; spec and lock are such that their digests are those above."""
    pinned = SimpleNamespace(digest=digest.of_bytes(b"lock"), check_fits=lambda _: None)
    wanted = SimpleNamespace(digest=digest.of_bytes(b"spec"))
    monkeypatch.setattr(specs, "load", lambda _: wanted)
    monkeypatch.setattr(locks, "load", lambda _: pinned)
    return tmp_path


def write(out: Path, **changes: Any) -> None:  # noqa: ANN401 - JSON
    document = documents.document(**{"spec": SPEC, "lock": LOCK, **changes})
    (out / "result.json").write_text(json.dumps(document))


def test_a_build_of_this_spec_and_lock_is_found(out: Path) -> None:
    write(out)
    found = subject.find(out / "s", out / "l", out)
    assert str(found.result.spec) == SPEC


@pytest.mark.parametrize("what", ["spec", "lock"])
def test_a_build_of_another_one_is_refused(out: Path, what: str) -> None:
    write(out, **{what: documents.NOTHING})
    with pytest.raises(InputError, match=f"from another {what}") as caught:
        subject.find(out / "spec", out / "lock", out)
    assert caught.value.status == 2
    assert caught.value.subject == str(out / what)
    assert "orchestrate build" in caught.value.remedy


def test_without_a_build_there_is_nothing_to_audit(out: Path) -> None:
    with pytest.raises(InputError, match="no result of a build"):
        subject.find(out / "spec", out / "lock", out)


def recorded(out: Path, *steps: dict[str, Any]) -> Any:  # noqa: ANN401 - a finding
    write(out, steps=[*steps, documents.step("image", kind="computation")])
    return subject.find(out / "spec", out / "lock", out)


def test_steps_get_the_conditions_that_the_build_gave_them(out: Path) -> None:
    conditions = dict(VARIED.describe())
    found = recorded(out, documents.step("a", conditions=conditions), documents.step("b"))
    steps = [step("a"), replace(step("b"), conditions=VARIED)]
    a, b = subject._as_built(steps, found)
    assert a.conditions == VARIED
    assert b.conditions.describe() == {}


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c"), ()])
def test_another_plan_is_refused(out: Path, names: tuple[str, ...]) -> None:
    found = recorded(out, documents.step("a"), documents.step("b"))
    with pytest.raises(InputError, match=r"plans the step \w otherwise"):
        subject._as_built([step(name) for name in names], found)


@pytest.mark.parametrize(
    ("tool", "words"),
    [("0.0.9", "plans the step a otherwise"), (resources.VERSION, "json was changed after")],
)
def test_a_step_of_another_key_is_refused_and_not_run(
    out: Path, store: Store, tool: str, words: str
) -> None:
    steps = [documents.step("a"), documents.step("image", kind="computation")]
    write(out, tool=tool, steps=steps)
    limits: Any = SimpleNamespace(limits=SimpleNamespace(policy=Limits))
    found = replace(subject.find(out / "spec", out / "lock", out), wanted=limits)
    one = Subject(found, cast("Any", None), (step("a"),))
    engine = FakeEngine({"a": made(b"1")})
    with pytest.raises(InputError, match=words):
        one.results(
            engine,
            store,
            jobs=1,
            observer=FakeObserver(),
            stop=threading.Event(),
        )
    assert engine.runs == []


def test_an_engine_is_connected_when_it_is_needed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeEngine({"a": made(b"1")}, processors=7)
    asked: list[str] = []

    def connect(name: str, *_: object) -> FakeEngine:
        asked.append(name)
        return fake

    monkeypatch.setattr(registry, "connect", connect)
    with OnDemand("docker", tmp_path) as engine:
        assert engine.name == "docker"
        assert asked == []
        assert not engine.run(action("a"), Policy(), store, threading.Event()).failed
        assert (engine.processors, engine.identity.name) == (7, "fake")
        assert engine.capabilities() == fake.capabilities()
        assert engine.enforcement(Policy())
        assert engine.actions == 0
    assert asked == ["docker"]


def test_a_farm_is_for_the_engine_that_needs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(Farm("unix:/nowhere", {}), lambda *_: Tree())
    given: dict[str, object] = {}

    def connect(name: str, _: Path, said: object) -> FakeEngine:
        given[name] = said
        return FakeEngine({}, name)

    monkeypatch.setattr(registry, "connect", connect)
    for name in ("sandbox", "remote"):
        with OnDemand(name, tmp_path, settings) as engine:
            assert engine.identity.name == name
    assert given == {"sandbox": None, "remote": settings}
