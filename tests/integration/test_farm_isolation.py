"""The same attempts from inside actions of a real farm that isolates nothing by itself.

`make test-farm` runs it, as root. `test_remote_isolation.py` makes them on a worker of our own,
which can be one that refuses things; here BuildGrid and buildbox hand the actions out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from containers.local import Ended, LocalEngine
from containers.policy import RULES, Policy
from containers.remote import isolation
from containers.remote.engine import RemoteEngine
from containers.remote.farm import Farm, Settings, Workers
from orchestrator.store import BLOB_TIME, Store
from reproducibility.conditions import STANDARD
from tests.integration import attempts_again, test_engines_policy
from tests.integration.engine_fixtures import Bench
from tests.integration.hostile.assault import Assault
from tests.integration.test_remote_isolation import tools
from tests.real_farm import LONGEST, NODES, RealFarm, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from threading import Event

    from containers.action import Action
    from containers.engine import Blobs, Capability, Identity
    from containers.policy import Enforcement
    from reproducibility.manifest import Tree
    from tests.integration.engine_fixtures import Builder
    from tests.integration.hostile.machine import Machine

pytestmark = [
    *(pytest.mark.long, pytest.mark.slow, pytest.mark.needs_network, pytest.mark.needs_sandbox),
    pytest.mark.needs_tools("unshare"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a farm"),
]

__all__ = ["tools"]  # a fixture

globals().update(
    attempts_again.again(
        # A farm ends what it runs a little after it was asked to: `test_farm.py` waits for that.
        but={"test_a_stopped_action_leaves_nothing", "test_identity_and_environment_are_fixed"}
    )
)


class OnFarm(LocalEngine):
    """The remote engine as one that leaves files in a folder, as the attempts want it."""

    # The hostile attempts come to the same as in the sandbox.
    name = "sandbox"

    def __init__(self, engine: RemoteEngine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._seen: dict[int, tuple[Enforcement, ...]] = {}
        self.workers: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    @property
    def processors(self) -> int:
        return self._engine.processors

    @property
    def identity(self) -> Identity:
        return self._engine.identity

    def capabilities(self) -> Mapping[str, Capability]:
        return self._engine.capabilities()

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """What the probe of the last action observed, if possible of one with as many processors.

        A rule that allows all of them is kept by any worker.
        """
        return self._seen.get(policy.limits.cpus) or next(iter(self._seen.values()), ())

    def execute(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event
    ) -> Ended:
        del blobs  # It is the store.
        outcome = self._engine.run(action, policy, self._store, stop)
        self._seen[policy.limits.cpus] = outcome.enforcement
        self.workers.add(outcome.worker.partition(" ")[0])
        self._store.export(outcome.tree, into / "outputs", BLOB_TIME)
        for name, said in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
            (into / name).write_bytes(self._store.read(said))
        return Ended(
            exit_status=outcome.exit_status,
            outputs=into / "outputs",
            stdout=into / "stdout",
            stderr=into / "stderr",
            seconds=outcome.seconds,
            peak_memory=outcome.peak_memory,
            ended_by=outcome.ended_by,
            cpus=outcome.cpus,
        )


@pytest.fixture(scope="module")
def on_farm(shared_store: Path, tools: Tree) -> Iterator[OnFarm]:
    """A farm, and the engine that has actions run on it."""
    prepare()
    folder = Path(tempfile.mkdtemp(prefix="farm-", dir="/var/tmp"))
    folder.chmod(0o755)
    properties = (("ISA", "x86-64"), ("OSFamily", "linux"))
    workers = {"amd64": Workers(properties, len(os.sched_getaffinity(0)))}
    try:
        with RealFarm(folder / "run", port=50_071) as running:
            farm = Farm(running.address, workers, actions=NODES, timeout=LONGEST)
            settings = Settings(farm, lambda *_: tools)
            with RemoteEngine(settings, isolation) as engine:
                yield OnFarm(engine, Store(shared_store))
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def bench(on_farm: OnFarm, builder: Builder, tmp_path: Path) -> Bench:
    return Bench(on_farm, builder, tmp_path)


@pytest.fixture
def assault(on_farm: OnFarm, hostile_builder: Builder, machine: Machine, tmp_path: Path) -> Assault:
    """The hostile attempts, from inside actions of the farm."""
    return Assault(on_farm, hostile_builder, machine, tmp_path, root=False)


def test_each_rule_was_observed_on_a_node(bench: Bench, on_farm: OnFarm) -> None:
    bench.probe("look")
    entries = bench.engine.enforcement(Policy())
    assert [entry.rule for entry in entries] == sorted(rule.name for rule in RULES)
    assert all(entry.means.startswith("observed on worker node") for entry in entries)
    assert {entry.rule for entry in entries if entry.state == "not enforced"} == {"memory"}
    assert on_farm.workers <= {f"node{number}" for number in range(1, NODES + 1)}


def test_identity_and_environment_are_fixed_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the standard conditions: the engine itself adds what others are told by variables."""
    test_engines_policy.test_identity_and_environment_are_fixed(bench, STANDARD, monkeypatch)


def test_both_nodes_run_some(bench: Bench, on_farm: OnFarm) -> None:
    """Two actions that wait for time are on two nodes."""
    on_farm.workers.clear()
    actions = [bench.builder.action("sleep", str(seconds)) for seconds in (4, 5)]
    with ThreadPoolExecutor(NODES) as pool:
        outcomes = list(pool.map(bench.run, actions))
    assert [outcome.exit_status for outcome in outcomes] == [0, 0]
    assert len(on_farm.workers) == NODES
