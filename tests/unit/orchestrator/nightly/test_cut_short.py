"""Nights after one that was cut short, or after a history came back from a backup."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import pytest

from containers.host import durable
from orchestrator.history.database import History
from orchestrator.history.words import Word
from orchestrator.lock import file as locks
from orchestrator.nightly import keeping, relocking
from orchestrator.nightly.facts import Facts
from orchestrator.nightly.stages import Tonight
from reproducibility.errors import InfrastructureError
from tests import results
from tests.unit.orchestrator.nightly.project import DATA, Mirror, newer
from tests.unit.orchestrator.nightly.project import Project as Locking
from tests.unit.orchestrator.nightly.test_run import BUILT, LEFT_OUT, Project, full, project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.nightly.relocking import Relocked

__all__ = ["project"]


def killed(*_: object) -> NoReturn:
    raise KeyboardInterrupt


# -- histories from a backup that was made during a night ------------------------------------------


def night_with_backup(project: Project, place: Path) -> None:
    """Carry out a night, in whose course the history is copied as docs/history.md says."""
    gather = Tonight.gather

    def copied(tonight: Tonight) -> Facts:
        with closing(sqlite3.connect(project.state.database)) as now:
            now.execute("VACUUM INTO ?", (str(place),))
        return gather(tonight)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tonight, "gather", copied)
        project.night()


def evidence(project: Project) -> dict[Path, bytes]:
    """What lies in the folders of the nights from the third on."""
    folders = (path for path in project.state.nights.iterdir() if int(path.name) > 2)
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in found}


@pytest.mark.parametrize("later", [0, 1, 3])
@pytest.mark.parametrize("same_date", [True, False])
def test_a_night_that_was_going_on_in_a_backup_is_left_alone(
    project: Project, later: int, *, same_date: bool
) -> None:
    project.facts = BUILT
    for _ in range(2):
        project.night()
    backup = project.told / "backup"
    night_with_backup(project, backup)
    for _ in range(later):
        project.night()
    before = evidence(project)
    backup.replace(project.state.database)
    if same_date:
        project.days = 2
    ended = project.night()
    assert (ended.night.number, ended.night.attempts) == (4 + later, 1)
    assert ended.night.previous == 2
    assert any("night 3, which was going on in it, is over" in one for one in ended.night.notes)
    unknown = "nights 3 to" if later else "night 3,"
    assert any(f"knows nothing of {unknown}" in one for one in ended.night.notes)
    assert {path: path.read_bytes() for path in before} == before
    with History.to_read(project.state.database) as history:
        assert [one.number for one in history.nights()] == [1, 2, 4 + later]
        assert history.going_on() is None
    # It is said once that it is over, and that it lies there as long as it does.
    notes = project.night().night.notes
    assert not any("is over" in one for one in notes)
    assert any(f"knows nothing of {unknown}" in one for one in notes)
    assert before.keys() <= evidence(project).keys()


def test_a_night_that_left_only_later_ones_is_forgotten(project: Project) -> None:
    """What was going on in the backup was closed later, and left nothing."""
    project.facts = BUILT
    project.night()
    backup = project.told / "backup"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            night_with_backup(project, backup)
    project.night()
    backup.replace(project.state.database)
    assert project.night().night.number == 4
    with History.to_read(project.state.database) as history:
        assert [one.number for one in history.nights()] == [1, 4]


@pytest.mark.parametrize(("where", "name"), [(keeping, "keep"), (History, "end")])
def test_a_night_that_was_killed_goes_on_in_its_own_history(
    project: Project, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    """Its evidence may lie there whole, and it is not over before the history has it."""
    project.facts = BUILT
    project.night()
    with monkeypatch.context() as patch:
        patch.setattr(where, name, killed)
        with pytest.raises(KeyboardInterrupt):
            project.night()
    project.days -= 1
    ended = project.night()
    assert (ended.night.number, ended.night.attempts) == (2, 2)


# -- locks that were not handed on -----------------------------------------------------------------


@dataclass
class Locked(Project):
    """Nights that lock anew for real, and build what they locked.

    `outcomes`: of locking, by the attempts at nights. `builds`: whether they build something.
    """

    mirror: Mirror = field(default_factory=Mirror)
    outcomes: list[Relocked] = field(default_factory=list)
    builds: bool = True

    @property
    def places(self) -> relocking.Places:
        return relocking.places(self.config)

    def version(self) -> str:
        """Of the kernel that the last night locked."""
        return locks.load(self.places.tonight).find("kernel.amd64", "amd64").version

    def cut_short(self, do: Callable[..., object], where: object, name: str) -> None:
        """Carry out a night that ends where it would call this."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(where, name, do)
            with pytest.raises((KeyboardInterrupt, InfrastructureError)):
                self.night()


@pytest.fixture
def locked(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Locked:
    folder = tmp_path / "project"
    folder.mkdir()
    config = Locking(folder).config().model_copy(update={"notify": project.config.notify})
    made = Locked(config, Facts(stages=()), project.told)

    def gather(tonight: Tonight) -> Facts:
        outcome = relocking.relock(tonight.config, tonight.history.nights(), made.mirror)
        made.outcomes.append(outcome)
        notes = (*tonight.notes, *outcome.notes)
        if not made.builds or outcome.lock is None:
            return Facts(stages=((LEFT_OUT, Word.INFRASTRUCTURE),), notes=notes)
        durable.write(made.state.out / "result.json", b"{}")
        lock = str(locks.load(outcome.lock).digest)
        build = results.build_result(lock=lock)
        return Facts(stages=((LEFT_OUT, None),), build=build, notes=notes)

    monkeypatch.setattr(Tonight, "gather", gather)
    made.mirror.offers["kernel.amd64"] = (NEWER, b"newer")
    return made


NEWER = "6.12.999-1"


@pytest.mark.parametrize("do", [killed, full])
@pytest.mark.parametrize("first", [True, False])
def test_a_lock_that_was_not_handed_on_is_by_the_next_night(
    locked: Locked, do: Callable[..., object], *, first: bool
) -> None:
    if not first:
        locked.mirror.offers.clear()
        locked.night()
        locked.mirror.offers["kernel.amd64"] = (NEWER, b"newer")
    locked.cut_short(do, keeping, "keep_locks")
    locked.mirror.always = 4
    locked.night()
    assert locked.version() == NEWER
    assert locked.outcomes[-1].locked == "the night before"
    assert locked.places.last.read_bytes() == locked.places.tonight.read_bytes()


def test_other_bytes_that_a_night_took_are_not_found_by_the_next_one(locked: Locked) -> None:
    version = locks.parse(DATA).find("kernel.amd64", "amd64").version
    locked.mirror.offers["kernel.amd64"] = (version, b"other bytes")
    locked.cut_short(killed, keeping, "keep_locks")
    assert len(locked.outcomes[-1].other_bytes) == 1
    locked.night()
    assert not locked.outcomes[-1].other_bytes


def test_the_projects_lock_that_such_a_night_saw_is_handed_on_with_it(locked: Locked) -> None:
    locked.mirror.offers.clear()
    locked.night()
    changed = newer("uname", "1:1.38.0-1")
    locked.config.lock.write_bytes(changed)
    locked.mirror.offers["kernel.amd64"] = (NEWER, b"newer")
    locked.cut_short(killed, keeping, "keep_locks")
    assert locked.places.last_seen.read_bytes() == DATA
    locked.mirror.always = 4
    locked.night()
    assert locked.places.last_seen.read_bytes() == changed
    assert locked.outcomes[-1].locked == "the night before"
    assert locked.version() == NEWER


def test_a_full_disk_ends_the_night_and_loses_no_lock(
    locked: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked.cut_short(full, keeping, "keep_locks")
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "keep_locks", full)
        assert locked.night().night.word is Word.INFRASTRUCTURE
    assert len(locked.outcomes) == 1, "nothing was written over it"
    locked.mirror.always = 4
    locked.night()
    assert locked.version() == NEWER


def test_a_lock_from_which_nothing_was_built_is_not_handed_on(locked: Locked) -> None:
    """Other bytes of a version, found against the lock before, would never be found again."""
    locked.mirror.offers.clear()
    locked.night()
    before = locked.places.last.read_bytes()
    locked.mirror.offers["kernel.amd64"] = (NEWER, b"newer")
    locked.builds = False
    locked.night()
    locked.builds = True
    locked.cut_short(killed, keeping, "keep")
    assert locked.version() == NEWER
    assert locked.places.last.read_bytes() == before
    locked.cut_short(killed, Tonight, "gather")
    assert locked.places.last.read_bytes() == before


@pytest.mark.parametrize("data", [None, b"", b"{}", DATA[:-100], b"\0"])
def test_a_lock_that_is_missing_or_damaged_is_told_and_no_error(
    locked: Locked, data: bytes | None
) -> None:
    locked.cut_short(killed, keeping, "keep_locks")
    if data is None:
        locked.places.tonight.unlink()
    else:
        locked.places.tonight.write_bytes(data)
    ended = locked.night()
    assert ended.night.word is not Word.INFRASTRUCTURE
    assert any("was handed on is not known" in one for one in ended.night.notes)
    assert not any("was handed on is not known" in one for one in locked.night().night.notes)
