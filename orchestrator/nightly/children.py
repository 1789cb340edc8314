"""Runs commands of `orchestrate` as child processes, one a stage, and reads their answers.

A stage in a process of its own cannot take the night with it: not by running out of memory, not by
a mistake in it. And it is the very command that a person types to do the same.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from containers.host import process
from reproducibility import canonical, visible
from reproducibility.errors import InfrastructureError, InputError, Stopped

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

PROGRAM: Final = "orchestrate"
_CHILD = "orchestrator.cli.child"
# What the packages of this project lie in.
_CODE = Path(__file__).resolve().parents[2]
_POLL = 0.1
# A build puts its containers away before it ends; a machine that is busy may take so long.
_GRACE = 120.0
_MOST_VALUES = 2_000_000
# Exit statuses that a command of ours ends with by itself; above are signals.
_OWN = range(5)


@dataclass(frozen=True, slots=True)
class Finished:
    """Command that ended.

    `command`: its words, without the program. `status`: exit status, 128 + N where signal N ended
    it. `document`: what it printed with `--json`, empty where that was none. `words`: what went
    wrong, for people; empty where nothing did. `seconds`: wall clock.
    """

    command: tuple[str, ...]
    status: int
    document: dict[str, Any]
    words: str
    seconds: float

    @property
    def answered(self) -> bool:
        """Whether it came to an answer: it did its work, though a comparison may have failed."""
        return self.status in {0, 1} and bool(self.document) and "error" not in self.document

    @property
    def broken(self) -> bool:
        """Whether it ended without a word of its own: killed, or by a mistake in it."""
        return self.status not in _OWN or not self.document

    @property
    def typed(self) -> tuple[str, ...]:
        """The command as a person types it."""
        return PROGRAM, *(word for word in self.command if word != "--json")


def refused(command: Sequence[str], error: InfrastructureError) -> Finished:
    """Return what comes of a command that could not be run at all: it ended with that error."""
    document = {
        "error": {
            "kind": type(error).__name__,
            "status": error.status,
            "summary": error.summary,
            "subject": error.subject,
            "remedy": error.remedy,
        }
    }
    words = _words(error.status, document)
    return Finished((*command, "--json"), error.status, document, words, 0.0)


def run(command: Sequence[str], log: Path, stop: threading.Event) -> Finished:
    """Run a command of `orchestrate` with `--json` to its end.

    `log`: gets what it writes to standard error, after the line that was typed. When `stop` is set
    it is asked to end, and gets the time to clean up; it is asked too where this process is killed.

    Raises:
        Stopped: `stop` was set; the command has ended.
        InfrastructureError: it could not be started, or the log not be written.
    """
    words = (*command, "--json")
    began = time.monotonic()
    try:
        with tempfile.TemporaryFile() as out, log.open("ab") as errors:
            errors.write(f"$ {shlex.join((PROGRAM, *command))}\n".encode())
            errors.flush()
            child = subprocess.Popen(  # noqa: S603 - argv list, no shell
                [*_program(), str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
            try:
                status = _wait(child, stop)
            finally:
                process.end(child)
            out.seek(0)
            answer = out.read()
    except OSError as error:
        raise InfrastructureError(
            f"a stage of the night could not be run: {error.strerror}",
            subject=str(error.filename or log),
            remedy="free some space, or give another folder as `state`",
        ) from error
    document = _read(answer)
    return Finished(
        tuple(words), status, document, _words(status, document), time.monotonic() - began
    )


def _program() -> list[str]:
    # Not with `-m` alone, which looks for modules in the current folder first: that is a project's,
    # and may have a `json.py` in it.
    start = (
        f"import runpy, sys; code = {str(_CODE)!r}; "
        "sys.path[:0] = [code] * (code not in sys.path); "
        f"runpy.run_module({_CHILD!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-P", "-c", start]


def _wait(child: subprocess.Popen[bytes], stop: threading.Event) -> int:
    asked: float | None = None
    while True:
        try:
            status = child.wait(_POLL)
        except subprocess.TimeoutExpired:
            pass
        else:
            if asked is not None:
                raise Stopped("stopped")
            return 128 - status if status < 0 else status
        if asked is None and stop.is_set():
            child.send_signal(signal.SIGTERM)
            asked = time.monotonic()
        if asked is not None and time.monotonic() - asked > _GRACE:
            raise Stopped("stopped")


def _read(answer: bytes) -> dict[str, Any]:
    try:
        found = canonical.loads(answer, subject="the answer", most=_MOST_VALUES)
    except InputError:
        return {}
    return found if isinstance(found, dict) else {}


def _words(status: int, document: dict[str, Any]) -> str:
    error = document.get("error")
    if isinstance(error, dict):
        parts = [str(error.get(name) or "") for name in ("summary", "subject")]
        said = visible.line(": ".join(part for part in parts if part))
        remedy = str(error.get("remedy") or "")
        return f"{said} ({visible.line(remedy)})" if remedy else said
    if status == 0 and document:
        return ""
    if status not in _OWN:
        name = signal.Signals(status - 128).name if _is_signal(status) else f"status {status}"
        return f"it was ended by {name}"
    if not document:
        return f"it ended with exit status {status} and without an answer"
    return f"exit status {status}"


def _is_signal(status: int) -> bool:
    return status - 128 in {int(one) for one in signal.Signals}
