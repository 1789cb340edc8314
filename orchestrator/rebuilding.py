"""`--rebuild`: whether each step gave again what it gave before, as checks. Pure.

Every step of the plan is expected to be compared; one with nothing to compare with is a SKIP that
says so, never a PASS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducibility.compare import Check, Verdict, trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.results import Comparison
    from orchestrator.scheduler import Step
    from reproducibility.manifest import Tree

AGAIN = "built again"
_NOTHING = "no earlier result to compare with"


def expected(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """(name, subject) of the check of every step."""
    return [(AGAIN, step.name) for step in steps]


def checks(compared: Iterable[Comparison]) -> list[Check]:
    """One check for each step that was run again."""
    return [_check(comparison) for comparison in compared]


def tree(subject: str, earlier: Tree | None, now: Tree, why: str = "") -> Check:
    """The check of something that is one tree. `why`: where there is no earlier one."""
    if earlier is None:
        return _nothing(subject, why)
    return trees(AGAIN, subject, earlier, now)


def _check(comparison: Comparison) -> Check:
    name, now, earlier = comparison.step, comparison.now, comparison.earlier
    if now is None:
        reason = "there is nothing to do in this step, as those say that it needs"
        return Check(AGAIN, name, Verdict.PASS, reason)
    if earlier is None:
        return _nothing(name, comparison.why)
    if earlier.tree != now.tree:
        found = trees(AGAIN, name, earlier.tree, now.tree)
        return Check(AGAIN, name, Verdict.FAIL, f"{found.reason} (first: {earlier.whose})")
    if not comparison.agrees:
        reason = f"other words on standard output, which later steps use, than {earlier.whose}"
        return Check(AGAIN, name, Verdict.FAIL, reason)
    if not comparison.says and not len(now.tree):
        return Check(AGAIN, name, Verdict.FAIL, "it makes nothing, so nothing was compared")
    return Check(AGAIN, name, Verdict.PASS, f"the same outputs as {earlier.whose}")


def _nothing(subject: str, why: str) -> Check:
    return Check(AGAIN, subject, Verdict.SKIP, f"{_NOTHING}{f': {why}' if why else ''}")
