"""The first process of a root in namespaces: what it decides by itself, without namespaces."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from containers.host import standalone
from orchestrator.run import first_process

ROOT = Path(__file__).resolve().parents[4]


def test_a_bare_name_is_looked_for_and_a_path_is_not(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "tool").touch(mode=0o755)
    (first / "text").touch(mode=0o644)
    (first / "folder").mkdir()
    path = f"{first}::{second}"
    assert first_process._find("tool", path) == str(first / "tool")
    for name in ("text", "folder", "none", ""):
        assert first_process._find(name, path) is None
    assert first_process._find(f"{second}/tool", "") == f"{second}/tool"
    assert first_process._find(f"{second}/none", path) is None
    assert first_process._find(f"{second}/tool/", path) is None
    assert first_process._find("n" * 300, path) is None
    # Left to execve, which says what is in the way.
    assert first_process._find("/" + "n" * 300, path) == "/" + "n" * 300


_ATTENDING = """
import os, signal, sys
from orchestrator.run import first_process
signal.pthread_sigmask(signal.SIG_BLOCK, first_process.RELAYED | {signal.SIGCHLD})
child = os.fork()
if child == 0:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execv("/bin/sh", ["sh", "-c", sys.argv[1]])
os._exit(first_process._attend(child, group=True))
"""


def attending(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _ATTENDING, script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)]
)
def test_the_status_is_the_command_s(script: str, status: int) -> None:
    process = attending(script)
    process.communicate()
    assert process.returncode == status


def test_processes_left_to_it_are_reaped_and_do_not_end_it() -> None:
    process = attending("(true &) ; sleep 0.2; exit 5")
    process.communicate()
    assert process.returncode == 5


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 42), (signal.SIGUSR1, 42), (signal.SIGINT, 42)]
)
def test_signals_are_passed_on(number: signal.Signals, status: int) -> None:
    process = attending("trap 'exit 42' TERM USR1 INT; echo ready; while :; do sleep 0.05; done")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate()
    assert process.returncode == status


def test_a_terminal_s_signals_go_to_the_whole_group() -> None:
    """Else `sh -c "sleep 1000"` would outlive Ctrl-C."""
    # Whenever the signal comes, the inner shell or what it has become dies of it.
    process = attending("trap : INT; (trap - INT; echo ready; exec sleep 1000); exit 9")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 9


def started(sent: bytes) -> tuple[int, dict[str, str]]:
    """The status and the report that come of a request."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            standalone.command(first_process.__name__, str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        status = process.wait()
        return status, json.loads(ours.recv(4096))


def test_what_cannot_be_set_up_is_reported(tmp_path: Path) -> None:
    """A root that is not there, and a status that says that no command ran."""
    sent = {"parent": os.getpid(), "user": 0, "root": str(tmp_path / "none"), "registration": ""}
    status, report = started(json.dumps(sent).encode())
    assert status == first_process.STATUS_NOT_SET_UP
    assert report["stage"] == "setup"
    assert report["words"]


@pytest.mark.parametrize(("sent", "words"), [(b"{}", "KeyError: 'user'"), (b"{", "JSONDecode")])
def test_what_goes_wrong_otherwise_is_reported_too(sent: bytes, words: str) -> None:
    status, report = started(sent)
    assert status == first_process.STATUS_NOT_SET_UP
    assert report["stage"] == "setup"
    assert words in report["words"]
