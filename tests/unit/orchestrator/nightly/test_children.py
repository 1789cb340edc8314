"""Stages as processes of their own: their answers, their ends, and the night that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.nightly import children
from reproducibility.errors import InfrastructureError, Stopped
from tests.conftest import ROOT


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stage.log"


def test_a_command_answers(log: Path) -> None:
    found = children.run(["version"], log, threading.Event())
    assert (found.status, found.words, found.broken) == (0, "", False)
    assert found.answered
    assert "version" in found.document
    assert found.typed == ("orchestrate", "version")
    assert log.read_text().startswith("$ orchestrate version\n")


def test_what_lies_in_the_current_folder_is_no_part_of_the_program(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = log.parent / "project"
    (elsewhere / "orchestrator").mkdir(parents=True)
    for name in ("json.py", "runpy.py", "orchestrator/__init__.py"):
        (elsewhere / name).write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(elsewhere)
    found = children.run(["version"], log, threading.Event())
    assert (found.status, found.words) == (0, "")


def test_an_error_is_said_in_its_own_words(log: Path, tmp_path: Path) -> None:
    found = children.run(["verify", str(tmp_path / "nowhere")], log, threading.Event())
    assert found.status == 2
    assert not found.answered
    assert str(tmp_path / "nowhere") in found.words
    assert found.document["error"]["kind"] == "InputError"


def test_an_answer_that_is_none_is_said(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_CHILD", "tests.unit.orchestrator.nightly.no_such_module")
    found = children.run(["version"], log, threading.Event())
    assert found.broken
    assert found.words == "it ended with exit status 1 and without an answer"
    assert "no_such_module" in log.read_text()


def test_a_wish_to_stop_reaches_the_command(log: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    waiting = tmp_path / "waiting.py"
    waiting.write_text(
        "import signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        "print('on', file=sys.stderr, flush=True)\n"
        "signal.sigwait({signal.SIGTERM})\n"
        "sys.exit(143)\n"
    )

    def wish() -> None:
        while not log.exists() or "\non\n" not in log.read_text():
            time.sleep(0.01)
        stop.set()

    thread = threading.Thread(target=wish)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "_program", lambda: [sys.executable, str(waiting)])
        with pytest.raises(Stopped):
            children.run(["build"], log, stop)
    thread.join()


def test_a_command_that_could_not_be_run_ended_with_that_error() -> None:
    error = InfrastructureError("a stage could not be run", subject="/log", remedy="free some")
    found = children.refused(["build", "--out", "out"], error)
    assert (found.status, found.answered, found.broken) == (4, False, False)
    assert found.words == "a stage could not be run: /log (free some)"
    assert found.typed == ("orchestrate", "build", "--out", "out")
    assert found.document["error"]["kind"] == "InfrastructureError"


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as failed:
        children.run(["version"], tmp_path / "nowhere" / "log", threading.Event())
    assert "state" in failed.value.remedy


def test_a_command_does_not_begin_for_a_night_that_is_gone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli.child", "1", "version"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert not done.stdout


def test_a_command_ends_with_the_night_that_was_killed(tmp_path: Path) -> None:
    """The kernel tells it, so it does not matter how the night ended."""
    script = tmp_path / "waits.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from orchestrator.cli import child\n"
        "from orchestrator.cli import entry\n"
        "def wait():\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "entry.main = wait\n"
        "child.main()\n"
    )
    night = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, {str(script)!r}, str(os.getpid())])\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", night],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        # Its end closes the pipe that it wrote its id to.
        assert parent.stdout.read() == b""
    assert not Path(f"/proc/{pid}/exe").exists()
