"""Locking anew for a night: which inputs are looked up, and which moves are not taken."""

from __future__ import annotations

import pytest

from orchestrator.lock import file as locks
from orchestrator.nightly.moves import How
from reproducibility import digest as digests
from tests.unit.orchestrator.nightly.project import ALL, DATA, Mirror, Project, built

# -- what is looked up anew ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["all"]),
        ('relock = "all"', ["all"]),
        ('relock = "patch"', ["all"]),
        ('relock = ["uname", "go"]', ["go", "uname"]),
        ("relock = []", []),
    ],
)
def test_a_policy_names_what_is_looked_up_anew(
    project: Project, mirror: Mirror, text: str, names: list[str]
) -> None:
    outcome = project.night(mirror, text)
    assert mirror.asked == [names]
    assert outcome.command == ("orchestrate", *mirror.commands[0])


def test_the_store_of_the_configuration_is_used(project: Project, mirror: Mirror) -> None:
    project.night(mirror, '[store]\nfolder = "own"\n')
    command = mirror.commands[0]
    assert command[command.index("--store") + 1] == str(project.folder / "own")


def test_none_builds_the_projects_lock_and_asks_nobody(project: Project, mirror: Mirror) -> None:
    mirror.offers["uname"] = ("1:1.38.0-1", b"new")
    project.night(mirror)
    outcome = project.night(mirror, 'relock = "none"')
    assert len(mirror.asked) == 1
    assert (outcome.status, outcome.locked) == (None, "the project's lock")
    assert built(outcome) == locks.parse(DATA)
    project.lock.unlink()
    outcome = project.night(mirror, 'relock = "none"')
    assert (outcome.status, outcome.lock) == (2, None)
    assert "there is no lock" in outcome.reason


def test_a_spec_that_is_wrong_ends_the_night(project: Project, mirror: Mirror) -> None:
    (project.folder / "sourcery.toml").write_text("[image\n")
    outcome = project.night(mirror)
    assert (outcome.status, outcome.lock, mirror.asked) == (2, None, [])
    assert "not valid TOML" in outcome.reason


# -- patch releases --------------------------------------------------------------------------------


def test_patch_releases_are_taken_at_once(project: Project, mirror: Mirror) -> None:
    mirror.offers["kernel.amd64"] = ("6.12.999-1", b"new")
    outcome = project.night(mirror, 'relock = "patch"')
    assert mirror.asked == [["all"]]
    assert built(outcome).find("kernel.amd64").version == "6.12.999-1"
    assert (outcome.held, outcome.notes) == ((), ())


def test_what_moved_further_is_kept_and_the_rest_is_taken(project: Project, mirror: Mirror) -> None:
    mirror.offers["kernel.amd64"] = ("6.13.1-1", b"new")
    mirror.offers["uname"] = ("1:1.37.0-99", b"patch")
    outcome = project.night(mirror, 'relock = "patch"')
    assert mirror.asked == [["all"], [name for name in ALL if name != "kernel.amd64"]]
    assert mirror.bases == [DATA, DATA]
    lock = built(outcome)
    assert lock.find("kernel.amd64") == locks.parse(DATA).find("kernel.amd64")
    assert lock.find("uname", "amd64").version == "1:1.37.0-99"
    assert [(one.name, one.how) for one in outcome.held] == [("kernel.amd64", How.FURTHER)]
    assert [one.name for one in outcome.changes] == ["uname"]
    (note,) = outcome.notes
    assert note.startswith("not taken: kernel.amd64: ")
    assert "6.13.1-1" in note


def test_other_bytes_of_the_same_version_are_kept_and_told_first(
    project: Project, mirror: Mirror
) -> None:
    version = locks.parse(DATA).find("uname", "amd64").version
    mirror.offers["kernel.amd64"] = ("6.13.1-1", b"new")
    mirror.offers["uname"] = (version, b"planted")
    outcome = project.night(mirror, 'relock = "patch"')
    assert built(outcome) == locks.parse(DATA)
    assert [one.name for one in outcome.other_bytes] == ["uname"]
    assert {one.name for one in outcome.held} == {"uname", "kernel.amd64"}
    assert outcome.notes[0].startswith(f"NOT taken, look at it: uname for amd64: {version}, ")
    assert outcome.notes[0].endswith("other bytes of the same version")


def test_who_wants_everything_gets_other_bytes_too_and_is_told(
    project: Project, mirror: Mirror
) -> None:
    version = locks.parse(DATA).find("uname", "amd64").version
    mirror.offers["uname"] = (version, b"planted")
    outcome = project.night(mirror)
    assert built(outcome).find("uname", "amd64").blake3 == digests.of_bytes(b"planted")
    assert [one.name for one in outcome.other_bytes] == ["uname"]
    assert outcome.notes[0].startswith("taken, look at it: uname for amd64: ")


def test_an_older_version_is_told(project: Project, mirror: Mirror) -> None:
    mirror.offers["kernel.amd64"] = ("6.12.1-1", b"old")
    outcome = project.night(mirror)
    assert outcome.notes[0].startswith("taken, look at it: kernel.amd64: ")
    assert outcome.notes[0].endswith(" -> 6.12.1-1, an older version")
    mirror.offers["kernel.amd64"] = ("6.12.0-1", b"older")
    outcome = project.night(mirror, 'relock = "patch"')
    assert [one.how for one in outcome.held] == [How.BACK]


def test_a_mirror_that_changes_between_two_runs_is_asked_again(
    project: Project, mirror: Mirror
) -> None:
    mirror.offers["kernel.amd64"] = ("6.13.1-1", b"new")
    mirror.changing.append(("kernel.arm64", "6.13.1-1", b"new"))
    outcome = project.night(mirror, 'relock = "patch"')
    assert len(mirror.asked) == 3
    assert mirror.asked[2] == [name for name in ALL if name not in {"kernel.amd64", "kernel.arm64"}]
    assert built(outcome) == locks.parse(DATA)
    assert {one.name for one in outcome.held} == {"kernel.amd64", "kernel.arm64"}


def test_a_mirror_that_never_comes_to_rest_is_given_up(project: Project, mirror: Mirror) -> None:
    mirror.offers["kernel.amd64"] = ("6.13.1-1", b"new")
    mirror.changing += [("kernel.arm64", "6.13.1-1", b"new"), ("syslinux", "9:1-1", b"new")]
    outcome = project.night(mirror, 'relock = "patch"')
    assert mirror.asked[3] == []
    assert len(mirror.asked) == 4
    assert (outcome.status, outcome.locked) == (4, "the project's lock")
    assert built(outcome) == locks.parse(DATA)
    assert "changing" in outcome.reason
