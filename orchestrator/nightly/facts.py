"""What a night's stages gave, as values: the base of its word. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.artifacts.model import Word as Verdict
    from orchestrator.audit.model import AuditResult
    from orchestrator.history import model
    from orchestrator.history.words import Word
    from orchestrator.nightly.changes import Changes
    from reproducibility.digest import Digest


@dataclass(frozen=True)
class Seen:
    """What was seen of a step's key before this night.

    `outputs`: digests that it gave, each with the night in which it did first and who saw it; of a
    computation, only what tonight's program gave.
    `audited`: the last night in which it was audited, and what came of that.
    """

    outputs: Mapping[Digest, tuple[int, model.Seen]] = field(default_factory=dict)
    audited: tuple[int, Verdict] | None = None


@dataclass(frozen=True)
class Facts:
    """Facts of a night.

    `stages`: each with the word that it gives if it failed, None if it did not. `build`, `audits`,
    `booted` (a document each) and `verified` (its document): None or empty where there is none.
    `changes`: since the last build, None where there was none. `before`: what is known of step
    keys. `faults`: by key and outputs, why somebody says that a fault of the machine made those.
    `notes`: what somebody should know besides. `lost`: why the evidence could not be kept; empty
    where it was.
    """

    stages: Sequence[tuple[model.Stage, Word | None]]
    build: BuildResult | None = None
    audits: Sequence[AuditResult] = ()
    booted: Sequence[Mapping[str, Any]] = ()
    verified: Mapping[str, Any] | None = None
    changes: Changes | None = None
    before: Mapping[Digest, Seen] = field(default_factory=dict)
    faults: Mapping[tuple[Digest, Digest], str] = field(default_factory=dict)
    locked: model.LockedFrom | None = None
    notes: tuple[str, ...] = ()
    lost: str = ""


@dataclass(frozen=True)
class Frame:
    """Frame of a night: number, times and what came before it.

    `last`: the night before, `built`: the last one that built something; None where there is none.
    """

    number: int
    date: str
    began: str
    ended: str
    seconds: float
    attempts: int
    tool: model.Tool
    last: model.Night | None
    built: model.Night | None


def listed(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects of a list in a document; none where there is no such list."""
    found = document.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
