"""Trends: what was measured in the last nights, as small charts, with a table for each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Child, Html, element, join
from orchestrator.markup.tables import fold, part, section, table
from orchestrator.site import series
from orchestrator.site.charts import chart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.history.model import Night
    from orchestrator.site.series import Series

# Nights that the charts show.
MOST = 60


@dataclass(frozen=True)
class Group:
    """Charts of one kind of values. `note`: what one must know to read them."""

    name: str
    title: str
    values: Callable[[Sequence[Night]], list[Series]]
    note: str = ""


_GROUPS: Final = (
    Group("stages", "Time of each stage", series.stages),
    Group(
        "steps",
        "Time of the slowest steps",
        series.steps,
        "A step that was remembered keeps the time of the run that made its output.",
    ),
    Group("commands", "First run of commands on machines", series.commands),
    Group(
        "products",
        "Image and checks",
        series.products,
        "The axis of the image's size does not begin at zero.",
    ),
)


def drawn(nights: Sequence[Night]) -> Html:
    """The section: a group of charts for each kind of values that there are."""
    shown = nights[-MOST:]
    groups = [_group(group, shown) for group in _GROUPS] if shown else []
    if not any(groups):
        return section("trends", "Trends", element("p", "Nothing was measured yet."))
    told = (
        f"Of the last {words.many(len(shown), 'night')}. "
        "A gap is a night that does not have the value."
    )
    return section("trends", "Trends", element("p", told), *groups)


def _group(group: Group, nights: Sequence[Night]) -> Html:
    found = [one for one in group.values(nights) if one.known]
    if not found:
        return EMPTY
    charts = (
        chart(one, nights, f"trend-{group.name}-{number}") for number, one in enumerate(found, 1)
    )
    return part(
        group.title,
        element("p", group.note, class_="dim") if group.note else EMPTY,
        element("ul", *charts, class_="charts"),
        _table(group, found, nights),
    )


def _table(group: Group, found: Sequence[Series], nights: Sequence[Night]) -> Html:
    columns = ("Night", *(one.name for one in found))
    rows: list[tuple[Child, ...]] = []
    for at, night in reversed(list(enumerate(nights))):
        shown = [one.written(at) for one in found]
        if any(shown):
            name = join((f"{night.number}", element("span", f" {night.date}", class_="dim")))
            rows.append((name, *shown))
    return fold("The same as a table", table(group.title, columns, rows, kind="values"))
