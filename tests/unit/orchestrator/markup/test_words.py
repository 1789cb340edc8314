"""Words that all sections use."""

from __future__ import annotations

import pytest

from orchestrator.markup import words
from tests.unit.orchestrator.markup.parsing import parsed


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"), (1, "1 byte"), (1023, "1,023 bytes"), (1024, "1.00 KiB"),
        (1_787_822_080, "1.67 GiB"), (557_221_384, "531.4 MiB"), (1 << 80, "1,073,741,824.0 PiB"),
    ],
)  # fmt: skip
def test_sizes(count: int, shown: str) -> None:
    assert words.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (258.9, "4 min 19 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


def test_what_is_cut_keeps_its_end() -> None:
    assert words.cut("commands/amd64/0", 16) == "commands/amd64/0"
    assert words.cut("commands/amd64/0", 9) == "comm…64/0"
    assert len(words.cut("x" * 10_000, 12)) == 12


def test_the_worst_verdict_and_none() -> None:
    assert words.worst(["PASS", "FAIL", "SKIP"]) == "FAIL"
    assert words.worst(["PASS", "SKIP"]) == "SKIP"
    assert words.worst([]) == "FAIL"


def test_a_long_text_is_folded_and_whole() -> None:
    short, long = words.said("a" * 260), words.said("b" * 261)
    assert str(short) == f"<bdi>{'a' * 260}</bdi>"
    page = parsed(str(long).encode())
    assert page.elements[0][0] == "details"
    assert "b" * 261 in page.text


def test_times_that_are_none() -> None:
    assert words.moment("2026-01-01T00:00:00Z") is not None
    for other in ("", "yesterday", "2026-01-01", "2026-13-01T00:00:00Z", "9" * 10_000):
        assert words.moment(other) is None
    ended = words.moment("0001-01-01T00:00:01Z")
    assert ended is not None
    assert words.began(ended, 1e300).year == 1
