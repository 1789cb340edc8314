"""The index: what holds now comes first, in one sentence, with what to do."""

from __future__ import annotations

import pytest

from orchestrator.history import advice
from orchestrator.history.words import Word
from orchestrator.site import index, year
from tests import nights
from tests.unit.orchestrator.site.sites import MONTH, month, parsed, site, text

BAD = [word for word in Word if not word.good]


def test_the_present_state_comes_first() -> None:
    said = text(index.page(site(MONTH[:14])))
    first = (
        "≠ not-deterministic Night 14 (2026-03-14): a step that was given the same made something "
        "else; so since night 12 (2026-03-12), 3 nights in a row. commands/amd64/0 made something "
        "else from the same: time (certain) 2026-03-14 03:00 to 04:12 UTC, 1 h 12 min Whose matter "
        "who maintains the source that the varying step compiles, or the step What to do first "
        "read which step varies, and the class of its cause; orchestrate history bisect names the "
        "night and the action that it began with To read all that night 14 found Before that "
        "✓ unchanged in night 11 (2026-03-11)"
    ).replace(" ", "")
    squeezed = said.replace(" ", "")
    assert squeezed.index(first) < squeezed.index("Calendar" + "March")


@pytest.mark.parametrize("word", Word)
def test_every_word_says_whose_matter_it_is(word: Word) -> None:
    said = text(index.page(site([nights.night(1), nights.night(2, word=word, since=2)])))
    assert advice.OWNERS[word] in said
    assert advice.FIRST[word].replace("`", "") in said
    assert word.meaning in said
    assert "in a row" not in said.partition("Whose matter")[0]


def test_a_night_that_is_not_kept_has_no_link() -> None:
    page = parsed(index.page(site(MONTH, kept=[30])))
    links = {str(one["href"]) for one in page.named("a")}
    assert {one for one in links if one.startswith("nights/")} == {"nights/000030/index.html"}
    assert "all that night 31 found" not in page.text


def test_before_the_first_night() -> None:
    said = text(index.page(site([])))
    assert "There was no night yet." in said
    assert not {"Calendar", "Trends", "Nights", "never"} & set(said.split())


def test_the_last_of_each_word() -> None:
    said = text(month()["index.html"])
    # Texts of neighbouring elements have nothing between them.
    told = said.partition("Last of each word")[2].partition("Trends")[0]
    assert "≠ not-deterministicNight 14 (2026-03-14)17 nights ago, the last of 3 in a row" in said
    assert "✓ unchangedNight 31 (2026-03-31)the last night" in said
    assert "never" not in told.partition("Trends")[0]
    few = text(index.page(site(MONTH[:5])))
    assert "≠ not-deterministicnever" in few
    assert "Δ inputs-changedNight 4 (2026-03-04)1 night ago" in few


def test_the_list_is_of_the_last_nights_by_number() -> None:
    said = text(month()["index.html"]).rpartition("Atom feed")[2]
    numbers = [one.partition("2026")[0] for one in said.split("Night ")[1:]]
    assert numbers == [str(number) for number in range(31, 1, -1)]
    assert "2026-01-02, by a clock that went back" in said
    assert "2026-03-25, begun 2 times" in said
    assert "2026: 31 nights, 9 of them bad" in said


def test_the_calendar_folds_what_is_long_ago() -> None:
    those = [nights.night(number, date=f"{2024 + number // 12}-{number % 12 + 1:02}-01")
             for number in range(1, 31)]  # fmt: skip
    page = index.page(site(those)).decode()
    opened, _, folded = page.partition("9 earlier months")
    assert folded.partition("Last of each word")[0].count('class="month"') == 9
    assert opened.count('class="month"') == 3
    # The legend counts what is seen.
    assert "unchanged: 3</li>" in opened
    assert opened.index("July 2026") < opened.index("June 2026") < opened.index("May 2026")
    for name in ("2024", "2025", "2026"):
        assert f'href="years/{name}.html"' in folded


def test_a_year_has_all_its_nights() -> None:
    said = text(month()["years/2026.html"])
    assert "31 nights, 9 of them bad." in said
    for night in MONTH:
        assert f"Night {night.number}{night.date}" in said
    assert list(year.years(site(MONTH))) == ["2026"]


def test_years_lead_to_each_other() -> None:
    dates = ("2024-12-31", "2025-01-01", "2026-01-01", "2026-02-30")
    those = [nights.night(number, date=date) for number, date in enumerate(dates, 1)]
    made = site(those)
    found = parsed(year.page(made, "2025", year.years(made)["2025"]))
    links = [str(one["href"]) for one in found.named("a") if "years/" in str(one["href"])]
    assert links == ["../years/2024.html", "../years/2026.html", "../years/undated.html"]
    assert "1 night, 0 of them bad." in found.text
