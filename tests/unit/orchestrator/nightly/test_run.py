"""What becomes of a night once its stages are done, and of one that is kept from its end."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from containers.host import durable
from orchestrator.history.database import History
from orchestrator.history.model import Stage, Tool
from orchestrator.history.words import Word
from orchestrator.nightly import children, keeping, relocking, run, telling
from orchestrator.nightly.config import Config, Notify, Store
from orchestrator.nightly.facts import Facts
from orchestrator.nightly.run import collect
from orchestrator.nightly.stages import Tonight
from orchestrator.nightly.state import State
from orchestrator.store import Store as Folder
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, Stopped
from tests import results
from tests.fakes import FakeObserver
from tests.nights import keep, night

if TYPE_CHECKING:
    from reproducibility.digest import Digest

OLD, NEW = digests.of_bytes(b"old"), digests.of_bytes(b"new")
NOW = datetime.now(UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Nights of which two are kept, whose store has a result of ten days ago, and one of today."""
    folder = tmp_path / "store"
    with closing(Folder(folder)) as store:
        for key, days in ((OLD, 10), (NEW, 0)):
            store.remember("steps", key, {})
            (place,) = folder.rglob(f"{key.hex}.json")
            time = (NOW - timedelta(days=days)).timestamp()
            os.utime(place, (time, time))
    return Config(state=tmp_path / "nightly", store=Store(folder=folder, keep_nights=2))


def after(config: Config, *days: int) -> list[str]:
    """Clean up after nights that began so many days ago, and return what was told."""
    with History.open(State(config.state).database) as history:
        times = [f"{NOW - timedelta(days=one):%Y-%m-%dT%H:%M:%SZ}" for one in days]
        keep(history, [night(number, began=time) for number, time in enumerate(times, 1)])
    observer = FakeObserver()
    collect(config, config.state / "store.log", observer, threading.Event())
    return [text for what, text in observer.told if what == "note"]


def left(config: Config) -> set[Digest]:
    assert config.store.folder is not None
    return {
        digests.Digest("blake3", path.stem)
        for path in config.store.folder.rglob("?" * 64 + ".json")
    }


def test_what_no_build_of_the_last_nights_used_goes(config: Config) -> None:
    assert after(config, 20, 3, 2) == []
    assert left(config) == {NEW}
    log = (config.state / "store.log").read_text()
    assert log.startswith("$ orchestrate store gc --keep-nights 2 --state ")


def test_that_there_are_fewer_nights_yet_is_expected_and_not_said(config: Config) -> None:
    assert after(config, 3) == []
    assert left(config) == {OLD, NEW}


def test_a_clock_that_keeps_it_from_that_is_said(config: Config) -> None:
    (told,) = after(config, 3, -400_000)
    assert told.startswith("the store was not cleaned up: night 2 began at ")
    assert left(config) == {OLD, NEW}


def test_what_keeps_it_from_that_is_said(config: Config) -> None:
    assert config.store.folder is not None
    with closing(Folder(config.store.folder)):
        (told,) = after(config, 3, 2)
    assert told.startswith("the store was not cleaned up: a build is using the store")
    assert left(config) == {OLD, NEW}


# -- the end of a night ----------------------------------------------------------------------------


@dataclass
class Project:
    """Nights without stages of their own: what each one's stages gave is said by the test."""

    config: Config
    facts: Facts
    told: Path
    days: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def state(self) -> State:
        return State(self.config.state)

    def night(self) -> run.Ended:
        self.days += 1
        observer = FakeObserver()
        begin = datetime(2026, 1, 1, 2, tzinfo=UTC) + timedelta(days=self.days)
        try:
            return run.nightly(self.config, observer, threading.Event(), lambda: begin)
        finally:
            self.notes = [text for what, text in observer.told if what == "note"]

    def heard(self) -> list[dict[str, Any]]:
        """Documents that somebody was told."""
        return [json.loads(path.read_bytes()) for path in sorted(self.told.glob("*.json"))]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    told = tmp_path / "heard"
    told.mkdir()
    script = 'cat > "$0/$(ls "$0" | wc -l).json"; ! test -e "$0-deaf"'
    notify = Notify(command=("/bin/sh", "-c", script, str(told)))
    made = Project(Config(state=tmp_path / "nightly", notify=notify), Facts(stages=()), told)

    def gather(tonight: Tonight) -> Facts:
        state, places = made.state, relocking.places(made.config)
        if made.facts.build is not None:
            durable.write(state.out / "result.json", b"{}")
            durable.write(places.tonight, f"lock of night {tonight.frame.number}".encode())
        return replace(made.facts, notes=tuple(tonight.notes))

    monkeypatch.setattr(Tonight, "gather", gather)
    return made


LEFT_OUT = Stage(name="verify", state="left out", status=None, seconds=0, reason="", command=())
BUILT = Facts(stages=((LEFT_OUT, None),), build=results.build_result())
BROKEN = Facts(stages=((LEFT_OUT, Word.INFRASTRUCTURE),))


def full(*_: object) -> NoReturn:
    raise InfrastructureError("the disk is full")


def test_a_night_is_kept_shown_and_told(project: Project) -> None:
    project.facts = BUILT
    ended = project.night()
    assert (ended.folder / "result.json").read_bytes() == b"{}"
    assert ended.index.is_file()
    assert [one["number"] for one in project.heard()] == [1]
    assert relocking.places(project.config).last.read_bytes() == b"lock of night 1"


def test_a_night_that_is_not_written_down_leaves_the_lock_before(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.facts = BUILT
    project.night()
    with monkeypatch.context() as patch:
        patch.setattr(History, "end", full)
        with pytest.raises(InfrastructureError, match="the disk is full"):
            project.night()
    # Other bytes of a version, found against it, would never be found again.
    assert relocking.places(project.config).last.read_bytes() == b"lock of night 1"


def test_what_keeps_a_night_from_its_end_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(History, "end", full)
    with pytest.raises(InfrastructureError):
        project.night()
    (heard,) = project.heard()
    assert (heard["word"], heard["number"]) == ("infrastructure", None)
    assert "the disk is full" in heard["line"]


def test_a_history_that_cannot_be_read_is_told(project: Project) -> None:
    durable.write(project.state.database, b"no database" * 100)
    with pytest.raises(InfrastructureError):
        project.night()
    assert [one["number"] for one in project.heard()] == [None]


def test_a_wish_to_stop_is_told_to_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: object) -> NoReturn:
        raise Stopped("stopped")

    monkeypatch.setattr(Tonight, "gather", stopped)
    with pytest.raises(Stopped):
        project.night()
    assert project.heard() == []


def test_a_night_that_cannot_be_shown_is_told_all_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.facts = BROKEN
    monkeypatch.setattr(keeping, "write_pages", full)
    with pytest.raises(InfrastructureError):
        project.night()
    assert [one["number"] for one in project.heard()] == [1, None]


def test_who_could_not_be_told_is_told_in_the_next_night(project: Project) -> None:
    Path(f"{project.told}-deaf").touch()
    project.facts = BROKEN
    project.night()
    assert any("somebody was not told" in note for note in project.notes)
    Path(f"{project.told}-deaf").unlink()
    project.night()
    project.night()
    assert [one["number"] for one in project.heard()] == [1, 2]


def test_a_run_says_that_it_told_of_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.facts = BROKEN
    project.night()
    assert not project.state.answered.exists()
    for run_, patched in (("ab" * 16, False), ("cd" * 16, True)):
        monkeypatch.setenv("INVOCATION_ID", run_)
        with monkeypatch.context() as patch, suppress(InfrastructureError):
            if patched:
                patch.setattr(History, "end", full)
            project.night()
        assert keeping.answered(project.state, run_)
    assert not keeping.answered(project.state, "ab" * 16)
    assert not keeping.answered(project.state, "")


@pytest.mark.parametrize("first", [True, False])
def test_a_night_that_was_killed_before_it_told_is_told_by_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    if not first:
        project.facts = BUILT
        project.night()
    project.facts = BROKEN
    with monkeypatch.context() as patch:

        def killed(*_: object) -> NoReturn:
            raise KeyboardInterrupt

        patch.setattr(telling, "due", killed)
        with pytest.raises(KeyboardInterrupt):
            project.night()
    ended = project.night()
    assert project.heard()[-1]["number"] == ended.night.number
    project.night()
    assert project.heard()[-1]["number"] == ended.night.number


def test_a_program_that_changes_meanwhile_is_no_step_that_varies(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.facts = BUILT
    tools = [Tool(version="0.1.0", digest=digests.of_bytes(word)) for word in (b"old", b"new")]
    monkeypatch.setattr(run, "installed", lambda: tools.pop(0))
    ended = project.night()
    assert ended.night.word is Word.INFRASTRUCTURE
    assert ended.night.line.startswith("The program was changed while the night went on")
    assert not ended.night.steps
    assert ended.night.image is None


def test_what_fails_after_its_end_is_no_word_of_a_night(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.config = project.config.model_copy(update={"store": Store(folder=project.told)})
    project.facts = BUILT

    def stopped(*_: object) -> NoReturn:
        raise Stopped("stopped")

    monkeypatch.setattr(children, "run", stopped)
    assert project.night().night.word is Word.INPUTS_CHANGED
    assert "the store was not cleaned up: stopped" in project.notes


# -- disks without room ----------------------------------------------------------------------------


def test_a_stage_that_cannot_be_run_is_one_that_failed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[children.Finished] = []

    def gather(tonight: Tonight) -> Facts:
        found.append(tonight.run("build", ["build"]))
        return BROKEN

    monkeypatch.setattr(Tonight, "gather", gather)
    monkeypatch.setattr(children, "run", full)
    project.night()
    assert [(one.status, one.words) for one in found] == [(4, "the disk is full")]


def test_a_night_without_room_to_begin_is_written_down(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "begin", full)
    ended = project.night()
    assert ended.night.word is Word.INFRASTRUCTURE
    assert ended.night.line == "Relock: the disk is full, since night 1"


def test_evidence_without_room_leaves_record_and_logs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.facts = BUILT
    project.night()
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "keep", full)
        lost = project.night()
    assert (lost.night.word, lost.night.image) == (Word.INFRASTRUCTURE, None)
    assert lost.night.notes[0] == "the disk is full"
    assert sorted(path.name for path in lost.folder.iterdir()) == [
        "index.html", "logs", "night.json",
    ]  # fmt: skip
    assert relocking.places(project.config).last.read_bytes() == b"lock of night 1"
    # What comes after is compared with the last night whose evidence is there.
    assert project.night().night.previous == 1


def test_a_record_without_room_is_in_the_history(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.facts = BUILT
    for name in ("keep", "keep_little"):
        monkeypatch.setattr(keeping, name, full)
    ended = project.night()
    assert not ended.folder.exists()
    with History.to_read(project.state.database) as history:
        assert [one.word for one in history.nights()] == [Word.INFRASTRUCTURE]


def test_a_record_and_logs_are_kept_and_the_rest_makes_room(project: Project) -> None:
    state = project.state
    durable.write(keeping.begin(state) / "logs" / "build.log", b"words")
    durable.write(state.tonight / "boot" / "large", b"much")
    place = keeping.keep_little(state, night(1))
    assert sorted(path.name for path in place.iterdir()) == ["logs", "night.json"]
    assert (place / "logs" / "build.log").read_bytes() == b"words"
    # What was in its place already becomes less too.
    durable.write(place / "result.json", b"much")
    keeping.keep_little(state, night(1))
    assert sorted(path.name for path in place.iterdir()) == ["logs", "night.json"]


# -- histories that know less than what lies there -------------------------------------------------


def test_evidence_that_a_backup_does_not_know_is_left_alone(project: Project) -> None:
    project.facts = BUILT
    for _ in range(2):
        project.night()
    backup = project.told / "backup"
    with closing(sqlite3.connect(project.state.database)) as now:
        now.execute("VACUUM INTO ?", (str(backup),))
    for _ in range(2):
        project.night()
    before = {path: path.read_bytes() for path in project.state.night(4).rglob("*.json")}
    backup.replace(project.state.database)
    ended = project.night()
    assert ended.night.number == 5
    assert "the history knows nothing of nights 3 to 4" in ended.night.notes[0]
    assert {path: path.read_bytes() for path in before} == before


def test_a_night_that_was_closed_has_no_evidence_that_says_otherwise(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.facts = BUILT
    with monkeypatch.context() as patch:
        patch.setattr(History, "end", full)
        with pytest.raises(InfrastructureError):
            project.night()
    assert (project.state.night(1) / "night.json").is_file()
    project.night()
    assert not project.state.night(1).exists()
    with History.to_read(project.state.database) as history:
        assert [str(one.word) for one in history.nights()] == ["infrastructure", "inputs-changed"]


def test_what_was_half_written_goes(project: Project) -> None:
    state, names = project.state, ("night.json", "index.html")
    project.facts = BUILT
    project.night()
    places = [state.told, relocking.places(project.config).last, state.site / "feed.atom"]
    places += [state.night(1) / name for name in names]
    for place in places:
        (made,) = [*place.parent.glob(place.name)]
        made.with_name(f".{place.name}.abcd_123").touch()
    other = state.night(1) / ".profile"
    other.touch()
    project.night()
    assert [path for path in state.folder.rglob(".*") if path != other] == []
    assert other.exists()


def test_a_folder_that_is_named_otherwise_is_no_night(project: Project) -> None:
    names = ("1", "٠٠٠٠٠١", "0000001", "9" * 30)
    for name in names:
        durable.write(project.state.nights / name / "night.json", b"{}")
    project.facts = BUILT
    assert project.night().night.number == 1
    assert all((project.state.nights / name).is_dir() for name in names)


# -- hard links ------------------------------------------------------------------------------------


def test_what_is_the_same_as_in_the_night_before_is_a_link(project: Project) -> None:
    project.facts = BUILT
    first, second = (project.night().folder / "result.json" for _ in range(2))
    assert first.samefile(second)


def test_a_disk_without_hard_links_keeps_copies(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> NoReturn:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    project.facts = BUILT
    first, second = (project.night().folder / "result.json" for _ in range(2))
    assert not first.samefile(second)
    assert first.read_bytes() == second.read_bytes()


def test_what_a_stage_wrote_under_the_same_name_gives_way(project: Project) -> None:
    project.facts = BUILT
    project.night()
    state = project.state
    keeping.begin(state)
    for name in ("logs/build.log", "result.json"):
        durable.write(state.tonight / name, b"of the stage")
    durable.write(state.out / "logs" / "build.log", b"of the build")
    kept = keeping.keep(state, night(2), 1)
    assert (kept / "logs" / "build.log").read_bytes() == b"of the build"
    assert (kept / "result.json").read_bytes() == b"{}"
