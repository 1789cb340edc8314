"""Toolchains that an audit makes otherwise, and the matrix of a build that they belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.architecture import host
from orchestrator.artifacts import model as built
from orchestrator.audit import cells, matrix, second_root
from orchestrator.audit.result import actions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.audit import native
    from orchestrator.audit.request import Request
    from orchestrator.audit.result import Found
    from orchestrator.audit.subject import Subject


def proved(  # noqa: PLR0913 - what is asked for, what of, by what means, and what there is
    request: Request,
    audited: Subject,
    bench: native.Natives,
    made: Found,
    emulated: Mapping[Architecture, native.Emulated],
    jobs: int,
) -> Found:
    """Let toolchains build themselves and begin at another root, and put the matrix together.

    `made`: what the audit of the steps found. `emulated`: the architectures whose toolchains are to
    build themselves. `jobs`: actions at once.

    Raises:
        SourceryError: of the kind that says whose matter it is.
    """
    proof = bench.run(dict(emulated))
    if request.root is not None:
        chain = second_root.Chain(audited, bench, jobs, offline=request.offline)
        proof = proof.and_also(chain.run())
    built_cells = cells.of_build(audited.found.result, bench.root)
    further = cells.again(
        built_cells,
        audited.steps,
        {step.name: step for step in made.steps},
        {step.name for step in actions(audited, bench.results)},
        built.Engine.model_validate(bench.engine.identity.document()),
    )
    filled = bench.record.add([*built_cells, *further], bench.stop)
    roots = [cells.Root(bench.root), *second_root.roots(audited.found)]
    return replace(
        made,
        proofs=(*made.proofs, *proof.checks),
        matrix=cells.whole(
            matrix.merge(filled, proof.cells), host(), audited.found.architectures, roots
        ),
    )
