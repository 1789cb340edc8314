"""Diagnosis of a difference as a value: findings, each with its place, its cause and how sure."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from reproducibility import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.diagnosis.source import Pair

_SHOWN = 160
_COMMON = 80


class Cause(StrEnum):
    """Class of a cause.

    `time`: a clock. `order`: the same parts in another order. `path`: where something lay.
    `user`: who made it, or which machine: user, group, host, kernel. `locale`: locale or time zone.
    `randomness`: random numbers, addresses. `allocation`: where things were put, and what was there
    before. `parallelism`: the number of processors, the size of the memory. `code`: instructions.
    `input`: what it was made from, or how. `unknown`: the evidence is not enough.
    """

    TIME = "time"
    ORDER = "order"
    PATH = "path"
    USER = "user"
    LOCALE = "locale"
    RANDOMNESS = "randomness"
    ALLOCATION = "allocation"
    PARALLELISM = "parallelism"
    CODE = "code"
    INPUT = "input"
    UNKNOWN = "unknown"


class Sureness(StrEnum):
    """Certainty of a cause: it cannot be otherwise, it most often is so, or it may be so."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


_RANKS = {Sureness.CERTAIN: 0, Sureness.LIKELY: 1, Sureness.POSSIBLE: 2}
# Causes that most often come of another one: other instructions, of another path that is longer.
_WEAK = {Cause.CODE: 1, Cause.UNKNOWN: 2}


# Sorting key of a finding.
Rank = tuple[bool, int, int]
# Path and kind of a finding.
_Kind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A cause, how sure it is, and in words what it was told by."""

    cause: Cause
    sure: Sureness
    reason: str


UNKNOWN = Judgement(
    Cause.UNKNOWN, Sureness.POSSIBLE, "nothing in the bytes tells where the difference comes from"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference.

    `path`: the file; parts of a file come after " > ". `offset`: the first byte that differs, in
    the innermost of them, of the first side; None where no single byte is meant. `where`: what lies
    there. `first`, `second`: the values, escaped and cut. `follows`: it follows from another
    finding.
    """

    path: str
    where: str
    offset: int | None
    cause: Cause
    sure: Sureness
    reason: str
    first: str
    second: str
    follows: bool = False

    @property
    def rank(self) -> Rank:
        """Sorting key: what says most about the cause comes first."""
        return self.follows, _WEAK.get(self.cause, 0), _RANKS[self.sure]

    @property
    def place(self) -> str:
        """Return where it is, in words."""
        at = "" if self.offset is None else f"byte {self.offset} ({self.offset:#x}), "
        return f"{self.path}: {at}{self.where}" if self.path else f"{at}{self.where}"

    def document(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {
            "path": self.path,
            "where": self.where,
            "offset": self.offset,
            "cause": self.cause.value,
            "sure": self.sure.value,
            "reason": self.reason,
            "first": self.first,
            "second": self.second,
            "follows": self.follows,
        }


@dataclass(frozen=True)
class Limits:
    """Limits of what is looked at.

    `files`: that differ, of which the content is looked at. `findings`: that are kept. `whole`:
    bytes of a file that is read as a whole. `unpacked`: bytes that a file may unpack to where that
    is held in memory. `streamed`: bytes that an archive may unpack to where it is not. `depth`: of
    files within files. `each`: findings of one kind in one file.
    """

    files: int = 40
    findings: int = 200
    whole: int = 96 << 20
    unpacked: int = 96 << 20
    streamed: int = 16 << 30
    depth: int = 4
    each: int = 8


# Condition (as "host name") -> its value on the first side and on the second.
Known = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Diagnosis:
    """Why two things differ.

    `findings`: in the order in which they lie, as many as are kept: the first one, and those that
    say most of a cause; `total`: how many there were.
    `notes`: what was not looked at, and why.
    """

    findings: tuple[Finding, ...] = ()
    total: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def main(self) -> Finding | None:
        """The finding that says most about the cause."""
        return min(self.findings, key=lambda one: one.rank, default=None)

    def document(self) -> dict[str, Any]:
        """The diagnosis as a JSON object."""
        main = self.main
        first = self.findings[0] if self.findings else None
        return {
            "cause": None
            if main is None
            else {"class": main.cause.value, "sure": main.sure.value, "reason": main.reason},
            "where": None if main is None else main.document(),
            "first": None if first is None else first.document(),
            "findings": [one.document() for one in self.findings],
            "findings_total": self.total,
            "notes": list(self.notes),
        }

    def lines(self, *, most: int = 12) -> list[str]:
        """The diagnosis for people: the cause, the first difference, some more of them."""
        main = self.main
        if main is None:
            return [f"note: {note}" for note in self.notes]
        found = [f"cause: {main.cause} ({main.sure}): {main.reason}", *_told("at: ", main)]
        first = self.findings[0]
        if first is not main:
            found += _told("the first difference: ", first)
        rest = [one for one in self.findings if one is not main and one is not first]
        rest.sort(key=lambda one: one.follows)
        for one in rest[:most]:
            words = "follows" if one.follows else f"{one.cause} ({one.sure})"
            found.append(f"{words}: {one.place}")
            found.append(f"  {one.first} | {one.second}")
        left = self.total - min(len(rest), most) - len({id(main), id(first)})
        if left > 0:
            found.append(f"and {left} more")
        return [*found, *(f"note: {note}" for note in self.notes)]


def _told(label: str, one: Finding) -> list[str]:
    return [f"{label}{one.place}", f"  first:  {one.first}", f"  second: {one.second}"]


def around(first: str, second: str) -> tuple[str, str]:
    """Cut what two long texts have in common before they differ, so that the rest is seen."""
    length = min(len(first), len(second))
    start = next((n for n in range(length) if first[n] != second[n]), length)
    if start <= _COMMON:
        return first, second
    cut = start - _COMMON // 2
    return f"...{first[cut:]}", f"...{second[cut:]}"


def shown(value: bytes | str | int | None) -> str:
    """A value for people: text as it is, other bytes in hexadecimal; escaped, and cut."""
    if value is None:
        return "nothing"
    if isinstance(value, bytes):
        cut = value[:_SHOWN]
        try:
            text = cut.decode()
        except UnicodeDecodeError:
            text = ""
        readable = text.replace("\n", "").replace("\t", "").isprintable() and bool(text)
        value = text if readable else cut[: _SHOWN // 4].hex(" ")
    text = visible.line(str(value)) or "nothing"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


class Collector:
    """Collects findings within limits. `known`: conditions on each side, where they are known.

    All are counted. Where there is no room for one, it takes the place of the last of those that
    say least of a cause, if it says more; the first one always stays.
    """

    def __init__(self, limits: Limits, known: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.limits = limits
        self.known: Known = dict(known or {})
        # In the order in which they were said. Nobody else adds or takes one.
        self.findings: list[Finding] = []
        # Takes each pair of files that differ, of which it may keep a copy while they are open.
        self.on_file: Callable[[Pair], None] | None = None
        self._notes: dict[str, None] = {}
        self._kinds: dict[_Kind, int] = {}
        self._said = 0
        self._counted = 0
        self._last: Finding | None = None
        # Of each finding that is kept: how many were said before it, and its kind.
        self._kept: list[tuple[int, _Kind]] = []
        # Which finding gives way, and its rank: of a kind, and (None) of all. Looked for once.
        self._least: dict[_Kind | None, tuple[int, Rank] | None] = {}

    @property
    def total(self) -> int:
        """Return how many differences there were, kept or not."""
        return self._said + self._counted

    def add(self, finding: Finding, kind: str = "") -> None:
        """Keep a finding. `kind`: of one kind and file only `limits.each` are kept."""
        key = finding.path, kind
        count = self._kinds[key] = self._kinds.get(key, 0) + 1
        number, self._last = self._said, finding
        self._said += 1
        of_kind = bool(kind) and count > self.limits.each
        if of_kind or len(self.findings) >= self.limits.findings:
            least = self._giving_way(key if of_kind else None)
            if least is None or least[1] <= finding.rank:
                return
            del self.findings[least[0]], self._kept[least[0]]
        self.findings.append(finding)
        self._kept.append((number, key))
        self._least.clear()

    def _giving_way(self, key: _Kind | None) -> tuple[int, Rank] | None:
        """Return the last finding of those that say least, and its rank; never the first of all."""
        if key not in self._least:
            places = [n for n in range(1, len(self.findings)) if key in {None, self._kept[n][1]}]
            worst = max(places, key=lambda n: (self.findings[n].rank, n), default=None)
            self._least[key] = None if worst is None else (worst, self.findings[worst].rank)
        return self._least[key]

    def count(self) -> None:
        """Count a difference that is not kept."""
        self._counted += 1

    def say(  # noqa: PLR0913 - the parts of a finding
        self,
        path: str,
        where: str,
        judged: Judgement,
        values: tuple[bytes | str | int | None, bytes | str | int | None],
        *,
        offset: int | None = None,
        follows: bool = False,
        kind: str = "",
    ) -> None:
        """Keep a finding of these parts."""
        first, second = values
        if isinstance(first, str) and isinstance(second, str):
            first, second = around(first, second)
        self.add(
            Finding(
                path, visible.line(where), offset, judged.cause, judged.sure, judged.reason,
                shown(first), shown(second), follows,
            ),
            kind,
        )  # fmt: skip

    def note(self, words: str) -> None:
        """Keep something to be said, once."""
        self._notes[visible.line(words)] = None

    def mark(self) -> int:
        """A place in the findings, for `since`: how many were said before it."""
        return self._said

    def since(self, mark: int) -> list[Finding]:
        """The findings after a place that were kept; the last one where none was.

        Empty only where nothing was said.
        """
        found = self.findings[self._place(mark) :]
        if not found and self._last is not None and self._said > mark:
            return [self._last]
        return found

    def revise(self, mark: int, change: Callable[[Finding], Finding]) -> None:
        """Put another finding in the place of each that was kept after a place."""
        place = self._place(mark)
        self.findings[place:] = [change(one) for one in self.findings[place:]]
        self._least.clear()

    def follow(self, mark: int) -> None:
        """Mark the findings that were kept after a place as what follows from another one."""
        self.revise(mark, lambda one: replace(one, follows=True))

    def drop(self, mark: int) -> None:
        """Forget the findings that were said after a place: one that says more takes theirs."""
        place = self._place(mark)
        del self.findings[place:], self._kept[place:]
        self._said = min(self._said, mark)
        self._least.clear()

    def _place(self, mark: int) -> int:
        """Where the first finding that was said after a place is kept: some may have given way."""
        return bisect_left(self._kept, mark, key=lambda kept: kept[0])

    def diagnosis(self) -> Diagnosis:
        """Everything collected."""
        return Diagnosis(tuple(self.findings), self.total, tuple(self._notes))
