"""Axes: round numbers that cover all values, few of them, each written otherwise."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.site import axes
from orchestrator.site.axes import BYTES, COUNT, SECONDS, Unit

UNITS = st.sampled_from([BYTES, COUNT, SECONDS])
VALUES = st.lists(
    st.floats(0, 1 << 60, allow_nan=False) | st.integers(0, 1 << 60), min_size=1, max_size=9
)


@given(UNITS, VALUES)
def test_an_axis_covers_its_values(unit: Unit, values: list[float]) -> None:
    found = axes.axis(values, unit)
    assert 2 <= len(found.lines) <= 4
    assert found.lines[0] <= min(values)
    # The lines are multiples, which floats have within their own last digit.
    assert max(values) <= found.lines[-1] * (1 + 1e-12)
    assert all(lower < higher for lower, higher in pairwise(found.lines))
    assert unit.zero is False or found.lines[0] == 0
    for value in values:
        assert -1e-9 <= found.share(value) <= 1 + 1e-9
    assert found.share(found.lines[0]) == 0
    assert found.share(found.lines[-1]) == 1


@given(UNITS, VALUES)
def test_lines_are_told_apart_by_their_words(unit: Unit, values: list[float]) -> None:
    found = axes.axis([min(value, 1e9) for value in values], unit)
    assert len(set(found.labels)) == len(found.labels)
    assert all(len(label) <= 13 for label in found.labels)


@pytest.mark.parametrize(
    ("values", "unit", "labels"),
    [
        ([4.5, 5.4], SECONDS, ["0", "2 s", "4 s", "6 s"]),
        ([2456.0], SECONDS, ["0", "20 min", "40 min", "1 h"]),
        ([0.42], SECONDS, ["0", "0.2 s", "0.4 s", "0.6 s"]),
        ([0.0], SECONDS, ["0", "0.1 s"]),
        ([200_000.0], SECONDS, ["0", "1 d", "2 d", "3 d"]),
        ([97], COUNT, ["0", "50", "100"]),
        ([0], COUNT, ["0", "1"]),
        ([1_787_822_080], BYTES, ["1.66 GiB", "1.69 GiB"]),
        ([0], BYTES, ["0 bytes", "1 byte"]),
        ([1 << 20, 3 << 20], BYTES, ["1.00 MiB", "2.00 MiB", "3.00 MiB"]),
    ],
)
def test_axes(values: list[float], unit: Unit, labels: list[str]) -> None:
    assert list(axes.axis(values, unit).labels) == labels
