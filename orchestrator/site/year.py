"""The page of a year: its months and all its nights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history.words import Word
from orchestrator.markup import words
from orchestrator.markup.html import Html, element
from orchestrator.markup.tables import section
from orchestrator.site import listing, months
from orchestrator.site.frame import framed, way
from orchestrator.site.site import Links, Site, year_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.model import Night

# Nights that one page lists; a year of daily nights has fewer.
_MOST = 800
_SECTIONS = (("calendar", "Calendar"), ("nights", "Nights"))


def years(site: Site) -> dict[str, list[Night]]:
    """Nights by the year that their date names."""
    found: dict[str, list[Night]] = {}
    for night in site.nights:
        found.setdefault(year_of(night), []).append(night)
    return found


def page(site: Site, name: str, nights: Sequence[Night]) -> bytes:
    """The page of one year. `name`: as `years` gives it."""
    links = Links(site, "../")
    return framed(
        links,
        name.capitalize(),
        _SECTIONS,
        _calendar(nights, links),
        _listed(nights, links),
        beside=_way(name, links),
    )


def _way(name: str, links: Links) -> Html:
    others = (other for other in sorted(years(links.site)) if other != name)
    items = (element("a", other.capitalize(), href=links.year(other)) for other in others)
    return way("Other years", element("a", "Now", href=links.index("now")), *items)


def _calendar(nights: Sequence[Night], links: Links) -> Html:
    found = months.months(nights)
    drawn = [months.drawn(month, found[month], links) for month in sorted(found)]
    return section(
        "calendar",
        "Calendar",
        element("div", *drawn, months.legend(nights), class_="months"),
    )


def _listed(nights: Sequence[Night], links: Links) -> Html:
    bad = sum(not night.word.good for night in nights)
    told = f"{words.many(len(nights), 'night')}, {bad:,} of them bad."
    shown = nights
    if len(nights) > _MOST:
        order = list(Word)
        worst = sorted(nights, key=lambda night: (order.index(night.word), -night.number))[:_MOST]
        shown = sorted(worst, key=lambda night: night.number)
        told += f" The {_MOST} worst are listed."
    return section("nights", "Nights", element("p", told), listing.listed("Nights", shown, links))
