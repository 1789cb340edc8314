"""Watches one running action: its output streams, its clock, its memory, and the wish to stop.

One loop without threads: a process descriptor and the pipes are polled together, so that the end
of the action is seen at once and a full pipe can never block it.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from containers import proc
from reproducibility.errors import Stopped

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

# How often the loop looks at the stop wish and the clock, in milliseconds; and how often, in
# seconds, at what costs more.
_TICK = 100
_SAMPLE = 0.5
# Milliseconds for a process to end on SIGTERM.
_GRACE = 20_000
# Reading after the end: everything that held a pipe is gone, so this is never waited for in full.
_DRAIN = 5.0
_PIECE = 1 << 16

EndedBy = Literal["", "time", "memory", "work"]


class Log:
    """A file that keeps the first `limit` bytes of a stream and says so when it cut the rest."""

    def __init__(self, path: Path, limit: int) -> None:
        self._stream = path.open("wb")
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

    def close(self) -> None:
        """Close the file; where something was cut, its last line says how much there was."""
        if self._seen > self._limit:
            notice = f"\n[cut at {self._limit} of {self._seen} bytes]\n".encode()[: self._limit]
            self._stream.seek(self._limit - len(notice))
            self._stream.write(notice)
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a watched process ended.

    `status`: its exit status, 128 + N for signal N. `seconds`: wall-clock. `sampled`: the most
    memory that it and its descendants were seen to hold together, in bytes. `ended_by`: the limit
    that ended it, or empty.
    """

    status: int
    seconds: float
    sampled: int
    ended_by: EndedBy


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an action is ended for.

    `seconds`: wall-clock. `memory`: bytes in all its processes together. `overgrown`: says whether
    its work directory has become too large.
    """

    seconds: float
    memory: int
    overgrown: Callable[[], bool]


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
    watching.drain()
    if reason == "stop":
        raise Stopped("stopped")
    code = process.returncode
    return Ended(
        128 - code if code < 0 else code,
        time.monotonic() - started,
        watching.peak,
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
    """What changes while an action is watched."""

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
        self.peak = 0

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
                self.peak = max(self.peak, proc.memory_of(self._pid))
                if self.peak > self._bounds.memory:
                    return "memory"
                if self._bounds.overgrown():
                    return "work"

    def drain(self) -> None:
        """Read what the ended process left in its pipes."""
        deadline = time.monotonic() + _DRAIN
        while self._readers and time.monotonic() < deadline:
            self._serve()

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


class Growth:
    """Says whether a work directory has outgrown its limit (bytes).

    Counting its files costs, so that is done only when the file system has lost as much room.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._free = self._room()

    def too_large(self) -> bool:
        """Whether the files in the folder take more than the limit now."""
        return self._free - self._room() > self._limit and size_of(self._folder) > self._limit

    def _room(self) -> int:
        status = os.statvfs(self._folder)
        return status.f_bfree * status.f_frsize


def size_of(folder: Path) -> int:
    """Bytes that the files below a folder take on the disk, as far as they can be seen now."""
    total = 0
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as listing:
            for entry in listing:
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return total
