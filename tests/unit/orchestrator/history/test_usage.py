"""Since when the last nights have used what they need."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.history.usage import used
from orchestrator.history.words import Word
from tests.nights import night, without_build
from tests.unit.orchestrator.history.nights import month

NIGHTS = [night(number) for number in range(1, 11)]
NOW = datetime(2026, 1, 10, 2, 30, tzinfo=UTC)


def at(day: int) -> datetime:
    return datetime(2026, 1, day, 2, tzinfo=UTC)


@pytest.mark.parametrize(("keep", "since"), [(1, 9), (7, 3), (9, 1)])
def test_what_the_last_nights_used_is_kept_and_a_day_more(keep: int, since: int) -> None:
    found = used(NIGHTS, keep, NOW)
    assert (found.since, found.reason) == (at(since), "")


def test_as_many_nights_as_are_kept_are_enough() -> None:
    assert used(NIGHTS[1:], 9, NOW).since == at(1)
    assert used(NIGHTS[1:], 10, NOW).since is None


def test_fewer_nights_drop_nothing() -> None:
    assert used(NIGHTS, 11, NOW).since is None
    assert used(NIGHTS, 11, NOW).reason.startswith("10 nights have made an image, and what the ")
    assert used(NIGHTS[:1], 2, NOW).reason.startswith("1 night has made an image")
    assert used([], 1, NOW).reason.startswith("0 nights have made an image")
    assert [used(NIGHTS, keep, NOW).lacking for keep in (10, 11, 17)] == [0, 1, 7]


def test_a_night_without_an_image_does_not_count() -> None:
    """It may have used nothing: a week without a network would drop all that there is."""
    bad = [without_build(number, Word.INFRASTRUCTURE) for number in range(11, 31)]
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert used([*NIGHTS, *bad], 2, now).since == at(8)
    assert used(bad, 2, now).since is None


def test_a_clock_that_jumped_back_keeps_what_was_used_after_it() -> None:
    """Nights 27 to 30 of the month used what has times of the 17th to the 20th."""
    nights = [
        one.model_copy(update={"began": f"{one.date}T02:00:00Z"}) for one in month()
    ]  # fmt: skip
    assert used(nights, 7, datetime(2026, 2, 1, tzinfo=UTC)).since == at(16)


@pytest.mark.parametrize("keep", [1, 7])
def test_a_night_that_is_still_to_come_drops_nothing(keep: int) -> None:
    found = used(NIGHTS, keep, datetime(2026, 1, 10, 1, 59, tzinfo=UTC))
    assert found.since is None
    assert found.reason.startswith("night 10 began at 2026-01-10T02:00:00Z, which is still to come")


@pytest.mark.parametrize("time", ["2026-13-01T02:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_time_that_is_none_drops_nothing(time: str) -> None:
    found = used([night(1, began=time)], 1, NOW)
    assert found.since is None
    assert found.reason.startswith(f"night 1 began at {time}, which is no time")
