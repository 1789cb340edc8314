"""Pseudo-terminal (pty) for a command: bytes are copied to and from the caller's terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import selectors
import termios
import tty
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIECE = 1 << 16
# Places in what tcgetattr gives.
_OUTPUT, _LOCAL, _KEYS = 1, 3, 6


class Line:
    """Pseudo-terminal of a command beside the caller's terminal, within a `with` block.

    `terminals`: which of the three streams are terminals, at least one. Where keys come from the
    caller's and output goes there, it is raw meanwhile (`raw`). In a pipeline it stays as it is,
    since it is also that of the others there: it echoes, edits lines, makes signals of keys and
    ends lines for a screen, and the command's does not. `source`: the terminal that keys come
    from, if any. `master`, `slave`: this side and the command's side of its terminal.
    """

    def __init__(self, streams: Sequence[int], terminals: Sequence[bool]) -> None:
        self.raw = terminals[0] and terminals[1]
        self.source = streams[0] if terminals[0] else None
        ends = [streams[number] for number in (1, 2, 0) if terminals[number]]
        self._caller = streams[0] if self.raw else ends[0]
        self._sink = next((end for end in ends if _writable(end)), None)
        self._settings = termios.tcgetattr(self._caller)
        self._own: int | None = None
        self.master, self.slave = pty.openpty()
        # Else reading would block where the command was never started.
        os.set_blocking(self.master, False)
        self.pending = bytearray()

    def __enter__(self) -> Self:
        settings = termios.tcgetattr(self._caller)
        if not self.raw:
            settings[_OUTPUT] &= ~termios.OPOST
            settings[_LOCAL] = settings[_LOCAL] & ~termios.ECHO | termios.ICANON
            if self.source is not None:
                # Another program of the pipeline may have read the key by now: never block.
                with contextlib.suppress(OSError):
                    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
                    self.source = self._own = os.open(f"/proc/self/fd/{self.source}", flags)
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)
        self.resize()
        return self

    def __exit__(self, *exception: object) -> None:
        self.drain()
        if self.raw:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._caller, termios.TCSADRAIN, self._settings)
        os.close(self.master)
        if self._own is not None:
            os.close(self._own)
        if self.slave >= 0:
            os.close(self.slave)

    def begin(self) -> None:
        """The command has its end: let go of it here, and take what is typed as it comes."""
        os.close(self.slave)
        self.slave = -1
        if self.raw:
            tty.setraw(self._caller)

    def resize(self) -> None:
        """Give the command's terminal the size of the caller's."""
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(self._caller, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    @property
    def is_aside(self) -> bool:
        """Tell whether what is typed now is for other programs.

        In a pipeline it is where this process is in the background, or where a program such as a
        pager has the terminal give it every key.
        """
        if self.raw or self.source is None:
            return False
        # ENOTTY: it is a terminal, but not the one that controls this process.
        with contextlib.suppress(OSError):
            if os.tcgetpgrp(self.source) != os.getpgrp():
                return True
        try:
            return not termios.tcgetattr(self.source)[_LOCAL] & termios.ICANON
        except termios.error:
            return False  # it is gone, as will be seen

    def typed(self) -> bool:
        """Take what was typed; False where the caller's terminal is gone."""
        if self.source is None:
            return False
        try:
            data = os.read(self.source, _PIECE)
            if not self.raw and not data.endswith(b"\n"):
                # A line that was ended by Ctrl-D, or, where it is empty, the end of the input.
                data += termios.tcgetattr(self.source)[_KEYS][termios.VEOF]
        except BlockingIOError:
            return True
        except (OSError, termios.error):
            return False
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
            if self._sink is not None:
                _write(self._sink, data)


def _writable(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody has made the terminal so
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_WRITE)
                selector.select()
