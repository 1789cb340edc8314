"""What is left of the store after a night."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.nightly.run import unused_for
from tests.nights import night

NOW = datetime(2026, 1, 10, 2, tzinfo=UTC)
NIGHTS = [night(number=n, began=f"2026-01-{n:02}T02:00:00Z") for n in range(1, 11)]


@pytest.mark.parametrize(("keep", "days"), [(1, 1.0), (7, 7.0), (9, 9.0)])
def test_what_the_last_nights_used_is_kept(keep: int, days: float) -> None:
    assert unused_for(NIGHTS, keep, NOW) == days


def test_fewer_nights_drop_nothing() -> None:
    assert unused_for(NIGHTS, 10, NOW) is None
    assert unused_for([], 1, NOW) is None


def test_a_clock_that_jumped_back_drops_nothing() -> None:
    assert unused_for(NIGHTS, 7, datetime(2026, 1, 1, tzinfo=UTC)) is None
