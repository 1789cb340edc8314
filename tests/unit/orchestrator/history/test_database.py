"""Nights that are begun, ended, killed and read back: none is lost, and none counted twice."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history import model
from orchestrator.history.database import NOTHING, Begun, History, There
from orchestrator.history.words import Word
from reproducibility.errors import InfrastructureError, InputError
from tests.conftest import examples
from tests.nights import LATER_TOOL, TOOL, begin, keep, night, of, without_build
from tests.unit.orchestrator.history.nights import month, nights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.history.model import Night

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nightly" / "history.sqlite"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with History.open(path) as opened:
        yield opened


def start(
    history: History,
    date: str,
    tool: model.Tool = TOOL,
    time: str = "02:00:00",
    there: There = NOTHING,
) -> Begun:
    return history.begin(date=date, began=f"{date}T{time}Z", tool=tool, there=there)


# -- written and read ------------------------------------------------------------------------------


@settings(max_examples=examples(60))
@given(st.lists(nights(), min_size=1, max_size=3))
def test_a_night_is_read_back_equal(made: list[Night]) -> None:
    those = [one.model_copy(update={"number": n}) for n, one in enumerate(made, 1)]
    dates = [f"2026-01-{n:02}" for n in range(1, len(those) + 1)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        with History.open(path) as history:
            for one, date in zip(those, dates, strict=True):
                start(history, date)
                history.end(one)
            assert history.nights(details=True) == those
            assert history.nights() == [one.summary() for one in those]
        with History.to_read(path) as history:
            assert [history.night(one.number) for one in those] == those
            assert history.last() == those[-1]
            texts = [model.dumps(one) for one in history.nights(details=True)]
            assert texts == [model.dumps(one) for one in those]


def test_a_month_is_read_back(history: History) -> None:
    those = list(month())
    keep(history, those)
    assert history.nights(details=True) == those
    assert history.last() == history.last_built() == those[-1]
    assert history.nights(29, details=True) == those[28:]
    assert history.nights(31) == []
    assert history.kept() == {one.number for one in those}
    assert history.going_on() is None


def test_a_summary_lacks_only_the_details(history: History) -> None:
    (made,) = those = [night(1, changes=(), notes=("a note",))]
    keep(history, those)
    (found,) = history.nights()
    assert found == made.summary()
    assert [getattr(found, name) for name in model.DETAILS] == [()] * 4
    assert (found.stages, found.machines, found.notes) == (made.stages, made.machines, made.notes)


def test_since_a_date_is_in_the_order_of_numbers(history: History) -> None:
    """The clock jumped back for nights 3 and 4: they lie after the second all the same."""
    dates = ["2026-01-05", "2026-01-06", "1970-01-01", "2026-01-04", "2026-01-08"]
    keep(history, [night(n, date=date) for n, date in enumerate(dates, 1)])
    assert history.dates() == dict(enumerate(dates, 1))
    for since, first in (
        ("2026-01-06", 2), ("2026-01-07", 5), ("1970-01-01", 1), ("2026-01-05", 1),
    ):  # fmt: skip
        assert [one.number for one in history.nights(since)] == list(range(first, 6))
    assert history.nights("2026-01-09") == []


def test_the_last_night_that_built_is_not_the_last_night(history: History) -> None:
    assert history.last() is None
    assert history.last_built() is None
    first = without_build(1, Word.INFRASTRUCTURE)
    keep(history, [first])
    assert history.last() == first
    assert history.last_built() is None
    keep(history, [built := night(2), failed := without_build(3, Word.BUILD_FAILED)])
    assert history.last_built() == built
    assert history.last() == failed


def test_a_row_of_one_word_begins_where_it_began(history: History) -> None:
    words = [Word.UNCHANGED, Word.BOOT_FAILED, Word.UNCHANGED, Word.UNCHANGED]
    assert history.since(Word.UNCHANGED, 1) == 1
    keep(history, [night(n, word) for n, word in enumerate(words, 1)])
    assert history.since(Word.UNCHANGED, 5) == 3
    assert history.since(Word.BOOT_FAILED, 5) == 5
    assert history.since(Word.UNCHANGED, 2) == 1


@pytest.mark.parametrize("number", [0, -1, 4, 99, 1 << 70])
def test_a_night_that_is_not_there(history: History, number: int) -> None:
    with pytest.raises(InputError, match=f"there is no night {number}\n") as caught:
        history.night(number)
    assert caught.value.missing
    assert caught.value.remedy == "no night has ended yet"
    keep(history, [night(n) for n in range(1, 4)])
    with pytest.raises(InputError) as caught:
        history.night(number)
    assert caught.value.remedy == "name another one: the nearest are 1, 2, 3"


# -- begun and not ended ---------------------------------------------------------------------------


def test_a_night_that_was_killed_goes_on(history: History) -> None:
    first = start(history, DAYS[0])
    assert first == Begun(1, DAYS[0], f"{DAYS[0]}T02:00:00Z", 1)
    again = start(history, DAYS[0], LATER_TOOL, "05:00:00")
    assert again == Begun(1, DAYS[0], f"{DAYS[0]}T02:00:00Z", 2)
    assert history.going_on() == again
    assert history.nights() == []
    history.end(made := night(1, attempts=2))
    assert history.nights(details=True) == [made]
    assert start(history, DAYS[0]).number == 2


def test_a_night_that_never_ended_is_a_night(history: History) -> None:
    keep(history, [night(1), without_build(2, Word.INFRASTRUCTURE)])
    start(history, DAYS[2])
    start(history, DAYS[2], LATER_TOOL, "05:00:00")
    begun = start(history, "2026-01-04")
    assert (begun.number, begun.attempts) == (4, 1)
    closed = begun.closed
    assert closed == history.night(3)
    assert closed is not None
    assert (closed.word, closed.since, closed.previous) == (Word.INFRASTRUCTURE, 2, 1)
    assert (closed.date, closed.attempts, closed.tool) == (DAYS[2], 2, LATER_TOOL)
    assert (closed.began, closed.ended) == (f"{DAYS[2]}T02:00:00Z", f"{DAYS[2]}T05:00:00Z")
    assert closed.line == "It was begun 2 times and never came to its end, since night 2"
    assert model.parse(model.dumps(closed)) == closed


@pytest.mark.parametrize("date", DAYS[1:])
@pytest.mark.parametrize(
    ("there", "number"),
    [(There(2, 2), 3), (There(3, 3), 4), (There(7, 1), 8), (There(7, 0), 8)],
)
def test_a_night_that_ended_elsewhere_is_forgotten(
    history: History, date: str, there: There, number: int
) -> None:
    """This history comes from a backup that was made while night 2 was going on."""
    keep(history, [night(1)])
    start(history, DAYS[1])
    begun = start(history, date, there=there)
    assert (begun.number, begun.date, begun.attempts) == (number, date, 1)
    assert (begun.closed, begun.forgotten) == (None, 2)
    assert list(history.dates()) == [1]
    # It is not forgotten again, and the new one goes on as any other.
    again = start(history, date, there=there)
    assert (again.number, again.attempts, again.forgotten) == (number, 2, None)


@pytest.mark.parametrize("there", [NOTHING, There(1, 1), There(2, 1), There(2, 0)])
def test_evidence_that_was_put_there_before_the_end_shows_no_end(
    history: History, there: There
) -> None:
    keep(history, [night(1)])
    start(history, DAYS[1])
    assert start(history, DAYS[1], there=there).attempts == 2
    begun = start(history, DAYS[2], there=there)
    assert (begun.number, begun.forgotten) == (3, None)
    assert begun.closed is not None
    assert begun.closed.number == 2


def test_the_night_before_that_ended_is_not_closed_again(history: History) -> None:
    keep(history, [night(1)])
    assert start(history, DAYS[1]).closed is None
    assert history.nights(details=True) == [night(1)]


@given(st.lists(st.tuples(st.sampled_from(DAYS), st.booleans()), max_size=12))
@settings(max_examples=examples(40))
def test_every_night_is_counted_once_whatever_the_clock_says(
    runs: list[tuple[str, bool]],
) -> None:
    """Each run has a date, in no order, and is killed or ends."""
    expected: list[tuple[str, int, bool]] = []
    open_night: tuple[str, int] | None = None
    with TemporaryDirectory() as folder, History.open(Path(folder) / "history.sqlite") as history:
        for date, ends in runs:
            if open_night is not None and open_night[0] != date:
                expected.append((*open_night, False))
                open_night = None
            open_night = (date, 1 if open_night is None else open_night[1] + 1)
            begun = start(history, date)
            assert (begun.number, begun.attempts) == (len(expected) + 1, open_night[1])
            if ends:
                history.end(night(begun.number, date=date, attempts=begun.attempts))
                expected.append((*open_night, True))
                open_night = None
        found = history.nights()
        assert [one.number for one in found] == list(range(1, len(expected) + 1))
        ended = [(one.date, one.attempts, one.word is Word.UNCHANGED) for one in found]
        assert ended == expected
        assert (history.going_on() is None) is (open_night is None)


def test_only_the_last_attempt_can_end_a_night(history: History) -> None:
    with pytest.raises(InfrastructureError, match="attempt 1 at night 1 is not going on any more"):
        history.end(night(1))
    start(history, DAYS[0])
    start(history, DAYS[0])
    with pytest.raises(InfrastructureError, match="another process went on with it, or ended it"):
        history.end(night(1))
    history.end(made := night(1, attempts=2))
    with pytest.raises(InfrastructureError, match="not going on"):
        history.end(made)
    start(history, DAYS[1])
    with pytest.raises(InfrastructureError, match="attempt 2 at night 1 "):
        history.end(made)
    assert history.nights(details=True) == [made]


def test_a_night_that_cannot_be_written_is_not_there_at_all(history: History) -> None:
    begin(history, made := night(1))
    # What is not a number of SQLite's is noticed in the middle of the work.
    image = model.Image(blake3=of("image"), size=1 << 63)
    with pytest.raises(OverflowError):
        history.end(made.model_copy(update={"image": image}))
    assert history.nights() == []
    assert history.gave([one.key for one in made.steps]) == {}
    assert history.going_on() is not None
    history.end(made)
    assert history.nights(details=True) == [made]


def test_begun_with_something_that_is_no_date(history: History) -> None:
    with pytest.raises(Exception, match="CHECK constraint failed"):
        start(history, "yesterday")
    assert history.going_on() is None
