"""What single commands do and say: compare, store, doctor, the summary of a build."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import doctor
from orchestrator.cli.main import run
from orchestrator.cli.streams import Marked
from orchestrator.cli.views import build as building
from orchestrator.cli.wording import grouped, quantity, short
from orchestrator.diagnosis import counting, equal
from orchestrator.store import Store
from reproducibility import digest
from tests import results

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult
    from orchestrator.doctor import State

Captured = pytest.CaptureFixture[str]


def check(name: str, subject: str, verdict: str, reason: str = "because") -> dict[str, Any]:
    return results.check(name, subject, verdict, reason)


def built(verdict: str, *checks: dict[str, Any]) -> BuildResult:
    return results.build_result(verdict=verdict, checks=list(checks), image={"size": 1 << 20})


# -- the summary of a build ----------------------------------------------------------------------


def test_summary_folds_what_passed_and_spells_out_the_rest() -> None:
    result = built(
        "FAIL",
        check("F1 == F2", "amd64", "PASS"),
        check("release", "amd64", "PASS"),
        check("release", "arm64", "PASS"),
        check("release", "riscv64", "SKIP", "the log has no record"),
        check("read back", "image", "FAIL", "1 paths differ: a"),
    )
    lines = list(building.summary(result, Path("out"), verbose=False))
    assert lines[:4] == [
        Marked("PASS", "  F1 == F2: amd64"),
        Marked("PASS", "  release: amd64, arm64"),
        Marked("SKIP", "  release, riscv64: the log has no record"),
        Marked("FAIL", "  read back, image: 1 paths differ: a"),
    ]
    assert all(isinstance(line, Marked) for line in lines[:4])
    assert any("out/sourcery.img, 1.0 MiB (1,048,576 bytes)" in line for line in lines)
    assert any("do not rely on this image" in line for line in lines)
    assert any("b" * 64 in line for line in lines)
    assert any("out/result.json" in line for line in lines)


def test_verbose_summary_says_every_check() -> None:
    result = built("PASS", check("F1 == F2", "amd64", "PASS", "10 files are the same"))
    lines = list(building.summary(result, Path("out"), verbose=True))
    assert "F1 == F2, amd64: 10 files are the same" in lines[0]
    assert any("all 1 checks hold" in line for line in lines)


def test_summary_of_very_many_subjects_counts_them() -> None:
    result = built("PASS", *(check("built again", f"step {n}", "PASS") for n in range(100)))
    lines = list(building.summary(result, Path("out"), verbose=False))
    assert "built again: 100 of them" in lines[0]


def test_summary_says_once_what_could_not_be_compared_and_each_failure() -> None:
    skipped = [check("built again", f"s{n}", "SKIP", "nothing before") for n in range(3)]
    failed = [check("built again", f"f{n}", "FAIL", "not checked") for n in range(2)]
    found = built("FAIL", *skipped, check("built again", "t", "SKIP", "other"), *failed)
    lines = list(building.summary(found, Path("out"), verbose=False))
    assert [line.partition("  ")[2] for line in lines[:4]] == [
        "built again, s0, s1, s2: nothing before",
        "built again, t: other",
        "built again, f0: not checked",
        "built again, f1: not checked",
    ]
    assert len(list(building.summary(found, Path("out"), verbose=True))) == len(lines) + 2


# -- compare -------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "same").write_bytes(b"same")
    return first, second


def test_equal_files(tmp_path: Path, capsys: Captured) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"content")
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "PASS"
    assert found["differences"] == []
    assert found["first"]["blake3"] == digest.of_bytes(b"content").hex
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "PASS  the files are the same" in capsys.readouterr().out


@pytest.mark.parametrize("at", [0, 5, (1 << 20) - 1, 1 << 20, (1 << 20) + 7])
def test_one_changed_byte_is_found_and_placed(tmp_path: Path, at: int, capsys: Captured) -> None:
    content = bytearray(b"x" * ((1 << 20) + 10))
    (tmp_path / "a").write_bytes(content)
    content[at] = 0
    (tmp_path / "b").write_bytes(content)
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "FAIL"
    assert found["differences"] == [
        f"first different byte: at {at} (0x{at:x})",
        f"different bytes: 1 of the {len(content)} that both have",
    ]


def test_a_file_that_is_cut_short(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").write_bytes(b"cont")
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    shown = capsys.readouterr().out
    assert "sizes: 7 and 4 bytes" in shown
    assert "beginning of the longer" in shown


def test_equal_folders(two: tuple[Path, Path], capsys: Captured) -> None:
    os.utime(two[0] / "deep" / "same", (0, 0))
    assert run(["compare", *map(str, two), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "PASS"


def test_differing_folders(two: tuple[Path, Path], capsys: Captured) -> None:
    first, second = two
    (first / "only").write_bytes(b"")
    (second / "deep" / "same").write_bytes(b"sane")
    assert run(["compare", str(first), str(second), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [line.partition(":")[0] for line in found["differences"]] == ["deep/same", "only"]
    assert run(["compare", str(first), str(second)]) == 1
    shown = capsys.readouterr().out
    assert "2 paths differ" in shown
    assert "only: only in the first" in shown


def test_an_executable_bit_counts(two: tuple[Path, Path]) -> None:
    (two[0] / "deep" / "same").chmod(0o755)
    assert run(["compare", *map(str, two), "-q"]) == 1


def test_two_empty_folders_are_not_a_success(tmp_path: Path, capsys: Captured) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "nothing was compared" in capsys.readouterr().out


def test_many_differences_are_capped_unless_asked_for(
    two: tuple[Path, Path], capsys: Captured
) -> None:
    for number in range(60):
        (two[0] / f"{number:02}").write_bytes(b"")
    assert run(["compare", *map(str, two)]) == 1
    shown = capsys.readouterr().out
    assert "and 10 more; -v shows all" in shown
    assert "59: only" not in shown
    run(["compare", *map(str, two), "-v"])
    assert "59: only" in capsys.readouterr().out


def test_what_cannot_be_compared_is_status_2(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert run(["compare", str(tmp_path), str(tmp_path / "file")]) == 2
    assert "one is a folder and the other is a file" in capsys.readouterr().err
    assert run(["compare", str(tmp_path), str(tmp_path / "nothing")]) == 2
    assert str(tmp_path / "nothing") in capsys.readouterr().err


def test_compare_reads_a_file_in_pieces() -> None:
    assert counting.PIECE <= 1 << 20
    assert equal.PIECE <= 1 << 20


# -- store ---------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    with closing(Store(root)) as opened:
        opened.put_bytes(b"kept")
        opened.put_bytes(b"also")
    return root


def test_size_of_the_store(store: Path, capsys: Captured) -> None:
    assert run(["store", "size", "--store", str(store), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == sum(found["parts"].values()) > 0
    assert run(["store", "size", "--store", str(store)]) == 0
    assert str(store) in capsys.readouterr().out


def test_a_sound_store(store: Path, capsys: Captured) -> None:
    assert run(["store", "verify", "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "blobs": 2,
        "damaged": [],
        "damaged_results": [],
    }


def test_a_damaged_store(store: Path, capsys: Captured) -> None:
    name = digest.of_bytes(b"kept")
    (place,) = (store / "blobs").rglob(name.hex)
    place.chmod(0o644)
    place.write_bytes(b"kepT")
    assert run(["store", "verify", "--store", str(store)]) == 1
    assert f"FAIL  damaged, moved aside: {name}" in capsys.readouterr().out
    assert not place.exists()


def test_a_damaged_record_stops_gc_and_is_found_by_verify(store: Path, capsys: Captured) -> None:
    with closing(Store(store)) as opened:
        opened.remember("inputs", digest.of_bytes(b"lock"), {})
    (place,) = (store / "results").rglob("*.json")
    place.unlink()
    place.mkdir()
    assert run(["store", "gc", "--store", str(store)]) == 4
    told = capsys.readouterr().err
    assert f"where: {place}" in told
    assert "nothing was removed" in told
    assert run(["store", "verify", "--store", str(store)]) == 1
    assert f"FAIL  damaged, no result any more: {place}" in capsys.readouterr().out
    assert len(list((store / "blobs").rglob("?" * 64))) == 2


def test_collecting_everything(store: Path, capsys: Captured) -> None:
    assert run(["store", "gc", "--unused-for", "0", "--store", str(store), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["removed"] == 2
    assert list((store / "blobs").rglob("?" * 64)) == []


def test_collecting_while_a_build_runs_is_refused(store: Path, capsys: Captured) -> None:
    with closing(Store(store)):
        assert run(["store", "gc", "--store", str(store)]) == 4
    assert "a build is using the store" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gc", "verify", "size"])
def test_a_store_that_is_not_there_is_not_made(
    command: str, tmp_path: Path, capsys: Captured
) -> None:
    assert run(["store", command, "--store", str(tmp_path / "none")]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


# -- doctor --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "status"), [("ok", 0), ("optional", 0), ("missing", 4)])
def test_doctor_s_status(
    state: State, status: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = doctor.Finding("thing", state, "what was seen", "to do something", "get it")
    monkeypatch.setattr(doctor, "examine", lambda _store, _out: [finding])
    assert run(["doctor"]) == status
    shown = capsys.readouterr().out
    assert "thing: what was seen" in shown
    assert ("needed to do something" in shown) is (state != "ok")
    assert ("remedy: get it" in shown) is (state != "ok")
    assert run(["doctor", "--json"]) == status
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "able": status == 0,
        "findings": [finding.document()],
    }


# -- words ---------------------------------------------------------------------------------------


def test_quantities() -> None:
    assert quantity(512) == "512 bytes"
    assert quantity(1536) == "1.5 KiB (1,536 bytes)"
    assert short(0) == "0 bytes"
    assert short(5 << 40) == "5.0 TiB"
    assert short(5000 << 40) == "5000.0 TiB"


def test_grouping_keeps_the_order() -> None:
    assert grouped([("b", "1"), ("a", "2"), ("b", "3")]) == [("b", ["1", "3"]), ("a", ["2"])]
