"""Assembles the result of an audit (`model.AuditResult`) from what was found. Pure but for reading.

The checks, how much of the build was covered, and each variation over all of it.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator import resources
from orchestrator.architecture import host
from orchestrator.artifacts import model as built
from orchestrator.audit import bounds, computations, model, running, seeing
from reproducibility.codes import COVERAGE, NATIVE, SECOND_ROOT
from reproducibility.compare import Check, Verdict, fold
from reproducibility.variations import VARIATIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from containers.engine import Identity
    from orchestrator.audit.history import Last
    from orchestrator.audit.matrix import Cell
    from orchestrator.audit.request import Request
    from orchestrator.audit.subject import Subject
    from orchestrator.execution.step import Results, Step

# Proofs that were asked for and not begun: nothing was compared.
_NOT_RUN = frozenset({NATIVE["not-run"], SECOND_ROOT["not-run"]})


@dataclass(frozen=True)
class Found:
    """Findings of an audit, before it is put together.

    `seen`: a check for each variation. `fixed`: by variation, the steps to which it is an input.
    `further`: checks that belong to no step. `proofs`: of toolchains that were made otherwise than
    by a step of the build. `matrix`: every cell of the build.
    """

    steps: Sequence[model.Step] = ()
    computed: Sequence[model.Computation] = ()
    surroundings: Sequence[str] = ()
    seen: Sequence[Check] = ()
    fixed: Mapping[str, Collection[str]] = field(default_factory=dict)
    further: Sequence[Check] = ()
    proofs: Sequence[Check] = ()
    matrix: tuple[Cell, ...] = ()
    left_out: Sequence[model.LeftOut] = ()


def audit_result(  # noqa: PLR0913 - the parts of a result
    request: Request,
    audited: Subject,
    results: Results,
    found: Found,
    *,
    engine: Identity,
    missing: Sequence[str],
    seconds: float,
) -> model.AuditResult:
    """The content of `audit.json`, within bounds. `missing`: steps that had to be built first."""
    coverage = _coverage(request, audited, results, found)
    compared = [one for one in found.proofs if one.code not in _NOT_RUN]
    checks = [
        *found.seen,
        *audited.bases(results),
        *(_worst(step) for step in found.steps),
        *(one.check.value() for one in found.computed),
        *found.further,
        *found.proofs,
        *computations.files(audited.found.finished),
        covered(coverage, beside=len(compared) + len(found.steps)),
    ]
    result = model.AuditResult(
        verdict=running.WORDS[fold(checks)],
        tool=resources.VERSION,
        host=built.Host(
            architecture=host(), kernel=os.uname().release, python=platform.python_version()
        ),
        engine=built.Engine.model_validate(engine.document()),
        audited=_build(audited),
        asked=model.Asked(
            vary=request.vary,
            rounds=request.rounds,
            only=request.only,
            budget=request.budget,
            whole=request.whole,
            bisect=request.bisect,
            native=request.native,
            root=request.root or "",
        ),
        coverage=coverage,
        variations=tuple(
            _variation(check, found.steps, found.fixed.get(check.subject, ()))
            for check in found.seen
        ),
        steps=tuple(found.steps),
        computations=tuple(found.computed),
        surroundings=tuple(found.surroundings),
        missing=tuple(dict.fromkeys(missing)),
        checks=tuple(built.Check.model_validate(check.document()) for check in checks),
        matrix=found.matrix,
        seconds=round(seconds, 3),
    )
    return bounds.of_audit(result)


def actions(audited: Subject, results: Results) -> list[Step]:
    """The steps that an engine ran."""
    return [step for step in audited.steps if results[step.name].kind == "action"]


def complete(request: Request, step: model.Step) -> bool:
    """Whether an action was run as often as was asked for."""
    return len(step.rounds) >= request.rounds


def left_out_step(request: Request, name: str, last: Last | None = None) -> model.LeftOut:
    """A step that was not audited, or not in all rounds, and why.

    `last`: when it was before, None where never.
    """
    return model.LeftOut(
        step=name,
        why="budget" if request.wants(name) else "not chosen",
        last=last.when if last is not None else None,
    )


def covered(coverage: model.Coverage, beside: int = 0) -> Check:
    """Return how much of a build was audited: a part is never reported as the whole.

    `beside`: how much else was compared: toolchains that were made otherwise, and actions in fewer
    rounds than were asked for.
    """
    said = (
        f"{coverage.audited} of {coverage.actions} actions and {coverage.computed} of "
        f"{coverage.computations} computations"
    )
    if not coverage.audited and not coverage.computed and not beside:
        return Check(COVERAGE["nothing"], "build", said)
    if (coverage.audited, coverage.computed) == (coverage.actions, coverage.computations):
        return Check(COVERAGE["whole"], "build", said)
    why = Counter(one.why for one in coverage.left_out)
    told = {"not chosen": "not chosen by --only", "budget": "the budget was used up"}
    parts = [f"{number} {told[name]}" for name, number in sorted(why.items())]
    reason = f"{said}; the others: {', '.join(parts)}" if parts else said
    return Check(COVERAGE["part"], "build", reason)


def _build(audited: Subject) -> model.Build:
    result = audited.found.result
    return model.Build(
        result=audited.found.finished.result_digest,
        spec=result.spec,
        lock=result.lock,
        image=result.image.blake3,
        archive=result.cpio.blake3,
        tool=result.tool,
        engine=result.engine,
    )


def _coverage(request: Request, audited: Subject, results: Results, found: Found) -> model.Coverage:
    every = len(computations.every(audited))
    computed = len(computations.wanted(request, audited)) if found.computed else 0
    whole = request.whole and bool(found.steps)
    return model.Coverage(
        actions=len(actions(audited, results)),
        audited=sum(complete(request, step) for step in found.steps),
        went_on=sum(step.went_on for step in found.steps),
        computations=every,
        computed=every if whole else computed,
        nothing_to_do=sum(result.kind == "nothing" for result in results.values()),
        left_out=tuple(found.left_out),
    )


def _worst(step: model.Step) -> Check:
    return max((one.check.value() for one in step.rounds), key=lambda check: check.verdict)


def _variation(
    check: Check, steps: Sequence[model.Step], fixed: Collection[str]
) -> model.Variation:
    meanings = {variation.name: variation.meaning for variation in VARIATIONS}
    state = seeing.state(check)
    applied = state in {"input", "not recorded"} or check.verdict is not Verdict.SKIP
    return model.Variation(
        name=check.subject,
        meaning=meanings.get(check.subject, "the engine that runs an action"),
        state=state,
        reason=check.reason,
        actions=sum(step.name not in fixed for step in steps) if applied else 0,
        guilty=tuple(
            step.name
            for step in steps
            if step.bisected is not None and check.subject in step.bisected.variations
        ),
    )
