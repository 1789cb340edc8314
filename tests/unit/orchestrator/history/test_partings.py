"""The first night and the first action in which a key gave something else than before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.partings import Bisected, Parting
from orchestrator.history.words import Word
from tests.conftest import examples
from tests.nights import LATER_TOOL, TOOL, keep, night, of, step, without_build
from tests.unit.orchestrator.history.nights import GUILTY, month

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.history.model import Step

KEY = step("F1").key
OWN = step("F1").outputs


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History.open(tmp_path / FILE) as opened:
        yield opened


def fill(history: History, *nights: tuple[Step, ...] | None) -> None:
    """Nights with these steps; None: one that built nothing."""
    for number, steps in enumerate(nights, 1):
        made = without_build(number, Word.INFRASTRUCTURE)
        keep(history, [made if steps is None else night(number, steps=steps)])


def only(history: History) -> Parting:
    (found,) = history.bisect().partings
    return found


def test_where_nothing_parted(history: History) -> None:
    assert history.bisect() == Bisected((), None)
    fill(history, (step("F1"), step("F2")), None, (step("F1", audited=3, verdict="PASS"),), None)
    assert history.bisect() == Bisected((), 3)


def test_a_month_names_the_guilty_step_and_its_night(history: History) -> None:
    those = list(month())
    keep(history, those)
    found = history.bisect()
    guilty = those[11].steps[3]
    assert found.night == 30
    assert found.partings == (
        Parting(
            key=guilty.key, step=GUILTY, place=3, night=12, before=guilty.outputs,
            after=of("others"), seen="audit", until=12, now="not built any more",
        ),
    )  # fmt: skip


def test_a_build_that_gives_something_else(history: History) -> None:
    other = step("F1", outputs="else")
    fill(history, (step("F0"), step("F1")), (step("F0"), step("F1")), (step("F0"), other))
    assert only(history) == Parting(
        key=KEY, step="F1", place=1, night=3, before=OWN, after=other.outputs, seen="build",
        until=3, now="still",
    )  # fmt: skip
    # Once it was seen to give both, what it gave first is what it is compared with.
    keep(history, [night(4, steps=(step("F1"),))])
    assert (only(history).night, only(history).until, only(history).now) == (3, 3, "no longer")
    keep(history, [night(5, steps=(other,))])
    assert (only(history).night, only(history).until, only(history).now) == (3, 5, "still")


def test_an_audit_of_the_very_first_night(history: History) -> None:
    fill(history, (step("F1", audited=1, verdict="FAIL", others=(of("x"), of("y"))),))
    found = only(history)
    assert (found.night, found.before, found.after, found.seen) == (1, OWN, of("x"), "audit")


def test_whether_it_still_does_is_known_by_what_looked(history: History) -> None:
    guilty = step("F1", audited=2, verdict="FAIL", others=(of("x"),))
    fill(history, (step("F1"),), (guilty,))
    assert only(history).now == "still"
    keep(history, [night(3, steps=(step("F1", audited=2, verdict="FAIL"),))])
    # A build remembers what it made: it says nothing about what another run would give.
    assert (only(history).until, only(history).now) == (2, "not looked at since")
    keep(history, [without_build(4, Word.INFRASTRUCTURE)])
    assert history.bisect().night == 3
    keep(history, [night(5, steps=(step("F1", audited=5, verdict="PASS"),))])
    assert only(history).now == "no longer"
    keep(history, [night(6, steps=(step("F1", "changed"),))])
    assert only(history).now == "not built any more"


def test_the_first_in_the_plan_is_the_first(history: History) -> None:
    """A step and those after it part in one night; another one parted the night before."""
    names = ("z", "a", "m")
    first = [step(name) for name in names]
    second = [step("z"), step("a"), step("m", outputs="else")]
    third = [step(name, outputs="else") for name in names]
    fill(history, tuple(first), tuple(second), tuple(third))
    assert [(one.night, one.step) for one in history.bisect().partings] == [
        (2, "m"), (3, "z"), (3, "a"),
    ]  # fmt: skip


def test_since_a_night(history: History) -> None:
    other = {"outputs": "else"}
    fill(
        history,
        (step("a"), step("b")),
        (step("a", **other), step("b")),
        (step("a"), step("b", **other)),
        (step("a"), step("b", **other)),
    )
    nights = {
        since: [(one.step, one.night) for one in history.bisect(since).partings]
        for since in range(1, 6)
    }
    assert nights == {
        1: [("a", 2), ("b", 3)], 2: [("a", 2), ("b", 3)], 3: [("b", 3)], 4: [("b", 3)], 5: [],
    }  # fmt: skip


def test_what_another_program_computes_otherwise_is_no_parting(history: History) -> None:
    for number, tool in ((1, TOOL), (2, LATER_TOOL), (3, LATER_TOOL)):
        image = step("image", "image", tool.version, kind="computation")
        keep(history, [night(number, steps=(image,), tool=tool)])
    assert history.bisect().partings == ()
    # The same program must not; and an action must not, whatever the program is.
    other = step("image", "image", "else", kind="computation")
    keep(history, [night(4, steps=(other, step("F1")), tool=LATER_TOOL)])
    assert (only(history).step, only(history).night) == ("image", 4)
    keep(history, [night(5, steps=(step("F1", outputs="else"),), tool=TOOL)])
    assert [one.step for one in history.bisect().partings] == ["image", "F1"]


GAVE = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), min_size=1, max_size=3)


@given(st.lists(GAVE, max_size=8))
@settings(max_examples=examples(40))
def test_it_agrees_with_who_looks_at_every_night(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[tuple[int, str]]]
) -> None:
    """Each step of a night has one of three keys, and gives one of three things."""
    known: dict[int, str] = {}
    expected: dict[int, tuple[int, int]] = {}
    until: dict[int, int] = {}
    with History.open(tmp_path_factory.mktemp("history") / FILE) as history:
        for number, steps in enumerate(nights, 1):
            made = [step(f"step {key}", f"key {key}", f"{gave}") for key, gave in steps]
            keep(history, [night(number, steps=tuple(made))])
            for place, (key, gave) in enumerate(steps):
                if gave != known.setdefault(key, gave):
                    expected.setdefault(key, (number, place))
                    until[key] = number
        found = history.bisect().partings
    assert [(one.night, one.place) for one in found] == sorted(expected.values())
    assert {one.step: one.until for one in found} == {f"step {k}": n for k, n in until.items()}
