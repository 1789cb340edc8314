"""Shows what `orchestrate compare` found: the verdict, then the cause, then the details."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.cli.streams import Marked
from orchestrator.cli.wording import quantity
from reproducibility.compare import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.diagnosis.builds import Comparison
    from orchestrator.diagnosis.model import Diagnosis
    from reproducibility.compare import Check

# 1 had neither `kind`, `tolerated`, `builds`, `diagnosis` nor `deep`.
SCHEMA = 2
_SHOWN = 50
_EXPLAINED = 12


@dataclass
class Answer:
    """Answer that is told.

    `kind`: what was compared: `files`, `folders`, `trees`, `builds`. `tolerated`: path -> as what.
    `deep`: diffoscope's lines.
    """

    check: Check
    first: dict[str, Any]
    second: dict[str, Any]
    kind: str
    differences: list[str] = field(default_factory=list)
    tolerated: dict[str, str] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    builds: Comparison | None = None
    deep: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The answer as a JSON object."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "verdict": self.check.verdict.name,
            "reason": self.check.reason,
            "first": self.first,
            "second": self.second,
            "differences": self.differences,
            "tolerated": [
                {"path": path, "as": name} for path, name in sorted(self.tolerated.items())
            ],
            "builds": None if self.builds is None else self.builds.document(),
            "diagnosis": None if self.diagnosis is None else self.diagnosis.document(),
            "deep": self.deep,
        }


def told(answer: Answer, *, everything: bool) -> Iterator[str]:
    """Yield the lines for people. `everything`: nothing is cut."""
    if answer.check.verdict is Verdict.PASS:
        yield Marked("PASS", f"  {answer.check.reason}, {quantity(answer.first['size'])}")
        if not answer.tolerated:
            yield f"      blake3 {answer.first['blake3']}"
        yield from _indented(answer.builds.lines() if answer.builds else [])
        yield from _tolerated(answer)
        return
    yield Marked("FAIL", f"  {answer.check.reason}")
    for side in (answer.first, answer.second):
        yield f"      {side['path']}: {quantity(side['size'])}, blake3 {side['blake3']}"
    if answer.builds is not None:
        yield from _indented(answer.builds.lines())
    if answer.diagnosis is not None:
        most = len(answer.diagnosis.findings) if everything else _EXPLAINED
        yield from _indented(answer.diagnosis.lines(most=most))
    yield from _tolerated(answer)
    found = answer.differences
    shown = found if everything else found[:_SHOWN]
    yield from _indented(shown)
    if len(shown) < len(found):
        yield f"  and {len(found) - len(shown)} more; -v shows all"
    if answer.deep:
        yield "  diffoscope:"
        yield from (f"    {line}" for line in answer.deep)


def _tolerated(answer: Answer) -> Iterator[str]:
    from orchestrator.diagnosis import tolerance

    for path, name in sorted(answer.tolerated.items()):
        yield f"  tolerated: {path}, as {name}"
    for name in sorted(set(answer.tolerated.values())):
        yield f"    {name}: {tolerance.explained(name)}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
