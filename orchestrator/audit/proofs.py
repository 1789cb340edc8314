"""Toolchains that an audit makes otherwise, and the matrix of a build that they belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.architecture import host
from orchestrator.artifacts import model as built
from orchestrator.audit import cells, history, matrix, second_root
from orchestrator.audit.result import actions
from orchestrator.audit.standing import Standing, toolchains
from reproducibility.codes import SEEN
from reproducibility.variations import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.audit import native
    from orchestrator.audit.request import Request
    from orchestrator.audit.result import Found
    from orchestrator.audit.subject import Subject

_APPLIED = frozenset(SEEN[outcome] for outcome in ("seen", "input", "not-recorded"))


def proved(  # noqa: PLR0913 - what is asked for, what of, by what means, and what there is
    request: Request,
    audited: Subject,
    bench: native.Natives,
    made: Found,
    machines: Mapping[Architecture, native.By],
    jobs: int,
) -> Found:
    """Let toolchains build themselves and begin at another root, and put the matrix together.

    `made`: what the audit of the steps found. `machines`: the architectures whose toolchains are to
    build themselves, each with what runs it. `jobs`: actions at once.

    Raises:
        SourceryError: of the kind that says whose matter it is.
    """
    proof = bench.run(dict(machines))
    if request.root is not None:
        chain = second_root.Chain(audited, bench, jobs, offline=request.offline)
        proof = proof.and_also(chain.run())
    others = audited.others(bench.results)
    base = cells.of_build(audited.found.result, bench.root, audited.steps, others)
    again = cells.Again(
        audited.steps,
        {step.name: step for step in made.steps},
        {step.name for step in actions(audited, bench.results)},
        others,
        built.Engine.model_validate(bench.engine.identity.document()),
        tuple(check.subject for check in made.seen if check.code in _APPLIED),
        {cell.address: cell for cell in proof.cells if cell.filled},
    )
    anew = again.cells(base, bench.record.cells())
    filled = bench.record.add(
        anew,
        [one.cell for one in base if one.holds],
        able=_able(bench, made),
        stop=bench.stop,
    )
    _tell(bench, [*anew, *again.own.values()], filled)
    if bench.record.unread:
        bench.observer.note(
            f"the store has {bench.record.unread} cells of this build's matrix that cannot be "
            "read; they are kept, and not shown"
        )
    roots = [cells.Root(bench.root), *second_root.roots(audited.found)]
    names = audited.found.architectures
    standing = Standing(
        toolchains(audited.recorded, bench.results, others, names), roots, history.now()
    )
    still_open = [cell for cell in proof.cells if not cell.filled]
    return replace(
        made,
        proofs=(*made.proofs, *proof.checks),
        matrix=cells.whole(matrix.merge(standing.shown(filled), still_open), host(), names, roots),
    )


def _able(bench: native.Natives, made: Found) -> set[str]:
    """The variations that the engine can apply, as it says and as was seen."""
    refused = {name for name, one in bench.engine.capabilities().items() if one.refusal}
    without = {check.subject for check in made.seen if check.code == SEEN["one-processor"]}
    return {*NAMES} - refused - without


def _tell(
    bench: native.Natives, added: Iterable[matrix.Cell], filled: Iterable[matrix.Cell]
) -> None:
    """Say which FAILs stay, though this audit found nothing."""
    good = {cell.address for cell in added if cell.verdict != "FAIL"}
    still = [cell for cell in filled if cell.guilty and cell.address in good]
    if still:
        which = ", ".join(f"{cell.target} {cell.comparison}" for cell in still)
        bench.observer.note(
            f"{len(still)} of the matrix's cells stay FAIL ({which}): an action gave something "
            "else in an audit that varied more, or ran it more often, than this one"
        )
