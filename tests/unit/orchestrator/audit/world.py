"""A finished build of a few fake steps, and an engine on which they are audited."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from containers import registry
from containers.policy import Policy
from orchestrator.artifacts.finished import Finished
from orchestrator.audit import computations, job, model, subject
from orchestrator.audit.request import Request
from orchestrator.audit.subject import Finding, Subject
from orchestrator.execution.scheduler import Scheduler
from orchestrator.golang import surroundings
from orchestrator.spec import model as specs
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.digest import Digest
from reproducibility.manifest import Tree
from reproducibility.variations import VARIATIONS
from tests import results as documents
from tests.fakes import Asked, FakeEngine, FakeObserver, Made, Work, action
from tests.unit.orchestrator import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pytest

    from containers.action import Action
    from orchestrator.execution.step import Results, Step

# The variations that an engine can be asked for.
ABLE = tuple(variation.name for variation in VARIATIONS if variation.condition)
OBSERVE = "surroundings"


def observed(asked: Asked) -> Made:
    """What the observer says: every condition under the name of its variation."""
    conditions = asked.action.conditions
    seen = {
        variation.name: getattr(conditions, variation.condition)
        for variation in VARIATIONS
        if variation.condition
    }
    # As a program counts them.
    seen["cpus"] = conditions.processors or 4
    seen["parallelism"] = conditions.parallelism or seen["cpus"]
    return Made(stdout=json.dumps(seen).encode())


def host_in_it(asked: Asked) -> Made:
    """Work with a defect: the host name gets into what it makes."""
    return Made({"out": asked.action.conditions.host.encode()})


def clean(asked: Asked) -> Made:
    """Work without one."""
    return Made({"out": asked.action.name.encode()})


class Random:
    """Work that makes something else each time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def __call__(self, _: Asked) -> Made:
        with self._lock:
            self._number += 1
            return Made({"out": str(self._number).encode()})


@dataclass
class World:
    """A store, an output folder in it a finished build, and what the audit's parts are given."""

    folder: Path
    steps: Sequence[Step]
    table: Mapping[str, Work]
    observer: FakeObserver = field(default_factory=FakeObserver)
    stop: threading.Event = field(default_factory=threading.Event)
    engine: FakeEngine = field(init=False)
    answer: Callable[[World], computations.Answer] | None = None
    jobs: int = 1

    def __post_init__(self) -> None:
        self.engine = FakeEngine({**self.table, OBSERVE: observed}, "sandbox")
        self.out = self.folder / "out"
        self.out.mkdir()
        (self.out / "sourcery.img").write_bytes(b"image")
        (self.out / "sourcery.cpio.zst").write_bytes(b"archive")
        store = Store(self.folder / "store")
        made = self._built(store)
        store.close()
        steps = [
            documents.step(
                name,
                key=str(result.key),
                outputs=str(result.tree.digest),
                conditions=dict(result.conditions),
                kind=result.kind,
            )
            for name, result in made.items()
        ]
        steps.append(documents.step("image", kind="computation"))
        self.write(steps=steps)
        self.engine.runs.clear()

    def write(self, **changes: Any) -> None:  # noqa: ANN401 - JSON
        """Write `result.json`, with changes."""
        files = {
            "image": {"blake3": digest.of_bytes(b"image").hex},
            "cpio": {"blake3": digest.of_bytes(b"archive").hex},
        }
        document = documents.document(**files, **changes)
        (self.out / "result.json").write_text(json.dumps(document))

    def _built(self, store: Store) -> Results:
        return (
            Scheduler(
                engine=self.engine,
                store=store,
                policy=Policy(),
                observer=FakeObserver(),
                jobs=self.jobs,
                stop=threading.Event(),
            )
            .run(self.steps)
            .results
        )

    @property
    def store(self) -> Path:
        """The folder of the store."""
        return self.folder / "store"

    def request(self, **changes: Any) -> Request:  # noqa: ANN401 - any field
        """What is asked for: every variation that there is, unless changed."""
        parts: dict[str, Any] = {
            "spec": self.folder / "sourcery.toml",
            "lock": self.folder / "sourcery.lock",
            "out": self.out,
            "store": self.store,
            "engine": "auto",
            "jobs": 2,
            "vary": ABLE,
        }
        return Request(**{**parts, **changes})

    def finding(self, *_: object) -> Finding:
        """The finished build."""
        wanted = specs.Spec.model_validate(
            {
                "image": {"epoch": samples.EPOCH, "architectures": ["amd64"]},
                "go": {"version": "1.27.3", "bootstrap": "1.26.6"},
                "source": [samples.source().model_dump()],
            }
        )
        return Finding(Finished.load(self.out), wanted, cast("Any", None))

    def draw(self, found: Finding, *_: object, **__: object) -> Subject:
        """The build's plan, drawn again."""
        return Subject(found, cast("Any", _assembly()), tuple(self.steps))

    def answered(self, *_: object) -> computations.Answer:
        """What another process computed."""
        if self.answer is not None:
            return self.answer(self)
        same = {
            "root": Digest.parse(documents.NOTHING),
            "sourcery.img": digest.of_bytes(b"image"),
            "sourcery.cpio.zst": digest.of_bytes(b"archive"),
        }
        return computations.Answer(same, "", ("hash seed",), ())

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let an audit find this world."""
        monkeypatch.setattr(subject, "find", self.finding)
        monkeypatch.setattr(subject.Subject, "draw", self.draw)
        monkeypatch.setattr(computations, "ask", self.answered)
        monkeypatch.setattr(registry, "connect", lambda *_: self.engine)
        monkeypatch.setattr(surroundings, "program", lambda *_: Tree())

    def audit(self, **changes: Any) -> model.AuditResult:  # noqa: ANN401 - fields of the request
        """An audit of it."""
        clock = changes.pop("clock", None)
        more = (clock,) if clock else ()
        return job.audit(self.request(**changes), self.observer, self.stop, *more).result

    def runs(self) -> list[str]:
        """Which actions were run, without the observer's, in no particular order."""
        return sorted(name for name in self.engine.runs if name != OBSERVE)


def _assembly() -> SimpleNamespace:
    def looking(name: str, *_: object, **__: object) -> Action:
        return action(name, outputs=())

    chain = SimpleNamespace(action=looking, host="amd64", source=Tree())
    return SimpleNamespace(drawn=SimpleNamespace(chain=chain))


def codes(result: model.AuditResult) -> dict[str, str]:
    """The code of each check by its subject, without those of the variations."""
    return {
        check.subject: check.code
        for check in result.checks
        if not check.code.startswith("audit-variation")
    }


def step_of(result: model.AuditResult, name: str) -> model.Step:
    """What was found of a step."""
    (found,) = (step for step in result.steps if step.name == name)
    return found
