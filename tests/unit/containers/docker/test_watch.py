"""How a container is started and its output read, and what its init says where it cannot run it."""

from __future__ import annotations

import errno
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import requests
from docker.errors import APIError

from containers.docker import watch
from containers.policy import Limits
from containers.sandbox.supervise import Log
from reproducibility.errors import InfrastructureError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker.api.client import APIClient

_FATAL = "[FATAL tini (7)] exec /bin/nothing failed: No such file or directory\n"


class Client:
    """Starts nothing, and says why."""

    def __init__(self, words: str) -> None:
        self._words = words

    def start(self, container: str) -> None:
        raise APIError(f"{container}: {self._words}", explanation=self._words)


def test_an_engine_without_an_init_is_told_from_other_failures() -> None:
    lacking = Client('exec: "docker-init": executable file not found in $PATH')
    with pytest.raises(InfrastructureError, match="has no init") as caught:
        watch._start(cast("APIClient", lacking), "container")
    assert "docker-init" in caught.value.remedy
    with pytest.raises(APIError, match="no space"):
        watch._start(cast("APIClient", Client("no space left on device")), "container")


def test_a_command_that_the_init_cannot_run_did_not_run(tmp_path: Path) -> None:
    stderr = tmp_path / "stderr"
    stderr.write_text(_FATAL)
    assert watch._not_run(127, stderr) == _FATAL.strip()
    assert watch._not_run(1, stderr) == ""
    stderr.write_text("a shell: nothing: not found\n")
    assert watch._not_run(127, stderr) == ""


LINE = b"package/0\n"


class Stream:
    """What an engine sends of a container's output, until somebody hangs up."""

    def __init__(self, pieces: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        self._pieces = pieces
        self._response = SimpleNamespace(close=lambda: None)

    def __iter__(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        return self._pieces

    def close(self) -> None:
        """Do nothing: what waits goes on to wait."""


class Running:
    """An engine with one container, which runs until `over` is set or it is killed."""

    def __init__(self, send: Callable[[], Iterator[tuple[bytes | None, bytes | None]]]) -> None:
        self._send = send
        self.over = threading.Event()
        self.killed = False

    @contextmanager
    def lend(self, _: str) -> Iterator[Running]:
        yield self

    def ask(self, _: str, question: Callable[[Running], Any]) -> Any:  # noqa: ANN401 - as the API
        return question(self)

    def attach(self, *_: object, **__: object) -> Stream:
        return Stream(self._send())

    def start(self, _: str) -> None:
        """Do nothing."""

    def kill(self, _: str) -> None:
        self.killed = True
        self.over.set()

    def wait(self, _: str) -> dict[str, int]:
        return {"StatusCode": 137 if self.killed else 0}

    def inspect_container(self, _: str) -> dict[str, dict[str, bool]]:
        return {"State": {"Running": not self.over.is_set(), "OOMKilled": False}}

    def stats(self, *_: object, **__: object) -> dict[str, object]:
        return {}


def watched(
    engine: Running, folder: Path, limits: Limits | None = None, stop: threading.Event | None = None
) -> watch.Ended:
    return watch.watch(
        cast("Any", engine), "c", limits or Limits(), folder, stop or threading.Event()
    )


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ChunkedEncodingError("Connection broken"),
        ConnectionResetError(errno.ECONNRESET, "Connection broken"),
        ValueError("Connection broken"),
    ],
)
@pytest.mark.parametrize("over", [False, True])
def test_output_whose_connection_broke_is_no_result(
    tmp_path: Path, error: Exception, *, over: bool
) -> None:
    def send() -> Iterator[tuple[bytes | None, bytes | None]]:
        yield LINE, None
        if over:
            engine.over.set()
        raise error

    engine = Running(send)
    with pytest.raises(InfrastructureError, match=r"lost a part .*: .*Connection broken") as told:
        watched(engine, tmp_path)
    assert "run the same command again" in told.value.remedy
    # Nobody waits for the end of a run whose result cannot be had.
    assert engine.over.is_set()


def test_output_that_does_not_end_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LAST", 0.3)
    monkeypatch.setattr(watch, "_LOOK", 0.1)
    done = threading.Event()

    def send() -> Iterator[tuple[bytes | None, bytes | None]]:
        yield LINE, None
        engine.over.set()
        done.wait(60)

    engine = Running(send)
    with pytest.raises(InfrastructureError, match=r"lost a part .*: nothing more came"):
        watched(engine, tmp_path)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        watched(engine, tmp_path, stop=stop)
    done.set()


def test_output_that_ended_while_the_container_goes_on_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LAST", 0.3)
    engine = Running(lambda: iter([(LINE, None)]))
    with pytest.raises(InfrastructureError, match="ended before the container did"):
        watched(engine, tmp_path)
    assert engine.killed


def test_the_last_output_of_a_container_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOOK", 0.1)

    def send() -> Iterator[tuple[bytes | None, bytes | None]]:
        yield LINE, b"a warning"
        engine.over.set()
        threading.Event().wait(1)
        yield LINE, None

    engine = Running(send)
    ended = watched(engine, tmp_path)
    assert (ended.status, ended.ended_by, ended.cut) == (0, "", False)
    assert (tmp_path / "stdout").read_bytes() == LINE * 2
    assert (tmp_path / "stderr").read_bytes() == b"a warning"


@pytest.mark.parametrize("what", ["write", "close"])
def test_a_full_disk_is_told_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    close = Log.close

    def full(log: Log, *_: object) -> None:
        if what == "close":
            close(log)
        raise OSError(errno.ENOSPC, "No space left on device")

    def send() -> Iterator[tuple[bytes | None, bytes | None]]:
        engine.over.set()
        yield LINE, None

    monkeypatch.setattr(Log, what, full)
    engine = Running(send)
    with pytest.raises(InfrastructureError, match="what an action writes: No space left") as told:
        watched(engine, tmp_path)
    assert "free some space" in told.value.remedy


@pytest.mark.parametrize(("limit", "cut"), [(len(LINE), False), (len(LINE) - 1, True)])
def test_it_is_said_whether_standard_output_was_cut(
    tmp_path: Path, limit: int, *, cut: bool
) -> None:
    def send() -> Iterator[tuple[bytes | None, bytes | None]]:
        engine.over.set()
        yield LINE, LINE * 2

    engine = Running(send)
    assert watched(engine, tmp_path, Limits(log=limit)).cut is cut
