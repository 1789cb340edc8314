"""The one place that runs a program: argv list, environment made from nothing, stdin closed.

A failure carries a command line that can be pasted into a shell to run it again.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproducibility.errors import InfrastructureError, Stopped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from threading import Event

_POLL = 0.05
_GRACE = 5.0
_KEPT = 4000


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended: its exit status (128 + N for signal N) and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


def find(program: str, *, reason: str, remedy: str) -> str:
    """The absolute path of a program.

    Raises:
        InfrastructureError: it is not on PATH; says what it is needed for and how to get it.
    """
    path = shutil.which(program)
    if path is None:
        raise InfrastructureError(
            f"{program} is not installed; it is needed {reason}", subject=program, remedy=remedy
        )
    # A part of PATH may be relative, and the program is started in another folder.
    return os.path.abspath(path)  # noqa: PTH100 - without following a link


def replayable(
    command: Sequence[str], environment: Mapping[str, str], directory: Path | None
) -> str:
    """A shell command line that runs the same program in the same way."""
    parts = ["env", "-i", *(f"{key}={value}" for key, value in sorted(environment.items()))]
    line = shlex.join([*parts, *command])
    return f"cd {shlex.quote(str(directory))} && {line}" if directory else line


def run(  # noqa: PLR0913 - all but the command by keyword
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    seconds: float = 600,
    stop: Event | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end and return what it wrote.

    Its whole process group is ended when it exceeds `seconds` (wall-clock) or when `stop` is set.

    Raises:
        InfrastructureError: it could not be started, took too long, or (`check`) failed.
        Stopped: `stop` was set.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(  # noqa: S603 - argv list, no shell
                command,
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise InfrastructureError(
                f"cannot start {command[0]}: {error.strerror}",
                subject=replayable(command, environment, directory),
            ) from error
        try:
            status = wait(process, seconds=seconds, stop=stop)
        finally:
            end(process)
        out.seek(0)
        err.seek(0)
        completed = Completed(status, out.read(), err.read())
    if check and status != 0:
        raise InfrastructureError(
            f"{command[0]} ended with exit status {status}: "
            f"{completed.stderr[-_KEPT:].decode(errors='replace').strip()}",
            subject=replayable(command, environment, directory),
        )
    return completed


def wait(process: subprocess.Popen[bytes], *, seconds: float, stop: Event | None) -> int:
    """Wait for a process; its exit status, 128 + N when signal N ended it.

    Raises:
        InfrastructureError: still running after `seconds`.
        Stopped: `stop` was set meanwhile.
    """
    waited = 0.0
    while True:
        try:
            status = process.wait(_POLL)
        except subprocess.TimeoutExpired:
            waited += _POLL
        else:
            return 128 - status if status < 0 else status
        if stop is not None and stop.is_set():
            raise Stopped("stopped")
        if waited >= seconds:
            raise InfrastructureError(
                f"{process.args!r:.200} was still running after {seconds:.0f} s and was ended"
            )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its whole group: first politely, then for certain.

    Does nothing where the process itself is gone already.
    """
    if process.poll() is not None:
        return
    # As long as nobody has asked for its status, its number names this group and no other.
    unasked = os.WEXITED | os.WNOHANG | os.WNOWAIT
    os.killpg(process.pid, signal.SIGTERM)
    waited = 0.0
    while waited < _GRACE and os.waitid(os.P_PID, process.pid, unasked) is None:
        time.sleep(_POLL)
        waited += _POLL
    # Its children may have ignored the polite request, or may have ended later than it did.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
