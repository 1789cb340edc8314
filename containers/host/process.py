"""Runs a program (subprocess): argv list, environment made from nothing, stdin closed or given.

A failure carries a command line that can be pasted into a shell to run it again. It shows no value
of the environment but those of an allow-list; the shell that it is pasted into gives the others.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from reproducibility.errors import InfrastructureError, Stopped
from reproducibility.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from threading import Event

_POLL = 0.05
_GRACE = 5.0
_KEPT = 4000
# Variables whose values are shown: places, words of this project's own choice, no addresses.
_HARMLESS = frozenset(
    {
        "APT_CONFIG", "CGO_ENABLED", "GO111MODULE", "GOARCH", "GOCACHE", "GOENV", "GOFLAGS",
        "GOMODCACHE", "GOOS", "GOPATH", "GOROOT", "GOTOOLCHAIN", "GOWORK", "HOME", "LANG",
        "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "PIP_REQUIRE_VIRTUALENV", "SOURCE_DATE_EPOCH",
        "SSL_CERT_DIR", "SSL_CERT_FILE", "TERM", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended: its exit status (128 + N for signal N) and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a program and of those that it starts, in bytes, beside what it inherits.

    `largest`: of each file that one writes, its output too; who goes on gets SIGXFSZ, or EFBIG
    where that is ignored (setrlimit(2), RLIMIT_FSIZE). `memory`: of what each has of its own, which
    then fails to get more (RLIMIT_DATA).
    """

    largest: int
    memory: int


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
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path | None,
    *,
    expressions: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A shell command line that runs the same program in the same way.

    Where a value of the environment is not known to be harmless, the line takes it from the shell
    that it is run in: the variable of the same name, or what `expressions` (shell words that give
    a variable's value) says. The directory is made again if it is gone.
    """
    words = ["env", "-i"]
    for name, value in sorted(environment.items()):
        if name in expressions:
            words.append(f"{name}={expressions[name]}")
        elif name in _HARMLESS and redact(value) == value:
            words.append(shlex.quote(f"{name}={value}"))
        else:
            words.append(f'{name}="${name}"')
    line = " ".join([*words, redact(shlex.join(command))])
    if directory is None:
        return line
    at = shlex.quote(str(directory))
    return f"mkdir -p {at} && cd {at} && {line}"


def run(  # noqa: PLR0913 - all but the command by keyword
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    seconds: float = 600,
    stop: Event | None = None,
    check: bool = True,
    given: bytes = b"",
    bounds: Bounds | None = None,
) -> Completed:
    """Run a program to its end and return what it wrote. `given`: what it can read from stdin.

    `bounds`: they hold as soon as it has begun, before it can have done much.

    Its whole process group is ended when it exceeds `seconds` (wall-clock) or when `stop` is set.

    Raises:
        InfrastructureError: it could not be started, took too long, or (`check`) failed.
        Stopped: `stop` was set.
    """
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        # A file and no pipe: a program need not read what it is given.
        tempfile.TemporaryFile() as source,
    ):
        source.write(given)
        source.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - argv list, no shell
                command,
                env=dict(environment),
                cwd=directory,
                stdin=source if given else subprocess.DEVNULL,
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
            if bounds is not None:
                _bind(process.pid, bounds)
            status = wait(process, seconds=seconds, stop=stop)
        finally:
            end(process)
        out.seek(0)
        err.seek(0)
        completed = Completed(status, out.read(), err.read())
    if check and status != 0:
        raise InfrastructureError(
            f"{command[0]} ended with exit status {status}: "
            f"{redact(completed.stderr.decode(errors='replace'))[-_KEPT:].strip()}",
            subject=replayable(command, environment, directory),
        )
    return completed


def _bind(number: int, bounds: Bounds) -> None:
    """Set the limits of a process that has just begun; its children inherit them."""
    for kind, most in (
        (resource.RLIMIT_FSIZE, bounds.largest),
        (resource.RLIMIT_DATA, bounds.memory),
    ):
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            soft, hard = resource.prlimit(number, kind)
            if soft == resource.RLIM_INFINITY or soft > most:
                resource.prlimit(number, kind, (most, hard))


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
            words = redact(repr(process.args))[:200]
            raise InfrastructureError(
                f"{words} was still running after {seconds:.0f} s and was ended"
            )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its whole group: first politely, then for certain.

    Does nothing where the process itself is gone already.
    """
    if process.poll() is not None:
        return
    # The kernel cannot reuse the process id, which is the group's id, before it is waited for.
    unasked = os.WEXITED | os.WNOHANG | os.WNOWAIT
    os.killpg(process.pid, signal.SIGTERM)
    waited = 0.0
    while waited < _GRACE and os.waitid(os.P_PID, process.pid, unasked) is None:
        time.sleep(_POLL)
        waited += _POLL
    # Its children may have ignored the polite request, or may have ended later than it did.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
