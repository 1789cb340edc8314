"""One series as a small chart: an inline SVG with an axis, and the same in words.

Places across are shares of the width, so that a chart is as wide as its room and its letters are as
large as all others. The line itself lies in a picture of its own, which is stretched; the words of
the axis in one that is not, beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.site.axes import axis

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.history.model import Night
    from orchestrator.site.axes import Axis
    from orchestrator.site.series import Series, Value

# Pixels from the top: the highest line of the axis, the lowest one, the words below, the end.
_TOP, _BOTTOM, _WORDS, _HEIGHT = 14, 84, 102, 110
# Of the axis' words, in pixels: the least width, the gap beside them, their size (in `style`).
_AXIS, _GAP, _SIZE = 52, 6, 11
# Widths of letters, in parts of their size: no less than in Verdana, the widest font of screens. No
# font is at hand here, and a picture cuts off what is wider than it.
_WIDTHS = {**dict.fromkeys(" ,.i", 0.37), **dict.fromkeys("0123456789behdnsty", 0.64), "m": 0.98}
_WIDEST = 0.99
_SCALE = 100


@dataclass(frozen=True)
class _Point:
    """A value, its night, and where it lies across and from the top, from 0 to 100."""

    night: Night
    value: float
    across: float
    down: float


def chart(series: Series, nights: Sequence[Night], name: str) -> Html:
    """A series as a picture with its name and its last value; nothing where it has no value.

    `name`: by which the parts of the picture refer to each other, one of its own on a page.
    """
    if not series.known:
        return EMPTY
    scale = axis(series.known, series.unit)
    runs = list(_runs(series.values, nights, scale))
    last = runs[-1][-1]
    old = "" if last.night is nights[-1] else f" in night {last.night.number}"
    picture = element(
        "svg",
        element("title", series.name, id=f"{name}-title"),
        element("desc", _described(series, nights), id=f"{name}-desc"),
        *(element("line", x1=0, y1=y, x2="100%", y2=y, class_="grid") for y, _ in _marks(scale)),
        *_ends(nights),
        _line(runs),
        element("circle", cx=f"{last.across:.2f}%", cy=_y(last.down), r=3.5, class_="last"),
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        width="100%",
        height=_HEIGHT,
        class_="trend",
    )
    return element(
        "li",
        element("p", element("bdi", series.name), class_="name"),
        element("p", element("strong", series.unit.write(last.value)), old, class_="now"),
        element("div", _axis(scale), picture, class_="chart"),
    )


def _runs(values: Sequence[Value], nights: Sequence[Night], scale: Axis) -> Iterator[list[_Point]]:
    """Nights in a row that have a value."""
    run: list[_Point] = []
    for at, (night, value) in enumerate(zip(nights, values, strict=True)):
        if value is not None:
            across = _SCALE * at / (len(nights) - 1) if len(nights) > 1 else _SCALE
            run.append(_Point(night, value, across, _SCALE * (1 - scale.share(value))))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _axis(scale: Axis) -> Html:
    end = max(_AXIS - _GAP, *map(_width, scale.labels))
    marks = (
        element("text", label, x=end, y=y + 4, text_anchor="end", class_="tick")
        for y, label in _marks(scale)
    )
    width = end + _GAP
    return element("svg", *marks, width=width, height=_HEIGHT, aria_hidden="true", class_="axis")


def _width(label: str) -> int:
    """Return the pixels that a label takes at most."""
    return math.ceil(_SIZE * sum(_WIDTHS.get(letter, _WIDEST) for letter in label))


def _marks(scale: Axis) -> Iterator[tuple[float, str]]:
    """How far down each line of the axis lies, and what is written at it."""
    for line, label in zip(scale.lines, scale.labels, strict=True):
        yield _y(_SCALE * (1 - scale.share(line))), label


def _ends(nights: Sequence[Night]) -> Iterator[Html]:
    """The words below: the first and the last night."""
    first, last = nights[0].number, nights[-1].number
    if first != last:
        yield element("text", f"night {first}", x=0, y=_WORDS, class_="tick")
    yield element("text", f"night {last}", x="100%", y=_WORDS, text_anchor="end", class_="tick")


def _line(runs: Sequence[Sequence[_Point]]) -> Html:
    lines = []
    for run in runs:
        points = [f"{point.across:.2f},{point.down:.2f}" for point in run]
        # A line from a point to itself is drawn as a dot.
        lines.append(element("polyline", points=" ".join(points * 2 if len(run) == 1 else points)))
    return element(
        "svg",
        join(lines),
        x=0,
        y=_TOP,
        width="100%",
        height=_BOTTOM - _TOP,
        viewBox=f"0 0 {_SCALE} {_SCALE}",
        preserveAspectRatio="none",
    )


def _described(series: Series, nights: Sequence[Night]) -> str:
    least, most = min(series.known), max(series.known)
    of = {value: night.number for night, value in zip(nights, series.values, strict=True)}
    last = next(value for value in reversed(series.values) if value is not None)
    told, write = words.many(len(series.known), "value"), series.unit.write
    return (
        f"{told} from night {nights[0].number} to night {nights[-1].number}. "
        f"Least {write(least)} in night {of[least]}, most {write(most)} in night "
        f"{of[most]}, last {write(last)} in night {of[last]}. The table below has them all."
    )


def _y(down: float) -> float:
    return _TOP + down * (_BOTTOM - _TOP) / _SCALE
