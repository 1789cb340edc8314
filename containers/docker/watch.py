"""Starts a container and supervises it: output, time limit, memory, the request to stop."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from docker.errors import APIError, DockerException

from containers.sandbox.supervise import Log
from reproducibility.errors import InfrastructureError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

    from docker.api.client import APIClient

    from containers.docker.api import Api
    from containers.policy import Limits

# Seconds between looks at the stop request and the clock, and at what costs the engine more.
_TICK = 0.1
_SAMPLE = 2.0
_LOOK = 5.0
_KILLED = 137
_INIT = "docker-init"
# What an init ends with that cannot run its command: not executable, not found.
_NOT_RUN = frozenset({126, 127})
_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Ended:
    """End of a container: exit status and reason, as in `Outcome`."""

    status: int
    seconds: float
    peak_memory: int
    ended_by: str


def watch(  # noqa: PLR0913 - all of one run
    api: Api, container: str, limits: Limits, into: Path, stop: Event, given: bytes = b""
) -> Ended:
    """Start a container that was made, and wait for its end; its output goes to `into`.

    `given`: what its standard input holds, where that is open; less than a pipe can hold.

    Raises:
        InfrastructureError: it cannot be started, or the engine was lost.
        Stopped: `stop` was set; the container has been killed.
    """
    with ExitStack() as stack:
        client = stack.enter_context(api.lend("run a container"))
        logs = []
        for name in ("stdout", "stderr"):
            log = Log(into / name, limits.log)
            stack.callback(log.close)
            logs.append(log)
        pieces = client.attach(container, stdout=True, stderr=True, stream=True, demux=True)
        stack.callback(_hang_up, pieces)
        reading = _Reading(pieces, logs)
        if given:
            _give(client, container, given)
        started = time.monotonic()
        _start(client, container)
        watching = _Watching(api, container, reading, limits)
        reason = watching.until_over(stop)
        if reason:
            with suppress(APIError):
                client.kill(container)
        status = int(client.wait(container)["StatusCode"])
        reading.finish()
        seconds = time.monotonic() - started
        state = client.inspect_container(container)["State"]
    if reason == "stop":
        raise Stopped("stopped")
    refused = state.get("Error") or _not_run(status, into / "stderr")
    if refused:
        raise InfrastructureError("the container engine could not run the command", subject=refused)
    if not reason and state.get("OOMKilled"):
        reason = "memory"
    return Ended(status, seconds, watching.peak, reason)


def _start(client: APIClient, container: str) -> None:
    try:
        client.start(container)
    except APIError as error:
        if _INIT not in str(error):
            raise
        raise InfrastructureError(
            "the container engine has no init, which runs the command and waits for it",
            subject=str(error.explanation or error),
            remedy=f"install {_INIT} on the engine's machine (it is part of the packages docker-ce "
            "and docker.io; else tini under that name), or use --engine sandbox",
        ) from error


def _give(client: APIClient, container: str, given: bytes) -> None:
    """Hand over the whole of a container's standard input, which ends with it (StdinOnce)."""
    attached = client.attach_socket(container, params={"stdin": 1, "stream": 1})
    # The library gives a file to read from, over the socket.
    with closing(attached), closing(attached._response):  # noqa: SLF001 - there is no public way
        attached._sock.sendall(given)  # noqa: SLF001 - the same
        attached._sock.shutdown(socket.SHUT_WR)  # noqa: SLF001 - the same


def _not_run(status: int, stderr: Path) -> str:
    """Return what the init says where it could not run the command; empty where it could."""
    if status not in _NOT_RUN:
        return ""
    with stderr.open("rb") as stream:
        words = stream.read(_KEPT).decode(errors="replace")
    return words.strip() if words.startswith("[FATAL tini ") else ""


def _hang_up(pieces: Any) -> None:  # noqa: ANN401 - more than the library's types say
    pieces.close()
    # The library shuts the socket down and leaves the file over it open.
    pieces._response.close()  # noqa: SLF001 - there is no public way


class _Reading:
    """A thread that takes a container's output until that ends."""

    def __init__(
        self, pieces: Iterator[tuple[bytes | None, bytes | None]], logs: list[Log]
    ) -> None:
        self._pieces = pieces
        self._logs = logs
        self._thread = threading.Thread(target=self._read, name="container output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(DockerException, requests.RequestException, OSError):
            for piece in self._pieces:
                for data, log in zip(piece, self._logs, strict=True):
                    if data:
                        log.write(data)

    def ended(self, patience: float) -> bool:
        """Return whether the output has ended, waiting so many seconds for it."""
        self._thread.join(patience)
        return not self._thread.is_alive()

    def finish(self) -> None:
        """Wait for what an ended container wrote last."""
        self._thread.join(_LOOK)


class _Watching:
    """State of a container that is watched."""

    def __init__(self, api: Api, container: str, reading: _Reading, limits: Limits) -> None:
        self._api = api
        self._container = container
        self._reading = reading
        self._limits = limits
        self.peak = 0

    def until_over(self, stop: Event) -> str:
        """Until the container ends by itself (empty) or is to be ended (why)."""
        started = sampled = looked = time.monotonic()
        while True:
            over = self._reading.ended(_TICK)
            now = time.monotonic()
            if stop.is_set():
                return "stop"
            if now - started > self._limits.seconds:
                return "time"
            # The output can end before the container does: a program may close it.
            if over or now - looked > _LOOK:
                looked = now
                if not self._running():
                    return ""
            if over:
                time.sleep(_TICK)
            if now - sampled > _SAMPLE:
                sampled = now
                self.peak = max(self.peak, self._memory())

    def _running(self) -> bool:
        state = self._api.ask(
            "look at a container", lambda client: client.inspect_container(self._container)["State"]
        )
        return bool(state["Running"])

    def _memory(self) -> int:
        """Bytes in use now, or at most so far where the engine knows; 0 where it cannot tell."""
        with suppress(InfrastructureError), self._api.lend("measure memory") as client:
            stats: dict[str, Any] = client.stats(self._container, stream=False, one_shot=True)
            memory = stats.get("memory_stats") or {}
            return int(memory.get("max_usage") or memory.get("usage") or 0)
        return 0
