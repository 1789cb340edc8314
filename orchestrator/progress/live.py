"""Progress on a terminal: the tree of stages, drawn again as the work goes on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from orchestrator.progress.board import Board, clock_face
from orchestrator.progress.tree import fold
from reproducibility import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from orchestrator.progress.tree import Mark, Row

_REFRESHES_A_SECOND = 4
# Narrower than this, columns of figures would leave no room for names.
_NARROWEST = 20
_COUNTS, _ELAPSED = 34, 7
_RIGHT = _COUNTS + 1 + _ELAPSED

_MARKS: dict[Mark, tuple[str, str]] = {
    "done": ("\N{CHECK MARK} ", "green"),
    "running": ("\N{BLACK RIGHT-POINTING SMALL TRIANGLE} ", "bold"),
    "waiting": ("\N{MIDDLE DOT} ", "dim"),
    "step": ("  \N{BOX DRAWINGS LIGHT UP AND RIGHT} ", "cyan"),
    "stopped": ("\N{MULTIPLICATION SIGN} ", "yellow"),
    "stopped step": ("  \N{MULTIPLICATION SIGN} ", "yellow"),
}
_ASCII_MARKS: dict[Mark, tuple[str, str]] = {
    "done": ("+ ", "green"),
    "running": ("> ", "bold"),
    "waiting": (". ", "dim"),
    "step": ("  - ", "cyan"),
    "stopped": ("x ", "yellow"),
    "stopped step": ("  x ", "yellow"),
}


class LiveProgress:
    """A tree of stages that is drawn again four times a second, on a terminal.

    It never takes more lines than the terminal has: finished stages are folded into one line of
    counts, then those to come, then the steps that run.
    """

    def __init__(
        self,
        console: Console,
        *,
        title: str,
        stop: threading.Event | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._title = title
        self._stop = stop or threading.Event()
        self._now = now
        self._board = Board(now)
        self._began = now()
        self._over = False
        self._live = Live(
            console=console,
            get_renderable=self.draw,
            refresh_per_second=_REFRESHES_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None:
        """Add the steps to the tree."""
        self._board.planned(steps)

    def started(self, name: str) -> None:
        """Show the step as running."""
        self._board.started(name)

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        """Show the step as done."""
        self._board.finished(name, cached=cached, seconds=seconds)

    def note(self, text: str) -> None:
        """Say it above the tree."""
        self._console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over = True
        self._live.stop()

    def draw(self) -> Group:
        """The tree as it is now, not wider and not taller than the terminal."""
        width, height = self._console.size
        # Room at the end of the last line for the terminal's own echo of Ctrl-C.
        return Group(*self._lines(max(width - len("^C "), 1), max(height - 1, 1)))

    def _lines(self, width: int, height: int) -> list[Text]:
        marks = _MARKS if self._console.encoding.lower().startswith("utf") else _ASCII_MARKS
        rows = fold(self._board.stages(), height - 1, stopped=self._over)
        lines = [_drawn(row, marks, width) for row in rows]
        return [self._headline(width), *lines][:height]

    def _headline(self, width: int) -> Text:
        steps, inputs = self._board.count(), self._board.count("input")
        shown = steps if steps.total else inputs
        said = str(shown) if shown.total else "getting ready"
        if shown.cached:
            said += f", {shown.cached} remembered"
        if self._stop.is_set() and not self._over:
            said = "stopping; Ctrl-C again: at once"
        return _columns(
            [self._title, said, clock_face(self._now() - self._began)], ("bold", "", ""), width
        )


def _drawn(row: Row, marks: Mapping[Mark, tuple[str, str]], width: int) -> Text:
    mark, style = marks[row.mark]
    return _columns([mark + row.name, row.counts, row.elapsed], (style, style, style), width)


def _columns(parts: Sequence[str], styles: Sequence[str], width: int) -> Text:
    """A line: the name on the left, cut where it must be, and two columns on the right."""
    # Before its width is counted: the console would do so only afterwards.
    name, counts, elapsed = map(visible.line, parts)
    right = f"{counts:<{_COUNTS}} {elapsed:>{_ELAPSED}}".rstrip() if elapsed or counts else ""
    room = max(width - _RIGHT - 1, 0)
    if room < _NARROWEST:
        right, room = elapsed, max(width - len(elapsed) - 1, 0)
    left = Text(name, style=styles[0], no_wrap=True, end="")
    left.truncate(room, overflow="ellipsis", pad=True)
    line = Text.assemble(left, " ", (right, styles[1]))
    line.rstrip()
    line.no_wrap = True
    line.truncate(width, overflow="crop")
    return line
