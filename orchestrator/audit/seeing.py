"""Looks from inside whether variations really differ from the build's conditions.

A program looks around in the engine, under the conditions of a build and under those of its audit,
and says what it sees as JSON, one field for each variation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reproducibility.codes import SEEN
from reproducibility.compare import Check, Verdict
from reproducibility.variations import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from orchestrator.execution.step import Step
    from reproducibility.conditions import Conditions

    Seen = Mapping[str, Any]

# Fields that are too long to be said.
_LONG = {"order"}
_SHOWN = 80
# A program that is told of no other number uses as many threads as it has CPUs.
_PARALLELISM = "parallelism"
_NOT_RUN = "no action was run with it"


@dataclass(frozen=True)
class Inputs:
    """Steps, out of how many, to which a variation is an input and no mere condition, and why.

    `recorded`: False where they are those of which it is not known what the build gave them.
    """

    steps: tuple[str, ...]
    of: int
    reason: str
    recorded: bool = True


@dataclass(frozen=True)
class Looked:
    """Observations under the conditions of a build, and of its audit, which applied `names`."""

    names: frozenset[str]
    built: Seen
    audited: Seen


@dataclass
class Window:
    """Looks around under any conditions, once under each.

    `looking`: runs the program under conditions, and gives what it saw.
    """

    looking: Callable[[Conditions], Seen]
    _seen: dict[Conditions, Seen] = field(default_factory=dict)

    def look(self, conditions: Conditions) -> Seen:
        """Return what is seen under conditions.

        Raises:
            ActionError: the program failed, or said something else.
        """
        if conditions not in self._seen:
            self._seen[conditions] = self.looking(conditions)
        return self._seen[conditions]

    def told(self, first: Conditions, second: Conditions) -> dict[str, tuple[str, str]]:
        """Return what is known to be otherwise: the variation, and what is seen of it on each side.

        Of conditions that nobody looked around under, nothing is known.
        """
        one, other = self._seen.get(first, {}), self._seen.get(second, {})
        return {
            name: (str(value), str(other[name]))
            for name, value in one.items()
            if name not in _LONG and name in other and value != other[name]
        }


def seen(
    pairs: Collection[Looked] | None,
    asked: Collection[str],
    unable: Mapping[str, str],
    fixed: Mapping[str, Inputs] | None = None,
) -> list[Check]:
    """One check for each variation: whether it was seen in every pair of observations.

    `pairs`: what was seen, for every pair of conditions; None where nothing is run. `asked`:
    variations that were wanted. `unable`: why the engine cannot apply one. `fixed`: those that are
    inputs to some steps, which are run without them; and `cpus`, where it is not known what some
    steps had.
    """
    these = fixed or {}
    found = [_of(name, pairs, asked, unable) or _nothing(name, these.get(name)) for name in NAMES]
    return [_but(check, these.get(check.subject)) for check in found]


def not_run(found: Iterable[Check]) -> list[Check]:
    """The checks of an audit that ran no action: what would have been varied is a SKIP."""
    return [
        Check(SEEN["not-run"], check.subject, _NOT_RUN) if check.verdict is Verdict.PASS else check
        for check in found
    ]


def inputs(steps: Iterable[Step]) -> dict[str, Inputs]:
    """The variations that are inputs to some of the steps, by name."""
    found: dict[str, Inputs] = {}
    every = tuple(steps)
    for step in every:
        for name, reason in step.fixed.items():
            before = found.get(name, Inputs((), len(every), reason))
            found[name] = Inputs((*before.steps, step.name), len(every), reason)
    return found


def _but(check: Check, these: Inputs | None) -> Check:
    """The check, or a SKIP where some steps were run without a variation that was seen."""
    if these is None or check.verdict is not Verdict.PASS:
        return check
    if not these.recorded:
        reason = f"{check.reason}; but not for {len(these.steps)} of {these.of} actions"
        return Check(SEEN["not-recorded"], check.subject, f"{reason}: {these.reason}")
    reason = (
        f"{check.reason}; but to {len(these.steps)} of {these.of} actions it is an input, and they "
        f"were run without it: {these.reason}"
    )
    return Check(SEEN["input"], check.subject, reason)


def _of(
    name: str,
    pairs: Collection[Looked] | None,
    asked: Collection[str],
    unable: Mapping[str, str],
) -> Check | None:
    """The check of one variation; None where something was to be run, and nothing was with it."""
    if name not in asked:
        return Check(SEEN["not-asked"], name, "it was left out, by --vary")
    if name in unable:
        return Check(SEEN["unable"], name, f"the engine cannot apply it: {unable[name]}")
    if pairs is None:
        return Check(SEEN["not-run"], name, _NOT_RUN)
    found = [_between(name, one.built, one.audited) for one in pairs if name in one.names]
    return max(found, key=lambda check: check.verdict, default=None)


def _nothing(name: str, these: Inputs | None) -> Check:
    """What is said of a variation that nothing was run with: a SKIP where no step can be."""
    if these is not None and these.recorded and len(these.steps) == these.of:
        reason = f"to {these.of} of {these.of} actions that were chosen it is an input"
        return Check(SEEN["not-run"], name, f"{reason}: {these.reason}")
    return Check(SEEN["no-effect"], name, "nothing was run with it, so nobody saw it")


def _between(name: str, first: Seen, second: Seen) -> Check:
    values = (first.get(name), second.get(name))
    shown = "" if name in _LONG else f": {_short(values[0])} and {_short(values[1])}"
    if name in first and name in second and values[0] != values[1]:
        return Check(SEEN["seen"], name, f"seen from inside{shown}")
    if name == _PARALLELISM and values[0] == 1:
        reason = f"the engine gives an action one processor, which has no half{shown}"
        return Check(SEEN["one-processor"], name, reason)
    return Check(SEEN["no-effect"], name, f"the same was seen, the variation had no effect{shown}")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def state(check: Check) -> Any:  # noqa: ANN401 - one of `model.State`
    """The state of a variation in `audit.json`, by its check."""
    return check.code.outcome.replace("-", " ")
