"""What a build really gave a step: its conditions, and the CPUs that it could run on. Pure.

While several long steps run at once, a build keeps each to its share of the CPUs. That is no
condition of its action, and yet a program sees it, so an audit has to count it as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.audit.seeing import Inputs, inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.execution.step import Result, Step
    from reproducibility.conditions import Conditions

CPUS = "cpus"
_NOT_RECORDED = (
    "the build, by an older version of the program, did not record how many CPUs they had, so they "
    "may have had as many then"
)


@dataclass(frozen=True)
class Given:
    """Conditions that a build gave a step, with the number of its CPUs where they were not all.

    `recorded`: whether that number is known.
    """

    conditions: Conditions
    recorded: bool = True


def given(step: Step, result: Result, processors: int) -> Given:
    """Return what a build gave a step, whose result this is.

    `processors`: of an action on the audit's engine. Only long steps keep to a share; of another
    one it need not be recorded that it had all.
    """
    made = result.provenance
    cpus = made.cpus if made is not None else None
    if cpus is None:
        return Given(step.conditions, recorded=not step.long)
    if step.conditions.processors or cpus >= processors:
        return Given(step.conditions)
    return Given(replace(step.conditions, processors=cpus))


def unrecorded(steps: Sequence[Step], results: Mapping[str, Result]) -> dict[str, Inputs]:
    """The steps whose number of CPUs in the build is not known, as those left out of `cpus`."""
    those = tuple(step.name for step in steps if not given(step, results[step.name], 1).recorded)
    return {CPUS: Inputs(those, len(steps), _NOT_RECORDED, recorded=False)} if those else {}


def without_proof(
    steps: Sequence[Step], results: Mapping[str, Result]
) -> dict[str, tuple[str, ...]]:
    """By variation the steps of which it proves nothing: it is an input, or not recorded."""
    these = {**inputs(steps), **unrecorded(steps, results)}
    return {name: one.steps for name, one in these.items()}
