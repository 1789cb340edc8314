"""In-memory stands-ins for what the orchestrator talks to: an engine and an observer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from containers.action import Action
from containers.engine import Capability, Identity, refused_everywhere
from containers.local import Ended, LocalEngine
from containers.policy import RULES, Enforcement
from containers.sandbox.supervise import Log
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import variations
from reproducibility.conditions import STANDARD
from reproducibility.errors import InfrastructureError, Stopped
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from threading import Event

    from containers.engine import Blobs, Outcome, Storage
    from containers.policy import Policy, Share


@dataclass(frozen=True)
class Made:
    """What a fake action leaves behind; `files`: path below the work directory to content.

    None as content makes an empty folder. `programs`: those of the files that are executable.
    """

    files: Mapping[str, bytes | None] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()
    stdout: bytes = b""
    stderr: bytes = b""
    exit_status: int = 0
    ended_by: str = ""
    seconds: float = 0.25
    peak_memory: int = 4096


@dataclass(frozen=True)
class Asked:
    """What a fake action sees."""

    action: Action
    blobs: Blobs
    stop: Event

    def read(self, at: str) -> dict[str, bytes]:
        """The files of the input tree that is mounted at a place."""
        (mount,) = (mount for mount in self.action.mounts if mount.at == at)
        folder = self.blobs.checkout(mount.tree, self.action.epoch, self.stop)
        return {entry.path: (folder / entry.path).read_bytes() for entry in mount.tree.files()}

    def until_stopped(self) -> Made:
        """Work that never ends by itself.

        Raises:
            Stopped: it was ended.
            InfrastructureError: nobody ended it.
        """
        if self.stop.wait(60):
            raise Stopped("stopped")
        raise InfrastructureError("nobody ended it")


Work = Callable[[Asked], Made]


class FakeEngine(LocalEngine):
    """Runs actions as functions: a table from action name to what it does.

    `runs`: names of the actions that were run, in the order of their starts. `shares`: by name, the
    part of the processors that each was given, (number, of), or None; `cpus`: how many that were.
    `own`: which engine of its
    name it is; `means`: by what it says that it keeps every rule. `taken_from`: by name, where
    it says that a result comes from.
    """

    def __init__(
        self,
        table: Mapping[str, Work],
        name: str = "fake",
        *,
        own: str = "in memory",
        means: str = "a fake",
        processors: int = 4,
    ) -> None:
        self.name = name
        self._identity = Identity(name, own, "1")
        self._processors = processors
        self.able = {
            **{name: Capability("a fake") for name in variations.NAMES},
            **refused_everywhere(),
        }
        self.means = means
        self.taken_from: dict[str, str] = {}
        self.table = dict(table)
        self.runs: list[str] = []
        self.policies: list[Policy] = []
        self.shares: dict[str, tuple[int, int] | None] = {}
        self.cpus: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def processors(self) -> int:
        return self._processors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def run(self, action: Action, policy: Policy, storage: Storage, stop: Event) -> Outcome:
        taken_from = self.taken_from.get(action.name, "")
        return replace(super().run(action, policy, storage, stop), taken_from=taken_from)

    def execute(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event
    ) -> Ended:
        share = policy.share
        with self._lock:
            self.runs.append(action.name)
            self.policies.append(policy)
            self.shares[action.name] = (share.number, share.of) if share else None
            self.cpus[action.name] = self._cpus(action, share)
        made = self.table[action.name](Asked(action, blobs, stop))
        outputs = into / "outputs"
        outputs.mkdir()
        for path, content in made.files.items():
            place = outputs / path
            if content is None:
                place.mkdir(parents=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o755 if path in made.programs else 0o644)
        log = Log(into / "stdout", policy.limits.log)
        log.write(made.stdout)
        log.close()
        (into / "stderr").write_bytes(made.stderr)
        return Ended(
            exit_status=made.exit_status,
            outputs=outputs,
            stdout=into / "stdout",
            stderr=into / "stderr",
            seconds=made.seconds,
            peak_memory=made.peak_memory,
            ended_by=made.ended_by,
            cpus=self.cpus[action.name],
            cut=log.cut,
        )

    def _cpus(self, action: Action, share: Share | None) -> int:
        """On how many CPUs it runs, as the sandbox decides it."""
        wanted = action.conditions.processors or self._processors
        own = len(share.among(range(self._processors))) if share else 0
        return min(wanted, own or self._processors)

    def capabilities(self) -> Mapping[str, Capability]:
        return self.able

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        with self._lock:
            self.policies.append(policy)
        return tuple(Enforcement(rule.name, "not enforced", self.means) for rule in RULES)


class FakeObserver:
    """Remembers what it was told, as (what, which) pairs."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None:
        self.told += [("planned", name) for name, _, _ in steps]

    def started(self, name: str) -> None:
        self.told.append(("started", name))

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        del seconds
        self.told.append(("cached" if cached else "finished", name))

    def note(self, text: str) -> None:
        self.told.append(("note", text))


def made(content: bytes, at: str = "out") -> Work:
    """Work that always makes one file."""
    return lambda _: Made({at: content})


def action(name: str, **changes: object) -> Action:
    """An action with nothing special about it; by its name in its command, one of its own key."""
    parts: dict[str, object] = {
        "name": name,
        "command": ("/bin/true", name),
        "environment": (("PATH", "/bin"),),
        "directory": STANDARD.work,
        "root": Tree(),
        "mounts": (),
        "outputs": ("out",),
        "epoch": BLOB_TIME,
        "architecture": "amd64",
        "conditions": STANDARD,
    }
    return Action(**{**parts, **changes})  # type: ignore[arg-type]
