"""Carries out `orchestrate audit`: progress, the table of variations, what differs, exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.streams import Marked
from orchestrator.cli.views import matrix
from orchestrator.cli.wording import grouped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.artifacts.model import Check
    from orchestrator.audit.model import AuditResult, Step, Variation
    from orchestrator.audit.request import Request
    from orchestrator.cli.session import Session

_LINES = 12
_LISTED = 8
_STATES = {"seen": "PASS", "no effect": "FAIL"}


def audit(request: Request, session: Session) -> int:
    """Audit; exit status 1 where something differs.

    Raises:
        SourceryError: of the kind that says whose matter it is.
    """
    from orchestrator.audit import job
    from reproducibility.compare import Verdict

    with session.working("orchestrate audit") as progress:
        made = job.audit(request, progress, session.stopping.event)
    lines = summary(made.result, made.path, verbose=session.manner.verbose)
    session.result(made.result.document(), lines)
    return 1 if made.verdict is Verdict.FAIL else 0


def summary(result: AuditResult, path: Path, *, verbose: bool) -> Iterator[str]:
    """The audit for a person: variations, what differs and why, how much was covered."""
    yield from _table(result)
    yield from _computations(result)
    yield from _guilty(result, verbose=verbose)
    yield from _others(result)
    if result.missing:
        yield f"      built first, as the store did not have them: {_listed(result.missing)}"
    yield from matrix.lines(result.matrix)
    yield ""
    yield Marked(result.verdict, f"  {_meaning(result)}")
    yield f"      what was varied, compared and found: {path}"


def _table(result: AuditResult) -> Iterator[str]:
    """One line for each variation: whether it was seen, and over how many actions."""
    width = max((len(one.name) for one in result.variations), default=0)
    for one in result.variations:
        word = _STATES.get(one.state, "SKIP")
        yield Marked(word, f"  {one.name:<{width}}  {_of_variation(one)}")


def _of_variation(one: Variation) -> str:
    guilty = f"; differ by it: {_listed(one.guilty)}" if one.guilty else ""
    if one.state == "seen":
        return f"{_many(one.actions, 'action')}, {one.reason}{guilty}"
    return f"{one.reason}{guilty}"


def _computations(result: AuditResult) -> Iterator[str]:
    same = [one.name for one in result.computations if one.check.verdict == "PASS"]
    if same:
        varied = ", ".join(result.surroundings)
        yield Marked("PASS", f"  computed again, other {varied}: {_listed(same)}")
    for one in result.computations:
        if one.check.verdict != "PASS":
            yield Marked(one.check.verdict, f"  {one.check.name}, {one.name}: {one.check.reason}")
            lines = one.explanation.lines if one.explanation is not None else ()
            yield from _capped(lines, verbose=False)


def _guilty(result: AuditResult, *, verbose: bool) -> Iterator[str]:
    for step in result.steps:
        if not step.guilty:
            continue
        first = next(one for one in step.rounds if one.check.verdict == "FAIL")
        yield Marked("FAIL", f"  {first.check.name}, {step.name}: {first.check.reason}")
        if first.explanation is not None:
            yield from _capped(first.explanation.lines, verbose=verbose)
        yield from _cause(step)


def _cause(step: Step) -> Iterator[str]:
    found = step.bisected
    if found is None:
        return
    runs = _many(found.runs, "run")
    if found.itself:
        what = "it differs from itself, without any variation"
    else:
        what = f"the smallest cause: {' together with '.join(found.variations)}"
    yield f"      {what} ({runs}); class {found.cause} ({found.sure})"


def _capped(lines: tuple[str, ...], *, verbose: bool) -> Iterator[str]:
    shown = lines if verbose else lines[:_LINES]
    yield from (f"      {line}" for line in shown)
    if len(lines) > len(shown):
        yield f"      and {len(lines) - len(shown)} more; -v shows all"


def _others(result: AuditResult) -> Iterator[str]:
    """Every check that is not told of above: passes by name, the others one by one."""
    told = {"audit-variation", "computed-again"}
    guilty = {step.name for step in result.steps if step.guilty}
    rest = [check for check in result.checks if check.code.partition(".")[0] not in told]
    passed = [check for check in rest if check.verdict == "PASS"]
    for name, subjects in grouped((check.name, check.subject) for check in passed):
        yield Marked("PASS", f"  {name}: {_listed(subjects)}")
    for check in rest:
        if check.verdict != "PASS" and not _is_told(check, guilty):
            yield Marked(check.verdict, f"  {check.name}, {check.subject}: {check.reason}")


def _is_told(check: Check, guilty: set[str]) -> bool:
    kinds = {"conditions", "from-inputs"}
    other_result = check.code.endswith(".other-result")
    return check.subject in guilty and check.code.partition(".")[0] in kinds and not other_result


def _meaning(result: AuditResult) -> str:
    found = result.coverage
    said = f"{found.audited} of {found.actions} actions, {found.computed} of "
    said += f"{found.computations} computations"
    if found.went_on:
        said += f" ({found.went_on} by the run before, which was interrupted)"
    guilty = sum(step.guilty for step in result.steps)
    failing = sum(cell.verdict == "FAIL" for cell in result.matrix)
    words = "cell of the matrix is" if failing == 1 else "cells of the matrix are"
    matrix_too = f"; {failing} {words} FAIL" if failing else ""
    told = {
        "PASS": f"{said} gave the same bits, under all variations",
        "SKIP": f"{said} gave the same bits; what was not varied or not audited is said above",
        "FAIL": f"{said} were audited; of the actions {guilty} gave something else or failed"
        if guilty
        else f"{said} were audited; at least one check fails",
    }[result.verdict]
    return f"{told}{matrix_too}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    if len(names) > _LISTED:
        return f"{len(names)} of them"
    return ", ".join(names)
