"""Which nights keep their details: as the rule says, and those that somebody will ask about."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.retention import Brief, Keep, kept, present_row_of_bad
from orchestrator.history.words import Word
from reproducibility.errors import InputError
from tests.conftest import examples
from tests.nights import keep, night, of, step
from tests.unit.orchestrator.history.nights import month

# -- the rule --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("30 nights, 12 months", Keep(30, 12)),
        ("30 nights", Keep(30)),
        ("1 night,1month", Keep(1, 1)),
        ("  2months ,  007 nights ", Keep(7, 2)),
        ("5 nights, 0 months", Keep(5, 0)),
    ],
)
def test_a_rule_is_read(text: str, rule: Keep) -> None:
    assert Keep.parse(text) == rule


@given(st.integers(1, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_a_rule_is_written_as_it_is_read(nights: int, months: int) -> None:
    assert Keep.parse(str(Keep(nights, months))) == Keep(nights, months)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no number of nights or months"),
        ("30", "'30' is no number of nights or months"),
        ("30 nights 12 months", "'30 nights 12 months' is no number"),
        ("30 nights,", "'' is no number"),
        ("30 weeks", "'30 weeks' is no number"),
        ("-3 nights", "'-3 nights' is no number"),
        ("3.5 nights", "'3.5 nights' is no number"),
        ("٣ nights", "'٣ nights' is no number"),
        ("9999999999 nights", "'9999999999 nights' is no number"),
        ("3 nights, 4 nights", "nights are named twice"),
        ("3 nights, 1 month, 2 months", "months are named twice"),
        ("12 months", "at least one night has to be kept"),
        ("0 nights, 12 months", "at least one night has to be kept"),
    ],
)
def test_a_rule_that_is_none(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Keep.parse(text, "keep in nightly.toml")
    assert words in caught.value.summary
    assert caught.value.subject == "keep in nightly.toml"
    assert '"30 nights, 12 months"' in caught.value.remedy


# -- what it keeps ---------------------------------------------------------------------------------


def briefs(words: str, first: str = "2026-01-01", *, built: str = "") -> list[Brief]:
    """Nights one after the other: `.` good, `f` a check failed, `i` infrastructure.

    `built`: those of a word that made an image; by default all but `i`.
    """
    known = {".": Word.UNCHANGED, "f": Word.CHECK_FAILED, "i": Word.INFRASTRUCTURE}
    start = dt.date.fromisoformat(first)
    return [
        Brief(
            number, str(start + dt.timedelta(days=number - 1)), known[word],
            built=word in (built or ".f"),
        )
        for number, word in enumerate(words, 1)
    ]  # fmt: skip


def test_the_last_nights_and_the_last_of_each_of_the_last_months() -> None:
    nights = briefs("." * 120)
    # January has 31 nights, February 28, March 31, April 30.
    assert kept(nights, Keep(3, 3)) == {59, 90, 118, 119, 120}
    assert kept(nights, Keep(1)) == {120}
    assert kept(nights, Keep(500, 1)) == {*range(1, 121)}
    assert kept(nights, Keep(1, 500)) == {31, 59, 90, 120}
    assert kept([], Keep(1, 1)) == set()


def test_the_last_good_night_and_the_first_bad_one_stay() -> None:
    assert kept(briefs(".." + "f" * 50), Keep(1)) == {2, 3, 52}
    # Neither is the first of an earlier row.
    assert kept(briefs(".ff." + "f" * 50), Keep(1)) == {4, 5, 54}
    assert kept(briefs("f" * 50), Keep(1)) == {1, 50}
    assert kept(briefs(".ff." + "." * 50), Keep(1)) == {54}


def test_the_first_night_of_the_present_word_stays_where_that_is_a_bad_one() -> None:
    assert kept(briefs("..iiifff"), Keep(1)) == {2, 3, 6, 8}
    assert kept(briefs("..iiifff...."), Keep(1)) == {12}


def test_what_the_next_night_is_compared_with_stays() -> None:
    assert kept(briefs(".f" + "i" * 10), Keep(1)) == {1, 2, 3, 12}
    assert kept(briefs(".f" + "i" * 10, built="."), Keep(1)) == {1, 2, 3, 12}


def test_what_somebody_names_stays_if_it_is_there() -> None:
    assert kept(briefs("." * 10), Keep(1), {3, 99}) == {3, 10}


def test_a_clock_that_jumps_back_costs_no_night() -> None:
    nights = briefs("." * 40)
    jumped = [
        Brief(one.number, "1970-01-01", one.word, one.built) if one.number in {35, 40} else one
        for one in nights
    ]
    assert kept(jumped, Keep(6, 2)) == {*range(35, 41)}
    # Of the months that are named, the wrong one takes the place of the oldest.
    assert kept(jumped, Keep(1, 3)) == {31, 39, 40}
    forward = [
        Brief(one.number, "2099-01-01", one.word, one.built) if one.number == 33 else one
        for one in nights
    ]
    assert kept(forward, Keep(2, 3)) == {31, 33, 39, 40}
    assert kept(forward, Keep(2, 2)) == {33, 39, 40}


WORDS = st.sampled_from(Word)
DATES = st.dates(dt.date(2025, 1, 1), dt.date(2025, 6, 30)).map(str)
ANY = st.lists(st.tuples(DATES, WORDS, st.booleans()), min_size=1, max_size=40).map(
    lambda those: [Brief(number, *one) for number, one in enumerate(those, 1)]
)


@given(ANY, st.integers(1, 10), st.integers(0, 8))
def test_whatever_the_clock_and_the_nights_were(
    nights: list[Brief], most: int, months: int
) -> None:
    found = kept(nights, Keep(most, months))
    numbers = [one.number for one in nights]
    assert found >= {*numbers[-most:]}
    assert found <= {*numbers}
    good = [one.number for one in nights if one.word.good]
    assert found >= {*good[-1:]}
    last_good = max(good, default=0)
    if last_good < numbers[-1]:
        assert last_good + 1 in found
        assert present_row_of_bad(nights) == nights[last_good:]
    else:
        assert present_row_of_bad(nights) == []
    assert found >= {*[one.number for one in nights if one.built][-1:]}
    # At most one for each month, and five that are asked about.
    assert len(found) <= most + months + 5
    by_month: dict[str, int] = {}
    for one in nights:
        by_month[one.date[:7]] = one.number
    assert found >= {*sorted(by_month.values())[len(by_month) - min(months, len(by_month)) :]}


@given(ANY, st.integers(1, 5), st.integers(0, 4))
def test_what_went_is_never_asked_for_again(nights: list[Brief], most: int, months: int) -> None:
    """Pruned every night, a history keeps what it would keep if it were pruned once."""
    there: set[int] = set()
    for count in range(1, len(nights) + 1):
        there = {*there, count} & kept(nights[:count], Keep(most, months))
    assert there == kept(nights, Keep(most, months))


# -- in a history ----------------------------------------------------------------------------------


def test_pruning_drops_details_and_nothing_else(tmp_path: Path) -> None:
    those = list(month())
    with History.open(tmp_path / FILE) as history:
        keep(history, those)
        pruned = history.prune(Keep(2, 1), besides=[12, 99])
        assert pruned.kept == (12, 29, 30)
        assert pruned.went == tuple(n for n in range(1, 31) if n not in pruned.kept)
        assert history.kept() == {*pruned.kept}
        found = history.nights(details=True)
        expected = [one if one.number in pruned.kept else one.summary() for one in those]
        assert found == expected
        assert history.nights() == [one.summary() for one in those]
        assert history.night(5) == those[4].summary()
        again = history.prune(Keep(2, 1), besides=[12, 13])
        assert (again.went, again.kept) == ((), (12, 29, 30))
        assert history.prune(Keep(2, 1)).went == (12,)


def test_keys_that_no_kept_night_uses_are_forgotten(tmp_path: Path) -> None:
    def made(number: int) -> tuple[object, ...]:
        return step("F1", f"F1, {number // 4}"), step("F2")

    with History.open(tmp_path / FILE) as history:
        those = [night(n, steps=made(n)) for n in range(1, 13)]
        keep(history, those)
        keys = {number: those[number - 1].steps[0].key for number in (1, 4, 8, 12)}
        assert history.gave(keys.values()).keys() == {*keys.values()}
        assert history.prune(Keep(3)).keys == 2
        assert history.gave(keys.values()).keys() == {keys[8], keys[12]}
        (seen,) = history.gave([those[0].steps[1].key]).values()
        # What is used still is known from the first night on.
        assert [(one.night, one.until) for one in seen] == [(1, 12)]


def test_where_it_parted_stays_as_long_as_the_row_of_bad_nights(tmp_path: Path) -> None:
    """A mirror is down first, then a step parts in its fourth night; its key is built no more."""
    with History.open(tmp_path / FILE) as history:
        parted = step("F1", "F1", "F1", others=(of("else"),), audited=4, verdict="FAIL")
        words = [Word.UNCHANGED, Word.BOOT_FAILED, Word.BOOT_FAILED, Word.NOT_DETERMINISTIC]
        those = [night(n, word, steps=(step("F1"),)) for n, word in enumerate(words, 1)]
        those[3] = night(4, Word.NOT_DETERMINISTIC, steps=(parted,))
        later = [night(n, Word.CHECK_FAILED, steps=(step("F1", n),)) for n in range(5, 12)]
        keep(history, [*those, *later])
        assert history.prune(Keep(1)).kept == (1, 2, 4, 5, 11)
        (found,) = history.bisect().partings
        assert (found.night, found.now) == (4, "not built any more")
        keep(history, [night(12, steps=(step("F1", 12),))])
        assert history.prune(Keep(1)).kept == (12,)
        assert history.bisect().partings == ()


@given(
    st.lists(st.tuples(DATES, WORDS, st.integers(0, 2), st.booleans()), max_size=15),
    st.integers(1, 4),
    st.integers(0, 3),
)
@settings(max_examples=examples(25))
def test_pruned_every_night_a_history_answers_as_if_it_were_not(
    nights: list[tuple[str, Word, int, bool]], most: int, months: int
) -> None:
    """As far as it is asked about what is built today."""
    with TemporaryDirectory() as folder:
        pruned, whole = (History.open(Path(folder) / name / FILE) for name in ("pruned", "whole"))
        with pruned, whole:
            for number, (date, word, key, other) in enumerate(nights, 1):
                outputs = "other" if other else "F1"
                steps = (step("F1", f"F1, {key}", outputs), step("F2"))
                made = night(number, word, date=date, steps=steps)
                for history in (pruned, whole):
                    keep(history, [made])
                assert {*pruned.prune(Keep(most, months)).kept} <= {*range(1, number + 1)}
                keys = [one.key for one in steps]
                assert pruned.last_built() == whole.last_built() == made
                # Of a key that was forgotten and came back, it knows the later part.
                first, second = (
                    {(one.outputs, one.until) for one in history.gave(keys[:1])[keys[0]]}
                    for history in (pruned, whole)
                )
                assert first <= second
                assert pruned.gave(keys[1:]) == whole.gave(keys[1:])
            assert pruned.nights() == whole.nights()
