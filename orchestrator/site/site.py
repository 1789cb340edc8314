"""What the pages of a site are made from, and how they lead to each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from orchestrator.markup.addresses import Within
from orchestrator.markup.html import Child, Html, element, join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.history.model import Night

_YEARS = "years"
# Characters of a title that are shown.
LONGEST_TITLE = 120


@dataclass(frozen=True)
class Site:
    """Nights by their number, and which of them have a page.

    `nights`: the oldest first. `kept`: the number of each night with a page, and the paths of the
    files that lie in its folder. `title`: what the pages are called.

    Raises:
        ValueError: the numbers do not rise, or a night that is kept is not among the nights.
    """

    nights: tuple[Night, ...]
    kept: Mapping[int, tuple[str, ...]]
    title: str
    place: Mapping[int, int] = field(init=False)

    def __post_init__(self) -> None:
        numbers = [night.number for night in self.nights]
        if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
            raise ValueError("nights come the oldest first, each number once")
        if not self.kept.keys() <= set(numbers):
            raise ValueError("a night that is kept is one of the nights")
        object.__setattr__(self, "place", {number: at for at, number in enumerate(numbers)})

    @property
    def last(self) -> Night | None:
        """The last night; None where there is none yet."""
        return self.nights[-1] if self.nights else None

    def since(self, night: Night) -> int:
        """How many nights in a row, up to this one, have its word."""
        return sum(night.since <= one.number <= night.number for one in self.nights)

    def find(self, number: int) -> Night | None:
        """The night of this number; None where it is not known."""
        at = self.place.get(number)
        return None if at is None else self.nights[at]

    def before(self, night: Night) -> Night | None:
        """The night before one of them; None before the first."""
        at = self.place[night.number]
        return self.nights[at - 1] if at else None

    def neighbours(self, night: Night) -> tuple[Night | None, Night | None]:
        """The last night with a page before a night, and the first one after it."""
        those = [one for one in self.nights if one.number in self.kept]
        earlier = [one for one in those if one.number < night.number]
        later = [one for one in those if one.number > night.number]
        return (earlier[-1] if earlier else None), (later[0] if later else None)

    def clock_went_back(self, night: Night) -> bool:
        """Return whether a night began, by its clock, before the night before it."""
        earlier = self.before(night)
        return earlier is not None and night.began < earlier.began


@dataclass(frozen=True)
class Links:
    """Links of one page of a site. `up`: from its folder to the site's."""

    site: Site
    up: str

    def index(self, name: str = "") -> Within:
        """The address of the index, or of a section in it."""
        return Within(f"{self.up}index.html" + (f"#{name}" if name else ""))

    def feed(self) -> Within:
        """The address of the Atom feed."""
        return Within(f"{self.up}feed.atom")

    def year(self, name: str) -> Within:
        """The address of the page of a year."""
        return Within(self.up + year_path(name))

    def address(self, number: int) -> Within | None:
        """The address of a night's page; None for one that has none."""
        return Within(self.up + night_path(number)) if number in self.site.kept else None

    def night(self, number: int, *words: Child) -> Html:
        """Words that lead to a night's page, where it has one. Without words, the night's name."""
        shown = join(words or (named(self.site, number),))
        address = self.address(number)
        return shown if address is None else element("a", shown, href=address)


def named(site: Site, number: int) -> str:
    """A night's name: its number, and its date where that is known."""
    night = site.find(number)
    return f"night {number}" + (f" ({night.date})" if night is not None else "")


def night_folder(number: int) -> str:
    """The folder of a night, within the site."""
    return f"nights/{number:06}/"


def night_path(number: int) -> str:
    """The path of a night's page, within the site."""
    return f"{night_folder(number)}index.html"


def year_path(name: str) -> str:
    """The path of a year's page, within the site."""
    return f"{_YEARS}/{name}.html"


def day(night: Night) -> date | None:
    """The date of a night; None where what is written there is no day of the calendar."""
    try:
        return date.fromisoformat(night.date)
    except ValueError:
        return None


def year_of(night: Night) -> str:
    """The year that a night is listed in, as the name of its page."""
    found = day(night)
    return f"{found.year:04}" if found is not None else "undated"
