"""Rows of the tree of stages, folded until they fit the terminal's height. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestrator.progress.board import INPUTS, clock_face, many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.progress.board import Stage

Mark = Literal["done", "running", "waiting", "step", "stopped", "stopped step"]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the tree; its mark says how deep it stands too."""

    mark: Mark
    name: str
    counts: str = ""
    elapsed: str = ""


def fold(stages: Sequence[Stage], height: int, *, stopped: bool = False) -> list[Row]:
    """The lines of the tree, at most `height` of them.

    `stopped`: the work is over; what still runs or waits did not get done.
    """
    rows = _rows(stages, 0, stopped=stopped)
    for folded in (1, 2):
        if len(rows) > height:
            rows = _rows(stages, folded, stopped=stopped)
    if len(rows) <= height:
        return rows
    # One line says how many are left out: steps first, from the last one back, then stages.
    surplus = len(rows) - height + 1
    droppable = [at for at, row in enumerate(rows) if "step" in row.mark][-surplus:]
    droppable += [at for at in range(len(rows) - 1, -1, -1) if at not in droppable]
    dropped = set(droppable[:surplus])
    kept = [row for at, row in enumerate(rows) if at not in dropped]
    return [*kept, Row("waiting", f"and {surplus} more")][: max(height, 0)]


def _rows(stages: Sequence[Stage], folded: int, *, stopped: bool) -> list[Row]:
    """All lines; `folded`: 1 puts finished stages in one line, 2 waiting ones in another too."""
    rows: list[Row] = []
    done = [stage for stage in stages if stage.state == "done"]
    if folded and len(done) > 1:
        rows.append(_summary("done", done, "done"))
        stages = [stage for stage in stages if stage.state != "done"]
    waiting = [stage for stage in stages if stage.state == "waiting"]
    fold_waiting = folded > 1 and len(waiting) > 1
    for stage in stages:
        if stage.state == "waiting" and fold_waiting:
            continue
        mark: Mark = "stopped" if stopped and stage.state == "running" else stage.state
        rows.append(
            Row(
                mark,
                stage.name,
                _counts(stage),
                clock_face(stage.seconds) if stage.done > stage.cached else "",
            )
        )
        rows += [
            Row("stopped step" if stopped else "step", at.subject, "", clock_face(at.seconds))
            for at in stage.running
        ]
    if fold_waiting:
        rows.append(_summary("waiting", waiting, "to come"))
    return rows


def _summary(mark: Literal["done", "waiting"], stages: Sequence[Stage], word: str) -> Row:
    steps = sum(stage.total for stage in stages if stage.name != INPUTS)
    cached = sum(stage.cached for stage in stages)
    seconds = sum(stage.seconds for stage in stages)
    counts = many(steps, "step") + (f", {cached} remembered" if cached else "")
    return Row(
        mark,
        f"{many(len(stages), 'stage')} {word}",
        counts,
        clock_face(seconds) if seconds else "",
    )


def _counts(stage: Stage) -> str:
    if not stage.total:
        return ""
    if stage.state == "waiting":
        return many(stage.total, "input" if stage.name == INPUTS else "step")
    said = f"{stage.done} of {stage.total}"
    return f"{said}, {stage.cached} remembered" if stage.cached else said
