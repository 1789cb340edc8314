"""Nights one after the other, on a small project: what happens in each, its word, what is kept.

Every night and every stage is a real command. All nights are carried out once, in order; the tests
look at what they left. `test_month.py` has a month of them.
"""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from orchestrator.history.database import History
from orchestrator.history.words import Word
from tests.integration import building
from tests.integration.nights_project import FLAW, GUILTY, World, first_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

NIGHTS = {
    "first": (
        Word.INPUTS_CHANGED, "The first build; there is none before to compare it with",
    ),
    "nothing new": (Word.UNCHANGED, "Everything holds, and nothing changed"),
    "flawed": (Word.NOT_DETERMINISTIC, "Not deterministic: {guilty}, since night 3"),
    "mended": (Word.INPUTS_CHANGED, "Other inputs: input hello; 2 outputs changed with it"),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(small: Orchestrate, small_own: Built, workshop: Path) -> Iterator[World]:
    assert small_own.ran.status == 0
    folder = workshop / "nights"
    folder.mkdir()
    found = World(folder / "project", building.clone(small.store, folder / "store"))
    found.prepare(small.project / "sourcery.lock")
    found.night("first")
    begin_and_kill(found)
    # What was killed goes on: the same date.
    found.night("nothing new", days=0)
    found.write(FLAW)
    found.flaw = FLAW
    found.night("flawed")
    found.flaw = ""
    found.write("three")
    found.night("mended")
    yield found
    shutil.rmtree(folder)


def begin_and_kill(world: World) -> None:
    """Begin a night on the next day, and kill it while it audits."""
    world.now = world.now.replace(day=world.now.day + 1)
    running = world.start(world.configure(), "killed")
    running.wait_for(r"started +audit")
    had = building.wait_for_children(running.process.pid)
    os.killpg(running.process.pid, signal.SIGKILL)
    assert running.end().status == -signal.SIGKILL
    building.check_gone(had)
    building.check_no_trace(str(world.store))
    assert world.numbers() == [1]


@pytest.mark.parametrize("name", NIGHTS)
def test_each_night_has_its_word(world: World, name: str) -> None:
    seen = world.nights[name]
    word, line = NIGHTS[name]
    line = line.format(guilty=", ".join(one.step for one in seen.record.varying))
    assert (seen.record.word, seen.record.line) == (word, line)
    assert seen.status == word.status
    assert seen.index is not None
    assert (seen.index.word, seen.index.line) == (str(word), line)
    assert first_of(world.state.night(seen.record.number) / "index.html") == seen.index


def test_a_night_that_is_killed_goes_on(world: World) -> None:
    """It has one number, and is there once."""
    assert world.numbers() == [1, 2, 3, 4]
    assert [one.record.attempts for one in world.nights.values()] == [1, 2, 1, 1]


def test_what_is_not_deterministic_is_known_since_its_first_night(world: World) -> None:
    first = world.nights["flawed"].record
    (one,) = first.varying
    assert one.step.startswith(f"{GUILTY}/")
    assert one.first_night == first.number
    assert one.lines


def test_bisecting_names_the_night_and_the_action(world: World) -> None:
    found = world.asked("bisect", status=1)
    assert [one["night"] for one in found["partings"]] == [3]
    assert found["partings"][0]["step"].startswith(f"{GUILTY}/")


def test_what_changed_leads_to_what_follows(world: World) -> None:
    found = world.nights["mended"].record
    assert "input hello" in {one.what for one in found.changes}
    chains = {one.step: one.chain for one in found.consequences}
    assert chains["image"][0] == "input hello"
    assert chains["image"][-1] == "image"
    assert not found.varying


def test_the_projects_lock_is_never_written(world: World) -> None:
    text = (world.folder / "sourcery.lock").read_bytes()
    mended = (world.state.folder / "locks" / "last.lock").read_bytes()
    assert text != mended


def test_the_evidence_of_each_night_is_kept(world: World) -> None:
    for number in world.numbers():
        names = {path.name for path in world.state.night(number).iterdir()}
        assert {"night.json", "index.html", "result.json", "report.html", "logs"} <= names
        assert "sourcery.img" not in names
    assert {"index.html", "feed.atom", "badge.svg"} <= {
        path.name for path in world.state.site.iterdir()
    }


def test_two_at_once_are_one(world: World) -> None:
    with world.state.alone():
        ran = world.start(world.configure(), "a second one").end()
    assert ran.status == 4
    assert "is going on here already" in ran.error["summary"]
    assert world.numbers() == [1, 2, 3, 4]


def test_a_stop_is_heeded_and_the_night_can_go_on(world: World) -> None:
    running = world.start(world.configure(), "stopped")
    running.wait_for(r"started +build")
    building.wait_for_children(running.process.pid)
    running.process.send_signal(signal.SIGTERM)
    assert running.end().status == 128 + signal.SIGTERM
    with History.to_read(world.state.database) as history:
        assert history.going_on() is not None
