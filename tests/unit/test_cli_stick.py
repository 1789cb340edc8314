"""`orchestrate run` and `write` on the command line: what is refused, asked and told."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import running
from orchestrator.cli import writing
from orchestrator.cli.main import run
from orchestrator.stick import writer
from orchestrator.stick.contents import Contents, Part
from orchestrator.stick.disks import Target
from reproducibility import digest

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]

_SIZE = 1 << 20


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output directory with a small image, and a result that says what it is."""
    folder = tmp_path / "out"
    folder.mkdir()
    image = os.urandom(_SIZE)
    (folder / "sourcery.img").write_bytes(image)
    describe(folder, image)
    return folder


def describe(folder: Path, image: bytes) -> None:
    document: dict[str, Any] = {
        "schema": 1,
        "verdict": "PASS",
        "image": {"path": "sourcery.img", "blake3": digest.of_bytes(image).hex},
        "cpio": {"path": "sourcery.cpio.zst", "blake3": "0" * 64},
        "root": {"tree": f"blake3:{'0' * 64}", "commands": {"amd64": 1, "riscv64": 1}},
    }
    (folder / "result.json").write_text(json.dumps(document))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "stick"
    path.write_bytes(b"o" * (_SIZE + 10))
    return path


def untouched(target: Path) -> bool:
    return target.read_bytes() == b"o" * (_SIZE + 10)


# -- write ---------------------------------------------------------------------------------------


def test_written(out: Path, target: Path, capsys: Captured) -> None:
    assert run(["write", str(target), "--out", str(out), "--yes", "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["verdict"] == "PASS"
    assert found["image"]["size"] == _SIZE
    assert found["lost"] == {"table": None, "parts": []}
    assert "whatever it holds will be lost" in told.err
    assert "writing: 1.0 MiB of 1.0 MiB" in told.err
    assert target.read_bytes() == (out / "sourcery.img").read_bytes() + b"o" * 10


def test_an_image_by_its_name(out: Path, target: Path, capsys: Captured) -> None:
    assert run(["write", str(target), "--image", str(out / "sourcery.img"), "-y"]) == 0
    assert "read back and compared" in capsys.readouterr().out
    assert run(["write", str(target), "--image", str(out / "other.img"), "-y"]) == 2
    assert "the result beside it is that of sourcery.img" in capsys.readouterr().err


def test_quietly(out: Path, target: Path, capsys: Captured) -> None:
    assert run(["write", str(target), "--out", str(out), "-y", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nobody_to_ask(out: Path, target: Path, capsys: Captured, more: list[str]) -> None:
    assert run(["write", str(target), "--out", str(out), *more]) == 2
    told = capsys.readouterr()
    assert "--yes" in told.out + told.err
    assert untouched(target)


@pytest.mark.parametrize(("typed", "status"), [("stick", 0), ("y", 2), ("", 2)])
def test_asked(
    out: Path,
    target: Path,
    typed: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_words, **_options: typed)
    assert run(["write", str(target), "--out", str(out)]) == status
    assert untouched(target) is (status != 0)


def test_an_image_that_is_not_the_one_that_was_built(
    out: Path, target: Path, capsys: Captured
) -> None:
    with (out / "sourcery.img").open("r+b") as stream:
        stream.write(b"x")
    assert run(["write", str(target), "--out", str(out), "--yes"]) == 2
    assert "not the image that was built" in capsys.readouterr().err
    assert untouched(target)


def test_without_a_build(tmp_path: Path, target: Path, capsys: Captured) -> None:
    assert run(["write", str(target), "--out", str(tmp_path / "none"), "--yes"]) == 2
    assert "orchestrate build" in capsys.readouterr().err
    (tmp_path / "result.json").write_text('{"schema": 1}')
    assert run(["write", str(target), "--out", str(tmp_path), "--yes"]) == 2
    assert "not the result of a build" in capsys.readouterr().err
    assert untouched(target)


def test_other_bytes_read_back_are_status_1(
    out: Path, target: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = writer.write

    def worn(*given: Any) -> writer.Written:  # noqa: ANN401 - whatever is passed
        done = write(*given)
        with target.open("r+b") as stream:
            stream.seek(1000)
            stream.write(b"worn out")
        return done

    monkeypatch.setattr(writer, "write", worn)
    assert run(["write", str(target), "--out", str(out), "--yes"]) == 1
    assert "gives back other bytes" in capsys.readouterr().err


def test_a_stopped_write_says_that_the_stick_is_spoilt(
    out: Path, target: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reproducibility.errors import Stopped

    def stopped(*_given: Any) -> writer.Written:  # noqa: ANN401 - whatever is passed
        raise Stopped("stopped")

    monkeypatch.setattr(writer, "write", stopped)
    assert run(["write", str(target), "--out", str(out), "--yes"]) == 130
    told = capsys.readouterr().err
    assert writer.UNUSABLE in told
    assert "finished steps are remembered" not in told


def test_what_is_told_before(tmp_path: Path) -> None:
    disk = Target(tmp_path / "sdb", "disk", 32 << 30, model="Acme Stick", removable=True)
    holds = Contents("GPT", (Part(1, 1 << 30, "FAT32", "EFI"), Part(2, 2 << 30, "LUKS")))
    assert list(writing.told(disk, holds)) == [
        f"{tmp_path}/sdb: Acme Stick, removable disk, 32.0 GiB (34,359,738,368 bytes)",
        "  everything on it will be lost (GPT partition table):",
        "  1: FAT32 'EFI', 1.0 GiB",
        "  2: LUKS, 2.0 GiB",
    ]


# -- run -----------------------------------------------------------------------------------------


def test_an_architecture_that_the_build_has_not(out: Path, capsys: Captured) -> None:
    assert run(["run", "arm64", "--out", str(out), "--", "ls"]) == 2
    assert "the build has no arm64, only amd64, riscv64" in capsys.readouterr().err
    assert run(["run", "sparc", "--out", str(out), "--", "ls"]) == 2
    assert "sparc" in capsys.readouterr().err


def test_run_without_a_build(tmp_path: Path, capsys: Captured) -> None:
    assert run(["run", "amd64", "--out", str(tmp_path)]) == 2
    assert "orchestrate build" in capsys.readouterr().err


def test_an_archive_that_is_gone(out: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["run", "amd64", "--out", str(out), "--store", str(tmp_path / "store")]) == 2
    assert "sourcery.cpio.zst" in capsys.readouterr().err


def test_the_environment_is_read_from_the_root(tmp_path: Path) -> None:
    own = tmp_path / "linux_arm64"
    own.mkdir()
    (own / "environment").write_text("# words\nA=1\nGOFLAGS=-x -ldflags=-w\n\n")
    found = running.environment(tmp_path, "arm64")
    assert found == {"A": "1", "GOFLAGS": "-x -ldflags=-w"}
