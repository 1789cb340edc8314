"""Foreign toolchains that build themselves, on fakes: what is compared, remembered and refused."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from orchestrator import emulator
from orchestrator.artifacts import model as results
from orchestrator.audit import choosing, matrix, model, native, proofs, standing
from orchestrator.cli.main import run
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError, Stopped
from tests import results as documents
from tests.fakes import Asked, Made
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.audit.world import World, clean, codes, host_in_it
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.audit.subject import Finding, Subject

EMULATOR = b"an emulator"
VERSION = "native/riscv64/version"
TRYING = "native/riscv64/emulator"
BUILD = "native/riscv64"
ONLY = ("native/riscv64",)


def programs(**changes: bytes) -> Made:
    """A whole toolchain in the folder of an action's outputs."""
    files = {f"out/{name}": data for name, data in {**samples.BUILT, **changes}.items()}
    return Made(files, frozenset(files))


class Foreign(World):
    """A build with a toolchain for riscv64, whose programs run in an emulator."""

    def finding(self, *parts: object) -> Finding:
        found = super().finding(*parts)
        image = found.wanted.image.model_copy(update={"architectures": ("amd64", "riscv64")})
        return replace(found, wanted=found.wanted.model_copy(update={"image": image}))

    def draw(self, found: Finding, *parts: object, **more: object) -> Subject:
        drawn = super().draw(found, *parts, **more)
        chain = SimpleNamespace(drawn=SimpleNamespace(chain=samples.chain()))
        return replace(drawn, assembly=cast("Any", chain))

    def native(self, **changes: Any) -> model.AuditResult:  # noqa: ANN401 - fields of the request
        """The proof alone."""
        return self.audit(**{"native": ("riscv64",), "only": ONLY, **changes})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    table = {
        "F1": clean,
        "cross/riscv64": lambda _: programs(),
        VERSION: lambda _: Made(stdout=b"go version go1.27.3 linux/riscv64\n"),
        BUILD: lambda _: programs(),
    }
    steps = [step("F1"), step("cross/riscv64", "F1")]
    made = Foreign(tmp_path, steps, table)
    prepared(made, tmp_path, monkeypatch)
    return made


class WithPrograms(Foreign):
    """The same, with the userland's programs; `small`: what the small one does."""

    small = Made(stdout=b"Usage: installcommand -edit NAME")

    @classmethod
    def of(cls, folder: Path) -> WithPrograms:
        table = {
            "F1": clean,
            "cross/riscv64": lambda _: programs(),
            "programs/riscv64": lambda _: Made({"out/installcommand": b"small"}),
            VERSION: lambda _: Made(stderr=b"SIGSEGV", exit_status=139),
        }
        steps = [step("F1"), step("cross/riscv64", "F1"), step("programs/riscv64", "F1")]
        made = cls(folder, steps, table)
        made.engine.table[TRYING] = lambda _: made.small
        return made


def prepared(made: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an audit find a world, and an emulator."""
    made.patch(monkeypatch)
    program = folder / "qemu-riscv64-static"
    program.write_bytes(EMULATOR)
    monkeypatch.setattr(emulator, "require", lambda _: program)
    for module in (native, proofs, standing, choosing):
        monkeypatch.setattr(module, "host", lambda: "amd64")


def doctored(world: World, name: str, **changes: Any) -> None:  # noqa: ANN401 - JSON
    """Let `result.json` say something else of a step, and keep its checks."""
    document = json.loads((world.out / "result.json").read_bytes())
    for one in document["steps"]:
        if one["name"] == name:
            one.update(changes)
    world.write(steps=document["steps"], checks=document["checks"])


def remembered(world: World) -> matrix.Record:
    """The record of the build's cells; its store is left open."""
    store = Store(world.store)
    build = results.parse((world.out / "result.json").read_bytes())
    return matrix.Record(store, matrix.identity(build))


def places(world: World) -> list[str]:
    """Options that say where everything lies."""
    options = {"--out": world.out, "--store": world.store, "--spec": "s", "--lock": "l"}
    return [str(word) for pair in options.items() for word in pair]


def cell(found: model.AuditResult, comparison: str = "native-build") -> matrix.Cell:
    (made,) = (
        one
        for one in found.matrix
        if (one.comparison, one.target, one.engine) == (comparison, "riscv64", "sandbox")
    )
    return made


def test_a_toolchain_that_builds_itself_passes(world: Foreign) -> None:
    found = world.native()
    assert codes(found)["riscv64"] == "native-build.same"
    assert codes(found)["build"] == "audit-coverage.part"
    assert found.verdict == "SKIP"
    made = cell(found)
    assert (made.verdict, made.how, made.root) == ("PASS", "native emulated", "go 1.26.6")
    assert made.evidence is not None
    assert made.evidence.emulator is not None
    assert made.evidence.emulator.blake3 == digest.of_bytes(EMULATOR)
    assert world.runs() == [BUILD, VERSION]
    assert found.asked.native == ("riscv64",)


def test_it_runs_in_the_emulator_and_so_does_all_that_it_starts(world: Foreign) -> None:
    asked: list[Asked] = []

    def seen(one: Asked) -> Made:
        asked.append(one)
        return programs()

    world.engine.table[BUILD] = seen
    world.native()
    action = asked[0].action
    at = "/emulator/qemu-riscv64-static"
    assert action.command[:4] == (at, "/go/bin/go", "build", f"-toolexec={at}")
    assert dict(action.environment)["GOARCH"] == "riscv64"
    mounts = {mount.at: mount.tree for mount in action.mounts}
    assert [entry.digest for entry in mounts["/emulator"].files()] == [
        digest.of_bytes(EMULATOR).hex
    ]
    assert mounts["/go"].get("pkg/tool/linux_riscv64/compile") is not None
    assert world.engine.policies[-1].limits.seconds > world.engine.policies[0].limits.seconds


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
def test_what_differs_or_fails_is_a_failure(world: Foreign, made: Made, code: str) -> None:
    world.engine.table[BUILD] = lambda _: made
    found = world.native()
    assert codes(found)["riscv64"] == code
    assert (found.verdict, cell(found).verdict) == ("FAIL", "FAIL")
    # It is not believed for ever, and what differed can be looked at.
    world.engine.table[BUILD] = lambda _: programs()
    evidence = cell(found).evidence
    assert evidence is not None
    if evidence.outputs is not None:
        with closing(Store(world.store)) as store:
            assert store.load_tree(evidence.outputs)
    assert cell(world.native()).verdict == "PASS"


def test_a_planted_byte_in_one_program_is_named(world: Foreign) -> None:
    world.engine.table[BUILD] = lambda _: programs(link=b"LINK")
    (check,) = (one for one in world.native().checks if one.subject == "riscv64")
    assert [one.path for one in check.differences] == ["link"]
    assert "link" in check.reason
    with closing(Store(world.store)) as store:
        sides = check.reason.partition("orchestrate compare ")[2].rstrip("`").split()
        first, second = (store.load_tree(Digest.parse(side)) for side in sides)
    assert [one.path for one in first if second.get(one.path) != one] == ["link"]


@pytest.mark.parametrize("said", [b"go version go1.27.3 linux/amd64\n", b"", b"\xff"])
def test_what_runs_as_another_architecture_proves_nothing(world: Foreign, said: bytes) -> None:
    world.engine.table[VERSION] = lambda _: Made(stdout=said)
    assert codes(world.native())["riscv64"] == "native-build.failed"
    assert BUILD not in world.engine.runs


def test_what_was_proved_is_remembered_for_the_same_emulator_and_engine(world: Foreign) -> None:
    first = world.native()
    world.engine.runs.clear()
    again = world.native()
    assert world.runs() == []
    assert cell(again) == cell(first)
    (check,) = (one for one in again.checks if one.subject == "riscv64")
    assert cell(first).when in check.reason
    (world.folder / "qemu-riscv64-static").write_bytes(b"another emulator")
    assert cell(world.native()).verdict == "PASS"
    assert world.runs() == [BUILD, VERSION]
    world.engine.runs.clear()
    world.engine._identity = replace(world.engine.identity, own="another kernel")
    world.native()
    assert world.runs() == [BUILD, VERSION]


def test_an_interrupted_one_is_not_remembered_and_runs_again(world: Foreign) -> None:
    def stopped(asked: Asked) -> Made:
        world.stop.set()
        return asked.until_stopped()

    world.engine.table[BUILD] = stopped
    with pytest.raises(Stopped):
        world.audit(native=("riscv64",))
    assert not (world.out / "audit.json").exists()
    world.stop.clear()
    world.engine.table[BUILD] = lambda _: programs()
    world.engine.runs.clear()
    found = world.audit(native=("all",))
    # The steps were done.
    assert world.runs() == [BUILD, VERSION]
    assert found.coverage.went_on == 2
    assert codes(found)["riscv64"] == "native-build.same"


def test_a_missing_emulator_is_said_before_anything_runs(
    world: Foreign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> None:
        raise InfrastructureError("no emulator", remedy="`apt install qemu-user-static`")

    monkeypatch.setattr(emulator, "require", missing)
    assert run(["audit", *places(world), "--json", "--native", "riscv64"]) == 4
    assert "qemu-user-static" in json.loads(capsys.readouterr().out)["error"]["remedy"]
    assert world.engine.runs == []


def test_an_emulator_that_does_not_run_is_no_verdict(world: Foreign) -> None:
    world.engine.table[VERSION] = lambda _: Made(stderr=b"cannot execute", exit_status=126)
    with pytest.raises(InfrastructureError, match="cannot execute") as caught:
        world.native()
    assert "qemu-user-static" in caught.value.remedy


def test_a_toolchain_that_crashes_at_once_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = WithPrograms.of(tmp_path)
    prepared(world, tmp_path, monkeypatch)
    found = world.native()
    assert codes(found)["riscv64"] == "native-build.failed"
    assert (found.verdict, cell(found).verdict) == ("FAIL", "FAIL")
    assert "SIGSEGV" in cell(found).reason
    assert world.runs() == [TRYING, VERSION]


@pytest.mark.parametrize(
    "small", [Made(stderr=b"no ELF", exit_status=1), Made(), Made(ended_by="time")]
)
def test_an_emulator_that_runs_nothing_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Made
) -> None:
    world = WithPrograms.of(tmp_path)
    prepared(world, tmp_path, monkeypatch)
    world.small = small
    with pytest.raises(InfrastructureError, match="nor does it run installcommand"):
        world.native()
    assert remembered(world).cells() == ()


@pytest.mark.parametrize("name", ["cross/riscv64", "F1"])
def test_other_programs_than_the_builds_prove_nothing(world: Foreign, name: str) -> None:
    released(world, "riscv64")
    doctored(world, name, outputs=documents.NOTHING)
    found = world.native()
    assert codes(found)["riscv64"] == "native-build.other-result"
    (check,) = (one for one in found.checks if one.code == "native-build.other-result")
    assert name in check.reason
    assert found.verdict == "FAIL"
    assert not cell(found).filled
    assert (cell(found).verdict, cell(found, "release").verdict) == ("SKIP", "SKIP")
    assert world.runs() == []
    on_docker(world)
    assert not on_other_engine(world.audit(engine="docker")).filled
    assert remembered(world).cells() == ()


def test_a_cell_of_another_toolchain_is_shown_as_open_and_filled_again(world: Foreign) -> None:
    made = cell(world.native())
    assert made.evidence is not None
    evidence = made.evidence.model_copy(update={"outputs": Digest.parse(documents.NOTHING)})
    remembered(world).add([made.model_copy(update={"evidence": evidence})])
    shown = cell(world.audit())
    assert (shown.verdict, shown.filled) == ("SKIP", False)
    assert shown.reason.startswith("proved for another toolchain")
    assert shown.command == (
        "orchestrate audit --native riscv64 --only native/riscv64 --engine sandbox"
    )
    assert cell(world.native()).verdict == "PASS"
    assert cell(world.audit()).verdict == "PASS"


def test_a_cell_of_a_day_to_come_is_no_evidence(world: Foreign) -> None:
    made = cell(world.native())
    remembered(world).add([made.model_copy(update={"when": "2999-01-01T00:00:00Z"})])
    shown = cell(world.audit())
    assert (shown.verdict, shown.filled) == ("SKIP", False)
    assert "2999-01-01" in shown.reason
    world.engine.runs.clear()
    assert cell(world.native()).when < "2999"
    assert world.runs() == [BUILD, VERSION]


def test_a_pass_after_a_fail_says_so(world: Foreign, capsys: pytest.CaptureFixture[str]) -> None:
    world.engine.table[BUILD] = lambda _: programs(link=b"LINK")
    failed = cell(world.native())
    # A remembered one changes no verdict, but it is told of.
    assert world.audit().verdict != "FAIL"
    assert run(["audit", *places(world)]) == 0
    assert "; 1 cell of the matrix is FAIL" in capsys.readouterr().out
    world.engine.table[BUILD] = lambda _: programs()
    made = cell(world.native())
    assert (made.verdict, made.failed) == ("PASS", failed.when)
    assert made.reason.endswith(f"; FAILed on {failed.when}")
    assert run(["audit", *places(world)]) == 0
    shown = capsys.readouterr().out
    assert f"{made.when}; FAILed on {failed.when}" in shown
    assert "of the matrix" not in shown


def test_a_guilty_action_fails_the_builds_own_cells(world: Foreign) -> None:
    released(world, "riscv64")
    assert cell(world.native()).verdict == "PASS"
    world.engine.table["F1"] = host_in_it
    found = world.audit()
    for comparison in ("release", "native-build"):
        assert cell(found, comparison).verdict == "FAIL"
        assert "F1" in cell(found, comparison).reason
    failed = cell(found, "release").when
    world.engine.table["F1"] = clean
    # A part that does not try it again takes nothing back.
    assert cell(world.audit(only=("image",)), "release").verdict == "FAIL"
    made = cell(world.audit(), "release")
    assert (made.verdict, made.failed) == ("PASS", failed)
    assert "all 2 actions" in made.reason
    assert f"FAILed on {failed}" in made.reason
    assert cell(world.audit(only=("image",)), "release").failed == failed


def test_steps_of_several_engines_fill_no_cell_of_one(world: Foreign) -> None:
    released(world, "riscv64")
    engine = {"name": "docker", "identity": "Linux 6.1", "version": "27"}
    doctored(world, "F1", provenance={**documents.PROVENANCE, "engine": engine})
    assert not cell(world.audit(only=("image",)), "release").filled
    # One engine that does all of them again fills it.
    made = cell(world.audit(), "release")
    assert (made.verdict, made.engine) == ("PASS", "sandbox")
    assert "all 2 actions" in made.reason


def test_two_audits_with_other_toolchains_run_beside_each_other(world: Foreign) -> None:
    within: list[str] = []

    def other(_: Asked) -> Made:
        if not within:
            within.extend(codes(world.audit()).values())
        return programs()

    world.engine.table[BUILD] = other
    assert codes(world.audit(native=("riscv64",)))["riscv64"] == "native-build.same"
    assert "audit-coverage.whole" in within


def test_the_budget_leaves_it_out(world: Foreign) -> None:
    found = world.audit(native=("riscv64",), budget=1, clock=iter(range(100)).__next__)
    assert codes(found)["riscv64"] == "native-build.not-run"
    assert cell(found).verdict == "SKIP"
    assert "--native riscv64" in cell(found).command
    assert BUILD not in world.engine.runs


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
def test_other_architectures_are_refused(world: Foreign, names: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        world.native(native=tuple(names))
    assert "riscv64" in caught.value.remedy
    assert ("did you mean 'all'?" in caught.value.remedy) == (names == ["ALL"])
    assert world.engine.runs == []


def test_a_build_for_this_machine_alone_has_no_foreign_toolchain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "host", lambda: "amd64")
    assert native.chosen([], ["amd64"]) == ()
    with pytest.raises(InputError, match="this machine's own"):
        native.chosen(["all"], ["amd64"])
    chosen = native.chosen(["all", "riscv64"], ["riscv64", "amd64", "arm64"])
    assert chosen == ("riscv64", "arm64")


def released(world: Foreign, *targets: str) -> None:
    """Let the build have found that toolchains are their published releases."""
    steps = json.loads((world.out / "result.json").read_bytes())["steps"]
    checks = [documents.check(subject=target, code="release.same") for target in targets]
    world.write(steps=steps, checks=checks)


def on_docker(world: Foreign) -> None:
    """Let the engine be another one than made the build."""
    world.engine.name = "docker"
    world.engine._identity = replace(world.engine.identity, name="docker")


def test_the_matrix_says_what_nobody_ran(world: Foreign) -> None:
    released(world, "amd64", "riscv64")
    found = world.audit()
    assert {(one.target, one.engine, one.comparison): one.verdict for one in found.matrix} == {
        ("amd64", "docker", "fixed-point"): "SKIP",
        ("amd64", "docker", "release"): "SKIP",
        ("amd64", "sandbox", "fixed-point"): "SKIP",
        ("amd64", "sandbox", "release"): "PASS",
        ("riscv64", "docker", "native-build"): "SKIP",
        ("riscv64", "docker", "release"): "SKIP",
        ("riscv64", "sandbox", "native-build"): "SKIP",
        ("riscv64", "sandbox", "release"): "PASS",
    }
    still = [one for one in found.matrix if not one.filled]
    assert all(one.command.startswith("orchestrate audit") for one in still)
    assert model.parse((world.out / "audit.json").read_bytes()) == found


def on_other_engine(found: model.AuditResult) -> matrix.Cell:
    (made,) = (
        one
        for one in found.matrix
        if (one.comparison, one.target, one.engine) == ("release", "riscv64", "docker")
    )
    return made


def test_another_engine_that_gives_the_same_fills_its_cells(world: Foreign) -> None:
    released(world, "riscv64")
    on_docker(world)
    # F1 alone says nothing of what is built by it.
    assert not on_other_engine(world.audit(engine="docker", only=("F1",))).filled
    made = on_other_engine(world.audit(engine="docker"))
    assert (made.verdict, made.filled) == ("PASS", True)
    assert "all 2 actions" in made.reason
    assert made.evidence is not None
    assert made.evidence.engine.name == "docker"
    assert len(made.evidence.keys) == 2
    # It stays, whatever is audited next.
    assert on_other_engine(world.audit(engine="docker", only=("F1",))) == made


def test_another_engine_that_gives_something_else_fails_its_cells(world: Foreign) -> None:
    released(world, "riscv64")
    on_docker(world)
    world.engine.table["F1"] = host_in_it
    made = on_other_engine(world.audit(engine="docker"))
    assert (made.verdict, made.filled) == ("FAIL", True)
    assert "F1" in made.reason


def test_a_person_reads_the_matrix(world: Foreign, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", *places(world), "--native", "all"]) == 0
    shown = capsys.readouterr().out
    assert "matrix of this build's toolchains, made on amd64:" in shown
    (line,) = (one for one in shown.splitlines() if "by its own programs  2" in one)
    assert line.startswith("PASS  riscv64  go 1.26.6  sandbox  native emulated")
    assert "nobody ran it: `orchestrate audit --engine docker`" in shown


def test_a_failure_of_many_words_is_one_line_of_the_matrix(
    world: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    world.engine.table[BUILD] = lambda _: Made(stderr=b"SIGILL\nand\nmore", exit_status=2)
    assert run(["audit", *places(world), "--native", "all"]) == 1
    shown = capsys.readouterr().out
    table = shown.partition("matrix of this build's toolchains")[2]
    (line,) = (one for one in table.splitlines() if one.startswith("FAIL  riscv64"))
    assert "exit status 2: SIGILL" in line
    assert "\nand\n" not in table
    assert "more" in shown
