"""A night whose commands give the answers that a test says."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names
from orchestrator.history import model
from orchestrator.history.database import History
from orchestrator.nightly import config as configs
from orchestrator.nightly import relocking
from orchestrator.nightly.children import Finished
from orchestrator.nightly.facts import Facts, Frame
from orchestrator.nightly.judging import judge
from orchestrator.nightly.stages import Tonight
from orchestrator.nightly.state import State
from reproducibility import canonical, digest
from tests import results
from tests.fakes import FakeObserver
from tests.unit.orchestrator.audit import test_model as audit_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest

    from orchestrator.history.words import Word

TOOL = model.Tool(version="0.1.0", digest=digest.of_bytes(b"tool"))


def error(status: int, kind: str = "InfrastructureError", summary: str = "no route") -> Any:  # noqa: ANN401
    """An answer that is an error."""
    said = {"kind": kind, "status": status, "summary": summary, "subject": "", "remedy": ""}
    return status, {"error": said}


def of_boot(*kinds: str | None) -> dict[str, Any]:
    """The answer of a boot: what went wrong on each machine."""
    platforms = [
        {
            "name": f"pc-{number}",
            "off": 3.5,
            "commands": [{"command": "ls /", "status": 0 if kind else 127, "seconds": 0.5}],
            "error": {"kind": kind, "text": "no prompt"} if kind else None,
        }
        for number, kind in enumerate(kinds)
    ]
    checks = [
        {
            "code": "boot-prompt.not-reached",
            "subject": one["name"],
            "verdict": "FAIL",
            "reason": "no prompt after 60 s",
        }
        for one in platforms
        if one["error"]
    ]
    return {"checks": checks, "platforms": platforms}


@dataclass
class World:
    """A night whose commands give the answers that a test says."""

    tonight: Tonight
    history: History
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    without_actions: bool = False

    def run(self, _stage: model.StageName, command: Sequence[str]) -> Finished:
        self.asked.append(tuple(command))
        status, document = self.answers[command[0]]
        if command[0] == "build" and status in {0, 1} and "error" not in document:
            out = self.tonight.state.out
            out.mkdir(parents=True, exist_ok=True)
            (out / names.RESULT).write_bytes(canonical.pretty(document))
            (out / names.ACTIONS).unlink(missing_ok=True)
            if not self.without_actions:
                (out / names.ACTIONS).write_text("{}")
        words = document.get("error", {}).get("summary", "") or ("" if status == 0 else "no")
        return Finished((*command, "--json"), status, document, words, 1.0)

    def gather(self) -> Facts:
        return self.tonight.gather()

    def word(self, facts: Facts) -> Word:
        return judge(facts, self.tonight.frame).word

    def commands(self, name: str) -> list[tuple[str, ...]]:
        return [one for one in self.asked if one[0] == name]


def document_of_build(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A build, as `orchestrate build --json` prints it."""
    made = results.build_result(**{"steps": [*steps] or [results.step()], **changes})
    return made.document()


def document_of_audit(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """An audit in which all that was audited is the same."""
    parts = {"steps": [*steps], "computations": [], "checks": [], **changes}
    return json.loads(canonical.pretty(audit_documents.document(**parts)))  # type: ignore[no-any-return]


def _nobody(stage: model.StageName, command: Sequence[str]) -> Finished:
    """Run no command: a world has its own."""
    raise AssertionError(stage, command)


def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A night in which all goes well, in its own folder; closes its history."""
    config = configs.parse("", tmp_path / "nightly.toml")
    state = State(config.state)
    state.tonight.mkdir(parents=True)
    lock = state.folder / "locks" / "tonight.lock"

    def relock(*_: object) -> relocking.Relocked:
        return relocking.Relocked(0, "", lock, "anew", ("orchestrate", "lock"))

    monkeypatch.setattr(relocking, "relock", relock)
    with closing(History.open(state.database)) as history:
        frame = Frame(
            number=1,
            date="2026-01-02",
            began="2026-01-02T01:00:00Z",
            ended="2026-01-02T02:00:00Z",
            seconds=60.0,
            attempts=1,
            tool=TOOL,
            last=None,
            built=None,
        )
        tonight = Tonight(config, state, frame, history, _nobody, FakeObserver())
        made = World(tonight, history)
        made.tonight.run = made.run
        made.answers = {
            "build": (0, document_of_build()),
            "audit": (0, document_of_audit()),
            "boot": (0, {"checks": [], "platforms": []}),
            "verify": (0, {"demands": []}),
        }
        yield made


def states(facts: Facts) -> dict[str, str]:
    """The state of each stage."""
    return {stage.name: stage.state for stage, _ in facts.stages}
