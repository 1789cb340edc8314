"""Starts a container and supervises it: output, time limit, memory, the request to stop."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from docker.errors import APIError

from containers import blame
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
# Seconds without a sign of what an ended container wrote last, and for which a container may go on
# after the end of its output: its init holds that open, so the two end at one time.
_LAST = 60.0
_LOST = "output"
_KILLED = 137
_INIT = "docker-init"
# What an init ends with that cannot run its command: not executable, not found.
_NOT_RUN = frozenset({126, 127})
_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Ended:
    """End of a container: exit status and reason, as in `Outcome`; so is `cut`."""

    status: int
    seconds: float
    peak_memory: int
    ended_by: str
    cut: bool


def watch(  # noqa: PLR0913 - all of one run
    api: Api, container: str, limits: Limits, into: Path, stop: Event, given: bytes = b""
) -> Ended:
    """Start a container that was made, and wait for its end; its output goes to `into`.

    `given`: what its standard input holds, where that is open; less than a pipe can hold.

    Raises:
        InfrastructureError: it cannot be started, or the engine was lost, or a part of the output.
        Stopped: `stop` was set; the container has been killed.
    """
    with ExitStack() as stack:
        client = stack.enter_context(api.lend("run a container"))
        logs = []
        for name in ("stdout", "stderr"):
            with _keeping(into):
                log = Log(into / name, limits.log)
            stack.callback(_keeping(into)(log.close))
            logs.append(log)
        pieces = client.attach(container, stdout=True, stderr=True, stream=True, demux=True)
        stack.callback(_hang_up, pieces)
        reading = _Reading(pieces, logs, into)
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
        lost = reading.finish(reason, stop)
        seconds = time.monotonic() - started
        state = client.inspect_container(container)["State"]
    if reason == "stop" or (stop.is_set() and lost is not None):
        raise Stopped("stopped")
    refused = state.get("Error") or _not_run(status, into / "stderr")
    if refused:
        raise InfrastructureError("the container engine could not run the command", subject=refused)
    if lost is not None:
        raise lost
    if not reason and state.get("OOMKilled"):
        reason = "memory"
    return Ended(status, seconds, watching.peak, reason, logs[0].cut)


@contextmanager
def _keeping(into: Path) -> Iterator[None]:
    """Give what a disk refuses of an action's output the words of other such errors."""
    try:
        yield
    except OSError as error:
        raise blame.of_machine(error, "keep what an action writes", into) from error


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
        self, pieces: Iterator[tuple[bytes | None, bytes | None]], logs: list[Log], into: Path
    ) -> None:
        self._pieces = pieces
        self._logs = logs
        self._into = into
        self._taken = 0
        self.fault: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="container output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for piece in self._pieces:
                for data, log in zip(piece, self._logs, strict=True):
                    if data:
                        with _keeping(self._into):
                            log.write(data)
                self._taken += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest is lost; see finish()
            self.fault = error

    def ended(self, patience: float) -> bool:
        """Return whether the output has ended, waiting so many seconds for it."""
        self._thread.join(patience)
        return not self._thread.is_alive()

    def finish(self, reason: str, stop: Event) -> InfrastructureError | None:
        """Wait for what an ended container wrote last; return why that is not the whole.

        `reason`: why the container was ended; the output of one that a limit ended is for people.
        `stop`: when set, the wait is over.
        """
        if reason and reason != _LOST:
            self.ended(_LOOK)
            return None
        taken, since = self._taken, time.monotonic()
        while not self.ended(_TICK):
            now = time.monotonic()
            if self._taken != taken:
                taken, since = self._taken, now
            if stop.is_set() or now - since > _LAST:
                return _lost(f"nothing more came of it for {_LAST:.0f} s, and it has not ended")
        if self.fault is None:
            return _lost("it ended before the container did") if reason else None
        if isinstance(self.fault, InfrastructureError):
            return self.fault
        return _lost(str(self.fault) or type(self.fault).__name__)


def _lost(why: str) -> InfrastructureError:
    return InfrastructureError(
        f"the container engine lost a part of an action's output: {why}",
        remedy="run the same command again: finished steps are remembered; if it happens again, "
        "look at the engine's log, and at what lies between it and this machine",
    )


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
        silent = None
        while True:
            over = self._reading.ended(_TICK)
            now = time.monotonic()
            if stop.is_set():
                return "stop"
            if now - started > self._limits.seconds:
                return "time"
            # The engine may tell of the output's end some time before it tells of the container's.
            if over or now - looked > _LOOK:
                looked = now
                if not self._running():
                    return ""
            if over:
                silent = silent or now
                if self._reading.fault is not None or now - silent > _LAST:
                    return _LOST
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
