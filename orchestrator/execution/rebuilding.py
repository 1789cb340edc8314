"""Checks for `--rebuild`: whether each step gave again what it gave before. Pure.

Every step of the plan is expected to be compared; one with nothing to compare with is a SKIP that
says so, never a PASS. What it is compared with was there before the build began.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from reproducibility.codes import REBUILD
from reproducibility.compare import Check, Difference, Verdict, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from orchestrator.execution.step import Comparison, Step
    from reproducibility.compare import CheckKind
    from reproducibility.digest import Digest

_Base = TypeVar("_Base")

_NOTHING = "no earlier result to compare with"


class Bases:
    """Results that were remembered before a build began, and comparisons with them that failed.

    A build that meets a damaged blob starts another round. Results that an earlier round of the
    same build has remembered must not be the base: the build would be compared with itself. And
    what differed in one round was not reproducible, whatever a later one makes.
    """

    def __init__(self) -> None:
        self._found: dict[Digest, object] = {}
        self._failed: dict[str, Comparison] = {}

    def of(self, key: Digest, look: Callable[[], _Base]) -> _Base:
        """Return what was there under a key when it was first asked for; `look` finds it then."""
        if key not in self._found:
            self._found[key] = look()
        return cast("_Base", self._found[key])

    def worst(self, comparison: Comparison) -> Comparison:
        """Return the step's first comparison that failed in any round, else this one."""
        if _failed(comparison):
            self._failed.setdefault(comparison.step, comparison)
        return self._failed.get(comparison.step, comparison)


def expected(steps: Sequence[Step]) -> list[tuple[CheckKind, str]]:
    """(kind, subject) of the check of every step."""
    return [(REBUILD, step.name) for step in steps]


def checks(compared: Iterable[Comparison]) -> list[Check]:
    """One check for each step that was run again."""
    every = {comparison.step: comparison for comparison in compared}
    return [_check(comparison, every) for comparison in every.values()]


def _failed(comparison: Comparison) -> bool:
    """Whether a comparison fails by itself: a step with nothing to do is as sure as its needs."""
    return comparison.now is not None and _check(comparison, {}).verdict is Verdict.FAIL


def _check(comparison: Comparison, every: Mapping[str, Comparison]) -> Check:
    name, now, earlier = comparison.step, comparison.now, comparison.earlier
    if now is None:
        return _idle(comparison, every)
    if earlier is None:
        return _nothing(name, comparison.why)
    if earlier.tree != now.tree:
        found = trees(REBUILD, name, earlier.tree, now.tree)
        return replace(found, reason=f"{found.reason} (first: {earlier.whose})")
    if not comparison.agrees:
        reason = f"other words on standard output, which later steps use, than {earlier.whose}"
        said = Difference("stdout", "blake3", earlier.stdout.hex, now.stdout.hex)
        return Check(REBUILD["other-output"], name, reason, (said,))
    if not comparison.says and not len(now.tree):
        reason = "it makes nothing, so nothing was compared"
        return Check(REBUILD["nothing-compared"], name, reason)
    return Check(REBUILD["same"], name, f"the same outputs as {earlier.whose}")


def _idle(comparison: Comparison, every: Mapping[str, Comparison]) -> Check:
    """A step with nothing to do: those say so that it needs, so it is as sure as they are."""
    name = comparison.step
    verdicts = {
        need: _check(every[need], every).verdict if need in every else Verdict.FAIL
        for need in comparison.needs
    }
    said = "there is nothing to do in this step"
    for verdict, code, why in (
        (Verdict.FAIL, REBUILD["needs-differ"], "differ"),
        (Verdict.SKIP, REBUILD["needs-not-compared"], "were not compared"),
    ):
        those = ", ".join(need for need, found in verdicts.items() if found is verdict)
        if those:
            return Check(code, name, f"{said}, as steps say that {why}: {those}")
    if not verdicts:
        reason = f"{said}, and no other that says so was compared"
        return Check(REBUILD["needs-not-compared"], name, reason)
    return Check(REBUILD["nothing-to-do"], name, f"{said}, as those say that it needs")


def _nothing(subject: str, why: str) -> Check:
    if why:
        return Check(REBUILD["unreadable-result"], subject, f"{_NOTHING}: {why}")
    return Check(REBUILD["no-earlier-result"], subject, _NOTHING)
