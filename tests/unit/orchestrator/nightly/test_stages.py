"""The stages of a night: their commands, what each failure leaves out, and the word it gives."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from containers.host import durable
from orchestrator.artifacts import names
from orchestrator.history import model
from orchestrator.history.database import History
from orchestrator.history.words import Word
from orchestrator.nightly import config as configs
from orchestrator.nightly import relocking
from orchestrator.nightly.children import Finished
from orchestrator.nightly.facts import Facts, Frame
from orchestrator.nightly.judging import judge
from orchestrator.nightly.stages import Tonight, word_of
from orchestrator.nightly.state import State
from reproducibility import canonical, digest
from reproducibility.codes import COVERAGE
from reproducibility.errors import InfrastructureError
from tests import nights, results
from tests.fakes import FakeObserver
from tests.unit.orchestrator.audit import test_model as audit_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TOOL = model.Tool(version="0.1.0", digest=digest.of_bytes(b"tool"))
NAMES: tuple[model.StageName, ...] = ("relock", "build", "audit", "boot", "verify")


def error(status: int, kind: str = "InfrastructureError", summary: str = "no route") -> Any:  # noqa: ANN401
    """An answer that is an error."""
    said = {"kind": kind, "status": status, "summary": summary, "subject": "", "remedy": ""}
    return status, {"error": said}


def of_boot(*kinds: str | None) -> dict[str, Any]:
    """The answer of a boot: what went wrong on each machine."""
    platforms = [
        {
            "name": f"pc-{number}",
            "off": 3.5,
            "commands": [{"command": "ls /", "status": 0 if kind else 127, "seconds": 0.5}],
            "error": {"kind": kind, "text": "no prompt"} if kind else None,
        }
        for number, kind in enumerate(kinds)
    ]
    checks = [
        {
            "code": "boot-prompt.not-reached",
            "subject": one["name"],
            "verdict": "FAIL",
            "reason": "no prompt after 60 s",
        }
        for one in platforms
        if one["error"]
    ]
    return {"checks": checks, "platforms": platforms}


@dataclass
class World:
    """A night whose commands give the answers that a test says."""

    tonight: Tonight
    history: History
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    without_actions: bool = False

    def run(self, _stage: model.StageName, command: Sequence[str]) -> Finished:
        self.asked.append(tuple(command))
        status, document = self.answers[command[0]]
        if command[0] == "build" and status in {0, 1} and "error" not in document:
            out = self.tonight.state.out
            out.mkdir(parents=True, exist_ok=True)
            (out / names.RESULT).write_bytes(canonical.pretty(document))
            (out / names.ACTIONS).unlink(missing_ok=True)
            if not self.without_actions:
                (out / names.ACTIONS).write_text("{}")
        words = document.get("error", {}).get("summary", "") or ("" if status == 0 else "no")
        return Finished((*command, "--json"), status, document, words, 1.0)

    def gather(self) -> Facts:
        return self.tonight.gather()

    def word(self, facts: Facts) -> Word:
        return judge(facts, self.tonight.frame).word

    def commands(self, name: str) -> list[tuple[str, ...]]:
        return [one for one in self.asked if one[0] == name]


def document_of_build(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A build, as `orchestrate build --json` prints it."""
    made = results.build_result(**{"steps": [*steps] or [results.step()], **changes})
    return made.document()


def document_of_audit(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """An audit in which all that was audited is the same."""
    parts = {"steps": [*steps], "computations": [], "checks": [], **changes}
    return json.loads(canonical.pretty(audit_documents.document(**parts)))  # type: ignore[no-any-return]


def _nobody(stage: model.StageName, command: Sequence[str]) -> Finished:
    """Run no command: a world has its own."""
    raise AssertionError(stage, command)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    config = configs.parse("", tmp_path / "nightly.toml")
    state = State(config.state)
    state.tonight.mkdir(parents=True)
    lock = state.folder / "locks" / "tonight.lock"

    def relock(*_: object) -> relocking.Relocked:
        return relocking.Relocked(0, "", lock, "anew", ("orchestrate", "lock"))

    monkeypatch.setattr(relocking, "relock", relock)
    with closing(History.open(state.database)) as history:
        frame = Frame(
            number=1,
            date="2026-01-02",
            began="2026-01-02T01:00:00Z",
            ended="2026-01-02T02:00:00Z",
            seconds=60.0,
            attempts=1,
            tool=TOOL,
            last=None,
            built=None,
        )
        tonight = Tonight(config, state, frame, history, _nobody, FakeObserver())
        made = World(tonight, history)
        made.tonight.run = made.run
        made.answers = {
            "build": (0, document_of_build()),
            "audit": (0, document_of_audit()),
            "boot": (0, {"checks": [], "platforms": []}),
            "verify": (0, {"demands": []}),
        }
        yield made


def states(facts: Facts) -> dict[str, str]:
    """The state of each stage."""
    return {stage.name: stage.state for stage, _ in facts.stages}


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


STEP = results.step("commands/amd64", key=str(digest.of_bytes(b"key")))


def a_night(world: World, number: int, *, audited: int | None) -> None:
    """Write a night into the history that built that step."""
    history = world.history
    begun = history.begin(date="2026-01-01", began="2026-01-01T00:00:00Z", tool=TOOL)
    assert begun.number == number
    step = model.Step(
        name="commands/amd64",
        kind="action",
        key=digest.of_bytes(b"key"),
        outputs=digest.Digest.parse(results.NOTHING),
        seconds=1.0,
        cached=False,
        audited=audited,
        verdict="PASS" if audited else None,
        others=(),
    )
    facts = Facts(stages=())
    frame = world.tonight.frame
    night = judge(facts, Frame(**{**vars_of(frame), "number": number}))
    history.end(night.model_copy(update={"steps": (step,), "attempts": begun.attempts}))


def vars_of(frame: Frame) -> dict[str, Any]:
    """The fields of a frame."""
    return {name: getattr(frame, name) for name in frame.__dataclass_fields__}


@pytest.mark.parametrize(("audited", "overdue"), [(None, True), (1, True), (3, False)])
def test_a_step_that_was_not_audited_for_long_is_whatever_it_takes(
    world: World, tmp_path: Path, audited: int | None, *, overdue: bool
) -> None:
    for number in (1, 2, 3):
        a_night(world, number, audited=audited if audited is None or audited <= number else None)
    world.tonight.frame = Frame(**{**vars_of(world.tonight.frame), "number": 4})
    text = "[audit]\nwithin = 3\n"
    world.tonight.config = configs.parse(text, tmp_path / "nightly.toml")
    world.answers["build"] = (0, document_of_build(STEP))
    facts = world.gather()
    audits = world.commands("audit")
    assert len(audits) == (2 if overdue else 1)
    if overdue:
        assert audits[0][audits[0].index("--only") + 1] == "commands/amd64"
        assert "--budget" not in audits[0]
        assert any("beyond the budget" in note for note in facts.notes)
    assert "--budget" in audits[-1]


@pytest.mark.parametrize(
    ("kind", "tool", "word"),
    [
        ("computation", TOOL, Word.NOT_DETERMINISTIC),
        ("computation", nights.LATER_TOOL, Word.INPUTS_CHANGED),
        ("action", nights.LATER_TOOL, Word.NOT_DETERMINISTIC),
    ],
)
def test_what_another_program_computed_otherwise_is_no_fault(
    world: World, kind: str, tool: model.Tool, word: Word
) -> None:
    """What an action gives does not depend on the program. Here is no build to compare with."""
    earlier = nights.step("image", kind=kind, others=(digest.of_bytes(b"other"),))
    nights.keep(world.history, [nights.night(1, steps=(earlier,), tool=tool)])
    made = results.step(
        "image", kind=kind, key=str(earlier.key), outputs=str(digest.of_bytes(b"tonight"))
    )
    world.answers["build"] = (0, document_of_build(made))
    facts = world.gather()
    assert world.word(facts) is word
    counts = 2 if word is Word.NOT_DETERMINISTIC else 0
    assert len(facts.before[earlier.key].outputs) == counts


def test_a_fault_that_the_configuration_names_is_heeded(world: World, tmp_path: Path) -> None:
    other = digest.of_bytes(b"other")
    earlier = nights.step("commands/amd64", others=(other,))
    nights.keep(world.history, [nights.night(1, steps=(earlier,))])
    made = results.step("commands/amd64", key=str(earlier.key), outputs=str(earlier.outputs))
    world.answers["build"] = (0, document_of_build(made))
    assert world.word(world.gather()) is Word.NOT_DETERMINISTIC
    text = f'[[fault]]\nkey = "{earlier.key}"\noutputs = "{other}"\nreason = "memory"\n'
    world.tonight.config = configs.parse(text, tmp_path / "nightly.toml")
    world.tonight.done.clear()
    assert world.word(world.gather()) is Word.INPUTS_CHANGED


def test_an_audit_without_time_says_nothing_of_the_product(world: World, tmp_path: Path) -> None:
    nothing = results.check(
        code=str(COVERAGE["nothing"]), subject="build", verdict="FAIL", reason="0 of 9 actions"
    )
    without = document_of_audit(verdict="FAIL", checks=[nothing])
    world.answers["audit"] = (1, without)
    facts = world.gather()
    assert world.word(facts) is Word.INFRASTRUCTURE
    assert any("budget was used up" in note for note in facts.notes)
    # What was overdue was audited.
    for number in (1, 2, 3):
        a_night(world, number, audited=None)
    world.tonight.frame = replace(world.tonight.frame, number=4)
    world.tonight.config = configs.parse("[audit]\nwithin = 3\n", tmp_path / "nightly.toml")
    world.tonight.done, world.tonight.notes = [], []
    world.answers["build"] = (0, document_of_build(STEP))
    both = [(0, document_of_audit()), (1, without)]
    run = world.run

    def in_turn(stage: model.StageName, command: Sequence[str]) -> Finished:
        if command[0] == "audit":
            world.answers["audit"] = both.pop(0)
        return run(stage, command)

    world.tonight.run = in_turn
    facts = world.gather()
    assert states(facts)["audit"] == "done"
    assert facts.stages[2][0].seconds == 2.0
    assert any("budget was used up" in note for note in facts.notes)


def after(world: World, before: Facts) -> model.Night:
    """Let a night that gave these facts be the one before, without what it kept."""
    world.history.begin(date="2026-01-01", began="2026-01-01T00:00:00Z", tool=TOOL)
    night = judge(before, world.tonight.frame)
    world.history.end(night)
    world.tonight.frame = replace(world.tonight.frame, number=2, last=night, built=night)
    return night


@pytest.mark.parametrize(
    ("changed", "word", "line"),
    [
        ({}, Word.UNCHANGED, "Everything holds, and nothing changed"),
        (
            {"spec": str(digest.of_bytes(b"spec"))},
            Word.INPUTS_CHANGED,
            "Other inputs: spec; no output changed",
        ),
        (
            {
                "steps": [
                    results.step(key=str(digest.of_bytes(b"key")), outputs=f"blake3:{'1' * 64}")
                ]
            },
            Word.INPUTS_CHANGED,
            "Other inputs: none that a spec or a lock names; 1 output changed with it",
        ),
        (
            {"steps": [results.step(outputs=f"blake3:{'1' * 64}")]},
            Word.NOT_DETERMINISTIC,
            "Not deterministic: T1/dist, since night 2",
        ),
    ],
)
def test_without_the_result_of_the_night_before_its_record_counts(
    world: World, changed: dict[str, Any], word: Word, line: str
) -> None:
    after(world, world.gather())
    world.tonight.notes, world.tonight.done = [], []
    world.answers["build"] = (0, document_of_build(**changed))
    facts = world.gather()
    assert any("its result cannot be read" in note for note in facts.notes)
    night = judge(facts, world.tonight.frame)
    assert (night.word, night.line) == (word, line)


def test_another_tool_is_known_by_the_record(world: World) -> None:
    before = after(world, world.gather())
    other = model.Tool(version="0.1.0", digest=digest.of_bytes(b"another tool"))
    world.tonight.frame = replace(world.tonight.frame, tool=other)
    world.tonight.done = []
    assert judge(world.gather(), world.tonight.frame).word is Word.TOOL_CHANGED
    assert before.word is Word.INPUTS_CHANGED


def test_a_build_without_its_actions_is_compared_all_the_same(world: World) -> None:
    after(world, world.gather())
    durable.write(
        world.tonight.state.night(1) / names.RESULT, canonical.pretty(document_of_build())
    )
    world.tonight.done = []
    world.without_actions = True
    facts = world.gather()
    assert any("no actions (" in note for note in facts.notes)
    assert world.word(facts) is Word.UNCHANGED


def test_an_exit_status_alone_is_no_answer() -> None:
    silent = Finished(("build",), 0, {}, "it ended with exit status 0 and without an answer", 1.0)
    assert word_of("build", silent) is Word.INFRASTRUCTURE
