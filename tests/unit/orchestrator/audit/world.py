"""Finished builds of a few fake steps, and an engine on which they are audited.

`World` has steps in a row; `Foreign` has a toolchain for riscv64 besides, which can build itself.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from containers import registry
from containers.policy import Policy
from orchestrator import emulator
from orchestrator.artifacts import model as finished
from orchestrator.artifacts.finished import Finished
from orchestrator.audit import (
    choosing,
    computations,
    job,
    matrix,
    model,
    native,
    proofs,
    standing,
    subject,
)
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
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pytest

    from containers.action import Action
    from orchestrator.execution.step import Results, Step

# The variations that an engine can be asked for.
ABLE = tuple(variation.name for variation in VARIATIONS if variation.condition)
OBSERVE = "surroundings"
# Of a toolchain that builds itself.
EMULATOR = b"an emulator"
VERSION = "native/riscv64/version"
TRYING = "native/riscv64/emulator"
BUILD = "native/riscv64"
ONLY = ("native/riscv64",)


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
            "image": Digest.parse(documents.NOTHING),
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


def state(found: model.AuditResult, name: str) -> tuple[str, str]:
    """State of a variation, and the verdict of its check."""
    (verdict,) = (check.verdict for check in found.checks if check.subject == name)
    return next(one.state for one in found.variations if one.name == name), verdict


def programs(**changes: bytes) -> Made:
    """A whole toolchain in the folder of an action's outputs."""
    files = {f"out/{name}": data for name, data in {**samples.BUILT, **changes}.items()}
    return Made(files, frozenset(files))


class Foreign(World):
    """A build with a toolchain for riscv64, whose programs run in an emulator."""

    def finding(self, *parts: object) -> Finding:
        found = super().finding(*parts)
        image = found.wanted.image.model_copy(update={"architectures": ("amd64", "riscv64")})
        return replace(found, wanted=found.wanted.model_copy(update={"image": image}))

    def draw(self, found: Finding, *parts: object, **more: object) -> Subject:
        drawn = super().draw(found, *parts, **more)
        chain = SimpleNamespace(drawn=SimpleNamespace(chain=samples.chain()))
        return replace(drawn, assembly=cast("Any", chain))

    def native(self, **changes: Any) -> model.AuditResult:  # noqa: ANN401 - fields of the request
        """The proof alone."""
        return self.audit(**{"native": ("riscv64",), "only": ONLY, **changes})


class WithPrograms(Foreign):
    """The same, with the userland's programs; `small`: what the small one does."""

    small = Made(stdout=b"Usage: installcommand -edit NAME")

    @classmethod
    def of(cls, folder: Path) -> WithPrograms:
        table = {
            "F1": clean,
            "cross/riscv64": lambda _: programs(),
            "programs/riscv64": lambda _: Made({"out/installcommand": b"small"}),
            VERSION: lambda _: Made(stderr=b"SIGSEGV", exit_status=139),
        }
        steps = [step("F1"), step("cross/riscv64", "F1"), step("programs/riscv64", "F1")]
        made = cls(folder, steps, table)
        made.engine.table[TRYING] = lambda _: made.small
        return made


def prepared(made: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an audit find a world, and an emulator."""
    made.patch(monkeypatch)
    program = folder / "qemu-riscv64-static"
    program.write_bytes(EMULATOR)
    monkeypatch.setattr(emulator, "require", lambda _: program)
    for module in (native, proofs, standing, choosing):
        monkeypatch.setattr(module, "host", lambda: "amd64")


def doctored(world: World, name: str, **changes: Any) -> None:  # noqa: ANN401 - JSON
    """Let `result.json` say something else of a step, and keep its checks."""
    document = json.loads((world.out / "result.json").read_bytes())
    for one in document["steps"]:
        if one["name"] == name:
            one.update(changes)
    world.write(steps=document["steps"], checks=document["checks"])


def remembered(world: World) -> matrix.Record:
    """The record of the build's cells; its store is left open."""
    store = Store(world.store)
    build = finished.parse((world.out / "result.json").read_bytes())
    return matrix.Record(store, matrix.identity(build))


def places(world: World) -> list[str]:
    """Options that say where everything lies."""
    options = {"--out": world.out, "--store": world.store, "--spec": "s", "--lock": "l"}
    return [str(word) for pair in options.items() for word in pair]


def cell(found: model.AuditResult, comparison: str = "native-build") -> matrix.Cell:
    (made,) = (
        one
        for one in found.matrix
        if (one.comparison, one.target, one.engine) == (comparison, "riscv64", "sandbox")
    )
    return made


def released(world: Foreign, *targets: str) -> None:
    """Let the build have found that toolchains are their published releases."""
    steps = json.loads((world.out / "result.json").read_bytes())["steps"]
    checks = [documents.check(subject=target, code="release.same") for target in targets]
    world.write(steps=steps, checks=checks)


def on_docker(world: Foreign) -> None:
    """Let the engine be another one than made the build."""
    world.engine.name = "docker"
    world.engine._identity = replace(world.engine.identity, name="docker")


def on_other_engine(found: model.AuditResult) -> matrix.Cell:
    (made,) = (
        one
        for one in found.matrix
        if (one.comparison, one.target, one.engine) == ("release", "riscv64", "docker")
    )
    return made
