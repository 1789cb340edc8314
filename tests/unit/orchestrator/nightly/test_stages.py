"""The stages of a night: their commands, what each failure leaves out, and the word it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.history.words import Word
from orchestrator.nightly import config as configs
from orchestrator.nightly import relocking
from orchestrator.nightly.children import Finished
from orchestrator.nightly.judging import judge
from orchestrator.nightly.stages import word_of
from reproducibility.errors import InfrastructureError
from tests import results
from tests.unit.orchestrator.nightly.world import (
    World,
    document_of_build,
    error,
    of_boot,
    states,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.history import model

NAMES: tuple[model.StageName, ...] = ("relock", "build", "audit", "boot", "verify")


def test_a_night_in_which_all_goes_well(world: World) -> None:
    facts = world.gather()
    assert states(facts) == dict.fromkeys(NAMES, "done")
    assert [one[0] for one in world.asked] == ["build", "audit", "boot", "verify"]
    for stage, _ in facts.stages:
        assert stage.command[0] == "orchestrate"
        assert "--json" not in stage.command


def test_what_is_built_is_the_nights_own_lock(world: World) -> None:
    world.gather()
    (build,) = world.commands("build")
    (audit,) = world.commands("audit")
    lock = str(world.tonight.state.folder / "locks" / "tonight.lock")
    assert build[build.index("--lock") + 1] == lock
    assert audit[audit.index("--lock") + 1] == lock


@pytest.mark.parametrize(
    ("stage", "answer", "word"),
    [
        ("build", error(2, "InputError"), Word.BUILD_FAILED),
        ("build", error(2, "OtherContentError"), Word.CHECK_FAILED),
        ("build", error(3, "ActionError"), Word.BUILD_FAILED),
        ("build", error(4), Word.INFRASTRUCTURE),
        ("build", (137, {}), Word.INFRASTRUCTURE),
        ("build", (0, {}), Word.INFRASTRUCTURE),
        # An interpreter that does not get as far as the command line.
        ("build", (1, {}), Word.INFRASTRUCTURE),
        ("build", (2, {}), Word.INFRASTRUCTURE),
        ("build", (0, {"schema": 1}), Word.INFRASTRUCTURE),
        ("audit", (1, {}), Word.INFRASTRUCTURE),
        ("audit", (1, {"schema": 1}), Word.INFRASTRUCTURE),
        ("audit", error(4), Word.INFRASTRUCTURE),
        ("boot", (3, {"checks": [], "platforms": []}), Word.BOOT_FAILED),
        ("boot", (1, {"checks": [], "platforms": []}), Word.BOOT_FAILED),
        ("boot", error(4), Word.INFRASTRUCTURE),
        ("boot", (4, of_boot("InfrastructureError")), Word.INFRASTRUCTURE),
        ("boot", (4, of_boot("InfrastructureError", "ActionError")), Word.BOOT_FAILED),
        # Exit statuses of a command on the device.
        ("boot", (4, of_boot(None)), Word.BOOT_FAILED),
        ("boot", (127, of_boot(None)), Word.BOOT_FAILED),
        ("boot", (137, {}), Word.INFRASTRUCTURE),
        ("verify", (1, {"demands": []}), Word.CHECK_FAILED),
    ],
)
def test_a_stage_that_fails_gives_its_word(
    world: World, stage: str, answer: tuple[int, dict[str, Any]], word: Word
) -> None:
    world.answers[stage] = answer
    facts = world.gather()
    assert states(facts)[stage] == "failed"
    assert world.word(facts) is word


def test_a_machine_that_does_not_come_up_is_told(world: World) -> None:
    world.answers["boot"] = (3, of_boot("ActionError"))
    facts = world.gather()
    night = judge(facts, world.tonight.frame)
    assert night.line == "Boot: pc-0: no prompt after 60 s, since night 1"
    assert [(one.platform, one.verdict) for one in night.machines] == [("pc-0", "FAIL")]
    assert [one.reason for one in night.checks if one.stage == "boot"] == ["no prompt after 60 s"]


def test_a_command_that_fails_on_a_machine_is_named(world: World) -> None:
    world.answers["boot"] = (127, of_boot(None))
    night = judge(world.gather(), world.tonight.frame)
    assert night.line.startswith("Boot: pc-0: ls / ended with exit status 127")
    assert night.machines


def test_a_stage_whose_checks_failed_says_which(world: World) -> None:
    failed = [results.check(verdict="FAIL", subject=f"part {at}", reason="why") for at in range(5)]
    world.answers["build"] = (1, document_of_build(verdict="FAIL", checks=failed))
    held = {"held": True, "code": "b", "reason": "yes"}
    refused = {"held": False, "code": "image.digest", "reason": "no\nway"}
    world.answers["verify"] = (1, {"demands": [held, refused]})
    reasons = {stage.name: stage.reason for stage, _ in world.gather().stages}
    assert reasons["build"] == "part 0: why; part 1: why; part 2: why and 2 more"
    assert reasons["verify"] == r"image.digest: no\nway"


def test_an_answer_that_cannot_be_read_does_not_take_the_night_with_it(world: World) -> None:
    world.answers["audit"] = (0, {"schema": 1})
    facts = world.gather()
    assert states(facts)["audit"] == "failed"
    assert states(facts)["verify"] == "done"
    reasons = {stage.name: stage.reason for stage, _ in facts.stages}
    assert reasons["audit"].startswith("its answer cannot be read: this is not the result of an")


def test_without_a_build_nothing_else_is_tried(world: World) -> None:
    world.answers["build"] = error(3, "ActionError", "T1 fails")
    facts = world.gather()
    assert states(facts) == {
        "relock": "done",
        "build": "failed",
        "audit": "left out",
        "boot": "left out",
        "verify": "left out",
    }
    assert [one[0] for one in world.asked] == ["build"]


def test_a_build_with_a_failed_check_is_audited_all_the_same(world: World) -> None:
    failed = document_of_build(verdict="FAIL", checks=[results.check(verdict="FAIL")])
    world.answers["build"] = (1, failed)
    facts = world.gather()
    assert states(facts)["build"] == "failed"
    assert len(world.commands("audit")) == 1
    assert world.word(facts) is Word.CHECK_FAILED


def test_what_is_not_asked_for_is_left_out(world: World, tmp_path: Path) -> None:
    text = "[audit]\nbudget = 0\n[boot]\nplatforms = 'none'\n"
    world.tonight.config = configs.parse(text, tmp_path / "nightly.toml")
    facts = world.gather()
    assert states(facts)["audit"] == states(facts)["boot"] == "left out"
    assert [one[0] for one in world.asked] == ["build", "verify"]


def test_the_first_runs_of_commands_are_timed_on_machines_of_their_own(
    world: World, tmp_path: Path
) -> None:
    text = "[boot]\nplatforms = ['pc-uefi']\ncommands = ['ls /', 'date']\n"
    world.tonight.config = configs.parse(text, tmp_path / "nightly.toml")
    facts = world.gather()
    proof, timed = world.commands("boot")
    assert "--run" not in proof
    assert [timed[at + 1] for at, word in enumerate(timed) if word == "--run"] == ["ls /", "date"]
    assert proof[proof.index("--log") + 1] != timed[timed.index("--log") + 1]
    assert len(facts.booted) == 2


@pytest.mark.parametrize(
    ("status", "word"),
    [(1, Word.CHECK_FAILED), (2, Word.BUILD_FAILED), (4, Word.INFRASTRUCTURE)],
)
def test_without_any_lock_nothing_is_built(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, word: Word
) -> None:
    found = relocking.Relocked(status, "why", None, "anew")
    monkeypatch.setattr(relocking, "relock", lambda *_: found)
    facts = world.gather()
    assert not world.asked
    assert facts.locked is None
    assert world.word(facts) is word


def test_a_night_that_cannot_go_on_says_where_it_broke_off(world: World) -> None:
    world.tonight.notes.append("a note\nof two lines")
    found = world.tonight.broken_off(InfrastructureError("no space\nleft"))
    assert states(found) == dict.fromkeys(NAMES, "left out") | {"relock": "failed"}
    night = judge(found, world.tonight.frame)
    assert night.word is Word.INFRASTRUCTURE
    assert night.line.startswith("Relock: no space")
    assert "\n" not in night.line + night.notes[0]
    assert night.image is None


def test_a_night_that_breaks_off_later_keeps_what_was_done(world: World) -> None:
    world.gather()
    del world.tonight.done[2:]
    found = world.tonight.broken_off(InfrastructureError("no space"))
    assert [(stage.name, stage.state) for stage, _ in found.stages] == [
        ("relock", "done"), ("build", "done"), ("audit", "failed"), ("boot", "left out"),
        ("verify", "left out"),
    ]  # fmt: skip


def test_a_mirror_that_is_down_is_no_fault_of_the_product(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = world.tonight.state.folder / "locks" / "tonight.lock"
    found = relocking.Relocked(4, "no route", lock, "the night before", notes=("a mirror is down",))
    monkeypatch.setattr(relocking, "relock", lambda *_: found)
    facts = world.gather()
    assert states(facts)["relock"] == "failed"
    assert states(facts)["build"] == "done"
    assert facts.locked == "the night before"
    assert "a mirror is down" in facts.notes
    assert world.word(facts) is Word.INPUTS_CHANGED  # the first build of this history


def test_an_exit_status_alone_is_no_answer() -> None:
    silent = Finished(("build",), 0, {}, "it ended with exit status 0 and without an answer", 1.0)
    assert word_of("build", silent) is Word.INFRASTRUCTURE
