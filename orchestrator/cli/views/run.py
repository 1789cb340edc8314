"""Carries out `orchestrate run`: a command in the root of a build, and its exit status."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.session import print_error
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.cli.session import Session

SCHEMA = 1


@dataclass(frozen=True)
class Options:
    """Options of the command line. `command`: empty for a shell."""

    architecture: str
    command: tuple[str, ...]
    out: Path
    store: Path


def run(options: Options, session: Session) -> int:
    """Run the command; returns its own exit status, 126 or 127 where it could not be run.

    With `--json`, what the command writes to standard output goes to standard error, and the
    outcome is the only thing on standard output.

    Raises:
        SourceryError: there is nothing to run it in, or no way to; of the kind that says why.
    """
    from orchestrator.artifacts.finished import Finished
    from orchestrator.run import binfmt
    from orchestrator.run import session as sessions
    from orchestrator.store import Store

    finished = Finished.load(options.out)
    if options.architecture not in finished.architectures:
        raise InputError(
            f"the build has no {options.architecture}, only {', '.join(finished.architectures)}",
            subject=str(options.out),
            remedy="build that architecture too, or run another one",
        )
    if finished.doubt:
        session.note(finished.doubt)
    interpreter = None
    if sessions.is_foreign(options.architecture):
        interpreter = binfmt.find(options.architecture)
        if session.manner.verbose:
            session.note(f"emulated by {interpreter.by}")
    with closing(Store(options.store)) as store:
        invocation = sessions.Invocation(
            finished.root(store), options.architecture, options.command, interpreter
        )
        begun = time.monotonic()
        ended = sessions.run(invocation, (0, 2, 2) if session.manner.json else (0, 1, 2))
    if ended.refusal and not session.manner.json:
        print_error(InputError(ended.refusal), status=ended.status, json=False)
    if session.manner.json:
        document = {
            "schema": SCHEMA,
            "architecture": options.architecture,
            "command": list(invocation.command or (sessions.SHELL,)),
            "emulated_by": interpreter.by if interpreter else None,
            "status": ended.status,
            "refusal": ended.refusal or None,
            "seconds": round(time.monotonic() - begun, 3),
        }
        session.result(document, ())
    return ended.status
