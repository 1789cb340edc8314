"""Foreign toolchains that build themselves, on fakes: what is compared, remembered and refused."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from containers.remote.farm import Farm, Workers
from orchestrator import emulator
from orchestrator.audit import native
from orchestrator.cli.main import run
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError, Stopped
from tests import results as documents
from tests.fakes import Asked, Made
from tests.unit.orchestrator.audit.world import (
    BUILD,
    EMULATOR,
    TRYING,
    VERSION,
    WithPrograms,
    cell,
    codes,
    doctored,
    on_docker,
    on_other_engine,
    places,
    prepared,
    programs,
    released,
    remembered,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.audit import matrix, model
    from tests.unit.orchestrator.audit.world import Foreign


def test_a_toolchain_that_builds_itself_passes(foreign: Foreign) -> None:
    found = foreign.native()
    assert codes(found)["riscv64"] == "native-build.same"
    assert codes(found)["build"] == "audit-coverage.part"
    assert found.verdict == "SKIP"
    made = cell(found)
    assert (made.verdict, made.how, made.root) == ("PASS", "native emulated", "go 1.26.6")
    assert made.evidence is not None
    assert made.evidence.emulator is not None
    assert made.evidence.emulator.blake3 == digest.of_bytes(EMULATOR)
    assert foreign.runs() == [BUILD, VERSION]
    assert found.asked.native == ("riscv64",)


def test_it_runs_in_the_emulator_and_so_does_all_that_it_starts(foreign: Foreign) -> None:
    asked: list[Asked] = []

    def seen(one: Asked) -> Made:
        asked.append(one)
        return programs()

    foreign.engine.table[BUILD] = seen
    foreign.native()
    action = asked[0].action
    at = "/emulator/qemu-riscv64-static"
    assert action.command[:4] == (at, "/go/bin/go", "build", f"-toolexec={at}")
    assert dict(action.environment)["GOARCH"] == "riscv64"
    mounts = {mount.at: mount.tree for mount in action.mounts}
    assert [entry.digest for entry in mounts["/emulator"].files()] == [
        digest.of_bytes(EMULATOR).hex
    ]
    assert mounts["/go"].get("pkg/tool/linux_riscv64/compile") is not None
    assert foreign.engine.policies[-1].limits.seconds > foreign.engine.policies[0].limits.seconds


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (programs(compile=b"compilE"), "native-build.differs"),
        (programs(more=b"one more"), "native-build.differs"),
        (Made({"out/go": b"go"}), "native-build.differs"),
        (Made(stderr=b"SIGILL", exit_status=2), "native-build.failed"),
        (Made({"out/go": b"go"}, ended_by="time"), "native-build.failed"),
    ],
)
def test_what_differs_or_fails_is_a_failure(foreign: Foreign, made: Made, code: str) -> None:
    foreign.engine.table[BUILD] = lambda _: made
    found = foreign.native()
    assert codes(found)["riscv64"] == code
    assert (found.verdict, cell(found).verdict) == ("FAIL", "FAIL")
    # It is not believed for ever, and what differed can be looked at.
    foreign.engine.table[BUILD] = lambda _: programs()
    evidence = cell(found).evidence
    assert evidence is not None
    if evidence.outputs is not None:
        with closing(Store(foreign.store)) as store:
            assert store.load_tree(evidence.outputs)
    assert cell(foreign.native()).verdict == "PASS"


def test_a_planted_byte_in_one_program_is_named(foreign: Foreign) -> None:
    foreign.engine.table[BUILD] = lambda _: programs(link=b"LINK")
    (check,) = (one for one in foreign.native().checks if one.subject == "riscv64")
    assert [one.path for one in check.differences] == ["link"]
    assert "link" in check.reason
    with closing(Store(foreign.store)) as store:
        sides = check.reason.partition("orchestrate compare ")[2].rstrip("`").split()
        first, second = (store.load_tree(Digest.parse(side)) for side in sides)
    assert [one.path for one in first if second.get(one.path) != one] == ["link"]


@pytest.mark.parametrize("said", [b"go version go1.27.3 linux/amd64\n", b"", b"\xff"])
def test_what_runs_as_another_architecture_proves_nothing(foreign: Foreign, said: bytes) -> None:
    foreign.engine.table[VERSION] = lambda _: Made(stdout=said)
    assert codes(foreign.native())["riscv64"] == "native-build.failed"
    assert BUILD not in foreign.engine.runs


def test_what_was_proved_is_remembered_for_the_same_emulator_and_engine(foreign: Foreign) -> None:
    first = foreign.native()
    foreign.engine.runs.clear()
    again = foreign.native()
    assert foreign.runs() == []
    assert cell(again) == cell(first)
    (check,) = (one for one in again.checks if one.subject == "riscv64")
    assert cell(first).when in check.reason
    (foreign.folder / "qemu-riscv64-static").write_bytes(b"another emulator")
    assert cell(foreign.native()).verdict == "PASS"
    assert foreign.runs() == [BUILD, VERSION]
    foreign.engine.runs.clear()
    foreign.engine._identity = replace(foreign.engine.identity, own="another kernel")
    foreign.native()
    assert foreign.runs() == [BUILD, VERSION]


def test_an_interrupted_one_is_not_remembered_and_runs_again(foreign: Foreign) -> None:
    def stopped(asked: Asked) -> Made:
        foreign.stop.set()
        return asked.until_stopped()

    foreign.engine.table[BUILD] = stopped
    with pytest.raises(Stopped):
        foreign.audit(native=("riscv64",))
    assert not (foreign.out / "audit.json").exists()
    foreign.stop.clear()
    foreign.engine.table[BUILD] = lambda _: programs()
    foreign.engine.runs.clear()
    found = foreign.audit(native=("all",))
    # The steps were done.
    assert foreign.runs() == [BUILD, VERSION]
    assert found.coverage.went_on == 2
    assert codes(found)["riscv64"] == "native-build.same"


def test_a_missing_emulator_is_said_before_anything_runs(
    foreign: Foreign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> None:
        raise InfrastructureError("no emulator", remedy="`apt install qemu-user-static`")

    monkeypatch.setattr(emulator, "require", missing)
    assert run(["audit", *places(foreign), "--json", "--native", "riscv64"]) == 4
    assert "qemu-user-static" in json.loads(capsys.readouterr().out)["error"]["remedy"]
    assert foreign.engine.runs == []


def test_an_emulator_that_does_not_run_is_no_verdict(foreign: Foreign) -> None:
    foreign.engine.table[VERSION] = lambda _: Made(stderr=b"cannot execute", exit_status=126)
    with pytest.raises(InfrastructureError, match="cannot execute") as caught:
        foreign.native()
    assert "qemu-user-static" in caught.value.remedy


def test_a_toolchain_that_crashes_at_once_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = WithPrograms.of(tmp_path)
    prepared(foreign, tmp_path, monkeypatch)
    found = foreign.native()
    assert codes(found)["riscv64"] == "native-build.failed"
    assert (found.verdict, cell(found).verdict) == ("FAIL", "FAIL")
    assert "SIGSEGV" in cell(found).reason
    assert foreign.runs() == [TRYING, VERSION]


@pytest.mark.parametrize(
    "small", [Made(stderr=b"no ELF", exit_status=1), Made(), Made(ended_by="time")]
)
def test_an_emulator_that_runs_nothing_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Made
) -> None:
    foreign = WithPrograms.of(tmp_path)
    prepared(foreign, tmp_path, monkeypatch)
    foreign.small = small
    with pytest.raises(InfrastructureError, match="nor does it run installcommand"):
        foreign.native()
    assert remembered(foreign).cells() == ()


@pytest.mark.parametrize("name", ["cross/riscv64", "F1"])
def test_other_programs_than_the_builds_prove_nothing(foreign: Foreign, name: str) -> None:
    released(foreign, "riscv64")
    doctored(foreign, name, outputs=documents.NOTHING)
    found = foreign.native()
    assert codes(found)["riscv64"] == "native-build.other-result"
    (check,) = (one for one in found.checks if one.code == "native-build.other-result")
    assert name in check.reason
    assert found.verdict == "FAIL"
    assert not cell(found).filled
    assert (cell(found).verdict, cell(found, "release").verdict) == ("SKIP", "SKIP")
    assert foreign.runs() == []
    on_docker(foreign)
    assert not on_other_engine(foreign.audit(engine="docker")).filled
    assert remembered(foreign).cells() == ()


def test_two_audits_with_other_toolchains_run_beside_each_other(foreign: Foreign) -> None:
    within: list[str] = []

    def other(_: Asked) -> Made:
        if not within:
            within.extend(codes(foreign.audit()).values())
        return programs()

    foreign.engine.table[BUILD] = other
    assert codes(foreign.audit(native=("riscv64",)))["riscv64"] == "native-build.same"
    assert "audit-coverage.whole" in within


def test_the_budget_leaves_it_out(foreign: Foreign) -> None:
    found = foreign.audit(native=("riscv64",), budget=1, clock=iter(range(100)).__next__)
    assert codes(found)["riscv64"] == "native-build.not-run"
    assert cell(found).verdict == "SKIP"
    assert "--native riscv64" in cell(found).command
    assert BUILD not in foreign.engine.runs


def test_alone_and_not_begun_it_compared_nothing(foreign: Foreign) -> None:
    found = foreign.native(budget=1, clock=iter(range(100)).__next__)
    assert codes(found)["riscv64"] == "native-build.not-run"
    assert (codes(found)["build"], found.verdict) == ("audit-coverage.nothing", "FAIL")
    assert BUILD not in foreign.engine.runs
    assert codes(foreign.native())["build"] == "audit-coverage.part"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["amd64"], "this machine's own"),
        (["arm64"], "the build has no toolchain for arm64"),
        (["moon"], "no architecture 'moon'"),
        (["riscv64", "moon"], "no architecture 'moon'"),
        (["ALL"], "no architecture 'ALL'"),
    ],
)
def test_other_architectures_are_refused(foreign: Foreign, names: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        foreign.native(native=tuple(names))
    assert "riscv64" in caught.value.remedy
    assert ("did you mean 'all'?" in caught.value.remedy) == (names == ["ALL"])
    assert foreign.engine.runs == []


def test_a_build_for_this_machine_alone_has_no_foreign_toolchain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "host", lambda: "amd64")
    assert native.chosen([], ["amd64"]) == ()
    with pytest.raises(InputError, match="this machine's own"):
        native.chosen(["all"], ["amd64"])
    chosen = native.chosen(["all", "riscv64"], ["riscv64", "amd64", "arm64"])
    assert chosen == ("riscv64", "arm64")


# -- workers of the architecture itself ----------------------------------------------------------


def on_farm(foreign: Foreign, *architectures: str) -> dict[str, Any]:
    """Let the engine be a farm with workers of these architectures; what is asked of an audit."""
    foreign.engine.name = "remote"
    foreign.engine._identity = replace(foreign.engine.identity, name="remote")
    workers = {name: Workers((), 2) for name in ("amd64", *architectures)}
    return {"engine": "remote", "farm": Farm("farm:1", workers)}


def of_farm(found: model.AuditResult) -> matrix.Cell:
    (made,) = (
        one for one in found.matrix if (one.comparison, one.engine) == ("native-build", "remote")
    )
    return made


def test_on_a_worker_of_the_architecture_nothing_is_emulated(
    foreign: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: str) -> None:
        raise AssertionError("no emulator is looked for")

    monkeypatch.setattr(emulator, "require", none)
    asked: list[Asked] = []

    def seen(one: Asked) -> Made:
        asked.append(one)
        return programs()

    foreign.engine.table[BUILD] = seen
    found = foreign.native(**on_farm(foreign, "riscv64"))
    action = asked[0].action
    assert action.architecture == "riscv64"
    assert action.command[:3] == ("/go/bin/go", "build", "-trimpath")
    assert [mount.at for mount in action.mounts] == ["/go"]
    made = of_farm(found)
    assert (made.verdict, made.how) == ("PASS", "native")
    assert made.evidence is not None
    assert made.evidence.emulator is None
    assert codes(found)["riscv64"] == "native-build.same"
    # Emulated it is another cell, which nobody has filled; that of the worker is remembered.
    assert not cell(found).filled
    foreign.engine.runs.clear()
    assert of_farm(foreign.native(**on_farm(foreign, "riscv64"))) == made
    assert foreign.runs() == []


def test_a_farm_without_such_workers_emulates(foreign: Foreign) -> None:
    made = of_farm(foreign.native(**on_farm(foreign, "arm64")))
    assert (made.verdict, made.how) == ("PASS", "native emulated")


def test_a_worker_that_runs_nothing_of_the_architecture_is_no_verdict(foreign: Foreign) -> None:
    foreign.engine.table[VERSION] = lambda _: Made(stderr=b"cannot execute", exit_status=126)
    with pytest.raises(InfrastructureError, match="the farm's worker does not run") as caught:
        foreign.native(**on_farm(foreign, "riscv64"))
    assert "[workers.riscv64]" in caught.value.remedy


def test_what_comes_from_a_cache_proves_nothing(foreign: Foreign) -> None:
    foreign.engine.taken_from[VERSION] = "action cache (all)"
    with pytest.raises(InfrastructureError, match=f"{VERSION} was to be run again"):
        foreign.native()
