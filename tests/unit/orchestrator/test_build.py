"""The whole job: what is asked of its parts, and which checks must be there at its end."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from containers import registry
from containers.remote.farm import Farm
from orchestrator import build, inputs, plan
from orchestrator.artifacts import image as making
from orchestrator.artifacts.earlier_files import EarlierFiles
from orchestrator.execution import rebuilding
from orchestrator.spec import model as specs
from reproducibility import codes
from reproducibility.compare import Verdict
from reproducibility.errors import InfrastructureError, InputError
from tests.fakes import FakeEngine, FakeObserver, made
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.execution.test_scheduler import chained, step

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from containers.remote.farm import Cache, Settings
    from orchestrator.execution.step import Step
    from orchestrator.store import Store
    from reproducibility.compare import CheckKind


def job(store: Store, folder: Path, *, rebuild: bool = False, boot: bool = False) -> build._Job:
    kernel = {"kernel": {"amd64": {"package": "linux-image-amd64"}}}
    wanted = specs.Spec.model_validate(
        {
            "image": {"epoch": samples.EPOCH, "architectures": ["amd64"]},
            "go": {"version": "1.27.3", "bootstrap": "1.26.6"},
            "source": [samples.source().model_dump()],
            **({"boot": kernel} if boot else {}),
        }
    )
    options = build.Options(
        spec=folder / "sourcery.toml",
        lock=folder / "sourcery.lock",
        out=folder / "out",
        architectures=(),
        engine="docker",
        jobs=0,
        offline=True,
        bundle=None,
        rebuild=rebuild,
        store=store.root,
    )
    pinned: Any = None
    stop, earlier = threading.Event(), EarlierFiles(options.out)
    return build._Job(
        options, wanted, pinned, ("amd64",), store, FakeObserver(), stop, 0.0, earlier
    )


def test_the_plan_is_drawn_for_the_engines_processors(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of them is what F2 gets; the orchestrator's machine may have others."""
    asked: list[int] = []

    def draw(*_: object, processors: int, **__: object) -> plan.Plan:
        asked.append(processors)
        raise InputError("enough")

    monkeypatch.setattr(inputs, "ensure", lambda *_, **__: None)
    monkeypatch.setattr(registry, "connect", lambda *_: FakeEngine({}, processors=77))
    monkeypatch.setattr(plan, "draw", draw)
    with pytest.raises(InputError, match="enough"):
        job(store, tmp_path).run()
    assert asked == [77]


def plan_of_two() -> plan.Plan:
    """A plan with two steps, and one check beside them."""
    return plan.Plan(
        chain=samples.chain(),
        compiling=None,  # type: ignore[arg-type] # not looked at
        steps=[step("a"), step("b", "a")],
        expected=[(codes.FIXED_POINT, "amd64")],
    )


def test_what_an_earlier_round_of_the_same_build_gave_is_no_base(
    store: Store, tmp_path: Path
) -> None:
    """After a damaged blob the job runs again; the next build has a base."""
    engine = FakeEngine({"a": made(b"1"), "b": chained})

    def verdicts(job: build._Job) -> set[Verdict]:
        found = rebuilding.checks(job._run(plan_of_two().steps, engine).compared.values())
        return {check.verdict for check in found}

    one = job(store, tmp_path, rebuild=True)
    assert [verdicts(one), verdicts(one)] == [{Verdict.SKIP}, {Verdict.SKIP}]
    assert engine.runs == ["a", "b"] * 2
    assert verdicts(job(store, tmp_path, rebuild=True)) == {Verdict.PASS}


def test_a_rebuild_expects_a_check_of_everything_that_is_remembered(
    store: Store, tmp_path: Path
) -> None:
    drawn = plan_of_two()

    def expected(one: build._Job) -> set[tuple[CheckKind, str]]:
        have = cast("inputs.Inputs", SimpleNamespace(boot={}))
        end = build._End(one, drawn, have, cast("ThreadPoolExecutor", None))
        output = build._Output(ExitStack(), tmp_path / "out", one.stop)
        steps = one._steps(drawn, have, end, output)
        return set(one._expected(drawn, steps))

    usual = {(codes.FIXED_POINT, "amd64"), *making.EXPECTED}
    assert expected(job(store, tmp_path)) == usual
    again = {(codes.REBUILD, name) for name in ("a", "b", "image")}
    assert expected(job(store, tmp_path, rebuild=True)) == usual | again
    booting = expected(job(store, tmp_path, rebuild=True, boot=True))
    assert booting == usual | again | {(codes.REBUILD, "boot files/amd64")}


def test_an_engine_that_cannot_be_closed_leaves_the_old_output(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(FakeEngine):
        def __exit__(self, *exception: object) -> None:
            raise InfrastructureError("its volumes cannot be removed")

    one = job(store, tmp_path)
    outputs: list[build._Output] = []

    def steps(
        _: build._Job, drawn: object, have: object, end: object, output: build._Output
    ) -> list[Step]:
        del drawn, have, end
        outputs.append(output)
        return []

    def ran(*_: object) -> object:
        (outputs[0].folder / "result.json").write_text("new")
        return SimpleNamespace(results={}, compared={})

    monkeypatch.setattr(inputs, "ensure", lambda *_, **__: None)
    monkeypatch.setattr(registry, "connect", lambda *_: Failing({}))
    monkeypatch.setattr(plan, "draw", lambda *_, **__: plan_of_two())
    monkeypatch.setattr(build._Job, "_steps", steps)
    monkeypatch.setattr(build._Job, "_run", ran)
    with pytest.raises(InfrastructureError, match="volumes"):
        one.run()
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(("rebuild", "cache"), [(False, "own"), (True, "none")])
def test_what_is_built_again_is_not_asked_of_a_farms_cache(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, rebuild: bool, cache: Cache
) -> None:
    named = Farm("unix:/farm", {}, cache="own", key=tmp_path / "key.pem")
    one = job(store, tmp_path, rebuild=rebuild)
    one = replace(one, options=replace(one.options, engine="remote", farm=named))
    given: list[Farm] = []

    def connect(_: str, __: Path, settings: Settings) -> FakeEngine:
        given.append(settings.farm)
        raise InputError("enough")

    monkeypatch.setattr(inputs, "ensure", lambda *_, **__: None)
    monkeypatch.setattr(registry, "connect", connect)
    with pytest.raises(InputError, match="enough"):
        one.run()
    assert given == [replace(named, cache=cache, key=None if rebuild else named.key)]
