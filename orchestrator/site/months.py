"""A calendar of nights: months as grids of days, each night a sign in its word's colour.

A month is drawn where it has nights. Where a night lies says its date; which of two came first says
its number, since a clock can jump back.
"""

from __future__ import annotations

from calendar import monthrange
from typing import TYPE_CHECKING, Final

from orchestrator.history.words import Word
from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.site import signs
from orchestrator.site.site import day

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.history.model import Night
    from orchestrator.site.site import Links

Month = tuple[int, int]
# Signs that a day has room for.
_MOST = 4
_WEEKDAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_NAMES: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_WORST = {word: order for order, word in enumerate(Word)}


def months(nights: Iterable[Night]) -> dict[Month, list[Night]]:
    """Nights by their month, in the order of their numbers; those without a date left out.

    The months are in the order of the last night of each: the newest is the last one, whatever a
    clock said in between.
    """
    found: dict[Month, list[Night]] = {}
    for night in nights:
        when = day(night)
        if when is not None:
            of = (when.year, when.month)
            found[of] = [*found.pop(of, []), night]
    return found


def drawn(month: Month, nights: Sequence[Night], links: Links) -> Html:
    """One month as a grid."""
    year, number = month
    title = f"{_NAMES[number - 1]} {year:04}"
    of: dict[int, list[Night]] = {}
    for night in nights:
        when = day(night)
        if when is not None:
            of.setdefault(when.day, []).append(night)
    first, length = monthrange(year, number)
    days = (_day(at, of.get(at, []), first if at == 1 else 0, links) for at in range(1, length + 1))
    weekdays = (element("li", name) for name in _WEEKDAYS)
    return element(
        "div",
        element("h3", title),
        element("ul", *weekdays, class_="weekdays", aria_hidden="true"),
        element("ol", *days, class_="days"),
        class_="month",
    )


def legend(nights: Iterable[Night]) -> Html:
    """What each sign means, and how many nights have its word."""
    those = list(nights)
    items = (
        element(
            "li",
            element("span", signs.SIGNS[word], class_=f"sign {word.value}", aria_hidden="true"),
            f" {word.value}: {sum(night.word is word for night in those):,}",
        )
        for word in Word
    )
    return element("ul", *items, class_="legend words")


def _day(number: int, nights: list[Night], first: int, links: Links) -> Html:
    shown = nights
    if len(nights) > _MOST:
        # Nothing bad is among those that there is no room for.
        worst = sorted(nights, key=lambda night: (_WORST[night.word], -night.number))[:_MOST]
        shown = sorted(worst, key=lambda night: night.number)
    left = len(nights) - len(shown)
    more = element("span", f"+{left}", title=words.many(left, "more night")) if left else EMPTY
    return element(
        "li",
        element("span", str(number), class_="day" if nights else "day none"),
        join(_night(night, links) for night in shown),
        more,
        class_=f"from-{first + 1}" if first else None,
    )


def _night(night: Night, links: Links) -> Html:
    told = f"night {night.number}: {night.word.value}"
    parts = (
        element("span", signs.SIGNS[night.word], aria_hidden="true"),
        element("span", told, class_="unseen"),
    )
    kind = f"sign {night.word.value}"
    address = links.address(night.number)
    if address is None:
        return element("span", *parts, class_=kind, title=told)
    return element("a", *parts, class_=kind, title=told, href=address)
