"""The calendar: every night in its day, by a sign and a word, whatever clocks said."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history.words import Word
from orchestrator.site import months, signs
from orchestrator.site.site import Links
from tests import nights
from tests.unit.orchestrator.site.sites import MONTH, parsed, site

if TYPE_CHECKING:
    from orchestrator.history.model import Night


def drawn(those: list[Night], month: tuple[int, int] = (2026, 3)) -> str:
    return str(months.drawn(month, those, Links(site(those), "")))


def test_every_word_has_a_sign_and_a_place_in_the_legend() -> None:
    assert list(signs.SIGNS) == list(Word)
    assert len(set(signs.SIGNS.values())) == len(Word)
    text = parsed(str(months.legend(MONTH)).encode()).text
    counts = Counter(night.word for night in MONTH)
    for word in Word:
        assert f"{signs.SIGNS[word]} {word.value}: {counts[word]}" in text


def test_a_night_is_told_by_more_than_its_colour() -> None:
    page = parsed(drawn([nights.night(3, word=Word.CHECK_FAILED)], (2026, 1)).encode())
    (found,) = page.named("a")
    assert found["class"] == "sign check-failed"
    assert found["title"] == "night 3: check-failed"
    assert "3✕night 3: check-failed4" in page.text


@given(st.dates(min_value=date(1, 1, 1)))
def test_days_stand_below_their_weekdays(when: date) -> None:
    html = drawn([nights.night(date=f"{when:%Y-%m-%d}".zfill(10))], (when.year, when.month))
    first = re.search(r'<ol class="days"><li(?: class="from-(\d)")?>', html)
    assert first is not None
    assert int(first[1] or 1) == date(when.year, when.month, 1).isoweekday()
    assert parsed(html.encode()).text.count(f"{when.day}✓") >= 1


@pytest.mark.parametrize(("month", "days"), [((2024, 2), 29), ((2026, 2), 28), ((2026, 12), 31)])
def test_a_month_has_all_its_days(month: tuple[int, int], days: int) -> None:
    html = drawn([nights.night()], month)
    assert re.findall(r'class="day(?: none)?">(\d+)<', html) == [
        str(number) for number in range(1, days + 1)
    ]


def test_several_nights_of_one_day_are_all_there() -> None:
    those = [night.model_copy(update={"date": "2026-03-09"}) for night in MONTH[10:13]]
    found = parsed(drawn(those).encode()).named("a")
    assert [one["title"] for one in found] == [
        "night 11: unchanged",
        "night 12: not-deterministic",
        "night 13: not-deterministic",
    ]


def test_of_too_many_nights_of_one_day_the_worst_are_there() -> None:
    those = [night.model_copy(update={"date": "2026-03-09"}) for night in MONTH]
    html = drawn(those)
    found = [one["title"] for one in parsed(html.encode()).named("a")]
    assert found == [
        "night 12: not-deterministic",
        "night 13: not-deterministic",
        "night 14: not-deterministic",
        "night 17: check-failed",
    ]
    assert '<span title="27 more nights">+27</span>' in html


def test_a_night_without_a_page_is_no_link() -> None:
    one = nights.night()
    html = str(months.drawn((2026, 1), [one], Links(site([one], kept=[]), "")))
    assert "<a " not in html
    assert 'class="sign unchanged" title="night 1: unchanged"' in html


def test_months_are_in_the_order_of_their_last_nights() -> None:
    found = months.months(MONTH)
    assert list(found) == [(2026, 1), (2026, 3)]
    assert [night.number for night in found[2026, 1]] == [28]
    jumped = months.months(MONTH[:28])
    assert list(jumped) == [(2026, 3), (2026, 1)]
    for those in found.values():
        assert all(one.number < other.number for one, other in pairwise(those))
    assert months.months([nights.night(date="2026-02-30")]) == {}
