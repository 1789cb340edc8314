"""Cells of the matrix that a build and an audit of its steps fill, and those that are still open.

Pure. What a build compared itself is in its result's checks: for the engine that made it. An audit
on another engine fills that engine's cells where it ran every action that a toolchain depends on
again there, and each gave the same: step by step, that engine arrives at the same toolchain. An
action that gives something else makes the cells behind it a FAIL, those of the build too. That is
taken back by an audit that varied as much (`matrix.Record.add`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers import registry
from orchestrator import resources
from orchestrator.audit import matrix
from orchestrator.audit.subject import closure
from orchestrator.golang import handles
from reproducibility.codes import CROSS_AGAIN, FIXED_POINT, NATIVE, RELEASE, SECOND_ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.artifacts import model as built
    from orchestrator.audit import model
    from orchestrator.execution.step import Step

_COMPARED = (RELEASE.code, FIXED_POINT.code, CROSS_AGAIN.code)
# Compared with what the build made; what they made themselves, no audit of the steps made again.
_ON_TOP = (NATIVE.code, SECOND_ROOT.code)
_AUDIT = "orchestrate audit"
_TWO = 2


@dataclass(frozen=True)
class Root:
    """What chains of toolchain builds begin with, in words, and the option that asks for it.

    `chosen`: as in `--root gcc`; empty for the root of the build itself.
    """

    words: str
    chosen: str = ""


@dataclass(frozen=True)
class Compared:
    """Comparison of a build, as a cell of the engine that made it.

    `holds`: whether that engine alone ran all that leads to it, and its results are those that the
    build's result names. Where not, the build did not fill the cell.
    """

    cell: matrix.Cell
    holds: bool


def command(comparison: str, target: str, engine: str, root: str = "") -> str:
    """Return what fills a cell. `root`: as `Root.chosen`."""
    words = [_AUDIT]
    if comparison == NATIVE.code:
        words.append(f"--native {target} --only native/{target}")
    if root:
        words.append(root)
    return " ".join([*words, f"--engine {engine}"])


def of_build(
    result: built.BuildResult, root: str, plan: Sequence[Step], others: Collection[str]
) -> list[Compared]:
    """What a build compared: releases, the fixed point, cross builds by F1 and by F2.

    `root`: what its chain began with, in words. `plan`: all its steps. `others`: those of which the
    store has other outputs than the result names.
    """
    recorded = {step.name: step for step in result.steps}
    needs = {step.name: step.needs for step in plan}
    found = []
    for check in result.checks:
        kind, _, _ = check.code.partition(".")
        if kind not in _COMPARED:
            continue
        names = [
            name
            for name in compared(kind, check.subject, result.host.architecture)
            if name in recorded
        ]
        if not names:
            continue
        behind = closure(names, needs)
        engines = _engines(recorded[name] for name in behind if name in recorded)
        cell = _of_check(result, root, check, [recorded[name] for name in names])
        found.append(Compared(cell, len(engines) < _TWO and behind.isdisjoint(others)))
    return found


def _engines(steps: Iterable[built.Step]) -> set[built.Engine | None]:
    """The engines that ran steps; None for what is not recorded."""
    return {
        step.provenance.engine if step.provenance is not None else None
        for step in steps
        if step.kind == "action"
    }


def _of_check(
    result: built.BuildResult, root: str, check: built.Check, steps: Sequence[built.Step]
) -> matrix.Cell:
    made = [step.provenance for step in steps if step.provenance is not None]
    engine = made[0].engine if made else result.engine
    return matrix.Cell.model_validate(
        {
            "host": result.host.architecture,
            "target": check.subject,
            "root": root,
            "engine": engine.name,
            "how": "host" if check.subject == result.host.architecture else "cross",
            "comparison": check.code.partition(".")[0],
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


@dataclass(frozen=True)
class Again:
    """Audit of the steps on an engine, and what it says of cells.

    `plan`: all the build's steps. `audited`: by name, the steps that this audit ran. `actions`: the
    names of those that an engine ran in the build. `others`: as `of_build`. `varied`: the
    variations that were applied. `own`: cells that this audit filled otherwise, by their address.
    """

    plan: Sequence[Step]
    audited: Mapping[str, model.Step]
    actions: Collection[str]
    others: Collection[str]
    engine: built.Engine
    varied: tuple[str, ...]
    own: Mapping[matrix.Address, matrix.Cell]

    def cells(self, base: Iterable[Compared], before: Iterable[matrix.Cell]) -> list[matrix.Cell]:
        """Return cells of the engine that the audit fills, or that a guilty action makes a FAIL.

        `base`: what the build compared. `before`: the cells that are remembered.
        """
        before = list(before)
        failed = {cell.address for cell in before if cell.verdict == "FAIL"}
        own = {one.cell.address for one in base if one.holds} - failed
        found = []
        for one in base:
            cell = self._again(one.cell)
            # What the build itself found needs no second time, unless it was a FAIL since.
            if cell is not None and (cell.verdict == "FAIL" or cell.address not in own):
                found.append(cell)
        for cell in before:
            if cell.comparison not in _ON_TOP or cell.engine != self.engine.name:
                continue
            run, guilty = self._of(cell)
            made = self.own.get(cell.address)
            if guilty:
                found.append(self._cell(cell, run, guilty))
            elif made is not None and cell.guilty and self._every(cell, run):
                found.append(self._also(made, run))
        return found

    def _again(self, cell: matrix.Cell) -> matrix.Cell | None:
        run, guilty = self._of(cell)
        return self._cell(cell, run, guilty) if guilty or self._every(cell, run) else None

    def _every(self, cell: matrix.Cell, run: Sequence[model.Step]) -> bool:
        """Whether every action that leads to a cell was run again, and compared."""
        wanted = self._behind(cell) & {*self.actions}
        compared = all(step.verdict != "SKIP" for step in run)
        return compared and 0 < len(wanted) <= len(run)

    def _also(self, cell: matrix.Cell, run: Sequence[model.Step]) -> matrix.Cell:
        """A cell that was filled otherwise, and the actions that lead to it were run again."""
        update = {"varied": self.varied, "rounds": _rounds(run)}
        evidence = cell.evidence and cell.evidence.model_copy(update=update)
        return cell.model_copy(update={"evidence": evidence})

    def _behind(self, cell: matrix.Cell) -> set[str]:
        needs = {step.name: step.needs for step in self.plan}
        return closure(compared(cell.comparison, cell.target, cell.host), needs)

    def _of(self, cell: matrix.Cell) -> tuple[list[model.Step], list[str]]:
        """Return the steps that lead to a cell and were run again, and which gave something else.

        Neither where the store has other results than the build: what they were compared with is
        not the build's.
        """
        behind = self._behind(cell)
        if behind & {*self.others}:
            return [], []
        run = [self.audited[name] for name in sorted(behind) if name in self.audited]
        return run, [step.name for step in run if step.guilty]

    def _cell(
        self, cell: matrix.Cell, run: Sequence[model.Step], guilty: Sequence[str]
    ) -> matrix.Cell:
        same = f"all {len(run)} actions that lead to it gave the same again; {cell.reason}"
        differ = f"{guilty[0]} gave something else than in the build" if guilty else ""
        known = cell.evidence
        codes = {*(known.checks if known else ()), *(_codes(run))}
        return cell.model_copy(
            update={
                "engine": self.engine.name,
                "verdict": "FAIL" if guilty else cell.verdict,
                "reason": differ or same,
                "evidence": matrix.Evidence(
                    outputs=None if guilty or known is None else known.outputs,
                    keys=tuple(step.key for step in run),
                    checks=tuple(sorted(codes)),
                    engine=self.engine,
                    emulator=known.emulator if known else None,
                    tool=resources.VERSION,
                    varied=self.varied,
                    rounds=_rounds(run),
                ),
                "when": max(step.when for step in run),
                "failed": "",
            }
        )


def _rounds(run: Sequence[model.Step]) -> int:
    """How often each of them was run; of guilty ones, how often that could be needed to see it."""
    guilty = [len(step.rounds) for step in run if step.guilty]
    return max(guilty) if guilty else min(len(step.rounds) for step in run)


def _codes(run: Iterable[model.Step]) -> set[str]:
    return {one.check.code for step in run for one in step.rounds}


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
        for engine in registry.LOCAL
        for target, how, comparison in rows
        # Another root proves the host's toolchain; the others follow from that.
        if not root.chosen
    ]
    still += [
        _open(host, host, "host", comparison, engine, root)
        for root in roots
        if root.chosen
        for engine in registry.LOCAL
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


def compared(comparison: str, target: str, host: str) -> list[str]:
    """Return the names of the steps whose outputs a comparison is of."""
    first = handles.F1 if target == host else handles.cross(target)
    second = {
        FIXED_POINT.code: [handles.F2],
        CROSS_AGAIN.code: [handles.cross_again(target)],
    }.get(comparison, [])
    return [str(name) for name in (first, *second)]
