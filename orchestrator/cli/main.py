"""Runs a command line: parse it, carry it out, report errors, return the exit status."""

from __future__ import annotations

import shlex
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import typer

from orchestrator.cli import streams
from orchestrator.cli.app import application
from orchestrator.cli.session import Call, Manner, Session, print_error
from orchestrator.cli.stopping import Interrupted, Stopping, comes_from_interruption
from reproducibility.errors import (
    ComparisonError,
    InfrastructureError,
    InputError,
    SourceryError,
    Stopped,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.cli.signals import Noted

PROGRAM = "orchestrate"
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell would report it
# Exit statuses of commands that came to an answer.
_ANSWERED = {0, ComparisonError.status}


def main(noted: Noted | None = None) -> NoReturn:
    """Carry out this process's command line, and end it with the exit status.

    `noted`: what listened to signals until now, and does so again at the end.
    """
    try:
        streams.install()
        try:
            status = run(sys.argv[1:], noted)
        except SystemExit as ended:  # shell completion ends the program itself
            status = ended.code if isinstance(ended.code, int) else 0
        status = _delivered(status)
    except Interrupted as late:  # after the command, before the handlers were put back
        status = 128 + late.number
    sys.exit(status)


def _delivered(status: int) -> int:
    """The exit status, if the answer arrived; else one that says so.

    A reader that has seen enough (`| head -1`) gets what a shell reports of programs that such a
    pipe ends. An error keeps its status: its words were said on standard error.
    """
    error = streams.lost()
    if error is None or status not in _ANSWERED:
        return status
    if streams.is_broken_pipe(error):
        return _BROKEN_PIPE
    failed = "; a comparison failed" if status == ComparisonError.status else ""
    said = InfrastructureError(
        f"the answer could not be written: {streams.reason(error)}",
        subject="standard output",
        remedy=f"what the command did is done and kept{failed}; give it a standard output that "
        "takes what is written",
    )
    print_error(said, status=said.status, json=False)
    return said.status


def run(arguments: Sequence[str], noted: Noted | None = None) -> int:
    """Carry out a command line (without the program's name); returns the exit status.

    0 done; 1 a comparison failed; 2 bad usage, spec or lock; 3 a build action failed; 4 the
    network, an engine, the disk or a standard output that does not take the answer; 128 + N stopped
    by signal N.
    """
    json = "--json" in arguments
    if noted is not None and noted.number:
        return _stopped(Session(arguments, Manner(json=json), Stopping(noted)))
    try:
        with streams.helping():
            call = application(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        # Without a command it only shows the help, and has no words.
        summary = error.format_message() or "no command was given"
        refused = InputError(summary, remedy=_help(arguments))
        print_error(refused, status=refused.status, json=json)
        return refused.status
    except SourceryError as error:
        print_error(error, status=error.status, json=json)
        return error.status
    except typer.Abort:
        return Stopped.status
    if not isinstance(call, Call):
        # `--help` and shell completion have done their work while the arguments were read.
        return call if isinstance(call, int) else 0
    return _carry_out(call, arguments, noted)


def _carry_out(call: Call, arguments: Sequence[str], noted: Noted | None) -> int:
    """Do what was asked. What is said of an end is said outside: no signal cuts that short."""
    stopping = Stopping(noted)
    session = Session(arguments, call.manner, stopping)
    try:
        with stopping:
            status = call.do(session)
            sys.stdout.flush()
    except (Stopped, Interrupted, KeyboardInterrupt):
        return _stopped(session)
    except SourceryError as error:
        print_error(error, status=error.status, json=call.manner.json)
        return error.status
    except Exception as error:  # noqa: BLE001 - the last resort, so that no error is a traceback
        if comes_from_interruption(error):
            return _stopped(session)
        return _unforeseen(error, call.manner)
    else:
        return status


def _stopped(session: Session) -> int:
    status = session.stopping.status
    remembered = "finished steps are remembered; to go on, " if session.stopping.worked else ""
    again = shlex.join([PROGRAM, *session.arguments])
    words = Stopped("stopped", remedy=f"{remembered}run it again: {again}")
    print_error(words, status=status, json=session.manner.json)
    return status


def _unforeseen(error: Exception, manner: Manner) -> int:
    """An error that nobody gave words to: the machine's, or a mistake in this program."""
    if isinstance(error, OSError) and error.strerror:
        from containers import blame

        said = blame.of_machine(error)
    elif isinstance(error, MemoryError):
        said = InfrastructureError(
            "this machine ran out of memory", remedy="give --jobs 1, or lower limits.memory"
        )
    else:
        said = InfrastructureError(
            f"a mistake in {PROGRAM} itself: {type(error).__name__}: {error}",
            remedy="please report it to the project with the command line, the output of "
            f"`{PROGRAM} version` and that of the same command with -v",
        )
    if manner.verbose:
        traceback.print_exception(error)
    print_error(said, status=said.status, json=manner.json)
    return said.status


def _help(arguments: Sequence[str]) -> str:
    """Return where to read about the usage of the command that was meant."""
    known = [part for part in arguments[:1] if part in _names()]
    return f"`{shlex.join([PROGRAM, *known])} --help` says what there is"


def _names() -> set[str]:
    """The names of the commands and of their groups."""
    # One that is given no name has that of its function.
    commands = {
        one.name or one.callback.__name__
        for one in application.registered_commands
        if one.callback is not None
    }
    groups = {
        one.typer_instance.info.name
        for one in application.registered_groups
        if one.typer_instance is not None
    }
    return commands | {name for name in groups if isinstance(name, str)}
