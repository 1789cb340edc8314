"""Times as documents have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import utc


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_was_written_is_read(moment: datetime) -> None:
    text = utc.written(moment)
    assert len(text) == len("2026-01-31T02:00:00Z")
    assert utc.read(text) == moment.replace(microsecond=0)


def test_another_zone_is_written_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert utc.written(datetime(2026, 1, 31, 1, 2, 3, 999_999, east)) == "2026-01-30T23:02:03Z"


def test_seconds_count_from_1970() -> None:
    assert utc.of_epoch(0) == "1970-01-01T00:00:00Z"
    assert utc.of_epoch(1_767_225_600) == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "text", ["", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time data|day|year"):
        utc.read(text)
