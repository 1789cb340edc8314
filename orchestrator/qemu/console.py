"""Connects a person's terminal with a machine's serial line."""

from __future__ import annotations

import os
import select
import termios
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.qemu.transcript import Transcript

# Ctrl-], as in telnet and in virsh.
LEAVE = b"\x1d"
_PIECE = 1 << 16


def connect(line: int, keys: int, display: int, transcript: Transcript) -> bool:
    """Carry bytes both ways until the line is closed (False) or the person types Ctrl-] (True).

    `line`, `keys`, `display`: file descriptors. Keys that end (no terminal, end of input) leave the
    machine running until it ends.
    """
    watched = [line, keys]
    with _raw(keys):
        while True:
            ready, _, _ = select.select(watched, [], [])
            if line in ready:
                try:
                    data = os.read(line, _PIECE)
                except OSError:  # EIO: the other side of a terminal is closed
                    return False
                if not data:
                    return False
                transcript.write(data)
                transcript.flush()
                _write(display, data)
            if keys in ready:
                typed, left, _ = os.read(keys, _PIECE).partition(LEAVE)
                _write(line, typed)
                if left:
                    return True
                if not typed:
                    watched.remove(keys)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _raw(keys: int) -> Iterator[None]:
    """Every key as it is typed, Ctrl-C too; nothing where there is no terminal."""
    if not os.isatty(keys):
        yield
        return
    before = termios.tcgetattr(keys)
    tty.setraw(keys)
    try:
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
