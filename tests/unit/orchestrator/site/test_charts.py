"""Charts: a picture of each value at its place, and the same in words and as a table."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.site import axes, charts, style, trends
from orchestrator.site.series import Series, Value
from tests import nights
from tests.unit.orchestrator.site.sites import MONTH, parsed

NIGHTS = MONTH[:5]


def drawn(*values: Value) -> str:
    made = Series("build", axes.SECONDS, values)
    return str(charts.chart(made, NIGHTS[: len(values)], "trend-1"))


def points(html: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'points="([^"]+)"', html)
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in one.split())]
        for one in found
    ]


def test_values_lie_at_their_nights_and_heights() -> None:
    assert points(drawn(0.0, 30.0, 60.0, 15.0, 45.0)) == [
        [(0, 100), (25, 50), (50, 0), (75, 75), (100, 25)]
    ]


def test_a_gap_is_not_drawn_over() -> None:
    assert points(drawn(0.0, None, 60.0, None, 0.0)) == [
        [(0, 100), (0, 100)], [(50, 0), (50, 0)], [(100, 100), (100, 100)]
    ]  # fmt: skip
    assert points(drawn(None, 60.0, 0.0)) == [[(50, 0), (100, 100)]]
    assert drawn(None, None) == ""


def test_one_night_is_a_point() -> None:
    html = drawn(30.0)
    assert points(html) == [[(100, 0), (100, 0)]]
    assert "Least 30.0 s in night 1, most 30.0 s in night 1, last 30.0 s in night 1." in html
    # Below the picture it is named once.
    assert re.findall(r'class="tick">(night \d+)<', html) == ["night 1"]


# Widths of letters in Verdana, in parts of their size (its table `hmtx`): no other font of screens
# has wider ones.
VERDANA = {
    **dict.fromkeys("0123456789", 0.636), **dict.fromkeys(" ,.", 0.364), "i": 0.274, "b": 0.623,
    "d": 0.623, "e": 0.596, "h": 0.633, "m": 0.973, "n": 0.633, "s": 0.521, "t": 0.394, "y": 0.592,
    "+": 0.818, "-": 0.454, "B": 0.686, "E": 0.632, "G": 0.775, "K": 0.693, "M": 0.843, "P": 0.603,
    "T": 0.616,
}  # fmt: skip


@given(
    st.sampled_from([axes.SECONDS, axes.BYTES, axes.COUNT]),
    st.lists(st.integers(0, 1 << 60), min_size=1, max_size=5),
)
@example(axes.BYTES, [1_787_822_080])
@example(axes.BYTES, [1000 << 20, 1023 << 20])
def test_the_words_of_an_axis_lie_within_its_picture(unit: axes.Unit, values: list[int]) -> None:
    html = str(charts.chart(Series("image", unit, tuple(values)), NIGHTS[: len(values)], "trend-1"))
    (size,) = re.findall(r"\.tick\{[^}]*font-size:(\d+)px", style._CHARTS)
    picture = html[html.index("<svg") : html.index("</svg>")]
    (width,) = re.findall(r'width="(\d+)"', picture)
    words = re.findall(r'<text x="(\d+)"[^>]*text-anchor="end"[^>]*>([^<]+)</text>', picture)
    assert len(words) >= 2
    for end, label in words:
        assert int(end) < int(width)
        assert sum(VERDANA[letter] for letter in label) * int(size) <= int(end)


def test_a_chart_says_what_it_shows() -> None:
    found = parsed(drawn(20.0, 10.0, 30.0, 25.0).encode())
    assert (
        "4 values from night 1 to night 4. Least 10.0 s in night 2, most 30.0 s in night 3, last "
        "25.0 s in night 4. The table below has them all."
    ) in found.text
    (picture,) = [one for one in found.named("svg") if "role" in one]
    assert picture["aria-labelledby"] == "trend-1-title trend-1-desc"
    assert "25.0 s" in found.text
    assert "10.0 s in night 2" in parsed(drawn(20.0, 10.0, None).encode()).text


@pytest.mark.parametrize("last", [1, 2, 31])
def test_trends_have_every_value_as_a_table(last: int) -> None:
    found = parsed(str(trends.drawn(MONTH[:last])).encode())
    pictures = [one for one in found.named("svg") if "role" in one]
    assert len(pictures) == 5 + 6 + 6 + 3
    assert len(found.named("table")) == 4
    assert "1.67 GiB" in found.text
    assert f"Of the last {last} night" in found.text


def test_trends_show_the_last_nights_only() -> None:
    those = [nights.night(number) for number in range(1, 200)]
    text = parsed(str(trends.drawn(those)).encode()).text
    assert "Of the last 60 nights" in text
    assert "night 140" in text
    assert "night 139 " not in text


def test_where_nothing_was_measured_it_is_said() -> None:
    assert "Nothing was measured yet." in str(trends.drawn([]))
    bare = nights.night(stages=(), steps=(), checks=(), machines=(), image=None)
    assert "Nothing was measured yet." in str(trends.drawn([bare]))
