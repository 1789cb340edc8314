"""Session of a running command: output streams, output options, the request to stop.

Standard output carries the result and nothing else; everything on the way (progress, notes,
errors) goes to standard error, so that `--json` output can be piped as it is.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli import streams
from orchestrator.cli.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from orchestrator.progress import Progress
    from reproducibility.errors import SourceryError


@dataclass(frozen=True, slots=True)
class Manner:
    """Output options of a command: --json, --verbose, --quiet."""

    json: bool = False
    verbose: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """Parsed command line: a function that returns the exit status, and output options."""

    do: Callable[[Session], int]
    manner: Manner


class Session:
    """Output streams, output options and stop event of one command.

    `arguments`: as they were typed, without the program's name.
    """

    def __init__(self, arguments: Sequence[str], manner: Manner, stopping: Stopping) -> None:
        self.arguments = tuple(arguments)
        self.manner = manner
        self.stopping = stopping

    def result(self, document: dict[str, object], lines: Iterable[str]) -> None:
        """Print the result: the document with `--json`, else the lines (none with `--quiet`)."""
        if self.manner.json:
            print_json(document)
        elif not self.manner.quiet:
            for line in lines:
                streams.say(line)

    def note(self, text: str) -> None:
        """Print a note on standard error."""
        if not self.manner.quiet:
            streams.say(f"note: {text}".replace("\n", "\n  "), errors=True)

    @contextmanager
    def working(self, title: str) -> Iterator[Progress]:
        """Show progress while long work goes on that looks at `self.stopping.event`."""
        from orchestrator import progress
        from orchestrator.progress.plain import PlainProgress

        chosen = progress.choose(
            sys.stderr,
            title=title,
            quiet=self.manner.quiet,
            verbose=self.manner.verbose,
            stop=self.stopping.event,
        )
        with self.stopping.gracefully(tell=isinstance(chosen, PlainProgress)), chosen:
            yield chosen


def print_json(document: dict[str, object]) -> None:
    """Write a document to standard output: sorted, indented, UTF-8 whatever the locale.

    What a terminal would obey, or is no text at all, is escaped as JSON has it.
    """
    from reproducibility import canonical

    data = canonical.shown(document)
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(data.decode())
    else:
        buffer.write(data)
    sys.stdout.flush()


def print_error(error: SourceryError, *, status: int, json: bool) -> None:
    """Print an error: as text on standard error, with `--json` as a document on standard output.

    Data that standard output does not take is told in words too.
    """
    if json:
        print_json(
            {
                "error": {
                    "kind": type(error).__name__,
                    "status": status,
                    "summary": error.summary,
                    "subject": error.subject,
                    "remedy": error.remedy,
                }
            }
        )
        if streams.lost() is None:
            return
    first, _, rest = error.diagnostics().partition("\n")
    streams.say(streams.Marked("error:", f" {first}"), errors=True)
    if rest:
        streams.say(rest, errors=True)
