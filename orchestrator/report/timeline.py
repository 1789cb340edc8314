"""A time line of the runs that made the results: what ran when, for how long, remembered or not.

Runs that lie far apart are of different builds, so each stretch of work has an axis of its own.
`result.json` has the end of each run to the second, and how long it took; both are wall-clock time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import section
from orchestrator.report import grouping

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.artifacts.model import BuildResult, Step

# A pause that begins another stretch of work, in seconds.
_PAUSE = 600
_ROW, _AXIS, _BAR = 30, 22, 9
_THINNEST = 0.35
_TICKS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_MOST_TICKS = 5
_LAST_TICK = 0.9
_LONGEST_LABEL = 34


@dataclass(frozen=True)
class Run:
    """The run that made a step's result."""

    step: Step
    began: datetime
    ended: datetime

    @property
    def remembered(self) -> bool:
        """Whether an earlier build made it."""
        return self.step.cached


def drawn(result: BuildResult) -> Html:
    """The section: one picture for each stretch of work."""
    runs, without = [], []
    for step in result.steps:
        ended = words.moment(step.provenance.when) if step.provenance else None
        if ended is None:
            without.append(step)
        else:
            runs.append(Run(step, words.began(ended, step.seconds), ended))
    stretches = _stretches(runs)
    return section(
        "time",
        "Time line",
        element("p", _told(result), " ", element("a", "The same as a table", href="#chain"), "."),
        element(
            "p",
            element("span", class_="key ran"), " ran in this build ",
            element("span", class_="key kept"), " made by an earlier run, and remembered",
            class_="legend",
        ),
        *(_stretch(those, number) for number, those in enumerate(stretches, 1)),
        _untimed(without),
    )  # fmt: skip


def _told(result: BuildResult) -> str:
    kept = sum(step.cached for step in result.steps)
    here = sum(step.origin == "ran here" for step in result.steps)
    total = sum(step.seconds for step in result.steps)
    return (
        f"{words.many(here, 'step')} ran in this build, {kept:,} were remembered from earlier "
        f"runs. All runs together took {words.duration(total)}; this build "
        f"{words.duration(result.seconds)}."
    )


def _stretches(runs: Iterable[Run]) -> list[list[Run]]:
    found: list[list[Run]] = []
    end: datetime | None = None
    for run in sorted(runs, key=lambda one: (one.began, one.ended, one.step.name)):
        if end is None or run.began - end > timedelta(seconds=_PAUSE):
            found.append([])
            end = run.ended
        found[-1].append(run)
        end = max(end, run.ended)
    return found


def _stretch(runs: list[Run], number: int) -> Html:
    first, last = min(run.began for run in runs), max(run.ended for run in runs)
    span = max((last - first).total_seconds(), 1.0)
    lanes = _lanes(runs)
    height = _AXIS + _ROW * len(lanes)
    name = f"time-{number}"
    parts = [_tick(at, span, height) for at in _ticks(span)]
    for row, (label, those) in enumerate(lanes):
        parts.append(_lane(label, those, first, span, _AXIS + row * _ROW))
    title = f"{first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} UTC, {words.duration(span)}"
    told = ", ".join(words.cut(label, 60) for label, _ in lanes[:40])
    return join(
        (
            element("h3", title),
            element(
                "svg",
                element("title", f"Time line, {title}", id=f"{name}-title"),
                element("desc", f"From the earliest to the latest: {told}.", id=f"{name}-desc"),
                *parts,
                role="img",
                aria_labelledby=f"{name}-title {name}-desc",
                width="100%",
                height=height,
                class_="time",
            ),
        )
    )


def _lanes(runs: list[Run]) -> list[tuple[str, list[Run]]]:
    """Runs of one stage and architecture in one lane, by when the first of them began."""
    of = {run.step.name: run for run in runs}
    lanes = []
    for group in grouping.grouped(run.step for run in runs):
        label = f"{group.label} {group.architecture}".strip()
        many = f" ({len(group.steps)})" if len(group.steps) > 1 else ""
        lanes.append((f"{label}{many}", [of[step.name] for step in group.steps]))
    return lanes


def _lane(label: str, runs: list[Run], first: datetime, span: float, top: int) -> Html:
    bars = []
    for run in runs:
        start = 100 * (run.began - first).total_seconds() / span
        width = max(_THINNEST, 100 * (run.ended - run.began).total_seconds() / span)
        start = min(start, 100 - width)
        bars.append(
            element("rect", x=f"{start:.2f}%", y=top + 16, width=f"{width:.2f}%", height=_BAR,
                    rx=2, class_="kept" if run.remembered else "ran")
        )  # fmt: skip
    took = words.duration(sum(run.step.seconds for run in runs))
    return join(
        (
            element("text", words.cut(label, _LONGEST_LABEL), x=0, y=top + 12, class_="label"),
            element("text", took, x="100%", y=top + 12, text_anchor="end", class_="took"),
            *bars,
        )
    )


def _ticks(span: float) -> list[int]:
    step = next((one for one in _TICKS if span / one <= _MOST_TICKS), 0)
    if not step:
        step = int(span // _MOST_TICKS) + 1
    # The words of one near the end would go beyond the picture; a line without words says nothing.
    return [at for at in range(0, int(span) + 1, step) if at <= _LAST_TICK * span]


def _tick(at: int, span: float, height: int) -> Html:
    place = f"{100 * at / span:.2f}%"
    line = element("line", x1=place, y1=16, x2=place, y2=height, class_="grid")
    shown = "0" if not at else f"+{_clock(at)}"
    return join((line, element("text", shown, x=place, y=11, class_="tick")))


def _clock(seconds: int) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds} s"
    if seconds < 3600:  # noqa: PLR2004 - an hour
        return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.3g} h"


def _untimed(steps: list[Step]) -> Html:
    if not steps:
        return EMPTY
    names = join((words.code(step.name) for step in steps), element("span", ", "))
    return element("div", "Without a recorded time: ", names)
