"""What earlier nights, and what was audited in them, do to the word of a night."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from containers.host import durable
from orchestrator.artifacts import names
from orchestrator.history import model
from orchestrator.history.words import Word
from orchestrator.nightly import config as configs
from orchestrator.nightly.facts import Facts, Frame
from orchestrator.nightly.judging import judge
from reproducibility import canonical, digest
from reproducibility.codes import COVERAGE
from tests import nights, results
from tests.unit.orchestrator.nightly.world import (
    TOOL,
    World,
    document_of_audit,
    document_of_build,
    states,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.nightly.children import Finished

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
