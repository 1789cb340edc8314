"""Nights in a table, the newest first, and the last night of each word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history.words import Word
from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Child, Html, element, join
from orchestrator.markup.tables import table
from orchestrator.site import signs
from orchestrator.site.site import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.model import Night
    from orchestrator.site.site import Links

_COLUMNS = ("Night", "Word", "What came of it", "Took")


def listed(title: str, nights: Sequence[Night], links: Links) -> Html:
    """A table of nights, the newest first."""
    return table(title, _COLUMNS, (_row(night, links) for night in reversed(nights)), kind="nights")


def latest(links: Links) -> Html:
    """For each word the last row of nights that had it."""
    last = {night.word: night for night in links.site.nights}
    rows = [_last(word, last.get(word), links) for word in Word]
    return table("The last nights of each word", ("Word", "Last", "What came of it"), rows,
                 kind="latest")  # fmt: skip


def _row(night: Night, links: Links) -> tuple[Child, ...]:
    back = ", by a clock that went back" if links.site.clock_went_back(night) else ""
    begun = f", begun {words.many(night.attempts, 'time')}" if night.attempts > 1 else ""
    when = element("div", f"{night.date}{back}{begun}", class_="dim")
    name = links.night(night.number, f"Night {night.number}")
    return (
        join((name, when)),
        signs.mark(night.word),
        signs.brief(night.line),
        words.duration(night.seconds),
    )


def _last(word: Word, night: Night | None, links: Links) -> tuple[Child, ...]:
    if night is None:
        return signs.mark(word), element("span", "never", class_="dim"), EMPTY
    site = links.site
    ago = len(site.nights) - 1 - site.place[night.number]
    how_long = "the last night" if not ago else f"{words.many(ago, 'night')} ago"
    many = site.since(night)
    row = f", the last of {many} in a row" if many > 1 else ""
    return (
        signs.mark(word),
        join((links.night(night.number, named(site, night.number).capitalize()),
              element("div", f"{how_long}{row}", class_="dim"))),
        signs.brief(night.line),
    )  # fmt: skip
