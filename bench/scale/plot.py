"""Plot of the scenes as an SVG of its own: time, and bytes, over the number of workers.

Both axes are logarithmic. Colours are those of the pages, light and dark as the reader has it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from bench.scale.report import WORKERS
from orchestrator.markup.style import COLOURS
from orchestrator.site import xml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.scale.farm import Run
    from bench.scale.report import Scene

_WIDTH, _HEIGHT = 860, 440
# Of a panel: from the left and the top, width and height.
_TOP, _WIDE, _HIGH = 46, 336, 280
_LEFT = (64, 500)
_DASHES = ("none", "7 3", "2 3", "9 3 2 3")
_STYLE = """
svg{background:var(--back)}
text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.dim{fill:var(--dim);font-size:11px}.name{font-weight:600}
line{stroke:var(--rule)}polyline{fill:none;stroke-width:2}
"""


def drawn(scenes: Sequence[Scene]) -> bytes:
    """The picture."""
    picture = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
            "role": "img",
            "aria-labelledby": "title",
        },
    )
    told = "Time, and bytes that travel to workers, of a farm with 1 to 1,000 workers"
    xml.add(picture, "title", told, id="title")
    coloured = "".join(
        f".s{number}{{stroke:var(--p{number})}}\n" for number in range(1, len(scenes) + 1)
    )
    style = ET.SubElement(picture, "style")
    style.text = f"{COLOURS}{coloured}{_STYLE}"
    panels: tuple[tuple[str, Callable[[Run], float], str], ...] = (
        ("Seconds", lambda run: run.seconds, "{:,.0f}"),
        (
            "Gigabytes to workers that keep what they fetched",
            lambda run: run.fetched / 1e9,
            "{:,g}",
        ),
    )
    for left, (name, value, form) in zip(_LEFT, panels, strict=True):
        _panel(picture, left, name, [[value(run) for run in one.runs] for one in scenes], form)
    for number, scene in enumerate(scenes, 1):
        across, down = _LEFT[(number - 1) % 2], _TOP + _HIGH + 62 + 22 * ((number - 1) // 2)
        _line(picture, number, ((across, down - 4), (across + 34, down - 4)))
        xml.add(picture, "text", scene.name, x=f"{across + 42}", y=f"{down}")
    return xml.document(picture)


def _panel(
    picture: ET.Element, left: int, name: str, series: Sequence[Sequence[float]], form: str
) -> None:
    """A panel: axes, their words, and a line for each scene."""
    every = [value for values in series for value in values]
    low = math.floor(2 * math.log10(min(every))) / 2
    high = math.ceil(2 * math.log10(max(every))) / 2
    bottom = _TOP + _HIGH

    def across(many: int) -> float:
        return left + _WIDE * math.log10(many) / math.log10(WORKERS[-1])

    def down(value: float) -> float:
        return bottom - _HIGH * (math.log10(value) - low) / (high - low)

    xml.add(picture, "text", name, x=f"{left}", y=f"{_TOP - 20}", class_="name")
    for power in range(math.ceil(low), math.floor(high) + 1):
        y = f"{down(10.0**power):.1f}"
        xml.add(picture, "line", x1=f"{left}", x2=f"{left + _WIDE}", y1=y, y2=y)
        place = {"x": f"{left - 6}", "y": f"{down(10.0**power) + 4:.1f}"}
        xml.add(picture, "text", form.format(10.0**power), text_anchor="end", class_="dim", **place)
    for many in WORKERS:
        x = f"{across(many):.1f}"
        xml.add(picture, "line", x1=x, x2=x, y1=f"{bottom}", y2=f"{bottom + 4}")
        place = {"x": x, "y": f"{bottom + 17}"}
        xml.add(picture, "text", f"{many:,}", text_anchor="middle", class_="dim", **place)
    place = {"x": f"{left + _WIDE / 2:.0f}", "y": f"{bottom + 34}"}
    xml.add(picture, "text", "workers of 2 cores", text_anchor="middle", class_="dim", **place)
    for number, values in enumerate(series, 1):
        pairs = zip(WORKERS, values, strict=True)
        _line(picture, number, [(across(many), down(value)) for many, value in pairs])


def _line(picture: ET.Element, number: int, points: Sequence[tuple[float, float]]) -> None:
    written = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = _DASHES[(number - 1) % len(_DASHES)]
    xml.add(picture, "polyline", points=written, class_=f"s{number}", stroke_dasharray=dashes)
