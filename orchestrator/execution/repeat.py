"""One step of a finished build, run again under other conditions and compared with its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.action import Action
from reproducibility.codes import CONDITIONS
from reproducibility.compare import Check, trees
from reproducibility.errors import ActionError, InputError
from reproducibility.variations import VARIATIONS

if TYPE_CHECKING:
    from threading import Event

    from containers.engine import Engine, Outcome
    from containers.policy import Policy
    from orchestrator.execution.step import Result, Results, Step
    from orchestrator.store import Store
    from reproducibility.conditions import Conditions

# Bytes of a failed action's words.
_SHOWN = 2000


@dataclass(frozen=True)
class Repeated:
    """Outcome of a build from the inputs. `outcome`: None where the engine could not do it."""

    check: Check
    outcome: Outcome | None


def repeat(  # noqa: PLR0913 - what is run, on what, how
    step: Step,
    results: Results,
    conditions: Conditions,
    *,
    engine: Engine,
    policy: Policy,
    store: Store,
    stop: Event,
) -> Repeated:
    """Compare a step's result with what it gives under other conditions; nothing is remembered.

    `results`: of the step and of those that it needs. What the engine cannot apply is a SKIP.

    Raises:
        ActionError: it failed under these conditions, or said more than is kept.
        InfrastructureError: it could not be run, or was not.
        InputError: the step is computed in this process, or had nothing to do.
        Stopped: `stop` was set.
    """
    unable = {name: one.refusal for name, one in engine.capabilities().items() if one.refusal}
    wanted = conditions.describe().keys()
    refused = [one.name for one in VARIATIONS if one.condition in wanted and one.name in unable]
    if refused:
        reasons = "; ".join(f"{name}: {unable[name]}" for name in refused)
        words = f"the engine cannot apply it: {reasons}"
        return Repeated(Check(CONDITIONS["unable"], step.name, words), None)
    action = step.make(results)
    if not isinstance(action, Action):
        raise InputError(f"{step.name} runs no action", subject=step.name)
    outcome = engine.run(action.under(conditions), policy, store, stop).run_again(step.name)
    if outcome.failed:
        words = store.read(outcome.stderr)[-_SHOWN:].decode(errors="replace").strip()
        ended = (
            f"was ended by its limit ({outcome.ended_by})"
            if outcome.ended_by
            else (f"ended with exit status {outcome.exit_status}")
        )
        raise ActionError(
            f"{step.name} {ended} under other conditions:\n{words}",
            subject=str(conditions.describe()),
        )
    if step.says:
        outcome.said_whole(step.name, policy.limits.log)
    return Repeated(compared(step, results[step.name], outcome), outcome)


def compared(step: Step, before: Result, now: Outcome | Result) -> Check:
    """Compare what a step gave with what it gave before: its outputs, and its words where used."""
    if step.says and now.stdout != before.stdout:
        return Check(CONDITIONS["words"], step.name, "other words on standard output")
    if step.says and not len(before.tree) and not len(now.tree):
        return Check(CONDITIONS["same"], step.name, "the same words on standard output")
    return trees(CONDITIONS, step.name, before.tree, now.tree)
