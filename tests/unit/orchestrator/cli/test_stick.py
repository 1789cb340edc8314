"""`orchestrate run` and `write` on the command line: what is refused, asked and told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import typer

from orchestrator.cli.main import run
from orchestrator.cli.session import Manner, Session
from orchestrator.cli.stopping import Stopping
from orchestrator.cli.views import write as writing
from orchestrator.run import session as sessions
from orchestrator.stick import medium, writer
from orchestrator.stick.contents import Contents, Part
from orchestrator.stick.disks import Target
from orchestrator.stick.signatures import ABSENT, Look, Signature
from reproducibility import digest
from reproducibility.errors import Stopped
from tests import results

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


def describe(folder: Path, image: bytes, *, verdict: object = "PASS") -> None:
    document = results.document(verdict=verdict, image={"blake3": digest.of_bytes(image).hex})
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
    assert found["lost"]["table"] is None
    assert found["lost"]["parts"] == []
    assert found["blanked"] == [[_SIZE, 10]]
    assert "whatever it holds will be lost" in told.err
    assert "writing: 1.0 MiB of 1.0 MiB" in told.err
    assert target.read_bytes() == (out / "sourcery.img").read_bytes() + bytes(10)


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


def test_an_image_that_changes_while_the_question_waits(
    out: Path, target: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """It is never finished on the stick, so nobody takes that for one that boots."""

    def answered(*_words: str, **_options: object) -> str:
        with (out / "sourcery.img").open("r+b") as stream:
            stream.write(b"changed")
        return "stick"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", answered)
    assert run(["write", str(target), "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert "not what it was any more" in told
    assert medium.SPOILT in " ".join(told.split())
    assert target.read_bytes() == bytes(_SIZE + 10)


def test_an_answer_that_does_not_come(
    out: Path, target: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def ended(*_words: str, **_options: object) -> str:
        raise typer.Abort

    monkeypatch.setattr("typer.prompt", ended)
    assert run(["write", str(target), "--out", str(out)]) == 2
    assert "error: nothing was written" in capsys.readouterr().err
    assert untouched(target)


def test_an_image_that_is_not_the_one_that_was_built(
    out: Path, target: Path, capsys: Captured
) -> None:
    image = bytearray((out / "sourcery.img").read_bytes())
    image[0] ^= 1
    (out / "sourcery.img").write_bytes(image)
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

    def worn(*given: Any, **named: Any) -> writer.Written:  # noqa: ANN401 - whatever is passed
        done = write(*given, **named)
        with target.open("r+b") as stream:
            stream.seek(1000)
            stream.write(b"worn out")
        return done

    monkeypatch.setattr(writer, "write", worn)
    assert run(["write", str(target), "--out", str(out), "--yes"]) == 1
    assert "gives back other bytes" in capsys.readouterr().err


# The whole command; writing waits where the test wants it to, deaf to the first signal.
PROGRAM = """
import pathlib, sys, time
from orchestrator.cli.main import main
from orchestrator.stick import writer

def wait():
    pathlib.Path("begun").touch()
    while True:
        time.sleep(0.02)

piece, put, pieces = writer._Copy.piece, writer._Copy.put, writer._pieces
where = sys.argv.pop(1)
if where == "before":
    writer._Copy.piece = lambda *given: wait()
elif where == "within":
    writer._Copy.put = lambda *given: (put(*given), wait())
else:
    writer._pieces = lambda *given: wait()
main()
"""


@pytest.mark.parametrize("more", [[], ["--quiet"]])
@pytest.mark.parametrize(
    ("where", "said"),
    [("before", medium.NOTHING), ("within", medium.SPOILT), ("after", medium.UNREAD)],
)
def test_a_second_ctrl_c_says_what_became_of_the_stick(  # noqa: PLR0913 - parametrized
    out: Path, target: Path, tmp_path: Path, where: str, said: str, more: list[str]
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    options = ["write", str(target), "--out", str(out), "--yes", *more]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), where, *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        while not (tmp_path / "begun").exists():
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"ended with {process.wait(0.05)}: {process.stderr.read()}")
        process.send_signal(signal.SIGINT)
        told = ""
        while "once more stops at once" not in told:
            told += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told += process.stderr.read()
        assert process.wait() == 130
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert f"note: {said}\n" in told
    assert "finished steps are remembered" not in told
    image = (out / "sourcery.img").read_bytes()
    old = b"o" * 10
    expected = {
        "before": b"o" * _SIZE + old,
        "within": bytes(_SIZE) + old,
        "after": image + bytes(10),
    }
    assert target.read_bytes() == expected[where]


def test_the_first_ctrl_c_ends_it_cleanly(out: Path, target: Path, capsys: Captured) -> None:
    stopping = Stopping()
    session = Session(["write"], Manner(), stopping)
    stopping.event.set()
    with pytest.raises(Stopped):
        writing.write(writing.Options(target, out, None, force=False, yes=True), session)
    assert f"note: {medium.NOTHING}\n" in capsys.readouterr().err
    assert untouched(target)
    assert not stopping.worked


@pytest.mark.parametrize("verdict", ["fail", "", None, 0])
def test_a_verdict_that_no_build_gives_is_refused(
    out: Path, target: Path, capsys: Captured, verdict: object
) -> None:
    describe(out, (out / "sourcery.img").read_bytes(), verdict=verdict)
    assert run(["write", str(target), "--out", str(out), "--yes", "--force"]) == 2
    assert "malformed at verdict" in capsys.readouterr().err
    assert untouched(target)


def test_an_image_of_a_build_that_failed(out: Path, target: Path, capsys: Captured) -> None:
    describe(out, (out / "sourcery.img").read_bytes(), verdict="FAIL")
    line = ["write", str(target), "--out", str(out), "--yes"]
    assert run(line) == 2
    assert "the verdict of this build is FAIL" in capsys.readouterr().err
    assert untouched(target)
    assert run([*line, "--force", "--json"]) == 0
    told = capsys.readouterr()
    assert "not to be trusted" in told.err
    assert json.loads(told.out)["image"]["verdict"] == "FAIL"


def test_a_build_with_a_check_that_was_skipped(out: Path, target: Path, capsys: Captured) -> None:
    describe(out, (out / "sourcery.img").read_bytes(), verdict="SKIP")
    assert run(["write", str(target), "--out", str(out), "--yes"]) == 0
    assert "not to be trusted" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sourcery.img", "result.json", "SHA256SUMS", "sourcery.cpio.zst"])
def test_not_over_the_build(out: Path, capsys: Captured, name: str) -> None:
    path = out / name
    if not path.exists():
        path.write_bytes(b"made")
    before = path.read_bytes()
    assert run(["write", str(path), "--out", str(out), "--yes", "--force"]) == 2
    assert "this is " in capsys.readouterr().err
    assert path.read_bytes() == before


def test_what_is_told_before(tmp_path: Path) -> None:
    disk = Target(tmp_path / "sdb", "disk", 32 << 30, model="Acme Stick", removable=True)
    holds = Contents("GPT", (Part(1, 1 << 30, "FAT32", "EFI"), Part(2, 2 << 30, "LUKS")))
    look = Look((Signature(512, "gpt"), Signature(4096, "zfs_member", "tank")))
    assert list(writing.told(disk, holds, look)) == [
        f"{tmp_path}/sdb: Acme Stick, removable disk, 32.0 GiB (34,359,738,368 bytes)",
        "  everything on it will be lost (GPT partition table):",
        "  1: FAT32 'EFI', 1.0 GiB",
        "  2: LUKS, 2.0 GiB",
        "  wipefs finds gpt at byte 512",
        "  wipefs finds zfs_member 'tank' at byte 4,096",
    ]
    first, *rest = writing.told(disk, Contents("", ()), look)
    assert rest[0] == "  everything on it will be lost:"
    unknown = list(writing.told(disk, Contents("", ()), Look((), ABSENT)))
    assert unknown == [
        first,
        "  holds nothing that is known here; whatever it holds will be lost",
        f"  there may be more on it than is known here: {ABSENT}",
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


def test_run_says_that_the_build_failed(out: Path, tmp_path: Path, capsys: Captured) -> None:
    describe(out, b"", verdict="FAIL")
    run(["run", "amd64", "--out", str(out), "--store", str(tmp_path / "store")])
    assert "note: the verdict of this build is FAIL" in capsys.readouterr().err


def test_an_archive_that_is_gone(out: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["run", "amd64", "--out", str(out), "--store", str(tmp_path / "store")]) == 2
    assert "sourcery.cpio.zst" in capsys.readouterr().err


def test_the_environment_is_read_from_the_root(tmp_path: Path) -> None:
    own = tmp_path / "linux_arm64"
    own.mkdir()
    (own / "environment").write_text("# words\nA=1\nGOFLAGS=-x -ldflags=-w\n\n")
    found = sessions.environment(tmp_path, "arm64")
    assert found == {"A": "1", "GOFLAGS": "-x -ldflags=-w"}
