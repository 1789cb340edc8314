"""Processes that are killed at each statement that they carry out, and two of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.retention import Keep
from orchestrator.history.words import Word
from tests.nights import begin, keep, night, step
from tests.unit.orchestrator.history.killing import killed_at_each

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.history.model import Night
    from tests.unit.orchestrator.conftest import Child

    Start = Callable[..., Child]

KEEP = Keep(1)
# What the last of these nights does is what is cut short.
NIGHTS = [night(n, steps=(step("F1", f"F1 of night {n}"), step("F2"))) for n in (1, 2, 3)]

SERVER = """
from tests.unit.orchestrator.history import killing, test_database_killed
killing.serve(test_database_killed.{})
"""


def one_more_night(path: Path) -> None:
    """What is killed: the last night is begun, ended, and others pruned after it."""
    _night(path, NIGHTS[-1])


def first_night(path: Path) -> None:
    """What is killed: a history is made, and its first night kept."""
    _night(path, NIGHTS[0])


def _night(path: Path, made: Night) -> None:
    with History.open(path) as history:
        begin(history, made)
        history.end(made)
        history.prune(KEEP)


def test_a_night_that_is_killed_at_any_statement(child: Start, tmp_path: Path) -> None:
    before = tmp_path / "before.sqlite"
    with History.open(before) as history:
        keep(history, NIGHTS[:-1])
    states = set()
    for path in killed_at_each(child(SERVER.format("one_more_night")), tmp_path, before):
        with History.open(path) as history:
            found, left = history.nights(details=True), history.going_on()
            kept = history.kept()
            states.add((len(found), left is not None, len(kept)))
            # What has ended is whole, with all of its details or without any.
            assert found == [
                one if one.number in kept else one.summary() for one in NIGHTS[: len(found)]
            ]
            if len(found) < len(NIGHTS):
                assert left is None or (left.number, left.attempts) == (3, 1)
                made = night(3, steps=NIGHTS[2].steps)
                begun = begin(history, made)
                assert (begun.number, begun.attempts) == (3, 1 if left is None else 2)
                history.end(made.model_copy(update={"attempts": begun.attempts}))
            else:
                assert left is None
            assert history.prune(KEEP).kept == (3,)
            assert [one.number for one in history.nights()] == [1, 2, 3]
            assert [one.word for one in history.nights()] == [Word.UNCHANGED] * 3
            assert history.night(3).steps == NIGHTS[2].steps
    assert states == {(2, False, 2), (2, True, 2), (3, False, 3)}


def test_a_history_whose_making_is_killed_at_any_statement(child: Start, tmp_path: Path) -> None:
    made = night(1, steps=NIGHTS[2].steps)
    count = 0
    for path in killed_at_each(child(SERVER.format("first_night")), tmp_path, None):
        count += 1
        with History.open(path) as history:
            ended = history.nights(details=True)
            assert ended in ([], NIGHTS[:1])
            if not ended:
                attempts = begin(history, made).attempts
                history.end(made.model_copy(update={"attempts": attempts}))
            assert [one.number for one in history.nights()] == [1]
    assert count > 30


BUSY = """
from orchestrator.history.database import History
from reproducibility.errors import InfrastructureError
from tests.unit.orchestrator.history.killing import killed_at_each
from tests.nights import TOOL, night
path, day = Path(sys.argv[1]), sys.argv[2]
tell("ready")
told()
for n in range(1, 16):
    date = f"2026-{day}-{n:02}"
    with History.open(path) as history:
        begun = history.begin(date=date, began=f"{date}T02:00:00Z", tool=TOOL)
        history.nights(details=True)
        try:
            history.end(night(begun.number, date=date, attempts=begun.attempts))
        except InfrastructureError as error:
            assert "is not going on any more" in error.summary
            tell(f"refused {begun.number}")
        else:
            tell(f"ended {begun.number}")
tell("done")
"""


@pytest.mark.parametrize("exists", [False, True])
def test_two_processes_at_once(child: Start, tmp_path: Path, *, exists: bool) -> None:
    """They must not be, and a lock that the caller holds sees to it; still nothing is lost."""
    path = tmp_path / FILE
    if exists:
        History.open(path).close()
    two = [child(BUSY, path, month) for month in ("01", "02")]
    assert [one.told() for one in two] == ["ready"] * 2
    for one in two:
        one.tell("go")
    said: list[str] = []
    for one in two:
        while (line := one.told()) != "done":
            assert line
            said.append(line)
        assert one.end() == 0
    ended = {int(line.split()[1]) for line in said if line.startswith("ended")}
    refused = {int(line.split()[1]) for line in said if line.startswith("refused")}
    assert len(said) == len(ended) + len(refused) == 30
    with History.open(path) as history:
        assert history.going_on() is None or max(refused) == 30
        found = {one.number: one.word for one in history.nights()}
    assert list(found) == list(range(1, len(found) + 1))
    assert {number for number, word in found.items() if word is Word.UNCHANGED} == ended
    assert {number for number, word in found.items() if word is Word.INFRASTRUCTURE} == refused
