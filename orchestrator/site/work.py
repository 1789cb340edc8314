"""What a night did: stages with their commands, machines, steps, and what it built from."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from orchestrator.markup import tables, words
from orchestrator.markup.html import EMPTY, Child, Html, element, join
from orchestrator.markup.tables import fold
from orchestrator.site import signs

if TYPE_CHECKING:
    from orchestrator.history.model import Machine, Night, Stage, State, Step
    from orchestrator.markup.words import Word as Verdict
    from orchestrator.site.site import Links

_MOST_STAGES, _MOST_MACHINES, _MOST_COMMANDS, _MOST_ROWS = 20, 50, 50, 500
_MARKS: dict[State, Verdict] = {"done": "PASS", "failed": "FAIL", "left out": "SKIP"}


def stages(night: Night) -> Html:
    """Each stage, what came of it, and the command that a person types to do the same."""
    columns = ("Stage", "What came of it", "Took", "Command")
    rows = [_stage(stage) for stage in night.stages[:_MOST_STAGES]]
    left = signs.more(len(night.stages) - len(rows), "stage")
    return join((tables.table("Stages", columns, rows, kind="stages"), left))


def _stage(stage: Stage) -> tuple[Child, ...]:
    ended = f" exit status {stage.status}" if stage.status else ""
    return (
        stage.name,
        join((words.mark(_MARKS[stage.state], stage.state), ended,
              element("div", signs.told(stage.reason)) if stage.reason else EMPTY)),
        words.duration(stage.seconds) if stage.state != "left out" else "",
        signs.code(shlex.join(stage.command)) if stage.command else "",
    )  # fmt: skip


def machines(night: Night) -> Html:
    """Each machine, and how long the first run of commands took there."""
    columns = ("Machine", "Verdict", "Took", "First run of commands")
    rows = [_machine(machine) for machine in night.machines[:_MOST_MACHINES]]
    left = signs.more(len(night.machines) - len(rows), "machine")
    table = tables.table("Machines that were booted", columns, rows, kind="machines")
    return join((table, left))


def _machine(machine: Machine) -> tuple[Child, ...]:
    first = sorted(machine.commands.items())
    shown = words.facts(
        (signs.name(command), words.duration(took)) for command, took in first[:_MOST_COMMANDS]
    )
    left = signs.more(len(first) - _MOST_COMMANDS, "command")
    inside = fold(words.many(len(first), "command"), shown, left) if first else EMPTY
    return (
        signs.name(machine.platform),
        words.mark(machine.verdict),
        words.duration(machine.seconds),
        inside,
    )


def steps(night: Night, links: Links) -> Html:
    """How much ran and how much was audited; every step, the slowest first."""
    ran = [step for step in night.steps if not step.cached]
    audited = [step for step in night.steps if step.audited == night.number]
    never = sum(step.audited is None for step in night.steps)
    oldest = min((step.audited for step in night.steps if step.audited is not None), default=None)
    remembered = len(night.steps) - len(ran)
    told = (
        f"{words.many(len(night.steps), 'step')}: {len(ran):,} ran, {remembered:,} remembered. "
        f"Audited in this night: {len(audited):,}; never: {never:,}"
    )
    when = () if oldest is None else ("; the longest ago: ", links.night(oldest))
    slowest = sorted(night.steps, key=lambda step: (-step.seconds, step.name))
    columns = ("Step", "Took", "Audited", "Output")
    rows = [_step(step, links) for step in slowest[:_MOST_ROWS]]
    left = signs.more(len(slowest) - len(rows), "step")
    table = join((tables.table("Steps, the slowest first", columns, rows, kind="steps"), left))
    return join((element("p", told, *when, "."), fold("Steps", table)))


def _step(step: Step, links: Links) -> tuple[Child, ...]:
    remembered = element("div", "remembered", class_="dim") if step.cached else EMPTY
    audited = element("span", "never", class_="dim")
    if step.audited is not None:
        verdict = words.mark(step.verdict) if step.verdict is not None else EMPTY
        audited = join((verdict, element("div", links.night(step.audited), class_="dim")))
    others = [element("div", "and ", element("code", words.short(one)), class_="dim")
              for one in step.others[:3]]  # fmt: skip
    return (
        signs.name(step.name),
        join((words.duration(step.seconds), remembered)),
        audited,
        join((element("code", words.short(step.outputs)), *others)),
    )


def inputs(night: Night) -> Html:
    """Every input by its version."""
    rows = [
        (
            signs.name(one.name),
            signs.brief(one.kind + (f" for {one.host}" if one.host else "")),
            signs.name(one.version),
            element("code", words.cut(one.content, 20)),
        )
        for one in night.inputs[:_MOST_ROWS]
    ]
    columns = ("Input", "Kind", "Version", "Content")
    left = signs.more(len(night.inputs) - len(rows), "input")
    table = tables.table("Inputs", columns, rows, kind="sources")
    return fold(words.many(len(night.inputs), "input"), table, left)
