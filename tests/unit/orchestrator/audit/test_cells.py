"""Cells of the matrix, on fakes: what fills one, what opens it again, and how it is told."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from containers.engine import Capability
from orchestrator.artifacts.model import parse
from orchestrator.audit import matrix, model
from orchestrator.cli.main import run
from orchestrator.store import Store
from reproducibility import canonical
from reproducibility.digest import Digest
from tests import results as documents
from tests.fakes import Asked, Made
from tests.unit.orchestrator.audit.world import (
    ABLE,
    BUILD,
    VERSION,
    cell,
    clean,
    doctored,
    host_in_it,
    on_docker,
    on_other_engine,
    places,
    programs,
    released,
    remembered,
)

if TYPE_CHECKING:
    import pytest

    from tests.unit.orchestrator.audit.world import Foreign


def test_a_cell_of_another_toolchain_is_shown_as_open_and_filled_again(foreign: Foreign) -> None:
    made = cell(foreign.native())
    assert made.evidence is not None
    evidence = made.evidence.model_copy(update={"outputs": Digest.parse(documents.NOTHING)})
    remembered(foreign).add([made.model_copy(update={"evidence": evidence})])
    shown = cell(foreign.audit())
    assert (shown.verdict, shown.filled) == ("SKIP", False)
    assert shown.reason.startswith("proved for another toolchain")
    assert shown.command == (
        "orchestrate audit --native riscv64 --only native/riscv64 --engine sandbox"
    )
    assert cell(foreign.native()).verdict == "PASS"
    assert cell(foreign.audit()).verdict == "PASS"


def test_a_cell_of_a_day_to_come_is_no_evidence(foreign: Foreign) -> None:
    made = cell(foreign.native())
    remembered(foreign).add([made.model_copy(update={"when": "2999-01-01T00:00:00Z"})])
    shown = cell(foreign.audit())
    assert (shown.verdict, shown.filled) == ("SKIP", False)
    assert "2999-01-01" in shown.reason
    foreign.engine.runs.clear()
    assert cell(foreign.native()).when < "2999"
    assert foreign.runs() == [BUILD, VERSION]


def test_a_pass_after_a_fail_says_so(foreign: Foreign, capsys: pytest.CaptureFixture[str]) -> None:
    foreign.engine.table[BUILD] = lambda _: programs(link=b"LINK")
    failed = cell(foreign.native())
    # A remembered one changes no verdict, but it is told of.
    assert foreign.audit().verdict != "FAIL"
    assert run(["audit", *places(foreign)]) == 0
    assert "; 1 cell of the matrix is FAIL" in capsys.readouterr().out
    foreign.engine.table[BUILD] = lambda _: programs()
    made = cell(foreign.native())
    assert (made.verdict, made.failed) == ("PASS", failed.when)
    assert made.reason.endswith(f"; FAILed on {failed.when}")
    assert run(["audit", *places(foreign)]) == 0
    shown = capsys.readouterr().out
    assert f"{made.when}; FAILed on {failed.when}" in shown
    assert "of the matrix" not in shown


def test_a_guilty_action_fails_the_builds_own_cells(foreign: Foreign) -> None:
    released(foreign, "riscv64")
    assert cell(foreign.native()).verdict == "PASS"
    foreign.engine.table["F1"] = host_in_it
    found = foreign.audit()
    for comparison in ("release", "native-build"):
        assert cell(found, comparison).verdict == "FAIL"
        assert "F1" in cell(found, comparison).reason
    failed = cell(found, "release").when
    foreign.engine.table["F1"] = clean
    # A part that does not try it again takes nothing back.
    assert cell(foreign.audit(only=("image",)), "release").verdict == "FAIL"
    made = cell(foreign.audit(), "release")
    assert (made.verdict, made.failed) == ("PASS", failed)
    assert "all 2 actions" in made.reason
    assert f"FAILed on {failed}" in made.reason
    assert cell(foreign.audit(only=("image",)), "release").failed == failed


def other_host(asked: Asked) -> Made:
    """The same as in the build, but on a host of another name."""
    return clean(asked) if asked.action.conditions.host == "builder" else Made({"out": b"host"})


def guilty(foreign: Foreign) -> model.AuditResult:
    """An audit that finds that F1 depends on the host's name."""
    released(foreign, "riscv64")
    foreign.engine.table["F1"] = other_host
    found = foreign.audit()
    assert cell(found, "release").verdict == "FAIL"
    return found


def test_an_audit_that_varies_less_takes_no_fail_back(foreign: Foreign) -> None:
    assert cell(foreign.native()).verdict == "PASS"
    evidence = cell(guilty(foreign), "release").evidence
    assert evidence is not None
    assert (evidence.varied, evidence.rounds) == (ABLE, 1)
    less = tuple(name for name in ABLE if name != "host")
    found = foreign.audit(vary=less)
    assert found.verdict == "SKIP"
    for comparison in ("release", "native-build"):
        assert cell(found, comparison).verdict == "FAIL"
    (told,) = (text for what, text in foreign.observer.told if what == "note" and "FAIL" in text)
    assert "riscv64 release" in told
    # Nor is it forgotten when the action differs by something else, or again by less.
    foreign.engine.table["F1"] = lambda asked: Made({"out": str(asked.action.conditions).encode()})
    assert cell(foreign.audit(vary=("zone",)), "release").verdict == "FAIL"
    foreign.engine.table["F1"] = clean
    assert cell(foreign.audit(vary=less), "release").verdict == "FAIL"
    assert cell(foreign.audit(), "release").verdict == "PASS"


def test_what_differed_in_a_later_round_is_tried_as_often(foreign: Foreign) -> None:
    def order_in_it(asked: Asked) -> Made:
        late = asked.action.conditions.order_seed > 1000
        return Made({"out": b"x"}) if late else clean(asked)

    released(foreign, "riscv64")
    foreign.engine.table["F1"] = order_in_it
    assert cell(foreign.audit(rounds=2), "release").verdict == "FAIL"
    assert cell(foreign.audit(), "release").verdict == "FAIL"
    foreign.engine.table["F1"] = clean
    assert cell(foreign.audit(rounds=2), "release").verdict == "PASS"


def test_a_fail_of_an_earlier_version_is_taken_back_by_all_variations(foreign: Foreign) -> None:
    failed = cell(guilty(foreign), "release")
    assert failed.evidence is not None
    old = failed.evidence.model_copy(update={"varied": None, "rounds": None})
    with closing(Store(foreign.store)) as store:
        build = parse((foreign.out / "result.json").read_bytes())
        record = matrix.Record(store, matrix.identity(build))
        cells = [failed.model_copy(update={"evidence": old}).model_dump(mode="json")]
        text = canonical.pretty(cells).decode()
        store.remember("matrix", matrix.identity(build), {"cells": text})
        assert [one.evidence for one in record.cells()] == [old]
    foreign.engine.table["F1"] = clean
    assert cell(foreign.audit(vary=ABLE[1:]), "release").verdict == "FAIL"
    # What the engine cannot apply was not applied then either.
    foreign.engine.able = {**foreign.engine.able, ABLE[0]: Capability("nothing", "it cannot")}
    assert cell(foreign.audit(), "release").verdict == "PASS"


def test_a_build_by_its_own_programs_takes_no_guilt_from_an_action(foreign: Foreign) -> None:
    assert cell(foreign.native()).verdict == "PASS"
    guilty(foreign)
    foreign.engine.table["F1"] = clean
    assert cell(foreign.native()).verdict == "FAIL"
    # Failing itself changes nothing of that.
    foreign.engine.table[BUILD] = lambda _: programs(link=b"LINK")
    assert cell(foreign.native()).verdict == "FAIL"
    foreign.engine.table[BUILD] = lambda _: programs()
    assert cell(foreign.native()).verdict == "FAIL"
    assert cell(foreign.audit()).verdict == "FAIL"
    # All that leads to it, and itself.
    made = cell(foreign.audit(native=("riscv64",)))
    assert (made.verdict, bool(made.failed)) == ("PASS", True)
    assert made.evidence is not None
    assert made.evidence.checks == ("native-build.same",)
    assert cell(foreign.native()).verdict == "PASS"


def test_steps_of_several_engines_fill_no_cell_of_one(foreign: Foreign) -> None:
    released(foreign, "riscv64")
    engine = {"name": "docker", "identity": "Linux 6.1", "version": "27"}
    doctored(foreign, "F1", provenance={**documents.PROVENANCE, "engine": engine})
    assert not cell(foreign.audit(only=("image",)), "release").filled
    # One engine that does all of them again fills it.
    made = cell(foreign.audit(), "release")
    assert (made.verdict, made.engine) == ("PASS", "sandbox")
    assert "all 2 actions" in made.reason


def test_the_matrix_says_what_nobody_ran(foreign: Foreign) -> None:
    released(foreign, "amd64", "riscv64")
    found = foreign.audit()
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
    assert model.parse((foreign.out / "audit.json").read_bytes()) == found


def test_another_engine_that_gives_the_same_fills_its_cells(foreign: Foreign) -> None:
    released(foreign, "riscv64")
    on_docker(foreign)
    # F1 alone says nothing of what is built by it.
    assert not on_other_engine(foreign.audit(engine="docker", only=("F1",))).filled
    made = on_other_engine(foreign.audit(engine="docker"))
    assert (made.verdict, made.filled) == ("PASS", True)
    assert "all 2 actions" in made.reason
    assert made.evidence is not None
    assert made.evidence.engine.name == "docker"
    assert len(made.evidence.keys) == 2
    # It stays, whatever is audited next.
    assert on_other_engine(foreign.audit(engine="docker", only=("F1",))) == made


def test_another_engine_that_gives_something_else_fails_its_cells(foreign: Foreign) -> None:
    released(foreign, "riscv64")
    on_docker(foreign)
    foreign.engine.table["F1"] = host_in_it
    made = on_other_engine(foreign.audit(engine="docker"))
    assert (made.verdict, made.filled) == ("FAIL", True)
    assert "F1" in made.reason


def test_a_person_reads_the_matrix(foreign: Foreign, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", *places(foreign), "--native", "all"]) == 0
    shown = capsys.readouterr().out
    assert "matrix of this build's toolchains, made on amd64:" in shown
    (line,) = (one for one in shown.splitlines() if "by its own programs  2" in one)
    assert line.startswith("PASS  riscv64  go 1.26.6  sandbox  native emulated")
    assert "nobody ran it: `orchestrate audit --engine docker`" in shown


def test_a_failure_of_many_words_is_one_line_of_the_matrix(
    foreign: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign.engine.table[BUILD] = lambda _: Made(stderr=b"SIGILL\nand\nmore", exit_status=2)
    assert run(["audit", *places(foreign), "--native", "all"]) == 1
    shown = capsys.readouterr().out
    table = shown.partition("matrix of this build's toolchains")[2]
    (line,) = (one for one in table.splitlines() if one.startswith("FAIL  riscv64"))
    assert "exit status 2: SIGILL" in line
    assert "\nand\n" not in table
    assert "more" in shown
