"""Checks that F2's varied conditions really differed from F1's, as observed from inside.

A variation that an engine silently did not apply would make F1 == F2 worth less than it says; so a
small program looks around just before each of the two is built, on the same engine and under the
same conditions (`toolchain.Chain.observation`), and each field must differ. What it saw is a
measurement of that one run: it is kept in the provenance of the result, it has no key of its own,
and nothing is compared with it but its counterpart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.execution.step import NOT_RECORDED
from reproducibility import canonical, variations
from reproducibility.codes import VARIATION
from reproducibility.compare import Check
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.execution.step import Result

FIELDS = variations.FIXED_POINT
# A go program that is told of no other number uses as many threads as it has CPUs.
_PARALLELISM = "parallelism"


def checks(usual: Result, varied: Result, unable: Mapping[str, str]) -> list[Check]:
    """One check a field: PASS where the two runs saw different values, FAIL where they did not.

    `unable`: why the engine cannot apply a variation; that is a SKIP.

    `usual`, `varied`: the results of F1 and F2. SKIP where a run did not write down what it saw, as
    those of older versions did not, and where an engine of one CPU has no half of them.

    Raises:
        InputError: an observation is not the JSON that the observer writes.
    """
    first, second = _observed(usual), _observed(varied)
    if first is None or second is None:
        missing = " and ".join(n for n, seen in (("F1", first), ("F2", second)) if seen is None)
        reason = (
            f"what {missing} saw was {NOT_RECORDED} by the run that made it; "
            "`orchestrate build --rebuild` makes and observes them again"
        )
        return [Check(VARIATION["not-recorded"], name, reason) for name in FIELDS]
    return [
        Check(VARIATION["unable"], name, f"the engine cannot apply it: {unable[name]}")
        if name in unable
        else _check(name, first, second)
        for name in FIELDS
    ]


def _check(name: str, first: dict[str, Any], second: dict[str, Any]) -> Check:
    differs = name in first and name in second and first[name] != second[name]
    shown = "" if name == "order" else f": {first.get(name)} and {second.get(name)}"
    if differs:
        return Check(VARIATION["varied"], name, f"F1 and F2 saw different values{shown}")
    if name == _PARALLELISM and first.get(name) == 1:
        reason = f"the engine gives an action one processor, which has no half{shown}"
        return Check(VARIATION["one-processor"], name, reason)
    reason = f"F1 and F2 saw the same value, the variation had no effect{shown}"
    return Check(VARIATION["no-effect"], name, reason)


def _observed(result: Result) -> dict[str, Any] | None:
    """Return what a run saw; None where it did not look, or where that was not written down."""
    if result.provenance is None or not result.provenance.observed:
        return None
    seen = canonical.loads(result.provenance.observed.encode(), subject="an observation")
    if not isinstance(seen, dict):
        raise InputError("an observation is no JSON object", subject="observe")
    return seen
