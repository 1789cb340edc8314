"""`orchestrate run`: a command in the root of a build, in namespaces on this machine, without boot.

What `init` makes of the stick on a device is made here by `containers/enter.py`: the root
read-only, file systems in memory over what has to be writable, the device's environment and nothing
else. Here is what lies around it: the order, and the way between the caller's streams and the
command's. Where the caller has a terminal, the command gets one of its own, whose bytes are passed
on: it can do with that what it likes, and Ctrl-C, Ctrl-Z and job control are its own matter.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import selectors
import signal
import socket
import subprocess
import sys
import termios
import tty
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from containers import enter
from containers.sandbox_order import spare_users
from orchestrator import device
from orchestrator.inputs import machine
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from orchestrator.emulation import Emulation

SHELL = "gosh"
# As userland/internal/pid1 mounts them; file systems in memory share what there is.
MEMORY = {
    "/dev/shm": "mode=1777,size=10%",  # noqa: S108 - on the device
    "/run": "mode=0755,size=10%",
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
_STREAMS = (0, 1, 2)


@dataclass(frozen=True)
class Run:
    """What is to be run, and in what.

    `root`: a folder with the root's tree. `command`: empty for a shell; a bare name is looked for
    in the device's PATH, so that stubs compile on demand. `emulation`: None on the machine's own
    architecture.
    """

    root: Path
    architecture: str
    command: tuple[str, ...] = ()
    emulation: Emulation | None = None
    additions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How it ended: the command's exit status (128 + N for signal N).

    `refusal`: why there was no command to run (status 127) or it could not be run (126).
    """

    status: int
    refusal: str = ""


def is_foreign(architecture: str) -> bool:
    """Whether this machine needs an emulator for it."""
    return machine.architecture() != architecture


def environment(root: Path, architecture: str) -> dict[str, str]:
    """What `init` sets for every program on the device, read from the stick's own file.

    Raises:
        InputError: there is no such file.
    """
    path = root / device.folder(architecture) / "environment"
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InputError(
            f"the root is not one for {architecture}: {error.strerror}", subject=str(path)
        ) from error
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def run(asked: Run, streams: Sequence[int] = _STREAMS) -> Ended:
    """Run the command to its end, on three open descriptors.

    Raises:
        InputError: the root is not one for the architecture.
        InfrastructureError: the namespaces cannot be made here; says what to do about it.
    """
    variables = environment(asked.root, asked.architecture)
    terminals = [os.isatty(descriptor) for descriptor in streams]
    if terminals[0] or terminals[1]:
        variables["TERM"] = os.environ.get("TERM", "dumb")
    variables |= asked.additions
    with contextlib.ExitStack() as stack:
        line = None
        if terminals[0] and terminals[1]:
            line = stack.enter_context(_Line(streams[0], streams[1]))
            streams = [
                line.slave if terminal else descriptor
                for terminal, descriptor in zip(terminals, streams, strict=True)
            ]
        order = _order(asked, variables, terminal=0 if line else None)
        signals = stack.enter_context(_Signals())
        ours, theirs = stack.enter_context(_channel())
        launcher = subprocess.Popen(  # noqa: S603 - argv list, no shell
            [sys.executable, "-I", "-S", "-B", enter.__file__, str(theirs.fileno())],
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            env={},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        stack.callback(_end, launcher)
        theirs.close()
        if line is not None:
            line.begin()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            ours.sendall(json.dumps(order).encode())
            ours.shutdown(socket.SHUT_WR)
        _attend(launcher, signals, line)
        status = launcher.wait()
        return _ended(status, _received(ours), asked)


def _order(asked: Run, variables: Mapping[str, str], *, terminal: int | None) -> dict[str, Any]:
    spare = spare_users()
    ignored = (number for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP))
    return {
        "parent": os.getpid(),
        # Root becomes a user that nobody is, and no other run at this time is.
        "user": spare["first"] + os.getpid() % spare["count"] if spare else 0,
        "root": str(asked.root.absolute()),
        "handler": asked.emulation.handler if asked.emulation else "",
        "memory": MEMORY,
        "etc": ETC,
        "folders": [variables[name] for name in _FOLDERS if name in variables],
        "environment": dict(variables),
        "command": list(asked.command or (SHELL,)),
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
    return [json.loads(line) for line in data.splitlines()]


def _ended(status: int, reports: list[dict[str, str]], asked: Run) -> Ended:
    for report in reports:
        if report["stage"] == "setup":
            raise _refused(report["words"], asked)
        return Ended(status, report["words"])
    return Ended(128 - status if status < 0 else status)


def _refused(words: str, asked: Run) -> InfrastructureError:
    remedy = (
        "allow user namespaces: `orchestrate doctor` says which setting of this machine is in the "
        "way (in a container: run it with --security-opt seccomp=unconfined, --security-opt "
        "systempaths=unconfined, and as root with --cap-add SYS_ADMIN too)"
    )
    if "binfmt_misc" in words:
        remedy = (
            f"register an emulator for {asked.architecture} on this machine, as root: "
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
        for number in sorted(enter.RELAYED | {signal.SIGWINCH}):
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


class _Line:
    """A terminal for the command, and the caller's own in raw mode, within a `with` block."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self._settings = termios.tcgetattr(source)
        self.master, self.slave = pty.openpty()
        self.pending = bytearray()

    def __enter__(self) -> Self:
        termios.tcsetattr(self.slave, termios.TCSANOW, self._settings)
        self.resize()
        return self

    def __exit__(self, *exception: object) -> None:
        self.drain()
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self.source, termios.TCSADRAIN, self._settings)
        os.close(self.master)
        if self.slave >= 0:
            os.close(self.slave)

    def begin(self) -> None:
        """The command has its end: let go of it here, and take what is typed as it comes."""
        os.close(self.slave)
        self.slave = -1
        os.set_blocking(self.master, False)
        tty.setraw(self.source)

    def resize(self) -> None:
        """Give the command's terminal the size of the caller's."""
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(self.source, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def typed(self) -> bool:
        """Take what was typed; False where the caller's terminal is gone."""
        try:
            data = os.read(self.source, _PIECE)
        except OSError:
            data = b""
        self.pending += data
        return bool(data)

    def feed(self) -> None:
        """Give the command what was typed, as far as it takes it."""
        with contextlib.suppress(OSError):
            del self.pending[: os.write(self.master, self.pending)]

    def drain(self) -> bool:
        """Show what the command has written; False where nobody can write to it any more."""
        while True:
            try:
                data = os.read(self.master, _PIECE)
            except BlockingIOError:
                return True
            except OSError:  # EIO: the last one that had it open is gone
                return False
            if not data:
                return False
            _write(self.sink, data)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody has made the terminal so
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_WRITE)
                selector.select()


def _attend(launcher: subprocess.Popen[bytes], signals: _Signals, line: _Line | None) -> None:
    """Pass on signals, keys and output until the launcher has ended."""
    ended = os.pidfd_open(launcher.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            selector.register(signals.descriptor, selectors.EVENT_READ)
            if line is not None:
                selector.register(line.master, selectors.EVENT_READ)
                selector.register(line.source, selectors.EVENT_READ)
            while True:
                ready = {key.fd: events for key, events in selector.select()}
                if signals.descriptor.fileno() in ready:
                    _pass_on(signals.came(), launcher, line)
                if line is not None:
                    _exchange(line, selector, ready, launcher)
                if ended in ready:
                    return
    finally:
        os.close(ended)


def _pass_on(numbers: bytes, launcher: subprocess.Popen[bytes], line: _Line | None) -> None:
    for number in numbers:
        if number == signal.SIGWINCH:
            if line is not None:
                line.resize()
        elif number in enter.RELAYED:
            launcher.send_signal(number)


def _exchange(
    line: _Line,
    selector: selectors.BaseSelector,
    ready: Mapping[int, int],
    launcher: subprocess.Popen[bytes],
) -> None:
    events = ready.get(line.master, 0)
    if events & selectors.EVENT_READ and not line.drain():
        selector.unregister(line.master)
    if line.source in ready and not line.typed():
        selector.unregister(line.source)
        launcher.send_signal(signal.SIGHUP)
    if line.pending:
        line.feed()
    if line.master in selector.get_map():
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.pending else 0)
        selector.modify(line.master, wanted)
