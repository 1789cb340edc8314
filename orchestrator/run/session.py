"""Runs a command in the root of a build, in namespaces on this machine (`orchestrate run`).

What `init` makes of the stick on a device is made here by `first_process.py`: the root
read-only, file systems in memory over what has to be writable, the device's environment and nothing
else. Here is what lies around it: the request, and the way between the caller's streams and the
command's. In the place of the caller's terminal, on whichever of the three streams, the command
gets one of its own, whose bytes are passed on: it can do with that what it likes, and where it has
the caller's whole attention, Ctrl-C, Ctrl-Z and job control are its own matter.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from containers.architecture import LINUX
from containers.host import standalone
from containers.sandbox.request import spare_users
from orchestrator import device
from orchestrator.architecture import host
from orchestrator.run import first_process
from orchestrator.run.pty import Line
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from orchestrator.run.binfmt import Interpreter

SHELL = "gosh"
# As userland/internal/pid1 mounts them; file systems in memory share what there is.
MEMORY = {
    "/dev/shm": "mode=1777,size=5%",  # noqa: S108 - on the device
    "/run": "mode=0755,size=5%",
    "/root": "mode=0700,size=10%",
    "/tmp": "mode=1777,size=40%",  # noqa: S108 - on the device
    "/bin": "mode=0755,size=35%",
}
# As userland/internal/pid1 writes them, where the stick does not bring its own.
ETC = {
    "passwd": "root:x:0:0:root:/tmp/home:/bin/gosh\n",
    "group": "root:x:0:\n",
    "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
    "hostname": "sourcery\n",
}
_FOLDERS = ("HOME", "GOCACHE", "GOPATH", "GOTMPDIR", "TMPDIR")
_PIECE = 1 << 16
_SHOWN = 200
_STREAMS = (0, 1, 2)
# How often a terminal that others use is looked at, in seconds.
_GLANCE = 0.25


@dataclass(frozen=True)
class Invocation:
    """Request for a session: the command, and the root it runs in.

    `root`: a folder with the root's tree. `command`: empty for a shell; a bare name is looked for
    in the device's PATH, so that stubs compile on demand. `interpreter`: None on the machine's own
    architecture.
    """

    root: Path
    architecture: str
    command: tuple[str, ...] = ()
    interpreter: Interpreter | None = None
    additions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """End of a session: the command's exit status (128 + N for signal N).

    `refusal`: why there was no command to run (status 127) or it could not be run (126).
    """

    status: int
    refusal: str = ""


def is_foreign(architecture: str) -> bool:
    """Return whether this machine needs an emulator for it."""
    return host() != architecture


def environment(root: Path, architecture: str) -> dict[str, str]:
    """Return what `init` sets for every program on the device, read from the stick's own file.

    Raises:
        InputError: there is no such file.
    """
    path = root / device.folder(architecture) / "environment"
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(
            f"the root is not one for {architecture}: {why}", subject=str(path)
        ) from error
    if any("\0" in line for line in lines):
        raise InputError(
            f"the root is not one for {architecture}: a variable holds a NUL", subject=str(path)
        )
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def run(invocation: Invocation, streams: Sequence[int] = _STREAMS) -> Ended:
    """Run the command to its end, on three open descriptors.

    Raises:
        InputError: the root is not one for the architecture.
        InfrastructureError: no process can be started, or the namespaces cannot be made here; says
            what to do about it.
    """
    variables = environment(invocation.root, invocation.architecture)
    terminals = [os.isatty(descriptor) for descriptor in streams]
    if any(terminals):
        variables["TERM"] = os.environ.get("TERM", "dumb")
    variables |= invocation.additions
    with contextlib.ExitStack() as stack:
        line = None
        if any(terminals):
            line = stack.enter_context(Line(streams, terminals))
            streams = [
                line.slave if terminal else descriptor
                for terminal, descriptor in zip(terminals, streams, strict=True)
            ]
        request = _request(invocation, variables, terminal=terminals.index(True) if line else None)
        signals = stack.enter_context(_Signals())
        ours, theirs = stack.enter_context(_channel())
        launcher = _launched(theirs.fileno(), streams)
        stack.callback(_end, launcher)
        theirs.close()
        if line is not None:
            line.begin()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            ours.sendall(json.dumps(request).encode())
            ours.shutdown(socket.SHUT_WR)
        _attend(launcher, signals, line)
        status = launcher.wait()
        return _ended(status, _received(ours), invocation)


def _launched(channel: int, streams: Sequence[int]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - argv list, no shell
            standalone.command(first_process.__name__, str(channel)),
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            env={},
            pass_fds=[channel],
            start_new_session=True,
        )
    except OSError as error:
        raise InfrastructureError(
            f"cannot start a process: {error.strerror}",
            subject=sys.executable,
            remedy="see whether this machine has room for another process (`ulimit -u`, `free`)",
        ) from error


def _request(
    invocation: Invocation, variables: Mapping[str, str], *, terminal: int | None
) -> dict[str, Any]:
    spare = spare_users()
    ignored = (number for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP))
    return {
        "parent": os.getpid(),
        # Root becomes a user that nobody is, and no other run at this time is.
        "user": spare["first"] + os.getpid() % spare["count"] if spare else 0,
        "root": str(invocation.root.absolute()),
        "pivot_root": LINUX[host()].pivot_root,
        "registration": invocation.interpreter.registration if invocation.interpreter else "",
        "memory": MEMORY,
        "etc": ETC,
        "folders": [variables[name] for name in _FOLDERS if name in variables],
        "environment": dict(variables),
        "command": list(invocation.command or (SHELL,)),
        "directory": variables.get("HOME", "/"),
        "terminal": terminal,
        "ignored": [n for n in ignored if signal.getsignal(n) is signal.SIG_IGN],
    }


@contextlib.contextmanager
def _channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def _received(channel: socket.socket) -> list[dict[str, str]]:
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := channel.recv(_PIECE):
            data += piece
    return [_report(line) for line in bytes(data).splitlines()]


def _report(line: bytes) -> dict[str, str]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict) and all(
            isinstance(found.get(key), str) for key in ("stage", "words")
        ):
            return found
    raise InfrastructureError(
        "what was to start the command said something that is not understood",
        subject=repr(line[:_SHOWN]),
        remedy="try again; if that does not help, report it",
    )


def _ended(status: int, reports: list[dict[str, str]], invocation: Invocation) -> Ended:
    for report in reports:
        if report["stage"] == "setup":
            raise _refused(report["words"], invocation)
        return Ended(status, report["words"])
    return Ended(128 - status if status < 0 else status)


def _refused(words: str, invocation: Invocation) -> InfrastructureError:
    remedy = (
        "allow user namespaces: `orchestrate doctor` says which setting of this machine is in the "
        "way (in a container: run it with --security-opt seccomp=unconfined, --security-opt "
        "systempaths=unconfined, and as root with --cap-add SYS_ADMIN too)"
    )
    if "binfmt_misc" in words:
        remedy = (
            f"register an emulator for {invocation.architecture} on this machine, as root: "
            "`apt install qemu-user-static binfmt-support`"
        )
    return InfrastructureError(
        "cannot make the namespaces that stand for a device", subject=words, remedy=remedy
    )


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """Leave nothing behind: with the launcher, the kernel ends all that it has started."""
    if launcher.poll() is None:
        launcher.kill()
        launcher.wait()


# -- between the caller and the command ------------------------------------------------------------


class _Signals:
    """Signals to this process as bytes on a descriptor, within a `with` block."""

    def __init__(self) -> None:
        self.descriptor, self._wake = socket.socketpair()
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> Self:
        for end in (self.descriptor, self._wake):
            os.set_blocking(end.fileno(), False)
        self._wakeup = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in sorted(first_process.RELAYED | {signal.SIGWINCH}):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _noted)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self.descriptor.close()
        self._wake.close()

    def came(self) -> bytes:
        """The numbers of the signals that came."""
        try:
            return self.descriptor.recv(_PIECE)
        except BlockingIOError:
            return b""


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Nothing to do: the byte on the wake-up descriptor says it."""


def _attend(launcher: subprocess.Popen[bytes], signals: _Signals, line: Line | None) -> None:
    """Pass on signals, keys and output until the launcher has ended."""
    ended = os.pidfd_open(launcher.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            selector.register(signals.descriptor, selectors.EVENT_READ)
            glance = None
            if line is not None:
                selector.register(line.master, selectors.EVENT_READ)
                _exchange(line, selector, {}, launcher)
                glance = _GLANCE if line.is_aside else None
            while True:
                ready = {key.fd: events for key, events in selector.select(glance)}
                if signals.descriptor.fileno() in ready:
                    _pass_on(signals.came(), launcher, line)
                if line is not None:
                    _exchange(line, selector, ready, launcher)
                    glance = _GLANCE if line.is_aside else None
                if ended in ready:
                    return
    finally:
        os.close(ended)


def _pass_on(numbers: bytes, launcher: subprocess.Popen[bytes], line: Line | None) -> None:
    for number in numbers:
        if number == signal.SIGWINCH:
            if line is not None:
                line.resize()
        elif number in first_process.RELAYED:
            launcher.send_signal(number)


def _exchange(
    line: Line,
    selector: selectors.BaseSelector,
    ready: Mapping[int, int],
    launcher: subprocess.Popen[bytes],
) -> None:
    events = ready.get(line.master, 0)
    if events & selectors.EVENT_READ and not line.drain():
        selector.unregister(line.master)
    if line.source is not None:
        _take(line, line.source, selector, ready, launcher)
    if line.pending:
        line.feed()
    if line.master in selector.get_map():
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.pending else 0)
        selector.modify(line.master, wanted)


def _take(
    line: Line,
    source: int,
    selector: selectors.BaseSelector,
    ready: Mapping[int, int],
    launcher: subprocess.Popen[bytes],
) -> None:
    watched = source in selector.get_map()
    if line.is_aside:
        if watched:
            selector.unregister(source)
    elif not watched:
        selector.register(source, selectors.EVENT_READ)
    elif source in ready and not line.typed():
        selector.unregister(source)
        line.source = None
        launcher.send_signal(signal.SIGHUP)
