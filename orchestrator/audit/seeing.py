"""Looks from inside whether variations really differ from the build's conditions.

A program looks around in the engine, under the conditions of a build and under those of its audit,
and says what it sees as JSON, one field for each variation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reproducibility import canonical
from reproducibility.codes import SEEN
from reproducibility.compare import Check
from reproducibility.errors import ActionError, InputError
from reproducibility.variations import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from containers.action import Action
    from containers.engine import Outcome
    from reproducibility.conditions import Conditions

    Seen = Mapping[str, Any]

# Fields that are too long to be said.
_LONG = {"order"}
_SHOWN = 80
# A program that is told of no other number uses as many threads as it has CPUs.
_PARALLELISM = "parallelism"


@dataclass
class Window:
    """Looks around under any conditions, once under each.

    `run`: runs an action. `read`: gives the bytes of its standard output.
    """

    observation: Action
    run: Callable[[Action], Outcome]
    read: Callable[[Outcome], bytes]
    _seen: dict[str, Seen] = field(default_factory=dict)

    def look(self, conditions: Conditions) -> Seen:
        """What is seen under conditions.

        Raises:
            ActionError: the program failed, or said something else.
        """
        known = repr(sorted(conditions.describe().items()))
        if known not in self._seen:
            self._seen[known] = self._look(conditions)
        return self._seen[known]

    def _look(self, conditions: Conditions) -> Seen:
        outcome = self.run(self.observation.under(conditions))
        if outcome.failed:
            raise ActionError(
                f"the program that looks around inside failed: exit status {outcome.exit_status}",
                subject=str(conditions.describe()),
            )
        try:
            found = canonical.loads(self.read(outcome), subject="an observation")
        except InputError as error:
            raise ActionError(f"an observation is not understood: {error.summary}") from error
        if not isinstance(found, dict):
            raise ActionError("an observation is no JSON object")
        return found


def seen(
    pairs: Collection[tuple[Seen, Seen]], asked: Collection[str], unable: Mapping[str, str]
) -> list[Check]:
    """One check for each variation: whether it was seen in every pair of observations.

    `pairs`: what was seen under the conditions of a build, and of its audit. `asked`: variations
    that were wanted. `unable`: why the engine cannot apply a variation.
    """
    return [_of(name, pairs, asked, unable) for name in NAMES]


def _of(
    name: str,
    pairs: Collection[tuple[Seen, Seen]],
    asked: Collection[str],
    unable: Mapping[str, str],
) -> Check:
    if name not in asked:
        return Check(SEEN["not-asked"], name, "it was left out, by --vary")
    if name in unable:
        return Check(SEEN["unable"], name, f"the engine cannot apply it: {unable[name]}")
    found = [_between(name, first, second) for first, second in pairs]
    return max(found, key=lambda check: check.verdict, default=_nothing(name))


def _nothing(name: str) -> Check:
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
