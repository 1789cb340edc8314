"""How clients are run: what is tried again, what is final, what is said."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs import answers
from orchestrator.inputs.transport import (
    LARGEST,
    Clients,
    PassingFaultError,
    RefusedError,
    Silent,
)
from reproducibility.errors import InfrastructureError, Stopped
from tests.unit.orchestrator.inputs.world import done

if TYPE_CHECKING:
    from pathlib import Path

    from containers.host.process import Completed


class Answers:
    """Gives one answer after the other, the last one for ever; counts the questions."""

    def __init__(self, *answers: Completed) -> None:
        self.answers = list(answers)
        self.count = 0

    def __call__(self, *_: object, stop: Event | None = None, **__: object) -> Completed:
        if stop is not None and stop.is_set():
            raise Stopped("stopped")
        self.count += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Listening(Silent):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def started(self, label: str, doing: str) -> None:
        self.told.append((label, doing))

    def finished(self, label: str) -> None:
        self.told.append((label, "done"))

    def retrying(self, label: str, reason: str, seconds: float) -> None:
        assert seconds >= 0
        self.told.append((label, reason.splitlines()[0]))


def ask(clients: Clients, folder: Path) -> Completed:
    command = ["/bin/client", "get it"]
    return clients.ask("an input", command, {"PATH": "/bin"}, folder, judge=judged)


def judged(done: Completed) -> answers.Judged:
    """What a failure means by the words alone, for a client of no kind."""
    said = answers.text_of(done)
    return answers.Judged(answers.words(said) or answers.Kind.REFUSED, said)


PASSING = [
    "dial tcp 192.0.2.1:443: connect: connection refused",
    "read: connection reset by peer",
    "net/http: TLS handshake timeout",
    "i/o timeout",
    "context deadline exceeded",
    "dial tcp: lookup proxy.example: no such host",
    "Temporary failure resolving 'mirror.example'",
    "Could not connect to mirror.example:80",
    "503  Service Unavailable",
    "unexpected status: 502 Bad Gateway",
    "429 Too Many Requests",
    "unexpected EOF",
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'ProtocolError'",
    "Read timed out.",
    "Network is unreachable",
]
FINAL = [
    "404 Not Found",
    "403 Forbidden",
    "410 Gone",
    "401 Unauthorized",
    "verifying module: checksum mismatch; 503 lines of it",
    "SECURITY ERROR; connection refused",
    "Hash Sum mismatch; unexpected EOF",
    "something nobody has seen before",
    "",
]


@pytest.mark.parametrize("output", PASSING)
def test_a_fault_that_may_pass_is_tried_again(output: str, tmp_path: Path) -> None:
    listening = Listening()
    run = Answers(done(output, 1), done(output, 1), done("here it is"))
    clients = Clients(environ={}, run=run, events=listening, longest_wait=0.001)
    assert ask(clients, tmp_path).stdout == b"here it is"
    assert run.count == 3
    assert listening.told == [("an input", f"an input could not be fetched: {output}")] * 2


@pytest.mark.parametrize("output", PASSING)
def test_a_fault_that_stays_ends_after_the_attempts(output: str, tmp_path: Path) -> None:
    run = Answers(done(output, 1))
    with pytest.raises(PassingFaultError) as failed:
        ask(Clients(environ={}, run=run, attempts=3, longest_wait=0.001), tmp_path)
    assert run.count == 3
    assert failed.value.status == 4
    assert output in failed.value.summary
    assert "env -i PATH=/bin /bin/client 'get it'" in failed.value.subject


@pytest.mark.parametrize("output", FINAL)
def test_an_answer_that_will_not_change_is_final(output: str, tmp_path: Path) -> None:
    run = Answers(done(output, 1))
    with pytest.raises(RefusedError) as failed:
        ask(Clients(environ={}, run=run, longest_wait=0.001), tmp_path)
    assert run.count == 1
    assert failed.value.output == output


@pytest.mark.parametrize("before", ["", "503 Service Unavailable\n", "Logging error\nOSError: "])
def test_a_full_disk_is_said_as_such(before: str, tmp_path: Path) -> None:
    run = Answers(done(f"{before}[Errno 28] No space left on device\nCall stack: ...", 1))
    with pytest.raises(InfrastructureError) as failed:
        ask(Clients(environ={}, run=run, longest_wait=0.001), tmp_path)
    assert run.count == 1
    assert failed.value.summary == "an input could not be fetched: no space left on device"
    assert failed.value.subject == str(tmp_path)
    assert "free some space" in failed.value.remedy


def test_other_bytes_are_no_full_disk_whatever_is_said_of_them(tmp_path: Path) -> None:
    run = Answers(done("verifying module: checksum mismatch: no space left on device", 1))
    with pytest.raises(RefusedError):
        ask(Clients(environ={}, run=run, longest_wait=0.001), tmp_path)


# What the four clients say that wrote more than they may: apt, pip, the go command, a shell.
TOO_LARGE = [
    (100, "E: Method http has died unexpectedly!\nE: Sub-process http received signal 25."),
    (2, "ERROR: Could not install packages due to an OSError: [Errno 27] File too large"),
    (2, "SIGXFSZ: file size limit exceeded"),
    (1, "write /cache/v1.zip: file too large; unexpected EOF"),
    (153, ""),
]


@pytest.mark.parametrize(("status", "said"), TOO_LARGE, ids=["apt", "pip", "go", "words", "shell"])
def test_an_answer_that_is_too_large_is_said_as_such(
    status: int, said: str, tmp_path: Path
) -> None:
    run = Answers(done("", status, said))
    with pytest.raises(InfrastructureError) as failed:
        ask(Clients(environ={}, run=run, longest_wait=0.001), tmp_path)
    assert run.count == 1
    assert failed.value.summary == (
        f"an input could not be fetched: the answer has more than {LARGEST:,} bytes"
    )
    assert "env -i PATH=/bin /bin/client 'get it'" in failed.value.subject
    assert "look at the mirror" in failed.value.remedy


def test_other_bytes_are_not_too_large_whatever_is_said_of_them(tmp_path: Path) -> None:
    run = Answers(done("verifying module: checksum mismatch: file too large", 1))
    with pytest.raises(RefusedError):
        ask(Clients(environ={}, run=run, longest_wait=0.001), tmp_path)


# A client that writes down all that a mirror answers.
CLIENT = """
import socket, sys
mirror = socket.socket(socket.AF_UNIX)
mirror.connect(sys.argv[1])
with open("answer", "wb") as answer:
    while piece := mirror.recv(1 << 20):
        answer.write(piece)
"""


def test_a_mirror_that_answers_without_end_is_left(tmp_path: Path) -> None:
    """No network is needed for it: the client asks by a socket of the file system."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "mirror"))
        listening.listen()

        def answer() -> None:
            with suppress(OSError):
                mirror, _ = listening.accept()
                with mirror:
                    for _ in range(200):  # an end all the same, for a client without a bound
                        mirror.sendall(bytes(1 << 20))

        thread = Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(InfrastructureError) as failed:
            Clients().ask(
                "an input",
                [sys.executable, "-c", CLIENT, str(tmp_path / "mirror")],
                {"PATH": "/bin"},
                tmp_path,
                judge=judged,
                size=1000,
            )
        thread.join(60)
    assert "more than 67,109,864 bytes, where 1,000 are pinned" in failed.value.summary
    assert (tmp_path / "answer").stat().st_size == 67_109_864


def test_offline_nothing_is_run(tmp_path: Path) -> None:
    run = Answers(done(""))
    with pytest.raises(InfrastructureError, match="an input is not in the store, and --offline"):
        ask(Clients(environ={}, run=run, offline=True), tmp_path)
    assert run.count == 0


def test_waiting_for_the_next_attempt_can_be_stopped(tmp_path: Path) -> None:
    stop = Event()
    run = Answers(done("connection refused", 1))
    clients = Clients(environ={}, run=run, stop=stop, longest_wait=3600)
    ended: list[BaseException] = []

    def work() -> None:
        try:
            ask(clients, tmp_path)
        except Stopped as error:
            ended.append(error)

    thread = Thread(target=work)
    thread.start()
    while run.count == 0:
        thread.join(0.01)
    stop.set()
    thread.join(30)
    assert len(ended) == 1


def test_an_environment_holds_only_what_is_named() -> None:
    clients = Clients(environ={"PATH": "a", "PIP_X": "b", "GIT_Y": "c", "GOPROXY": "d", "X": "e"})
    assert clients.environment() == {"PATH": "a"}
    assert clients.environment("GOPROXY", prefixes=("PIP_",)) == {
        "PATH": "a",
        "PIP_X": "b",
        "GOPROXY": "d",
    }
