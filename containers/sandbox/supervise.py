"""Supervises one running action: output streams, time limit, resource usage, the request to stop.

One loop without threads: a process descriptor and the pipes are polled together, so that the end
of the action is seen at once and a full pipe can never block it.
"""

from __future__ import annotations

import io
import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from containers.cut import notice
from reproducibility.errors import InfrastructureError, Stopped

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

# How often the loop looks at the stop request and the clock, in milliseconds; and how often, in
# seconds, at what costs more.
_TICK = 100
_SAMPLE = 0.5
# Milliseconds for a process to end on SIGTERM.
_GRACE = 20_000
# Reading after the end: everything that held a pipe is gone, so this is never waited for in full,
# unless a disk takes that long to take what was read.
_DRAIN = 60.0
_PIECE = 1 << 16

EndedBy = Literal["", "time", "memory", "work", "tmp", "files"]


class _Named(io.FileIO):
    """A file whose errors name it: what the system says of a descriptor does not."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - whatever holds bytes
        try:
            return super().write(data)
        except OSError as error:
            error.filename = self.name
            raise


class Log:
    """A file that keeps the first `limit` bytes of a stream and says so when it cut the rest."""

    def __init__(self, path: Path, limit: int) -> None:
        self._stream = io.BufferedWriter(_Named(str(path), "wb"))
        self._limit = limit
        self._seen = 0

    def read(self, descriptor: int) -> bool:
        """Take a piece from a pipe; whether more may come."""
        data = os.read(descriptor, _PIECE)
        self.write(data)
        return bool(data)

    def write(self, data: bytes) -> None:
        """Keep as much of `data` as the limit leaves room for."""
        room = self._limit - self._seen
        if room > 0:
            self._stream.write(data[:room])
        self._seen += len(data)

    @property
    def cut(self) -> bool:
        """Whether there was more than was kept."""
        return self._seen > self._limit

    def close(self) -> None:
        """Close the file; where something was cut, its last line says how much there was."""
        with self._stream:
            if self.cut:
                words = notice(self._limit, self._seen)
                self._stream.seek(self._limit - len(words))
                self._stream.write(words)


@dataclass(frozen=True, slots=True)
class Ended:
    """End of a watched process: exit status and reason.

    `status`: its exit status, 128 + N for signal N. `seconds`: wall-clock. `ended_by`: the limit
    that ended it, or empty.
    """

    status: int
    seconds: float
    ended_by: EndedBy


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits beyond which an action is ended.

    `seconds`: wall-clock. `exceeded`: says which other limit a process and its descendants exceed.
    """

    seconds: float
    exceeded: Callable[[int], EndedBy]


def watch(
    process: subprocess.Popen[bytes],
    readers: Mapping[int, Callable[[], bool]],
    bounds: Bounds,
    stop: Event,
) -> Ended:
    """Wait for a process that ends all its descendants on SIGTERM, serving its pipes meanwhile.

    `readers`: for each descriptor a function that takes what there is to read, and says whether
    more may come.

    Raises:
        InfrastructureError: it ended by itself, and its pipes did not.
        Stopped: `stop` was set, and the process has ended.
    """
    started = time.monotonic()
    descriptor = os.pidfd_open(process.pid)
    watching = _Watching(process.pid, readers, bounds, started)
    try:
        reason = watching.until_over(descriptor, stop)
    except BaseException:
        _end(descriptor)
        process.wait()
        raise
    else:
        if reason:
            _end(descriptor)
        process.wait()
    finally:
        os.close(descriptor)
    whole = watching.drain()
    if reason == "stop":
        raise Stopped("stopped")
    if not whole and not reason:
        raise InfrastructureError(
            f"an action's output did not come to its end within {_DRAIN:.0f} s after its own",
            remedy="run the same command again; if it happens again, see whether the disk is slow",
        )
    code = process.returncode
    return Ended(
        128 - code if code < 0 else code,
        time.monotonic() - started,
        reason,
    )


def _end(descriptor: int) -> None:
    """Ask a process to end, and kill it if it does not. It is not reaped here."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
        if poll.poll(patience):
            return


class _Watching:
    """State of an action that is watched."""

    def __init__(
        self,
        pid: int,
        readers: Mapping[int, Callable[[], bool]],
        bounds: Bounds,
        started: float,
    ) -> None:
        self._pid = pid
        self._readers = dict(readers)
        self._bounds = bounds
        self._started = started

    def until_over(self, descriptor: int, stop: Event) -> EndedBy | Literal["stop"]:
        """Until the process ends by itself (empty) or is to be ended (why)."""
        sampled = self._started
        while True:
            if descriptor in self._serve(descriptor):
                return ""
            if stop.is_set():
                return "stop"
            now = time.monotonic()
            if now - self._started > self._bounds.seconds:
                return "time"
            if now - sampled > _SAMPLE:
                sampled = now
                exceeded = self._bounds.exceeded(self._pid)
                if exceeded:
                    return exceeded

    def drain(self) -> bool:
        """Read what the ended process left in its pipes; whether that was all."""
        deadline = time.monotonic() + _DRAIN
        while self._readers and time.monotonic() < deadline:
            self._serve()
        return not self._readers

    def _serve(self, *others: int) -> set[int]:
        """Wait a tick for something to read and read it; the descriptors that were ready."""
        poll = select.poll()
        for number in (*self._readers, *others):
            poll.register(number, select.POLLIN)
        ready = {number for number, _ in poll.poll(_TICK)}
        for number in ready & self._readers.keys():
            if not self._readers[number]():
                del self._readers[number]
        return ready
