"""Standard streams that never raise, whether they are closed, full, or read by nobody.

Writing to them never raises. What was said on the way may be lost, and the work goes on; that the
answer was lost is remembered, so that the exit status can tell. A descriptor that was closed is
taken, since otherwise the next file that is opened would be the standard output. Nothing foreign
that is written to them steers the terminal (`orchestrator.terminal`).
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Self, TextIO

from orchestrator import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
_COLOURS = {
    "PASS": "green",
    "SKIP": "yellow",
    "FAIL": "red",
    "ok": "green",
    "optional": "yellow",
    "missing": "red",
    "error:": "red",
    # Words of nights.
    "not-deterministic": "red",
    "check-failed": "red",
    "build-failed": "red",
    "boot-failed": "red",
    "infrastructure": "yellow",
    "inputs-changed": "green",
    "tool-changed": "green",
    "unchanged": "green",
}


def install() -> None:
    """Take closed descriptors, and put streams that never raise in place of the present ones."""
    # What is written to the standard output has to fail, in this program and in those it starts:
    # the null device that is only read does as a closed descriptor would.
    for descriptor, mode in (
        (_INPUT, os.O_RDONLY),
        (_OUTPUT, os.O_RDONLY),
        (_ERRORS, os.O_WRONLY),
    ):
        try:
            os.fstat(descriptor)
        except OSError:
            _take(descriptor, mode)
    if sys.stdin is None:
        sys.stdin = open(_INPUT, closefd=False)  # noqa: SIM115 - a descriptor, till the end
    sys.stdout = _stream(_OUTPUT, sys.stdout)
    sys.stderr = _stream(_ERRORS, sys.stderr)


class Marked(str):
    """A line that begins with a word for its state, which has that state's colour on a terminal."""

    __slots__ = ("word",)
    word: str

    def __new__(cls, word: str, rest: str) -> Self:
        """The word, then the rest of the line."""
        line = super().__new__(cls, word + rest)
        line.word = word
        return line


def say(line: str, *, errors: bool = False) -> None:
    """Write a line to standard output, where it stays one, or lines to standard error."""
    stream = sys.stderr if errors else sys.stdout
    if isinstance(line, Marked):
        stream.write(terminal.coloured(line.word, _COLOURS.get(line.word, ""), stream))
        line = line[len(line.word) :]
    if not errors:
        # A name with a line feed in it could go on with a verdict.
        line = line.replace("\n", "\\n")
    stream.write(f"{line}\n")
    stream.flush()


@contextmanager
def helping() -> Iterator[None]:
    """Context in which the argument parser may colour the help that it writes."""
    stream = sys.stdout
    with stream.colours() if isinstance(stream, terminal.Stream) else nullcontext():
        yield


def lost() -> OSError | None:
    """Return why output to standard output was lost; None where all of it arrived."""
    sys.stdout.flush()
    end = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return end.error if isinstance(end, _End) else None


class _End(io.FileIO):
    """The unbuffered end of a stream. `error`: of the first write that failed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - whatever lies in memory
        """Write all of it; what cannot be written is dropped."""
        view = memoryview(data).cast("B")
        size = view.nbytes
        # Later parts of an answer without the earlier ones would be another answer.
        if self.error is not None and self.fileno() == _OUTPUT:
            return size
        while view:
            try:
                view = view[os.write(self.fileno(), view) :]
            except BlockingIOError:
                # Somebody who shares the open file has made it non-blocking.
                select.select([], [self.fileno()], [])
            except OSError as error:
                self.error = self.error or error
                break
        return size


def _take(descriptor: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    os.set_inheritable(descriptor, True)  # noqa: FBT003 - as os has it


def _stream(descriptor: int, present: TextIO | None) -> TextIO:
    """A text stream as Python makes it for a descriptor, over an end that never raises.

    A file name or a compiler's words must not end the program for want of a character either.
    """
    with suppress(OSError, ValueError, AttributeError):
        present.flush()  # type: ignore[union-attr]
    buffered = descriptor == _OUTPUT and not getattr(present, "line_buffering", False)
    return terminal.Stream(
        io.BufferedWriter(_End(descriptor)),
        encoding=getattr(present, "encoding", None),
        errors="backslashreplace",
        line_buffering=not buffered,
        write_through=getattr(present, "write_through", False),
    )


def is_broken_pipe(error: OSError) -> bool:
    """Return whether a write failed because the reader of a pipe was content and is gone."""
    return error.errno == errno.EPIPE


def reason(error: OSError) -> str:
    """Return why a write failed, for a person."""
    return "it is closed" if error.errno == errno.EBADF else str(error.strerror)
