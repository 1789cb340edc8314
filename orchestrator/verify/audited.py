"""Derives what an audit claims: of which build it is, how much it covered, and its verdict.

An audit cannot be repeated from a folder: what its rounds gave is stated. But that it is of this
build, that each audited step is one of this build with these outputs, that its counts are those of
what it lists, and that its verdicts follow from the digests, are worked out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.artifacts import names
from orchestrator.artifacts.names import IMAGE_STEP
from reproducibility import codes
from reproducibility.compare import Verdict, fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult, Check
    from orchestrator.audit.model import AuditResult, Step
    from orchestrator.verify.model import Findings, Measured
    from reproducibility import compare
    from reproducibility.compare import CheckKind

_DIFFERS = "audit-differs"
# Kinds of checks that only an audit makes.
KINDS = frozenset(
    {
        codes.SEEN, codes.CONDITIONS, codes.FROM_INPUTS, codes.COMPUTED, codes.OUTPUT_FILE,
        codes.COVERAGE, codes.NATIVE, codes.LINK, codes.SECOND_ROOT,
    }
)  # fmt: skip
NAMES = frozenset(kind.code for kind in KINDS)
# What it holds beside them: the log's word on each release that a second root led to.
_HELD = KINDS | {codes.LOG}


def check(
    audit: AuditResult,
    result: BuildResult,
    files: Mapping[str, Measured],
    findings: Findings,
) -> None:
    """Hold an audit against the build in its folder and against itself."""
    for reason in (
        *_build(audit, result, files),
        *_steps(audit, result),
        *_coverage(audit, result),
        *_verdicts(audit),
    ):
        findings.say(_DIFFERS, names.AUDIT, reason)


def _build(audit: AuditResult, result: BuildResult, files: Mapping[str, Measured]) -> Iterator[str]:
    told = audit.audited
    here = files[names.RESULT].blake3
    if told.result.hex != here:
        yield f"it is of a build whose result is blake3:{told.result.hex}, and this one is {here}"
    pairs = (
        ("spec", told.spec, result.spec),
        ("lock", told.lock, result.lock),
        ("image", told.image, result.image.blake3),
        ("archive", told.archive, result.cpio.blake3),
        ("tool", told.tool, result.tool),
        ("engine", told.engine, result.engine),
    )
    for name, one, other in pairs:
        if one != other:
            yield f"it is of a build with another {name}"


def _steps(audit: AuditResult, result: BuildResult) -> Iterator[str]:
    built = {step.name: step for step in result.steps if step.kind == "action"}
    seen: set[str] = set()
    for step in audit.steps:
        own = built.get(step.name)
        if step.name in seen:
            yield f"the step {step.name} is there twice"
        seen.add(step.name)
        if own is None:
            yield f"it audited {step.name}, which is no action of the build"
        elif (step.key, step.outputs) != (own.key, own.outputs):
            yield f"the step {step.name} has another key or other outputs in the build"
        elif step.built_under != own.conditions:
            yield f"the step {step.name} has other conditions in the build"
        if len(step.rounds) > audit.asked.rounds or not step.rounds:
            yield f"the step {step.name} has {len(step.rounds)} rounds of {audit.asked.rounds}"
        yield from _rounds(step)


def _rounds(step: Step) -> Iterator[str]:
    worst = Verdict.PASS
    for one in step.rounds:
        value = _value(one.check)
        if value is None or value.kind not in {codes.CONDITIONS, codes.FROM_INPUTS}:
            yield f"a round of {step.name} has no check that there is"
            continue
        worst = max(worst, value.verdict)
        same = one.outputs == step.outputs
        # Other words are a difference as well, though the files are the same.
        if value.verdict is Verdict.PASS and not same:
            yield f"a round of {step.name} gave other outputs, and is said to be a PASS"
        if one.check.verdict != value.verdict.name:
            yield f"a round of {step.name} is a {value.verdict.name}, not {one.check.verdict}"
    if step.rounds and worst.name != step.verdict:
        yield f"the rounds of {step.name} are {worst.name}, and it says {step.verdict}"


def _coverage(audit: AuditResult, result: BuildResult) -> Iterator[str]:
    told = audit.coverage
    kinds = [step.kind for step in result.steps]
    actions, computations = kinds.count("action"), kinds.count("computation")
    by_name = {step.name for step in result.steps if step.kind == "computation"}
    computed = {one.name for one in audit.computations}
    # The image's step shows as the several things that it makes.
    done = len(computed & (by_name - {IMAGE_STEP})) + bool(computed - (by_name - {IMAGE_STEP}))
    if audit.asked.whole and audit.steps:
        done = computations
    pairs = (
        ("actions", told.actions, actions),
        # In fewer rounds than were asked for, it counts as left out.
        ("audited", told.audited, sum(len(s.rounds) >= audit.asked.rounds for s in audit.steps)),
        ("computations", told.computations, computations),
        ("computed", told.computed, done),
        ("nothing_to_do", told.nothing_to_do, kinds.count("nothing")),
        ("went_on", told.went_on, sum(step.went_on for step in audit.steps)),
    )
    for name, one, other in pairs:
        if one != other:
            yield f"coverage.{name} is {one}, and what it lists gives {other}"
    for one_of in audit.variations:
        if one_of.actions > len(audit.steps):
            yield f"{one_of.name} is said to be varied over more actions than were audited"
    whole = (told.audited, told.computed) == (told.actions, told.computations)
    for one_check in audit.checks:
        if one_check.code == "audit-coverage.whole" and not whole:
            yield "it is said to cover the whole build, and does not"


def _verdicts(audit: AuditResult) -> Iterator[str]:
    values = [_value(one) for one in audit.checks]
    found = [value for value in values if value is not None]
    if len(found) != len(values):
        yield "it has a check that there is not"
    for one, value in zip(audit.checks, values, strict=True):
        if value is not None and one.verdict != value.verdict.name:
            yield f"{one.code} of {one.subject} is a {value.verdict.name}, not {one.verdict}"
    yield from _other_kinds(found)
    if fold(found).name != audit.verdict:
        yield f"its checks fold to {fold(found).name}, and it says {audit.verdict}"
    yield from _missing(audit, {(value.kind, value.subject): value.verdict for value in found})


def _other_kinds(found: Sequence[compare.Check]) -> Iterator[str]:
    """Checks that no audit makes, and those that are there twice."""
    seen: dict[tuple[CheckKind, str], Verdict] = {}
    for one in found:
        if one.kind not in _HELD:
            yield f"it has a check {one.code} of {one.subject}, which no audit makes"
        address = (one.kind, one.subject)
        # A step that comes out the same and was remembered otherwise has two, and is a FAIL.
        worst = max(one.verdict, seen.get(address, one.verdict))
        if address in seen and worst is not Verdict.FAIL:
            yield f"it has two checks {one.kind.code} of {one.subject}"
        seen[address] = worst


def _missing(audit: AuditResult, there: Mapping[tuple[CheckKind, str], Verdict]) -> Iterator[str]:
    """What an audit lists, and has no check of that says the same."""
    kinds = (codes.CONDITIONS, codes.FROM_INPUTS)
    for step in audit.steps:
        own = [there[kind, step.name] for kind in kinds if (kind, step.name) in there]
        if not own or max(own).name != step.verdict:
            yield f"it has no check of {step.name} with the verdict {step.verdict}"
    for computation in audit.computations:
        verdict = there.get((codes.COMPUTED, computation.name))
        if verdict is None:
            yield f"it has no check of {computation.name}"
        elif verdict is Verdict.PASS and computation.found != computation.expected:
            yield f"{computation.name} came out otherwise, and is said to be a PASS"
    for variation in audit.variations:
        seen = there.get((codes.SEEN, variation.name))
        if variation.state == "seen" and seen is not Verdict.PASS:
            yield f"the variation {variation.name} is said to be seen, and no check says so"
    if (codes.COVERAGE, "build") not in there:
        yield "it says nothing of what it covered"


def _value(one: Check) -> compare.Check | None:
    try:
        return one.value()
    except KeyError:
        return None


def covered(audit: AuditResult) -> tuple[int, int]:
    """Whole per cent of the build's actions, and of all its steps, that were audited."""
    told = audit.coverage
    parts = ((told.audited, told.actions),
             (told.audited + told.computed, told.actions + told.computations))  # fmt: skip
    first, second = (100 * done // whole if whole else 0 for done, whole in parts)
    return first, second


def seen(audit: AuditResult) -> Sequence[str]:
    """Names of the variations that a program inside saw over at least one action."""
    return [one.name for one in audit.variations if one.state == "seen" and one.actions]
