"""A command's own terminal in the place of the caller's, on each of the three streams."""

from __future__ import annotations

import os
import pty
import signal
import sys
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

import pytest

from orchestrator import device
from orchestrator.architecture import host
from orchestrator.run import session as sessions
from orchestrator.run.pty import Line
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCAL = 3


@pytest.fixture
def caller() -> Iterator[tuple[int, int]]:
    """The screen and keyboard of a person, and the terminal that a program has of it."""
    person, terminal = pty.openpty()
    yield person, terminal
    os.close(person)
    os.close(terminal)


@contextmanager
def begun(streams: tuple[int, ...]) -> Iterator[tuple[Line, int]]:
    """A line in use, and the command's end of it."""
    with Line(streams, [os.isatty(stream) for stream in streams]) as line:
        command = os.dup(line.slave)
        try:
            line.begin()
            yield line, command
        finally:
            os.close(command)


def aside(line: Line) -> bool:
    return line.is_aside


@pytest.fixture
def pipe() -> Iterator[int]:
    ends = os.pipe()
    yield ends[1]
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("places", ["t..", "tt.", ".t.", "..t", "t.t", "ttt"])
def test_what_the_command_does_to_its_terminal_stays_there(
    caller: tuple[int, int], pipe: int, places: str
) -> None:
    person, terminal = caller
    before = termios.tcgetattr(terminal)
    streams = tuple(terminal if place == "t" else pipe for place in places)
    with begun(streams) as (line, command):
        assert line.raw == places.startswith("tt")
        meanwhile = termios.tcgetattr(terminal)
        assert (meanwhile == before) == (not line.raw)
        settings = termios.tcgetattr(command)
        settings[_LOCAL] = 0
        termios.tcsetattr(command, termios.TCSANOW, settings)
        assert termios.tcgetattr(terminal) == meanwhile
        os.write(command, b"shown")
        assert line.drain()
        assert os.read(person, 100) == b"shown"
    assert termios.tcgetattr(terminal) == before


def test_lines_and_the_end_of_the_input_in_a_pipeline(caller: tuple[int, int], pipe: int) -> None:
    person, terminal = caller
    with begun((terminal, pipe, pipe)) as (line, command):
        for keys, taken in [(b"a line\n", b"a line\n"), (b"half\x04", b"half"), (b"\x04", b"")]:
            os.write(person, keys)
            assert line.typed()
            line.feed()
            assert os.read(command, 100) == taken
        # Nothing is there: another was faster.
        assert line.typed()
        assert not line.pending


def test_keys_in_a_pipeline_are_left_to_a_pager(caller: tuple[int, int], pipe: int) -> None:
    _, terminal = caller
    with begun((terminal, pipe, pipe)) as (line, _):
        assert not aside(line)
        before = termios.tcgetattr(terminal)
        settings = termios.tcgetattr(terminal)
        settings[_LOCAL] &= ~termios.ICANON
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
        assert aside(line)
        termios.tcsetattr(terminal, termios.TCSANOW, before)
        assert not aside(line)


def test_a_terminal_that_is_gone_is_noticed(pipe: int) -> None:
    person, terminal = pty.openpty()
    with begun((terminal, pipe, pipe)) as (line, _):
        os.close(person)
        assert not line.is_aside
        assert not line.typed()
    os.close(terminal)


def test_only_a_terminal_that_keys_come_from_is_read(caller: tuple[int, int], pipe: int) -> None:
    person, terminal = caller
    with begun((pipe, terminal, terminal)) as (line, _):
        os.write(person, b"for the shell\n")
        assert line.source is None
        assert not line.is_aside
    assert os.read(terminal, 100) == b"for the shell\n"


def _hangs(*_: object) -> Never:
    raise TimeoutError


def test_a_command_that_cannot_be_started_is_not_waited_for(
    caller: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, terminal = caller
    architecture = host()
    folder = tmp_path / device.folder(architecture)
    folder.mkdir(parents=True)
    (folder / "environment").write_text("HOME=/\n")
    before = termios.tcgetattr(terminal)
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    usual = signal.signal(signal.SIGALRM, _hangs)
    try:
        signal.alarm(120)  # comes only where it hangs
        with pytest.raises(InfrastructureError, match="cannot start"):
            sessions.run(
                sessions.Invocation(tmp_path, architecture), (terminal, terminal, terminal)
            )
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
    assert termios.tcgetattr(terminal) == before
