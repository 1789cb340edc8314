"""The word of a night and its record, from what its stages gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.audit import model as audits
from orchestrator.diagnosis.builds import Varying
from orchestrator.history import model
from orchestrator.history.database import History
from orchestrator.history.words import Word
from orchestrator.nightly import changes
from orchestrator.nightly.facts import Facts, Frame, Seen
from orchestrator.nightly.judging import judge
from reproducibility import canonical, digest
from tests import results
from tests.nights import begin
from tests.unit.orchestrator.audit import test_model as audit_documents

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reproducibility.digest import Digest

TOOL = model.Tool(version="0.1.0", digest=digest.of_bytes(b"tool"))
STAGES: tuple[model.StageName, ...] = ("relock", "build", "audit", "boot", "verify")
KEY = digest.of_bytes(b"key")
OUT, OTHER = digest.of_bytes(b"out"), digest.of_bytes(b"other")


def stage(name: model.StageName, gives: Word | None = None, reason: str = "") -> Any:  # noqa: ANN401
    """A stage with the word that it gives."""
    return (
        model.Stage(
            name=name,
            state="failed" if gives else "done",
            status=1 if gives else 0,
            seconds=1.0,
            reason=reason,
            command=("orchestrate", name),
        ),
        gives,
    )


def build(**changes: Any) -> Any:  # noqa: ANN401 - JSON
    """A build of one action."""
    one = results.step("commands/amd64", key=str(KEY), outputs=str(OUT))
    return results.build_result(**{"steps": [one], **changes})


def audit(*outputs: Digest | None, bisected: Any = None) -> audits.AuditResult:  # noqa: ANN401
    """An audit of that action, whose runs gave these outputs."""
    good = all(one == OUT for one in outputs)
    rounds = [
        {
            **audit_documents.ROUND,
            "outputs": str(one) if one is not None else None,
            "explanation": None if one == OUT else audit_documents.ROUND["explanation"],
        }
        for one in outputs
    ]
    step = {
        **audit_documents.STEP,
        "name": "commands/amd64",
        "key": str(KEY),
        "outputs": str(OUT),
        "verdict": "PASS" if good else "FAIL",
        "rounds": rounds,
        "bisected": bisected,
    }
    document = audit_documents.document(steps=[step], computations=[], checks=[])
    return audits.parse(canonical.pretty(document))


def frame(number: int = 2, last: model.Night | None = None) -> Frame:
    """The frame of a night."""
    return Frame(
        number=number,
        date="2026-01-02",
        began="2026-01-02T01:00:00Z",
        ended="2026-01-02T02:00:00Z",
        seconds=3600.0,
        attempts=1,
        tool=TOOL,
        last=last,
        built=last,
    )


NO_CHANGE = changes.Changes((), (), (), tool=False)
INPUT = changes.Changes(
    (model.InputChange(what="input go", first="1", second="2", link=""),),
    (model.Consequence(step="commands/amd64", chain=("input go", "commands/amd64")),),
    (),
    tool=False,
)
NEW_TOOL = changes.Changes(
    (model.InputChange(what=changes.TOOL, first="1", second="2", link=""),), (), (), tool=True
)


def facts(stages: Sequence[Any] = (), **parts: Any) -> Facts:  # noqa: ANN401 - fields
    """Facts of a night in which all went well, but for these stages."""
    own = {one[0].name: one for one in stages}
    every = [own.get(name, stage(name)) for name in STAGES]
    return Facts(stages=every, **{"build": build(), "changes": NO_CHANGE, **parts})


VARYING = Varying("root", str(KEY), OTHER, OUT)

WORDS: dict[str, tuple[Facts, Word, str]] = {
    "nothing": (facts(), Word.UNCHANGED, "Everything holds, and nothing changed"),
    "the first night": (facts(changes=None), Word.INPUTS_CHANGED, "The first build"),
    "another input": (facts(changes=INPUT), Word.INPUTS_CHANGED, "Other inputs: input go; 1 out"),
    "another tool": (facts(changes=NEW_TOOL), Word.TOOL_CHANGED, "Another build of orchestrate"),
    "no network": (
        facts([stage("build", Word.INFRASTRUCTURE, "no route")], build=None, changes=None),
        Word.INFRASTRUCTURE,
        "Build: no route, since night 2",
    ),
    "no mirror, and the lock of the night before": (
        facts([(stage("relock", Word.INFRASTRUCTURE, "no route")[0], None)]),
        Word.UNCHANGED,
        "Everything holds, and nothing changed; nothing could be locked anew",
    ),
    "evidence that could not be kept": (
        facts(changes=INPUT, lost="it cannot be kept: no space"),
        Word.INFRASTRUCTURE,
        "It cannot be kept: no space, since night 2",
    ),
    "evidence of worse that could not be kept": (
        facts(audits=[audit(OTHER)], lost="it cannot be kept: no space"),
        Word.NOT_DETERMINISTIC,
        "Not deterministic: commands/amd64, since night 2",
    ),
    "no machine": (
        facts([stage("boot", Word.BOOT_FAILED, "it hangs")], changes=INPUT),
        Word.BOOT_FAILED,
        "Boot: it hangs",
    ),
    "a build that fails": (
        facts([stage("build", Word.BUILD_FAILED, "T1 fails")], build=None, changes=None),
        Word.BUILD_FAILED,
        "Build: T1 fails",
    ),
    "a check of the build": (
        facts(build=build(verdict="FAIL", checks=[results.check(verdict="FAIL", reason="no")])),
        Word.CHECK_FAILED,
        "A comparison failed: amd64: no",
    ),
    "an audit with other bytes": (
        facts([stage("audit", Word.CHECK_FAILED, "exit status 1")], audits=[audit(OTHER)]),
        Word.NOT_DETERMINISTIC,
        "Not deterministic: commands/amd64, since night 2",
    ),
    "an action that fails otherwise": (
        facts([stage("audit", Word.CHECK_FAILED, "it fails")], audits=[audit(None)]),
        Word.CHECK_FAILED,
        "Audit: it fails",
    ),
    "other bytes than some night before": (
        facts(before={KEY: Seen({OTHER: (1, "build")})}),
        Word.NOT_DETERMINISTIC,
        "Not deterministic: commands/amd64",
    ),
    "the worst counts": (
        facts([stage("boot", Word.BOOT_FAILED, "it hangs")], audits=[audit(OTHER)], changes=INPUT),
        Word.NOT_DETERMINISTIC,
        "Not deterministic",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_night_has_one_word(case: str) -> None:
    given, word, line = WORDS[case]
    found = judge(given, frame())
    assert found.word is word
    assert found.line.startswith(line)
    assert model.parse(model.dumps(found)) == found


def test_a_long_line_says_since_when_all_the_same() -> None:
    stages = [stage("build", Word.INFRASTRUCTURE, "word " * 200)]
    line = judge(facts(stages, build=None, changes=None), frame()).line
    assert line.endswith("..., since night 2")
    assert len(line) == 400


def test_a_night_without_evidence_is_none_to_compare_with() -> None:
    found = judge(facts(audits=[audit(OTHER)], lost="no space", notes=("a note",)), frame())
    assert (found.image, found.verdict) == (None, None)
    assert found.notes == ("no space", "a note")
    # What was seen of it counts all the same.
    assert found.steps[0].others == (OTHER,)


def test_a_row_of_nights_with_one_word_counts_from_its_first() -> None:
    first = judge(facts(audits=[audit(OTHER)]), frame(4))
    again = judge(facts(audits=[audit(OTHER)]), frame(5, first))
    other = judge(facts(), frame(6, again))
    assert (first.since, again.since, other.since) == (4, 4, 6)


def test_a_key_that_gave_two_outputs_stays_guilty_though_an_audit_agrees() -> None:
    first = judge(facts(audits=[audit(OTHER)]), frame(4))
    before = {KEY: Seen({OUT: (3, "build"), OTHER: (4, "audit")}, (4, "FAIL"))}
    again = judge(facts(audits=[audit(OUT)], before=before), frame(5, first))
    assert again.word is Word.NOT_DETERMINISTIC
    assert [one.first_night for one in again.varying] == [4]
    assert again.varying[0].lines == first.varying[0].lines


FAULT = {(KEY, OTHER): "a memory module was broken"}


def test_what_a_fault_of_the_machine_made_does_not_count() -> None:
    first = judge(facts(audits=[audit(OTHER)]), frame(4))
    before = {KEY: Seen({OUT: (3, "build"), OTHER: (4, "audit")}, (4, "FAIL"))}
    again = judge(facts(before=before, faults=FAULT), frame(5, first))
    assert (again.word, again.varying) == (Word.UNCHANGED, ())
    assert "commands/amd64 was seen to give" in again.notes[0]
    assert again.notes[0].endswith("does not count")
    assert again.notes[1] == "the fault: a memory module was broken"


def test_a_fault_of_another_key_or_of_other_outputs_excuses_nothing() -> None:
    before = {KEY: Seen({OUT: (3, "build"), OTHER: (4, "audit")})}
    for key, outputs in ((OTHER, OTHER), (KEY, KEY), (KEY, OUT)):
        found = judge(facts(before=before, faults={(key, outputs): "no"}), frame(5))
        assert found.word is Word.NOT_DETERMINISTIC


def test_a_fault_that_is_seen_again_is_none() -> None:
    before = {KEY: Seen({OUT: (3, "build"), OTHER: (4, "audit")})}
    found = judge(facts(audits=[audit(OTHER)], before=before, faults=FAULT), frame(5))
    assert found.word is Word.NOT_DETERMINISTIC
    assert [one.second for one in found.varying] == [OTHER]


def test_a_build_that_a_fault_made_is_guilty_until_it_is_made_again() -> None:
    """The store remembers it: audits of it see what is right, night after night."""
    right = digest.of_bytes(b"right")
    faults = {(KEY, OUT): "a disk went bad"}
    before = {KEY: Seen({OUT: (3, "build"), right: (4, "audit")})}
    still = judge(facts(before=before, faults=faults), frame(5))
    assert still.word is Word.NOT_DETERMINISTIC
    assert "`orchestrate store gc --unused-for 0`" in still.notes[0]
    one = results.step("commands/amd64", key=str(KEY), outputs=str(right))
    varying = Varying("commands/amd64", str(KEY), OUT, right)
    between = changes.Changes((), (), (varying,), tool=False)
    made = build(steps=[one])
    again = judge(facts(build=made, changes=between, before=before, faults=faults), frame(6, still))
    assert again.word is Word.UNCHANGED
    assert judge(facts(build=made, changes=between), frame(6)).word is Word.NOT_DETERMINISTIC


def test_without_the_night_before_the_second_output_says_since_when() -> None:
    before = {KEY: Seen({OTHER: (3, "build"), OUT: (7, "audit")})}
    found = judge(facts(before=before), frame(9))
    assert [one.first_night for one in found.varying] == [7]


def test_an_explanation_goes_along() -> None:
    bisected = {**audit_documents.STEP["bisected"], "cause": "user", "variations": ["host"]}
    (found,) = judge(facts(audits=[audit(OTHER, bisected=bisected)]), frame()).varying
    assert (found.first, found.second, found.seen) == (OUT, OTHER, "audit")
    assert found.cause == "user"
    assert found.lines[0].startswith("the smallest cause: host")


def test_a_step_knows_when_it_was_audited_last() -> None:
    now = judge(facts(audits=[audit(OUT)]), frame(3)).steps[0]
    assert (now.audited, now.verdict, now.others) == (3, "PASS", ())
    before = {KEY: Seen({OUT: (1, "build")}, (2, "PASS"))}
    later = judge(facts(before=before), frame(4)).steps[0]
    assert (later.audited, later.verdict) == (2, "PASS")
    never = judge(facts(), frame(4)).steps[0]
    assert (never.audited, never.verdict) == (None, None)


def test_a_computation_that_varies_under_one_tool_is_a_fault() -> None:
    one = results.step("root", kind="computation", key=str(KEY), outputs=str(OUT))
    between = changes.Changes((), (), (VARYING,), tool=False)
    found = judge(facts(build=build(steps=[one]), changes=between), frame())
    assert found.word is Word.NOT_DETERMINISTIC
    assert [(one.first, one.second) for one in found.varying] == [(OUT, OTHER)]


def computed(name: str, expected: Digest, found: Digest | None, *lines: str) -> dict[str, Any]:
    """A computation, as an audit lists it."""
    same = found == expected
    code = "same" if same else "differs" if found is not None else "failed"
    return {
        "name": name,
        "expected": str(expected),
        "found": str(found) if found is not None else None,
        "check": results.check(
            f"computed-again.{code}", name, "PASS" if same else "FAIL", f"{name} is {code}"
        ),
        "explanation": {"lines": list(lines), "document": {}} if lines else None,
    }


def audit_of(*computations: dict[str, Any]) -> audits.AuditResult:
    """An audit of computations."""
    document = audit_documents.document(steps=[], computations=[*computations], checks=[])
    return audits.parse(canonical.pretty(document))


def image(outputs: Digest = OUT) -> Any:  # noqa: ANN401 - JSON
    """A build of boot files and an image."""
    boot = results.step("boot/amd64", kind="computation", outputs=str(OUT))
    made = results.step("image", kind="computation", key=str(KEY), outputs=str(outputs))
    return build(steps=[boot, made])


SAME = computed("boot/amd64", OUT, OUT)


def test_a_computation_that_another_process_made_otherwise_is_named() -> None:
    """Root and files are parts of the image's step: what they are is its explanation."""
    root, file = digest.of_bytes(b"root"), digest.of_bytes(b"file")
    audited = audit_of(
        SAME,
        computed("image", OUT, OTHER),
        computed("root", root, OTHER, "etc/motd: 3 bytes differ"),
        computed("sourcery.img", file, file),
    )
    found = judge(facts(build=image(), audits=[audited]), frame(3))
    assert found.word is Word.NOT_DETERMINISTIC
    assert found.line == "Not deterministic: image, since night 3"
    (one,) = found.varying
    assert (one.step, one.key, one.first, one.second) == ("image", KEY, OUT, OTHER)
    assert (one.seen, one.first_night, one.cause) == ("audit", 3, "unknown")
    assert one.lines == (
        "image: image is differs",
        "root: root is differs",
        "etc/motd: 3 bytes differ",
    )
    boot, made = found.steps
    assert (boot.audited, boot.verdict, boot.others) == (3, "PASS", ())
    assert (made.audited, made.verdict, made.others) == (3, "FAIL", (OTHER,))


def test_bisecting_names_a_computation(tmp_path: Path) -> None:
    with History.open(tmp_path / "history.sqlite") as history:
        for number, found in ((1, OUT), (2, OTHER), (3, OUT)):
            audited = audit_of(SAME, computed("image", OUT, found))
            night = judge(facts(build=image(), audits=[audited]), frame(number, history.last()))
            assert begin(history, night).number == number
            history.end(night)
        (parting,) = history.bisect().partings
    assert (parting.step, parting.night, parting.seen) == ("image", 2, "audit")
    assert (parting.before, parting.after, parting.now) == (OUT, OTHER, "no longer")


def test_a_computation_that_gave_two_outputs_stays_guilty_under_its_program() -> None:
    first = judge(facts(build=image(), audits=[audit_of(computed("image", OUT, OTHER))]), frame(4))
    before = {KEY: Seen({OUT: (3, "build"), OTHER: (4, "audit")}, (4, "FAIL"))}
    agrees = audit_of(SAME, computed("image", OUT, OUT))
    again = judge(facts(build=image(), audits=[agrees], before=before), frame(5, first))
    assert again.word is Word.NOT_DETERMINISTIC
    assert [(one.step, one.first_night) for one in again.varying] == [("image", 4)]
    assert again.varying[0].lines == first.varying[0].lines


def test_only_a_part_that_another_process_made_otherwise_is_a_fault_too() -> None:
    file = digest.of_bytes(b"file")
    audited = audit_of(computed("sourcery.img", file, OTHER))
    found = judge(facts(build=image(), audits=[audited]), frame())
    assert found.word is Word.NOT_DETERMINISTIC
    assert found.line.startswith("Not deterministic: sourcery.img")
    assert found.steps[1].others == ()


def test_a_computation_that_could_not_be_made_again_gave_nothing_else() -> None:
    stages = [stage("audit", Word.CHECK_FAILED, "no archive")]
    audited = audit_of(SAME, computed("image", OUT, None))
    found = judge(facts(stages, build=image(), audits=[audited]), frame())
    assert (found.word, found.varying) == (Word.CHECK_FAILED, ())
    assert [(one.verdict, one.others) for one in found.steps] == [("PASS", ()), ("FAIL", ())]


def test_what_either_of_two_audits_saw_counts() -> None:
    """A night audits what is overdue, then what its budget allows: maybe the same step twice."""
    third = digest.of_bytes(b"third")
    for audited in ([audit(OTHER), audit(OUT)], [audit(OUT), audit(OTHER)]):
        (step,) = judge(facts(audits=audited), frame()).steps
        assert (step.verdict, step.others) == ("FAIL", (OTHER,))
    (step,) = judge(facts(audits=[audit(OTHER, OTHER), audit(third, OTHER)]), frame()).steps
    assert step.others == (OTHER, third)


def test_machines_and_checks_are_written_down() -> None:
    booted = {
        "checks": [
            {"code": "boot.proved", "subject": "pc-uefi", "verdict": "PASS", "reason": "it works"}
        ],
        "platforms": [
            {
                "name": "pc-uefi",
                "off": 20.5,
                "commands": [{"command": "ls /\nmore", "seconds": 0.25}],
            }
        ],
    }
    verified = {"demands": [{"code": "k-of-n", "folder": "out", "held": False, "reason": "1 of 2"}]}
    found = judge(facts(booted=[booted], verified=verified), frame())
    assert found.machines == (
        model.Machine(platform="pc-uefi", verdict="PASS", seconds=20.5, commands={"ls /": 0.25}),
    )
    assert [(one.stage, one.code, one.verdict) for one in found.checks] == [
        ("build", "fixed-point.same", "PASS"),
        ("boot", "boot.proved", "PASS"),
        ("verify", "k-of-n", "FAIL"),
    ]


def test_what_stages_answer_may_be_anything() -> None:
    """A document of another version must not take the night's word with it."""
    odd = {"checks": 3, "platforms": [None, {"commands": "no", "times": []}], "demands": {}}
    found = judge(facts(booted=[odd], verified=odd), frame())
    assert found.word is Word.UNCHANGED
