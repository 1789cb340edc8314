"""Verdicts, checks, and the comparison of two trees.

A verdict folds to the worst; what nobody checked is FAIL. No checks at all are a FAIL too: nothing
checked is not success.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reproducibility.manifest import Entry, Tree

_SHOWN = 8


class Verdict(IntEnum):
    """Ordered from the best to the worst."""

    PASS = 0
    SKIP = 1
    FAIL = 2


@dataclass(frozen=True, slots=True)
class Check:
    """What was compared (`name`), of what (`subject`), with what result, and why."""

    name: str
    subject: str
    verdict: Verdict
    reason: str

    def document(self) -> dict[str, str]:
        """The check as a JSON object."""
        return {
            "name": self.name,
            "subject": self.subject,
            "verdict": self.verdict.name,
            "reason": self.reason,
        }


def fold(checks: Iterable[Check]) -> Verdict:
    """The worst verdict; FAIL where there is none."""
    return max((check.verdict for check in checks), default=Verdict.FAIL)


def complete(checks: Iterable[Check], expected: Iterable[tuple[str, str]]) -> list[Check]:
    """The checks, with a FAIL "not checked" for each expected (name, subject) that is not there."""
    found = list(checks)
    present = {(check.name, check.subject) for check in found}
    missing = [pair for pair in expected if pair not in present]
    found += [Check(name, subject, Verdict.FAIL, "not checked") for name, subject in missing]
    return found


def differences(first: Tree, second: Tree) -> list[str]:
    """Every path at which two trees differ, in a sentence each, sorted by path."""
    found = []
    for path in sorted({entry.path for tree in (first, second) for entry in tree}):
        a, b = first.get(path), second.get(path)
        if a is None or b is None:
            found.append(f"{path}: only in the {'second' if a is None else 'first'}")
        elif a != b:
            found.append(f"{path}: {_how(a, b)}")
    return found


def trees(name: str, subject: str, first: Tree, second: Tree) -> Check:
    """Compare two trees file by file; no file at all is a FAIL: nothing was compared."""
    found = differences(first, second)
    if not found:
        count = sum(1 for _ in first.files())
        if not count:
            return Check(name, subject, Verdict.FAIL, "there are no files, nothing was compared")
        return Check(name, subject, Verdict.PASS, f"{count} files are the same (BLAKE3 of each)")
    shown = "; ".join(found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return Check(name, subject, Verdict.FAIL, f"{len(found)} paths differ: {shown}{more}")


def _how(a: Entry, b: Entry) -> str:
    said = []
    if a.kind != b.kind:
        said.append(f"{a.kind} and {b.kind}")
    if a.size != b.size:
        said.append(f"{a.size} and {b.size} bytes")
    if a.executable != b.executable:
        said.append("only one is executable")
    if a.digest != b.digest:
        said.append(f"blake3 {a.digest[:16]} and {b.digest[:16]}")
    return ", ".join(said)
