"""Text streams and consoles that escape foreign control characters (ECMA-48) before a terminal.

Everything that is written is made visible (`reproducibility.visible`), whoever wrote it: names,
messages, what a compiler said. Only `Own` text goes out as it is, and only here such text is made;
as it becomes ordinary text in any operation on it, what is forgotten is seen, not obeyed.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from reproducibility import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

# ECMA-48, SELECT GRAPHIC RENDITION: colours and weights.
_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")


class Own(str):
    """Control sequences of this program's own making, and text that was made visible."""

    __slots__ = ()


class Stream(io.TextIOWrapper):
    """A text stream that lets nothing but `Own` text steer what is at its end."""

    _colours = False

    def write(self, text: str, /) -> int:
        """Write text, made visible unless it is `Own`."""
        if self._colours and not isinstance(text, Own):
            parts = _COLOURS.split(text)
            parts[::2] = map(visible.lines, parts[::2])
            text = Own("".join(parts))
        super().write(text if isinstance(text, Own) else visible.lines(text))
        return len(text)

    @contextmanager
    def colours(self) -> Iterator[None]:
        """Context in which colours pass in any text. Only for a library's rendering of our help."""
        self._colours = True
        try:
            yield
        finally:
            self._colours = False


def coloured(text: str, colour: str, stream: IO[str]) -> str:
    """Bold text in a colour, for a stream; plain where that is no terminal."""
    import typer  # noqa: PLC0415 - `reproducibility` and tests of streams do without it

    return (
        Own(typer.style(visible.lines(text), fg=colour or None, bold=True))
        if stream.isatty()
        else text
    )


def console(stream: IO[str]) -> Console:
    """A console on a stream: its own sequences steer the terminal, what is shown on it does not."""
    from rich.console import Console  # noqa: PLC0415 - not loaded where there is no terminal
    from rich.segment import Segment  # noqa: PLC0415

    class Visible(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(visible.lines(segment.text), segment.style)

    return Visible(file=cast("IO[str]", _Rendered(stream)))


class _Rendered:
    """A stream as a console sees it: all that comes was made visible segment by segment."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(Own(text))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)
