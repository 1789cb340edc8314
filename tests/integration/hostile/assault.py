"""Runs the hostile program's attempts on one engine, and tells of each what came of it."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from containers.action import Mount
from containers.policy import Limits, Policy
from reproducibility.errors import ActionError, InputError
from tests.integration.engine_fixtures import EPOCH
from tests.integration.hostile.machine import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from containers.local import Ended, LocalEngine
    from reproducibility.manifest import Tree
    from tests.integration.engine_fixtures import Builder
    from tests.integration.hostile.machine import Machine

PROGRAM = Path(__file__).with_name("program")
_MIB = 1 << 20
_INPUT = {"file": "content of the input\n", "folder/inner": "inner"}

# The program knows these limits and tries for more: they stand in `quotas.go`, `memory.go` and
# `disk.go` too.
_BATCH = Limits(
    memory=1024 * _MIB,
    tmp=16 * _MIB,
    work=256 * _MIB,
    processes=512,
    seconds=120,
    log=_MIB,
)
_ALONE = Limits(
    memory=128 * _MIB,
    tmp=512 * _MIB,
    work=16 * _MIB,
    files=2000,
    processes=64,
    seconds=60,
    log=1 << 16,
)
_WIDE = Limits(
    memory=4096 * _MIB,
    tmp=1024 * _MIB,
    work=1024 * _MIB,
    files=1_000_000,
    processes=2000,
    seconds=60,
    log=64 * _MIB,
)
# Those that nothing but the limit on time ends, and its seconds for them.
_ENDLESS = frozenset(
    f"end-{name}"
    for name in (
        *("sleep", "ignore-signals", "busy", "stop-itself", "closed-streams", "fork-chain"),
    )
)
_SECONDS = 3
_AT_ONCE = 4
_OUTPUTS = {
    "out-behind-link": "out/file",
    "out-dots": "../file",
    "out-absolute": "/etc/passwd",
}


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
    """Attempts on one engine.

    `folder`: where what comes out of actions goes. `root`: whether root runs the actions.
    """

    engine: LocalEngine
    builder: Builder
    machine: Machine
    folder: Path
    root: bool = field(default_factory=lambda: os.geteuid() == 0)

    def batch(self, names: Iterable[str]) -> dict[str, Came]:
        """Attempts that one action makes one after the other."""
        wanted = list(names)
        outcome = self._run(_BATCH, "batch", *wanted)
        said = outcome.stdout.read_text()
        told = [json.loads(line) for line in said.splitlines()]
        words = (outcome.ended_by, outcome.stderr.read_text(errors="replace"), said[-500:])
        assert [line["attempt"] for line in told] == wanted, words
        return {line["attempt"]: _came(line) for line in told}

    def alone(self, names: Iterable[str], limits: Limits = _ALONE) -> dict[str, Came]:
        """Attempts that each take an action of their own, some at a time."""
        wanted = list(names)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            came = pool.map(lambda name: self._alone(name, limits), wanted)
            return dict(zip(wanted, came, strict=True))

    def without_limits(self, names: Iterable[str]) -> dict[str, Came]:
        """The same attempts with limits that none of them reaches."""
        return self.alone(names, _WIDE)

    def _alone(self, name: str, limits: Limits) -> Came:
        if name in _ENDLESS:
            limits = replace(limits, seconds=_SECONDS)
        if name == "end-many-processors":
            limits = replace(limits, cpus=1)
        try:
            outcome = self._run(limits, "one", name)
            status = f"exit status {outcome.exit_status}, ended by {outcome.ended_by or 'itself'}"
            if outcome.exit_status != 0 or outcome.ended_by:
                return Came(
                    possible=False, detail=f"{status}: {outcome.stderr.read_bytes()[:200]!r}"
                )
            if name.startswith("end-log"):
                return Came(possible=_longest(outcome) > limits.log, detail=status)
            came = _came(json.loads(outcome.stdout.read_text()))
            if name.startswith("out-") and came.possible:
                return self._take(outcome)
        except (ActionError, InputError) as error:
            return Came(possible=False, detail=f"{type(error).__name__}: {error}")
        return came

    def _take(self, outcome: Ended) -> Came:
        """Take an output into the store, as a build does."""
        tree = self.builder.store.put_tree(outcome.outputs)
        for entry in tree.files():
            content = self.builder.store.path(entry).read_text(errors="replace")
            assert SECRET not in content, "an output holds what no action may read"
        kinds = sorted({f"{entry.kind} {'x' if entry.executable else '-'}" for entry in tree})
        return Came(possible=True, detail=f"{len(tree)} entries: {kinds}")

    def _run(self, limits: Limits, what: str, *names: str) -> Ended:
        order = json.dumps(self.machine.order())
        input_tree = self.input()
        output = _OUTPUTS.get(names[0], "out")
        program = "out-link-folder" if output != "out" else names[0]
        action = self.builder.action(
            *("/bin/hostile", what, order, program, *names[1:]),
            mounts=(Mount("/input", input_tree),),
            outputs=(output,),
        )
        into = Path(tempfile.mkdtemp(dir=self.folder))
        policy = Policy(limits)
        return self.engine.execute(action, policy, self.builder.store, into, threading.Event())

    def input(self) -> Tree:
        """The input that attempts reach for: the same each time."""
        return self.builder.tree(Path(tempfile.mkdtemp(dir=self.folder)), _INPUT)

    def names(self) -> set[str]:
        """What the program calls its attempts."""
        action = self.builder.action("/bin/hostile", "names")
        into = Path(tempfile.mkdtemp(dir=self.folder))
        outcome = self.engine.execute(
            action, Policy(_BATCH), self.builder.store, into, threading.Event()
        )
        return set(outcome.stdout.read_text().split())

    def store_is_whole(self) -> bool:
        """Whether the store still holds the input and the builder's tree as they were put."""
        store = self.builder.store
        trees = (self.input(), self.builder.root)
        return all(store.put_tree(store.checkout(tree, EPOCH)) == tree for tree in trees)


def _came(line: dict[str, str]) -> Came:
    assert line["outcome"] != "broken", line
    return Came(possible=line["outcome"] == "possible", detail=line["detail"])


def _longest(outcome: Ended) -> int:
    return max(outcome.stdout.stat().st_size, outcome.stderr.stat().st_size)
