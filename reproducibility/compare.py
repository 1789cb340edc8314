"""Checks with their verdicts and codes, and the comparison of two trees.

A verdict folds to the worst; what nobody checked is FAIL. No checks at all are a FAIL too: nothing
checked is not success. The codes that checks have are declared in `reproducibility.codes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reproducibility.manifest import Entry, Tree

# Paths that are said in words, and differences that a check keeps as values.
_SHOWN = 8
KEPT = 100
# Hexadecimal digits of a digest in words.
_DIGITS = 16

# Outcomes that the functions here give, whatever is checked.
SAME, DIFFERS, NOTHING = "same", "differs", "nothing-compared"
NOT_CHECKED = "not-checked"


class Verdict(IntEnum):
    """Ordered from the best to the worst."""

    PASS = 0
    SKIP = 1
    FAIL = 2


@dataclass(frozen=True)
class CheckKind:
    """Kind of check: what it compares, and every outcome that it can have.

    `code`: the first part of its codes, which stays what it is, as in `release`. `name`: the same
    in words, which may change. `passes`, `skips`, `fails`: the outcomes with that verdict, as in
    `absent-record`, each with an explanation in one line. Every kind can be `not-checked`.
    """

    code: str
    name: str
    passes: Mapping[str, str] = field(compare=False)
    skips: Mapping[str, str] = field(default_factory=dict, compare=False)
    fails: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __getitem__(self, outcome: str) -> Code:
        """The code of an outcome.

        Raises:
            KeyError: this kind of check has no such outcome.
        """
        return self.codes[outcome]

    @property
    def codes(self) -> dict[str, Code]:
        """Every code by its outcome, from the best verdict to the worst."""
        missing = {NOT_CHECKED: "the check should have been made, and nobody made it"}
        tables = (
            (Verdict.PASS, self.passes),
            (Verdict.SKIP, self.skips),
            (Verdict.FAIL, {**self.fails, **missing}),
        )
        return {
            outcome: Code(self, outcome, verdict, meaning)
            for verdict, table in tables
            for outcome, meaning in table.items()
        }


@dataclass(frozen=True)
class Code:
    """Outcome of a check, as a stable name that a policy can be written against.

    In text `release.absent-record`: the kind's code, a dot, the outcome. It implies the verdict.
    """

    kind: CheckKind
    outcome: str
    verdict: Verdict = field(compare=False)
    meaning: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.kind.code}.{self.outcome}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two sides of a comparison differ.

    `path`: of the file; empty where the whole subject is meant. `field`: what of it, as in `kind`,
    `size` (bytes), `executable`, `blake3` (64 hexadecimal digits). `first`, `second`: its values;
    None where a side has none, and with `kind` where it has no such path.
    """

    path: str
    field: str
    first: str | int | None
    second: str | int | None

    def document(self) -> dict[str, str | int | None]:
        """The difference as a JSON object."""
        return {
            "path": self.path,
            "field": self.field,
            "first": self.first,
            "second": self.second,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """Comparison that was made: its outcome (`code`), its `subject`, and the `reason` in words.

    `differences`: the first `KEPT` of them, in the order of their paths, where what was compared
    can tell them as values; `total`: how many there are altogether.
    """

    code: Code
    subject: str
    reason: str
    differences: tuple[Difference, ...] = ()
    total: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", max(self.total, len(self.differences)))
        object.__setattr__(self, "differences", self.differences[:KEPT])

    @property
    def kind(self) -> CheckKind:
        """Kind of check that it is."""
        return self.code.kind

    @property
    def name(self) -> str:
        """Name of the comparison in words."""
        return self.code.kind.name

    @property
    def verdict(self) -> Verdict:
        """Verdict that the outcome implies."""
        return self.code.verdict

    def document(self) -> dict[str, Any]:
        """The check as a JSON object."""
        return {
            "code": str(self.code),
            "name": self.name,
            "subject": self.subject,
            "verdict": self.verdict.name,
            "reason": self.reason,
            "differences": [difference.document() for difference in self.differences],
            "differences_total": self.total,
        }


def fold(checks: Iterable[Check]) -> Verdict:
    """The worst verdict; FAIL where there is none."""
    return max((check.verdict for check in checks), default=Verdict.FAIL)


def complete(checks: Iterable[Check], expected: Iterable[tuple[CheckKind, str]]) -> list[Check]:
    """The checks, with a FAIL "not checked" for each expected (kind, subject) that is not there."""
    found = list(checks)
    present = {(check.kind, check.subject) for check in found}
    missing = [pair for pair in expected if pair not in present]
    found += [Check(kind[NOT_CHECKED], subject, "not checked") for kind, subject in missing]
    return found


def differences(first: Tree, second: Tree) -> list[Difference]:
    """Every field in which two trees differ, sorted by path."""
    found = []
    for path in sorted({entry.path for tree in (first, second) for entry in tree}):
        a, b = first.get(path), second.get(path)
        if a is None or b is None:
            found.append(Difference(path, "kind", _kind_of(a), _kind_of(b)))
        elif a != b:
            found += _between(a, b)
    return found


def in_words(found: Iterable[Difference]) -> list[str]:
    """Differences of trees in a sentence for each path. `found`: as `differences` gives them."""
    return [
        f"{path}: {', '.join(map(_said, those))}"
        for path, those in groupby(found, key=lambda difference: difference.path)
    ]


def outcome(first: Tree, second: Tree) -> tuple[str, str, tuple[Difference, ...]]:
    """Return what comes of comparing two trees file by file, why in words, and every difference.

    The outcome is `same`, `differs` or, without any file in both, `nothing-compared`.
    """
    found = differences(first, second)
    if found:
        return DIFFERS, _counted(in_words(found)), tuple(found)
    count = sum(1 for _ in first.files())
    if not count:
        return NOTHING, "there are no files, nothing was compared", ()
    return SAME, f"{count} files are the same (BLAKE3 of each)", ()


def trees(kind: CheckKind, subject: str, first: Tree, second: Tree) -> Check:
    """Compare two trees file by file; no file at all is a FAIL: nothing was compared."""
    came, reason, found = outcome(first, second)
    return Check(kind[came], subject, reason, found)


def _counted(paths: Sequence[str]) -> str:
    shown = "; ".join(paths[:_SHOWN])
    more = f"; and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{len(paths)} paths differ: {shown}{more}"


def _kind_of(entry: Entry | None) -> str | None:
    return None if entry is None else entry.kind


def _between(a: Entry, b: Entry) -> list[Difference]:
    fields: tuple[tuple[str, str | int | None, str | int | None], ...] = (
        ("kind", a.kind, b.kind),
        ("size", a.size, b.size),
        ("executable", a.executable, b.executable),
        ("blake3", a.digest or None, b.digest or None),
    )
    return [Difference(a.path, name, one, other) for name, one, other in fields if one != other]


def _said(difference: Difference) -> str:
    first, second = difference.first, difference.second
    if difference.field == "kind" and (first is None or second is None):
        return f"only in the {'second' if first is None else 'first'}"
    if difference.field == "size":
        return f"{first} and {second} bytes"
    if difference.field == "executable":
        return "only one is executable"
    if difference.field == "blake3":
        one, other = (str(digest or "")[:_DIGITS] for digest in (first, second))
        return f"blake3 {one} and {other}"
    return f"{first} and {second}"
