"""What the keys of steps were seen to give, by builds and by audits, and their last audits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.observations import Audited, Observation
from tests.nights import LATER_TOOL, TOOL, keep, night, of, step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.history.model import Seen, Step, Tool

KEY = step("F1").key
OWN = step("F1").outputs


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History.open(tmp_path / FILE) as opened:
        yield opened


def add(history: History, *steps: Step, tool: Tool = TOOL) -> None:
    """One more night with these steps."""
    last = history.last()
    keep(history, [night(last.number + 1 if last else 1, steps=steps, tool=tool)])


def seen(history: History) -> list[tuple[object, Seen, int, int]]:
    return [
        (one.outputs, one.seen, one.night, one.until) for one in history.gave([KEY]).get(KEY, ())
    ]


def test_a_key_that_nobody_saw(history: History) -> None:
    assert history.gave([KEY]) == {}
    assert history.audited([KEY]) == {}
    add(history, step("F2"))
    assert history.gave([KEY, step("F2").key]).keys() == {step("F2").key}


def test_what_builds_give_is_kept_by_nights(history: History) -> None:
    for outputs in ("F1", "F1", "else", "F1"):
        add(history, step("F2"), step("F1", outputs=outputs))
    other = of("the outputs of else")
    assert history.gave([KEY]) == {
        KEY: (
            Observation(None, OWN, "build", 1, 4, "F1", 1),
            Observation(None, other, "build", 3, 3, "F1", 1),
        )
    }


def test_an_audit_that_saw_others_counts_for_its_night(history: History) -> None:
    add(history, step("F1"))
    add(history, step("F1", audited=2, verdict="FAIL", others=(of("x"), of("y"))))
    # Two nights later it is known, and nobody looked again.
    add(history, step("F1", audited=2, verdict="FAIL"))
    assert seen(history) == [
        (OWN, "build", 1, 3), (of("x"), "audit", 2, 2), (of("y"), "audit", 2, 2),
    ]  # fmt: skip
    assert history.audited([KEY]) == {KEY: Audited(2, "FAIL")}


def test_an_audit_that_passed_saw_the_same(history: History) -> None:
    add(history, step("F1", audited=1, verdict="PASS"))
    assert seen(history) == [(OWN, "build", 1, 1), (OWN, "audit", 1, 1)]
    # One that could not look, or failed without an output, saw nothing.
    add(history, step("F1", audited=2, verdict="SKIP"))
    add(history, step("F1", audited=3, verdict="FAIL"))
    assert seen(history) == [(OWN, "build", 1, 3), (OWN, "audit", 1, 1)]
    assert history.audited([KEY]) == {KEY: Audited(3, "FAIL")}


def test_an_earlier_audit_does_not_take_the_place_of_a_later_one(history: History) -> None:
    add(history, step("F1", audited=1, verdict="PASS"))
    add(history, step("F1", audited=2, verdict="FAIL"), step("F1 again", "F1", "F1"))
    add(history, step("F1", audited=1, verdict="PASS"))
    assert history.audited([KEY]) == {KEY: Audited(2, "FAIL")}


def test_two_steps_of_one_key(history: History) -> None:
    add(history, step("a", "F1", "F1"), step("b", "F1", "else"))
    names = [(one.step, one.place, one.night) for one in history.gave([KEY])[KEY]]
    assert names == [("a", 0, 1), ("b", 1, 1)]


def test_what_is_computed_is_known_with_its_program(history: History) -> None:
    for tool in (TOOL, LATER_TOOL):
        add(history, step("F1", kind="computation"), step("F2"), tool=tool)
    found = history.gave([KEY, step("F2").key])
    assert [(one.tool, one.night, one.until) for one in found[KEY]] == [
        (TOOL.digest, 1, 1), (LATER_TOOL.digest, 2, 2),
    ]  # fmt: skip
    assert [(one.tool, one.until) for one in found[step("F2").key]] == [(None, 2)]


def test_no_night_is_seen_before_it_ended(history: History) -> None:
    history.begin(date="2026-01-01", began="2026-01-01T02:00:00Z", tool=TOOL)
    assert history.gave([KEY]) == {}
