"""Progress display: a live tree on a terminal, plain lines elsewhere, or nothing.

Each form is an `Observer` of the scheduler and a context manager; all may be told of events from
several threads at once. They write to the stream that the command line hands them, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from orchestrator import terminal
from orchestrator.progress.plain import PlainProgress, SilentProgress

if TYPE_CHECKING:
    import threading
    from typing import TextIO

    from orchestrator.execution.step import Observer

    class Progress(Observer, Protocol):
        """An observer that is used in a `with` statement around the work."""

        def __enter__(self) -> Self:
            """Start showing."""

        def __exit__(self, *exception: object) -> None:
            """Stop showing; what was said last stays readable."""


def choose(
    stream: TextIO,
    *,
    title: str,
    quiet: bool = False,
    verbose: bool = False,
    stop: threading.Event | None = None,
) -> Progress:
    """The form that suits a stream: live on a capable terminal, plain lines elsewhere."""
    if quiet:
        return SilentProgress()
    if not verbose and _is_terminal(stream):
        from orchestrator.progress.live import LiveProgress

        console = terminal.console(stream)
        if console.is_terminal and not console.is_dumb_terminal:
            return LiveProgress(console, title=title, stop=stop)
    return PlainProgress(stream, verbose=verbose)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # a closed stream
        return False
