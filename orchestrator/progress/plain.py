"""Progress where there is no terminal: lines with the time in front, or nothing at all."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from orchestrator.progress.board import INPUTS, Board, kind, many
from reproducibility import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from orchestrator.progress.board import Step


_GAP = " " * len("2026-01-01T00:00:00Z note        ")


class SilentProgress:
    """Shows nothing."""

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None:
        """Show nothing."""

    def started(self, name: str) -> None:
        """Show nothing."""

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class PlainProgress:
    """One line an event, each with the time in UTC; for files, pipes and CI.

    Steps whose result is remembered, and inputs that are there, are counted in one line until
    something else happens, unless `verbose`. A stream that nobody reads any more is no reason to
    stop the work.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        verbose: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stream = stream
        self._verbose = verbose
        self._clock = clock
        self._board = Board()
        self._lock = threading.Lock()
        self._remembered: dict[str, int] = {}

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None:
        """Say how much there is to do."""
        self._board.planned(steps)
        stages = [stage for _, stage, _ in steps if stage != INPUTS]
        if len(stages) < len(steps):
            self._say(f"planned     {many(len(steps) - len(stages), 'input')}")
        if stages:
            number = len(set(stages))
            self._say(f"planned     {many(len(stages), 'step')} in {many(number, 'stage')}")

    def started(self, name: str) -> None:
        """Say that a step began."""
        step = self._board.started(name)
        self._say(f"started     {_title(step)}")

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        """Say that a step ended, or count it where its result was remembered."""
        step = self._board.finished(name, cached=cached, seconds=seconds)
        if cached and not self._verbose:
            with self._lock:
                self._remembered[kind(step)] = self._remembered.get(kind(step), 0) + 1
        elif cached:
            self._say(f"remembered  {_title(step)}")
        else:
            counted = f" [{self._board.count(kind(step))}]" if step.planned else ""
            self._say(f"finished    {_title(step)}, {seconds:.1f} s{counted}")

    def note(self, text: str) -> None:
        """Say it."""
        self._say(f"note        {text}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._say(None)

    def _say(self, text: str | None) -> None:
        with self._lock, suppress(OSError, ValueError):
            for what, number in self._remembered.items():
                self._line(f"remembered  {many(number, what)}")
            self._remembered.clear()
            if text is not None:
                self._line(text)
            self._stream.flush()

    def _line(self, text: str) -> None:
        # What goes on in a second line is no event of its own.
        told = text.replace("\n", f"\n{_GAP}")
        self._stream.write(f"{utc.written(self._clock())} {told}\n")


def _title(step: Step) -> str:
    return step.stage if step.subject in {"", step.stage} else f"{step.stage} ({step.subject})"
