"""Cells of the matrix that a build and an audit of its steps fill, and those that are still open.

Pure. What a build compared itself is in its result's checks: for the engine that made it. An audit
on another engine fills that engine's cells where it ran every action that a toolchain depends on
again there, and each gave the same: step by step, that engine arrives at the same toolchain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers import registry
from orchestrator import resources
from orchestrator.audit import matrix
from orchestrator.golang import handles
from reproducibility.codes import CROSS_AGAIN, FIXED_POINT, NATIVE, RELEASE, SECOND_ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.artifacts import model as built
    from orchestrator.audit import model
    from orchestrator.execution.step import Step

_COMPARED = (RELEASE.code, FIXED_POINT.code, CROSS_AGAIN.code)
_AUDIT = "orchestrate audit"


@dataclass(frozen=True)
class Root:
    """What chains of toolchain builds begin with, in words, and the option that asks for it.

    `chosen`: as in `--root gcc`; empty for the root of the build itself.
    """

    words: str
    chosen: str = ""


def command(comparison: str, target: str, engine: str, root: str = "") -> str:
    """Return what fills a cell. `root`: as `Root.chosen`."""
    words = [_AUDIT]
    if comparison == NATIVE.code:
        words.append(f"--native {target} --only native/{target}")
    if root:
        words.append(root)
    return " ".join([*words, f"--engine {engine}"])


def of_build(result: built.BuildResult, root: str) -> list[matrix.Cell]:
    """Cells that a build filled: releases, the fixed point, cross builds by F1 and by F2.

    `root`: what its chain began with, in words.
    """
    recorded = {step.name: step for step in result.steps}
    found = []
    for check in result.checks:
        kind, _, _ = check.code.partition(".")
        if kind not in _COMPARED:
            continue
        steps = [
            recorded[name]
            for name in _compared(kind, check.subject, result.host.architecture)
            if name in recorded
        ]
        if not steps:
            continue
        made = [step.provenance for step in steps if step.provenance is not None]
        engine = made[0].engine if made else result.engine
        found.append(
            matrix.Cell.model_validate(
                {
                    "host": result.host.architecture,
                    "target": check.subject,
                    "root": root,
                    "engine": engine.name,
                    "how": "host" if check.subject == result.host.architecture else "cross",
                    "comparison": kind,
                    "verdict": check.verdict,
                    "reason": check.reason,
                    "evidence": matrix.Evidence(
                        outputs=steps[0].outputs,
                        keys=tuple(step.key for step in steps),
                        checks=(check.code,),
                        engine=engine,
                        emulator=None,
                        tool=result.tool,
                    ),
                    "when": max((one.when for one in made), default=""),
                    "command": "",
                }
            )
        )
    return found


def again(
    before: Iterable[matrix.Cell],
    plan: Sequence[Step],
    audited: Mapping[str, model.Step],
    actions: Collection[str],
    engine: built.Engine,
) -> list[matrix.Cell]:
    """Cells that an audit of the steps fills on another engine than the one that made the build.

    `before`: the cells of the build. `plan`: all its steps. `audited`: by name, the steps that this
    audit ran. `actions`: the names of those that an engine ran in the build.
    """
    needs = {step.name: step.needs for step in plan}
    found = []
    for cell in before:
        if cell.engine == engine.name or cell.evidence is None:
            continue
        wanted = _closure(_compared(cell.comparison, cell.target, cell.host), needs) & {*actions}
        run = [audited[name] for name in sorted(wanted) if name in audited]
        guilty = [step.name for step in run if step.guilty]
        if not guilty and (len(run) < len(wanted) or not wanted):
            continue
        if any(step.verdict == "SKIP" for step in run) and not guilty:
            continue
        same = f"all {len(run)} actions that lead to it gave the same again; {cell.reason}"
        differ = f"{guilty[0]} gave something else than in the build" if guilty else ""
        found.append(
            cell.model_copy(
                update={
                    "engine": engine.name,
                    "verdict": "FAIL" if guilty else cell.verdict,
                    "reason": differ or same,
                    "evidence": matrix.Evidence(
                        outputs=None if guilty else cell.evidence.outputs,
                        keys=tuple(step.key for step in run),
                        checks=tuple(
                            sorted(
                                {
                                    *cell.evidence.checks,
                                    *(one.check.code for step in run for one in step.rounds),
                                }
                            )
                        ),
                        engine=engine,
                        emulator=None,
                        tool=resources.VERSION,
                    ),
                    "when": max(step.when for step in run),
                }
            )
        )
    return found


def whole(
    filled: Iterable[matrix.Cell],
    host: Architecture,
    architectures: Sequence[Architecture],
    roots: Sequence[Root],
) -> tuple[matrix.Cell, ...]:
    """Return the matrix of a build: the filled cells, and an open one wherever nobody ran anything.

    `architectures`: of the build. `roots`: the first is the one of the build itself.
    """
    known = tuple(filled)
    rows = _rows(known, host, architectures)
    still = [
        _open(host, target, how, comparison, engine, root)
        for root in roots
        for engine in registry.ENGINES
        for target, how, comparison in rows
        # Another root proves the host's toolchain; the others follow from that.
        if not root.chosen
    ]
    still += [
        _open(host, host, "host", comparison, engine, root)
        for root in roots
        if root.chosen
        for engine in registry.ENGINES
        for comparison in (RELEASE.code, SECOND_ROOT.code)
    ]
    return matrix.merge(still, known)


def _rows(
    known: Iterable[matrix.Cell], host: Architecture, architectures: Sequence[Architecture]
) -> list[tuple[Architecture, matrix.How, str]]:
    """Toolchain, how it is made, what it is compared with: of one root, on one engine."""
    unpublished = {cell.target for cell in known if cell.comparison == CROSS_AGAIN.code}
    found: list[tuple[Architecture, matrix.How, str]] = [
        (host, "host", RELEASE.code),
        (host, "host", FIXED_POINT.code),
    ]
    for name in architectures:
        if name == host:
            continue
        found.append((name, "cross", RELEASE.code))
        if name in unpublished:
            found.append((name, "cross", CROSS_AGAIN.code))
        found.append((name, "native emulated", NATIVE.code))
    return found


def _open(  # noqa: PLR0913 - a cell has this address
    host: Architecture,
    target: Architecture,
    how: matrix.How,
    comparison: str,
    engine: str,
    root: Root,
) -> matrix.Cell:
    return matrix.Cell(
        host=host,
        target=target,
        root=root.words,
        engine=engine,
        how=how,
        comparison=comparison,
        verdict="SKIP",
        reason="nobody ran it",
        evidence=None,
        when="",
        command=command(comparison, target, engine, root.chosen),
    )


def _compared(comparison: str, target: str, host: str) -> list[str]:
    """Names of the steps whose outputs a comparison is of."""
    first = handles.F1 if target == host else handles.cross(target)
    second = {
        FIXED_POINT.code: [handles.F2],
        CROSS_AGAIN.code: [handles.cross_again(target)],
    }.get(comparison, [])
    return [str(name) for name in (first, *second)]


def _closure(names: Iterable[str], needs: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, ())
    return found
