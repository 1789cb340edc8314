"""A month of nights on a small project, with what can go wrong in them (`make test-nights`).

Every night and every stage is a real command; disks without room are real, and so is the other
build of the program. Only the clock is the tests' own. All nights are carried out once, in order;
the tests look at what they left. `SOURCERY_TEST_MONTH` names a folder that gets the pages, and a
table of the nights.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from orchestrator.history.database import History
from orchestrator.history.words import Word
from tests.integration import at_night, building
from tests.integration.browsing import Seen as Page
from tests.integration.killing import Killing
from tests.integration.nights_project import (
    FLAW,
    GUILTY,
    NO_MIRROR,
    World,
    first_of,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from orchestrator.history.model import Night, StageName
    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [
    pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow, pytest.mark.long,
    pytest.mark.needs_tools("mount", "umount"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts"),
]  # fmt: skip

KEPT = os.environ.get("SOURCERY_TEST_MONTH", "")
# Bytes. Of the state folder's disk; of one for a store that no input fits on; and what is left for
# a night that can be written down, but whose image has no room.
_DISK, _TINY, _LITTLE = "4g", "16m", 24 << 20
_MEBIBYTE = 1 << 20
DAY: Final = timedelta(days=1)

HOLDS: Final = "Everything holds, and nothing changed"


@dataclass(frozen=True)
class Row:
    """A night as it must be. `line`: as the page says it; `status`: None for that of the word.

    `attempts`: how often it was begun. `page`: whether it has one of its own.
    """

    what: str
    word: Word
    line: str
    status: int | None = None
    attempts: int = 1
    page: bool = True


def guilty(what: str) -> Row:
    return Row(what, Word.NOT_DETERMINISTIC, f"Not deterministic: {GUILTY}/")


def without(what: str) -> Row:
    return Row(what, Word.UNCHANGED, f"{HOLDS}; nothing could be locked anew")


def quiet(what: str = "nothing changed") -> Row:
    return Row(what, Word.UNCHANGED, HOLDS)


def changed(what: str, inputs: str) -> Row:
    count = inputs.count("input ") + 1
    return Row(
        what, Word.INPUTS_CHANGED, f"Other inputs: {inputs}; {count} outputs changed with it"
    )


# In order: the first is night 1.
MONTH: Final = {
    "first": Row(
        "the first night", Word.INPUTS_CHANGED,
        "The first build; there is none before to compare it with",
    ),
    "nothing new": quiet(),
    "one": changed("an input's new version", "input hello"),
    "two": changed("two inputs' new versions at once", "input hello, input world"),
    "no mirror": without("every mirror is down"),
    "no mirror still": without("every mirror is down still"),
    "no mirror for three nights": without("every mirror is down for the third night"),
    "mirrors again": quiet("the mirrors are there again"),
    "other bytes": Row("a mirror serves other bytes", Word.CHECK_FAILED, "Build: uname "),
    "whole again": quiet("the mirror serves what is pinned"),
    "quiet 11": quiet(),
    "flawed": guilty("a source becomes non-deterministic"),
    "flawed still": guilty("it still is"),
    "flawed for three nights": guilty("it still is"),
    "mended": changed("the source is fixed", "input hello"),
    "no boot": Row(
        "the image does not boot", Word.BOOT_FAILED, "Boot: this image has no boot files"
    ),
    "boots again": quiet("no boot is asked for again"),
    "store full": Row("the store's disk is full", Word.INFRASTRUCTURE, "Build: "),
    "store mended": changed("it has room again; the source had changed", "input hello"),
    "state full": Row("the state folder's disk is full", Word.INFRASTRUCTURE, "Build: "),
    "state mended": changed("it has room again; the source had changed", "input hello"),
    "killed": Row(
        "killed at 17 moments before its end, and once after it", Word.UNCHANGED, HOLDS,
        -signal.SIGKILL, attempts=18,
    ),
    "killed at its locks": Row(
        "killed once its lock is kept", Word.UNCHANGED, HOLDS, -signal.SIGKILL
    ),
    "killed in its pages": Row(
        "killed while its pages are written", Word.UNCHANGED, HOLDS, -signal.SIGKILL
    ),
    "another tool": Row(
        "a tool update that changes bytes", Word.TOOL_CHANGED,
        "Another build of orchestrate; 1 output changed with it",
    ),
    "clock back": quiet("the clock jumps back by 40 days"),
    "the tool again": Row(
        "the tool is the one before, the clock too", Word.TOOL_CHANGED,
        "Another build of orchestrate; 1 output changed with it",
    ),
    "never ended": Row(
        "killed, and nobody goes on with it", Word.INFRASTRUCTURE,
        "It was begun once and never came to its end, since night 28", -signal.SIGKILL, page=False,
    ),
    "after it": quiet(),
    "the last": quiet(),
}  # fmt: skip
NUMBERS: Final = {name: number for number, name in enumerate(MONTH, 1)}

# Of a night that is killed from outside: in which stage, after which part of the time that it took.
OUTSIDE: Final[tuple[tuple[StageName, float], ...]] = (
    ("relock", 0), ("relock", 0.5),
    ("build", 0), ("build", 0.2), ("build", 0.4), ("build", 0.6), ("build", 0.8),
    ("audit", 0), ("audit", 0.2), ("audit", 0.4), ("audit", 0.6), ("audit", 0.8),
    ("verify", 0), ("verify", 0.5),
)  # fmt: skip
BEFORE_THE_END: Final = tuple(at_night.MOMENTS)[:3]
KILLED: Final = ("killed", "killed at its locks", "killed in its pages")
AFTER_THE_END: Final = tuple(at_night.MOMENTS)[3:]


# -- a disk of its own -----------------------------------------------------------------------------


@contextmanager
def little_room(folder: Path, left: int) -> Iterator[None]:
    """A disk on which only so many bytes are left."""
    found = os.statvfs(folder)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    _resize(folder, str(used + left))
    try:
        yield
    finally:
        _resize(folder, _DISK)


def _resize(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)  # noqa: S607


# -- the month -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(small: Orchestrate, small_own: Built, workshop: Path) -> Iterator[World]:
    assert small_own.ran.status == 0
    folder = workshop / "month"
    folder.mkdir()
    store = building.clone(small.store, folder / "store")
    found = World(folder / "project", store, ("hello", "world"))
    found.prepare(small.project / "sourcery.lock")
    with building.disk(found.state.folder, _DISK):
        carry_out(found)
        keep(found)
        yield found
    shutil.rmtree(folder)


def carry_out(world: World) -> None:
    """All nights, in order."""
    changing(world)
    failing(world)
    without_room(world)
    being_killed(world)
    moving(world)


def changing(world: World) -> None:
    world.night("first")
    world.night("nothing new")
    world.write("two")
    world.night("one")
    world.write("three")
    world.write("two", "world")
    world.night("two")
    for name in ("no mirror", "no mirror still", "no mirror for three nights"):
        world.night(name, world.configure(relock='"all"'), variables=NO_MIRROR)
    world.night("mirrors again")


def failing(world: World) -> None:
    before = world.spoil_lock()
    world.night("other bytes", world.configure(relock='"none"'))
    (world.folder / "sourcery.lock").write_bytes(before)
    # That lock is the project's, which has other words in it than the nights' own.
    world.night("whole again")
    world.night("quiet 11")
    world.write(FLAW)
    world.flaw = FLAW
    for name in ("flawed", "flawed still", "flawed for three nights"):
        world.night(name)
    world.flaw = ""
    world.write("four")
    world.night("mended")
    world.night("no boot", world.configure(boot='["pc-bios"]'))
    world.night("boots again")


def without_room(world: World) -> None:
    world.write("five")
    with building.disk(world.folder.parent / "tiny", _TINY) as tiny:
        world.night("store full", world.configure(store=tiny / "store"))
    world.night("store mended")
    world.write("six")
    with little_room(world.state.folder, _LITTLE):
        world.night("state full")
    with little_room(world.state.folder, 0):
        refused = world.night("not a byte left")
    assert refused.status == 4
    assert "disk is full" in refused.error["summary"]
    assert "free some space" in refused.error["remedy"]
    assert refused.night is None
    del world.nights["not a byte left"]
    world.night("state mended", days=0)


def being_killed(world: World) -> None:
    killing = Killing(world)
    world.now += DAY
    for stage, part in OUTSIDE:
        killing.outside(stage, part)
    for moment in BEFORE_THE_END:
        killing.at(moment)
    for name, moment in zip(KILLED, AFTER_THE_END, strict=True):
        killing.over(name, moment)
        world.now += DAY


def moving(world: World) -> None:
    world.tool = world.other_tool()
    world.night("another tool", days=0)
    world.night("clock back", days=-40)
    world.tool = None
    world.night("the tool again", days=41)
    world.night("never ended", variables={"DIES": "the evidence"})
    world.night("after it")
    world.night("the last")


def keep(world: World) -> None:
    """Keep the pages and a table of the nights where somebody wants them."""
    if not KEPT:
        return
    place = Path(KEPT)
    shutil.rmtree(place / "site", ignore_errors=True)
    shutil.copytree(world.state.site, place / "site")
    lines = ["| night | what happened | word | status | first line of the page | seconds |",
             "| ---: | --- | --- | ---: | --- | ---: |"]  # fmt: skip
    for name, row in MONTH.items():
        seen, night = world.nights[name], of(world, name)
        lines.append(
            f"| {night.number} | {row.what} | {night.word} | {seen.status} | {night.line} | "
            f"{seen.seconds:.0f} |"
        )
    (place / "month.md").write_text("\n".join(lines) + "\n")


def of(world: World, name: str) -> Night:
    """A night as it is in the history, whatever became of its process."""
    with History.to_read(world.state.database) as history:
        return history.night(NUMBERS[name])


# -- what it was -----------------------------------------------------------------------------------


def test_it_is_a_month(world: World) -> None:
    assert len(MONTH) == 30
    assert list(world.nights) == list(MONTH)
    assert world.numbers() == list(NUMBERS.values())


@pytest.mark.parametrize("name", MONTH)
def test_each_night_is_what_it_must_be(world: World, name: str) -> None:
    """Its word, its exit status, and what its page says first."""
    row, night = MONTH[name], of(world, name)
    assert night.word is row.word, night
    if row.word.good:
        assert night.line == row.line
    else:
        assert night.line.startswith(row.line)
        assert night.line.endswith(f", since night {night.since}")
    assert world.nights[name].status == (row.word.status if row.status is None else row.status)
    assert night.attempts == row.attempts
    page = first_of(world.state.night(night.number) / "index.html")
    if not row.page:
        assert page is None
        return
    assert page is not None
    assert page.word == str(row.word)
    assert page.meaning.startswith(f"Night {night.number} ({night.date}): {row.word.meaning}")
    assert page.says(night.line)


@pytest.mark.parametrize("name", [name for name, row in MONTH.items() if row.status is None])
def test_in_the_morning_the_first_page_says_it(world: World, name: str) -> None:
    row, night, index = MONTH[name], of(world, name), world.nights[name].index
    assert index is not None
    assert index.word == str(row.word)
    assert index.says(night.line)
    assert index.meaning.startswith(f"Night {night.number} ({night.date}): {row.word.meaning}")


def test_bisecting_names_night_12_and_the_action(world: World) -> None:
    found = world.asked("bisect", status=1)
    assert [one["night"] for one in found["partings"]] == [12]
    assert found["partings"][0]["step"].startswith(f"{GUILTY}/")


def test_what_varied_is_known_since_night_12(world: World) -> None:
    for name in ("flawed", "flawed still", "flawed for three nights"):
        night = of(world, name)
        assert [one.first_night for one in night.varying] == [12]
        assert night.varying[0].step.startswith(f"{GUILTY}/")
        assert night.since == 12


def test_a_mirror_that_is_down_is_said(world: World) -> None:
    for name in ("no mirror", "no mirror still", "no mirror for three nights"):
        night = of(world, name)
        stages = {stage.name: stage for stage in night.stages}
        assert (stages["relock"].state, stages["relock"].status) == ("failed", 4)
        assert stages["build"].state == "done"
        assert night.locked == "the night before"
    since = "nothing could be locked anew since night 5 (2026-01-06)"
    assert of(world, "no mirror for three nights").notes[0].startswith(since)


def test_a_full_disk_is_named(world: World) -> None:
    for name in ("store full", "state full"):
        stages = {stage.name: stage for stage in of(world, name).stages}
        assert "no space left on device" in stages["build"].reason.lower()
        assert stages["build"].status == 4
        assert stages["audit"].state == "left out"
        # The night after is compared with the last one that built something.
    assert of(world, "store mended").previous == NUMBERS["boots again"]
    assert of(world, "state mended").previous == NUMBERS["store mended"]


def test_another_tool_changes_the_image_and_nothing_else(world: World) -> None:
    for name in ("another tool", "the tool again"):
        night = of(world, name)
        assert [one.what for one in night.changes] == ["orchestrate"]
        assert [one.chain for one in night.consequences] == [("orchestrate", "image")]
    images = [of(world, name).image for name in ("killed", "another tool", "the tool again")]
    assert images[0] == images[2] != images[1]


def test_nights_count_up_whatever_the_clock_says(world: World) -> None:
    assert of(world, "clock back").date < of(world, "first").date
    page = (world.state.night(NUMBERS["clock back"]) / "index.html").read_text()
    assert "its clock stood earlier than that of the night before" in page


def test_a_night_that_nobody_went_on_with_is_said_by_the_next(world: World) -> None:
    assert "night 28 never came to its end" in of(world, "after it").notes


def test_twenty_moments_lie_in_all_stages() -> None:
    assert len(OUTSIDE) + len(at_night.MOMENTS) == 20
    assert {stage for stage, _ in OUTSIDE} == {"relock", "build", "audit", "verify"}


@pytest.mark.parametrize("left", [64 << 10, 256 << 10, _MEBIBYTE, 4 * _MEBIBYTE])
def test_a_disk_without_room_for_some_of_it_loses_no_night(world: World, left: int) -> None:
    """Whatever there is no room for: it is said, the history is whole, the next night holds."""
    before = world.numbers()
    world.write(f"with {left} bytes left")
    config = world.configure(budget="0s")
    with little_room(world.state.folder, left):
        seen = world.night(f"{left} bytes left", config)
    assert seen.status == 4
    if seen.error:
        assert "space" in seen.error["remedy"]
    after = world.night(f"more than {left} bytes left", config)
    assert after.status == 0
    assert after.record.word is Word.INPUTS_CHANGED
    # With too little room for the history there was no night yet.
    assert after.record.number - before[-1] in {1, 2}
    assert world.numbers() == [*range(1, after.record.number + 1)]


@pytest.mark.needs_tools("chromium")
@pytest.mark.parametrize("width", [390, 1400])
def test_its_pages_fit_the_window(world: World, browser: Browser, width: int) -> None:
    pages = [world.state.site / "index.html", *sorted(world.state.nights.glob("*/index.html"))]
    assert len(pages) >= 29
    for path in pages:
        page = Page(browser, path, viewport={"width": width, "height": 900})
        page.unfold()
        assert page.width <= width, path
        assert page.told == []
        page.context.close()
