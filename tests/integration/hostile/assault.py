"""Runs the hostile program's attempts on one engine, and tells of each what came of it."""

from __future__ import annotations

import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from containers.action import Mount
from containers.policy import Limits, Policy
from reproducibility.errors import InfrastructureError, InputError
from tests.integration.engine_fixtures import Builder
from tests.integration.hostile.machine import SECRET

if TYPE_CHECKING:
    from containers.engine import Engine, Outcome
    from reproducibility.manifest import Tree
    from tests.integration.hostile.machine import Machine

PROGRAM = Path(__file__).with_name("program")
_MIB = 1 << 20
INPUT = {"file": "content of the input\n", "folder/inner": "inner"}

_BATCH = Limits(
    memory=1024 * _MIB,
    tmp=16 * _MIB,
    work=256 * _MIB,
    processes=512,
    cpus=0,
    seconds=30,
    log=_MIB,
)
_ALONE = replace(_BATCH, memory=256 * _MIB, tmp=1024 * _MIB, work=16 * _MIB, processes=64)
_ALONE = replace(_ALONE, log=64 * 1024)
# Those that nothing but the time limit ends.
ENDLESS = frozenset(
    f"end-{name}"
    for name in (
        "sleep",
        "ignore-signals",
        "busy",
        "stop-itself",
        "closed-streams",
        "fork-chain",
    )
)
_SECONDS = 3
_AT_ONCE = 4


@dataclass(frozen=True)
class Came:
    """What came of an attempt.

    `possible`: it went through, as far as the program and the engine can tell. `detail`: their
    words.
    """

    possible: bool
    detail: str


@dataclass(frozen=True)
class Assault:
    """Attempts on one engine."""

    engine: Engine
    builder: Builder
    machine: Machine
    folder: Path

    def batch(self, names: list[str]) -> dict[str, Came]:
        """Attempts that one action makes one after the other."""
        outcome = self._run(_BATCH, "batch", *names)
        said = outcome.stdout.read_text()
        told = [json.loads(line) for line in said.splitlines()]
        words = (outcome.ended_by, outcome.stderr.read_text(errors="replace"), said[-500:])
        assert [line["attempt"] for line in told] == names, words
        broken = [line for line in told if line["outcome"] == "broken"]
        assert not broken, broken
        return {
            line["attempt"]: Came(line["outcome"] == "possible", line["detail"]) for line in told
        }

    def alone(self, names: list[str]) -> dict[str, Came]:
        """Attempts that each take an action of their own, some at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(names, pool.map(self._alone, names), strict=True))

    def _alone(self, name: str) -> Came:
        limits = _ALONE
        if name in ENDLESS:
            limits = replace(limits, seconds=_SECONDS)
        if name == "end-many-processors":
            limits = replace(limits, cpus=1)
        try:
            outcome = self._run(limits, "one", name)
            said = outcome.stdout.read_text(errors="replace")
            if name.startswith("out-"):
                return self._taken(outcome, said)
        except (InfrastructureError, InputError) as error:
            return Came(False, f"{type(error).__name__}: {error}")
        status = f"exit status {outcome.exit_status}, ended by {outcome.ended_by or 'itself'}"
        if outcome.exit_status != 0 or outcome.ended_by:
            return Came(False, f"{status}: {said[-200:]}")
        if name.startswith(("end-log", "terminal")):
            return Came(_longest(outcome) > limits.log, status)
        told = json.loads(said)
        assert told["outcome"] != "broken", told
        return Came(told["outcome"] == "possible", told["detail"])

    def _taken(self, outcome: Outcome, said: str) -> Came:
        """Whether an output was taken into the store; what is taken is never a secret."""
        status = f"exit status {outcome.exit_status}, ended by {outcome.ended_by or 'itself'}"
        if outcome.exit_status != 0 or outcome.ended_by:
            return Came(False, f"{status}: {said[-200:]}")
        told = json.loads(said)
        assert told["outcome"] != "broken", told
        if told["outcome"] == "refused":
            return Came(False, told["detail"])
        tree = self.builder.store.put_tree(outcome.outputs)
        for entry in tree.files():
            assert SECRET not in self.builder.store.path(entry).read_text(errors="replace")
        kinds = sorted({f"{entry.kind} {'x' if entry.executable else '-'}" for entry in tree})
        return Came(True, f"{len(tree)} entries: {kinds}")

    def _run(self, limits: Limits, what: str, *names: str) -> Outcome:
        order = json.dumps(self.machine.order())
        action = self.builder.action(
            *("/bin/hostile", what, order, *names),
            mounts=(Mount("/input", self.input()),),
            outputs=("out/file",) if names == ("out-behind-link",) else ("out",),
        )
        into = Path(tempfile.mkdtemp(dir=self.folder))
        policy = Policy(limits)
        return self.engine.run(action, policy, self.builder.store, into, threading.Event())

    def input(self) -> Tree:
        """The input that attempts reach for."""
        return self.builder.tree(Path(tempfile.mkdtemp(dir=self.folder)), INPUT)


def _longest(outcome: Outcome) -> int:
    return max(outcome.stdout.stat().st_size, outcome.stderr.stat().st_size)
