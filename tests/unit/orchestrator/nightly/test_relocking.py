"""Locking anew for a night: on which lock, and what is built where that fails."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from containers.host import durable
from orchestrator.lock import file as locks
from orchestrator.nightly import relocking
from orchestrator.nightly.relocking import Finished
from reproducibility import digest as digests
from reproducibility.errors import Stopped
from tests.unit.orchestrator.nightly.project import DATA, SPEC, Mirror, Project, built, newer
from tests.unit.orchestrator.nightly.samples import night

if TYPE_CHECKING:
    from pathlib import Path

# -- the base --------------------------------------------------------------------------------------


def test_the_projects_lock_is_never_written(project: Project, mirror: Mirror) -> None:
    mirror.offers["uname"] = ("1:1.38.0-1", b"new")
    outcome = project.night(mirror)
    assert built(outcome).find("uname", "amd64").version == "1:1.38.0-1"
    assert project.lock.read_bytes() == DATA
    assert outcome.lock == project.folder / "nightly/locks/tonight.lock"
    assert sorted(path.name for path in project.folder.iterdir()) == [
        "nightly",
        "sourcery.lock",
        "sourcery.toml",
    ]


def test_a_night_goes_on_from_the_night_before(project: Project, mirror: Mirror) -> None:
    mirror.offers["uname"] = ("1:1.38.0-1", b"new")
    first = built(project.night(mirror))
    mirror.offers.clear()
    second = project.night(mirror)
    assert mirror.bases == [DATA, locks.dump(first)]
    assert built(second) == first
    assert (second.status, second.locked, second.changes) == (0, "anew", ())


def test_a_projects_lock_that_changed_since_wins(project: Project, mirror: Mirror) -> None:
    mirror.offers["uname"] = ("1:1.38.0-1", b"new")
    project.night(mirror)
    project.lock.write_bytes(newer("kernel.amd64", "6.12.999-1"))
    project.night(mirror)
    assert mirror.bases[1] == project.lock.read_bytes()
    mirror.offers.clear()
    project.night(mirror)
    assert mirror.bases[2] != project.lock.read_bytes(), "it did not change again"


def test_a_night_that_was_killed_before_its_end_does_not_count(
    project: Project, mirror: Mirror
) -> None:
    project.night(mirror)
    changed_lock = newer("kernel.amd64", "6.12.999-1")
    project.lock.write_bytes(changed_lock)
    project.night(mirror, keep=False)
    project.night(mirror)
    assert mirror.bases == [DATA, changed_lock, changed_lock]


def test_whoever_is_killed_between_the_two_files_passes_no_change_over(
    project: Project, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.night(mirror)
    project.lock.write_bytes(newer("kernel.amd64", "6.12.999-1"))
    write = durable.write

    def killed(path: Path, data: bytes) -> None:
        if path.name == "last.project.lock":
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            project.night(mirror)
    project.night(mirror)
    assert mirror.bases[-1] == project.lock.read_bytes()


@pytest.mark.parametrize("there", ["nothing", "blank"])
def test_without_a_lock_everything_is_pinned(project: Project, mirror: Mirror, there: str) -> None:
    project.lock.unlink()
    if there == "blank":
        project.lock.write_bytes(b"\n")
    outcome = project.night(mirror)
    assert mirror.bases == [None]
    assert built(outcome) == locks.parse(DATA)
    assert {one.before for one in outcome.changes} == {None}
    project.night(mirror)
    assert mirror.bases[1] == DATA


def test_a_projects_lock_that_goes_away_leaves_the_nights_theirs(
    project: Project, mirror: Mirror
) -> None:
    project.night(mirror)
    project.lock.unlink()
    for _ in range(2):
        assert project.night(mirror).status == 0
    assert mirror.bases == [DATA, DATA, DATA]


def test_a_damaged_lock_of_the_night_before_is_not_used_and_told(
    project: Project, mirror: Mirror
) -> None:
    mirror.offers["uname"] = ("1:1.38.0-1", b"new")
    project.night(mirror)
    last = relocking.places(project.config()).last
    last.write_bytes(last.read_bytes().replace(b"1:1.38.0-1", b"1:1.38.0-2"))
    outcome = project.night(mirror)
    assert mirror.bases[1] == DATA
    assert any("the lock of the night before is not used" in note for note in outcome.notes)


@pytest.mark.parametrize("text", ["", 'relock = "none"'])
def test_a_projects_lock_that_is_refused_ends_the_night(
    project: Project, mirror: Mirror, text: str
) -> None:
    project.lock.write_bytes(DATA.replace(b"1:1.37.0", b"1:1.37.1"))
    outcome = project.night(mirror, text)
    assert (outcome.status, outcome.lock, mirror.asked) == (2, None, [])
    assert "changed after it was made" in outcome.reason
    assert str(project.lock) in outcome.notes[0]


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", 'relock = "patch"'])
def test_a_mirror_that_is_down_leaves_the_base_with_a_note_since_when(
    project: Project, mirror: Mirror, text: str
) -> None:
    mirror.offers["uname"] = ("1:1.37.0-99", b"new")
    first = built(project.night(mirror, text))
    mirror.always = 4
    outcome = project.night(mirror, text)
    assert (outcome.status, outcome.locked, outcome.changes) == (4, "the night before", ())
    assert built(outcome) == first
    assert outcome.notes == (
        "nothing could be locked anew, so the lock of the night before is built: failed with 4",
    )
    assert mirror.asked == [["all"], ["all"], []]
    outcome = project.night(mirror, text)
    since = (
        "nothing could be locked anew since night 2 (2026-01-02), so the lock of the night before"
    )
    assert outcome.notes[0] == f"{since} is built: failed with 4"
    assert built(outcome) == first


def test_a_mirror_that_goes_down_in_the_second_run_leaves_the_base(
    project: Project, mirror: Mirror
) -> None:
    mirror.offers["kernel.amd64"] = ("6.13.1-1", b"new")
    mirror.failing = [0, 4, 4]
    outcome = project.night(mirror, 'relock = "patch"')
    assert built(outcome) == locks.parse(DATA)
    assert outcome.status == 4


def test_local_files_are_those_of_tonight_although_the_mirror_is_down(
    project: Project, mirror: Mirror
) -> None:
    project.night(mirror)
    mirror.failing = [4]
    mirror.local["u-root"] = b"edited"
    outcome = project.night(mirror)
    assert mirror.asked[1:] == [["all"], []]
    assert (outcome.status, outcome.locked) == (4, "the night before")
    assert built(outcome).find("u-root").blake3 == digests.of_bytes(b"edited")
    assert [one.name for one in outcome.changes] == ["u-root"]


def test_a_base_that_the_spec_does_not_fit_is_not_built(project: Project, mirror: Mirror) -> None:
    other = SPEC.replace('suite = "trixie"', "") + '\n[debian]\nsuite = "forky"\n'
    (project.folder / "sourcery.toml").write_text(other)
    mirror.always = 4
    outcome = project.night(mirror)
    assert (outcome.status, outcome.lock) == (4, None)
    assert "the spec asks for what the project's lock does not pin" in outcome.reason


def test_without_a_base_a_mirror_that_is_down_leaves_nothing(
    project: Project, mirror: Mirror
) -> None:
    project.lock.unlink()
    mirror.always = 4
    outcome = project.night(mirror)
    assert (outcome.status, outcome.lock, outcome.reason) == (4, None, "failed with 4")


@pytest.mark.parametrize("status", [1, 2, 130, 137])
@pytest.mark.parametrize("runs", [0, 1])
def test_every_other_failure_is_returned_as_it_is(
    project: Project, mirror: Mirror, status: int, runs: int
) -> None:
    mirror.offers["kernel.amd64"] = ("6.13.1-1", b"new")
    mirror.failing = [0] * runs + [status]
    outcome = project.night(mirror, 'relock = "patch"')
    assert (outcome.status, outcome.lock, outcome.reason) == (status, None, f"failed with {status}")
    assert len(mirror.asked) == runs + 1
    assert project.lock.read_bytes() == DATA


def test_a_contradiction_that_shows_in_the_fall_back_is_no_mirror_that_is_down(
    project: Project, mirror: Mirror
) -> None:
    mirror.failing = [4, 1]
    outcome = project.night(mirror)
    assert (outcome.status, outcome.lock) == (1, None)


@pytest.mark.parametrize("document", [None, {}, {"error": "text"}, {"error": {"summary": 3}}])
def test_a_process_that_says_nothing_is_told_by_its_status(
    project: Project, document: dict[str, Any] | None
) -> None:
    outcome = relocking.relock(project.config(), (), lambda _: Finished(2, document))
    assert outcome.reason == "`orchestrate lock` ended with exit status 2 and said nothing of it"


def test_a_wish_to_stop_is_no_failure_of_the_night(project: Project) -> None:
    def stopped(_: object) -> Finished:
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        relocking.relock(project.config(), (), stopped)


def test_a_full_disk_is_infrastructure(
    project: Project, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "write", full)
    outcome = project.night(mirror)
    assert (outcome.status, outcome.lock) == (4, None)
    assert "No space left" in outcome.reason


# -- since when ------------------------------------------------------------------------------------


def test_since_when_a_mirror_is_down() -> None:
    row = [night(1, relock=4), night(2), night(4, relock=4), night(3, relock=4)]
    first = relocking.down_since(row)
    assert first is not None
    assert first.number == 3
    assert relocking.down_since([night(1, relock=4), night(2, relock=None)]) is None
    assert relocking.down_since([]) is None
