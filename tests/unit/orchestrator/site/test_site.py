"""Nights by number, and how pages lead to each other."""

from __future__ import annotations

import pytest

from orchestrator.history.words import Word
from orchestrator.markup.addresses import Within
from orchestrator.site.site import Links, Site, day, named, year_of
from tests import nights
from tests.month import month as month_of_nights
from tests.unit.orchestrator.site.sites import site


def test_nights_come_in_the_order_of_their_numbers() -> None:
    one, two = nights.night(1), nights.night(2)
    for wrong in ((two, one), (one, one)):
        with pytest.raises(ValueError, match="oldest first"):
            Site(wrong, {}, "title")
    with pytest.raises(ValueError, match="one of the nights"):
        Site((one,), {2: ()}, "title")


def test_how_long_a_word_lasts() -> None:
    words = [Word.UNCHANGED, Word.BOOT_FAILED, Word.BOOT_FAILED, Word.BOOT_FAILED, Word.UNCHANGED]
    those = nights.nights(words)
    made = site(those)
    assert [made.since(night) for night in those] == [1, 1, 2, 3, 1]
    # A night that the history no longer has is not counted.
    assert site(those[2:]).since(those[3]) == 2


def test_neighbours_are_nights_with_a_page() -> None:
    those = nights.nights([Word.UNCHANGED] * 9)
    made = site(those, kept=[2, 5, 9])
    found = [made.neighbours(those[number - 1]) for number in (2, 5, 9)]
    numbers = [tuple(one.number if one else None for one in pair) for pair in found]
    assert numbers == [(None, 5), (2, 9), (5, None)]
    assert made.before(those[0]) is None
    assert made.before(those[5]) is those[4]


def test_a_clock_that_went_back_is_seen() -> None:
    those = month_of_nights()
    made = site(those)
    assert [one.number for one in those if made.clock_went_back(one)] == [28]


def test_links_go_up_and_down_again() -> None:
    links = Links(site(nights.nights([Word.UNCHANGED] * 2), kept=[2]), "../../")
    assert links.address(2) == Within("../../nights/000002/index.html")
    assert links.address(1) is None
    assert links.year("2026") == Within("../../years/2026.html")
    assert links.index("now") == Within("../../index.html#now")
    assert str(links.night(2)) == (
        '<a href="../../nights/000002/index.html">night 2 (2026-01-02)</a>'
    )
    assert str(links.night(1)) == "night 1 (2026-01-01)"
    assert str(links.night(7, "<b>")) == "&lt;b&gt;"
    assert named(links.site, 7) == "night 7"


def test_days_and_years() -> None:
    assert str(day(nights.night())) == "2026-01-01"
    assert year_of(nights.night(date="0007-01-01")) == "0007"
    for date in ("2026-02-30", "0000-01-01"):
        assert day(nights.night(date=date)) is None
        assert year_of(nights.night(date=date)) == "undated"
