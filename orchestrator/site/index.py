"""The first page: what holds now, then what was, from the newest to the oldest."""

from __future__ import annotations

from typing import Final

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import fold, section
from orchestrator.site import listing, months, state, trends, year
from orchestrator.site.frame import framed
from orchestrator.site.site import Links, Site

PATH: Final = "index.html"
# Nights in the list, months in the calendar at once, and with those that are folded.
_NIGHTS, _MONTHS, _MORE_MONTHS = 30, 3, 12
_SECTIONS = (
    ("now", "Now"),
    ("calendar", "Calendar"),
    ("latest", "Last of each word"),
    ("trends", "Trends"),
    ("nights", "Nights"),
)


def page(site: Site) -> bytes:
    """The index."""
    links = Links(site, "")
    if site.last is None:
        nothing = section("now", "Now", element("p", "There was no night yet."))
        return framed(links, "", _SECTIONS[:1], nothing)
    return framed(
        links,
        "",
        _SECTIONS,
        section("now", "Now", state.hero(site.last, links), state.advised(site.last, links)),
        _calendar(links),
        section("latest", "Last of each word", listing.latest(links)),
        trends.drawn(site.nights),
        _nights(links),
    )


def _calendar(links: Links) -> Html:
    nights = links.site.nights
    found = months.months(nights)
    # From the one of the last night down.
    newest = list(found)[::-1][:_MORE_MONTHS]
    drawn = [months.drawn(month, found[month], links) for month in newest]
    shown = [night for month in newest[:_MONTHS] for night in found[month]]
    earlier = drawn[_MONTHS:]
    return section(
        "calendar",
        "Calendar",
        element("div", *drawn[:_MONTHS], months.legend(shown), class_="months"),
        fold(words.many(len(earlier), "earlier month"), element("div", *earlier, class_="months"))
        if earlier
        else EMPTY,
    )


def _nights(links: Links) -> Html:
    nights = links.site.nights
    shown = nights[-_NIGHTS:]
    return section(
        "nights",
        "Nights",
        element("p", element("a", "Changes and faults as an Atom feed", href=links.feed())),
        listing.listed(f"The last {words.many(len(shown), 'night')}", shown, links),
        _years(links),
    )


def _years(links: Links) -> Html:
    """Every year, and what its nights were."""
    found = year.years(links.site)
    items = (
        element(
            "li",
            element("a", name.capitalize(), href=links.year(name)),
            f": {words.many(len(found[name]), 'night')}, "
            f"{sum(not night.word.good for night in found[name]):,} of them bad",
        )
        for name in sorted(found, reverse=True)
    )
    return join((element("h3", "All nights by year"), element("ul", *items, class_="plain")))
