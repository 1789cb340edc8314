"""Starts the launcher (`confine.py`) with a request, and watches over it to the end."""

from __future__ import annotations

import json
import marshal
import os
import socket
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from containers.host import standalone
from containers.sandbox import supervise
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

    from containers.policy import Limits
    from containers.sandbox.usage import Usage

_LAUNCHER = "containers.sandbox.confine"
_MESSAGE = 1 << 16
_KEPT = 2000
_SIGNAL = 128
# What Python itself may not start without; bubblewrap gets nothing of it.
_NEEDED = ("LD_LIBRARY_PATH",)


@dataclass(frozen=True, slots=True)
class Launched:
    """Outcome of a request that was carried out.

    `status`: the command's exit status, 128 + N for signal N. `largest`: bytes of memory that the
    largest of its processes held at its peak. `cut`: as in `Outcome`.
    """

    status: int
    ended: supervise.Ended
    largest: int
    cut: bool


def launch(
    request: Mapping[str, Any],
    limits: Limits,
    into: Path,
    stop: Event,
    usage: Usage,
) -> Launched:
    """Carry out a request (its form is what `confine.py` reads); the logs go to `into`.

    `usage`: gets to know what the launcher mounts, and is asked what the action takes.

    Raises:
        InfrastructureError: the command could not be run; says what failed.
        Stopped: `stop` was set; nothing of the action runs any more.
    """
    with ExitStack() as stack:
        channel = _Channel(stack, usage)
        progress = _Progress(stack)
        process = _start({**request, "report": channel.theirs, "status": progress.theirs})
        channel.started()
        progress.started()
        try:
            usage.admit(process.pid)
            channel.go()
        except OSError as error:
            process.kill()
            process.wait()
            raise InfrastructureError(
                f"the sandbox cannot be put into its cgroup: {error.strerror}"
            ) from error
        logs: dict[int, Callable[[], bool]] = {}
        kept: dict[str, supervise.Log] = {}
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            if stream is not None:
                stack.enter_context(stream)
                log = kept[name] = supervise.Log(into / name, limits.log)
                stack.callback(log.close)
                logs[stream.fileno()] = partial(log.read, stream.fileno())
        readers = {channel.ours: channel.read, progress.ours: progress.read, **logs}
        bounds = supervise.Bounds(limits.seconds, usage.look)
        ended = supervise.watch(process, readers, bounds, stop)
    status = progress.status()
    if status is None and (ended.ended_by or (progress.begun() and ended.status > _SIGNAL)):
        # Ended by us, or by the kernel for want of memory, and bubblewrap with it.
        status = ended.status
    if status is None:
        words = channel.error or _tail(into / "stderr") or f"exit status {ended.status}"
        raise InfrastructureError("the sandbox could not run the command", subject=words)
    return Launched(status, ended, channel.largest, kept["stdout"].cut)


def _start(request: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """The launcher, with the request on its standard input, in a session of its own."""
    descriptor = os.memfd_create("request")
    with os.fdopen(descriptor, "w+b") as stdin:
        stdin.write(marshal.dumps(dict(request)))
        stdin.seek(0)
        return subprocess.Popen(  # noqa: S603 - argv list, no shell
            standalone.command(_LAUNCHER),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(request["report"], request["status"]),
            env={name: os.environ[name] for name in _NEEDED if name in os.environ},
            cwd="/",
            start_new_session=True,
        )


class _Channel:
    """The socket on which the launcher reports a failure, or hands over what it mounted."""

    def __init__(self, stack: ExitStack, usage: Usage) -> None:
        # Messages stay apart: `confine.py` says what they are.
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(self._ours)
        stack.enter_context(self._theirs)
        self._usage = usage
        self.error = ""
        self.largest = 0

    @property
    def ours(self) -> int:
        return self._ours.fileno()

    @property
    def theirs(self) -> int:
        return self._theirs.fileno()

    def started(self) -> None:
        """Close the launcher's end here."""
        self._theirs.close()

    def go(self) -> None:
        """Let the launcher start bubblewrap. One that is gone already says why by itself."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._ours.send(b"go")

    def read(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._ours, _MESSAGE, 1)
        except ConnectionResetError:  # it ended before it had read that it may go
            return False
        kind, _, value = data.decode(errors="replace").partition(" ")
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - positional only
            self._usage.mounted(value, descriptor)
        if kind == "error":
            self.error = value
        elif kind == "largest":
            self.largest = int(value)
        return bool(data)


class _Progress:
    """The pipe on which bubblewrap tells, as JSON documents, what it does: --json-status-fd."""

    def __init__(self, stack: ExitStack) -> None:
        self.ours, self.theirs = os.pipe()
        stack.callback(os.close, self.ours)
        self._close = stack.enter_context(os.fdopen(self.theirs, "wb", buffering=0))
        self._told = b""

    def started(self) -> None:
        """Close bubblewrap's end here."""
        self._close.close()

    def read(self) -> bool:
        data = os.read(self.ours, _MESSAGE)
        self._told += data
        return bool(data)

    def begun(self) -> bool:
        """Return whether there was a sandbox."""
        return self._find("child-pid") is not None

    def status(self) -> int | None:
        """The command's exit status, or None where it was not run to its end."""
        return self._find("exit-code")

    def _find(self, key: str) -> int | None:
        for line in self._told.decode(errors="replace").splitlines():
            # The last line may be cut where bubblewrap was ended.
            with suppress(ValueError, RecursionError):
                document = json.loads(line)
                if isinstance(document, dict) and isinstance(document.get(key), int):
                    return int(document[key])
        return None


def _tail(file: Path) -> str:
    return file.read_bytes()[-_KEPT:].decode(errors="replace").strip()
