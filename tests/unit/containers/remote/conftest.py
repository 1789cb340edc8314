"""A store, a farm in memory, and an engine on it."""

# ruff: noqa: ANN401 - settings of many types

from __future__ import annotations

import base64
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from containers.action import Action, Mount
from containers.policy import Policy
from containers.remote.engine import RemoteEngine
from containers.remote.farm import Farm, Settings, Workers
from orchestrator.store import Store
from reproducibility.manifest import Tree
from tests.fake_farm import FakeFarm
from tests.fake_isolation import FakeIsolation
from tests.fakes import action

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from containers.engine import Outcome
    from tests.fake_farm import Work

WORKERS = {"amd64": Workers((("OSFamily", "linux"),), 2)}


class Bench:
    """An engine on a farm in memory. `notes`: what it told."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.store = Store(folder / "store")
        stack.callback(self.store.close)
        self.notes: list[str] = []
        self.stop = threading.Event()
        self.farm = FakeFarm(folder)

    def serve(self, table: Mapping[str, Work], **how: Any) -> FakeFarm:
        """Start another farm in its place."""
        self.farm = self._stack.enter_context(FakeFarm(self._folder, dict(table), **how))
        return self.farm

    def engine(self, **settings: Any) -> RemoteEngine:
        """An engine on the farm."""
        said = {"workers": WORKERS, "patience": 20, **settings}
        farm = Farm(self.farm.address, **said)
        made = RemoteEngine(Settings(farm, lambda *_: Tree(), self.notes.append), FakeIsolation())
        return self._stack.enter_context(made)

    def run(self, engine: RemoteEngine, wanted: Action, policy: Policy | None = None) -> Outcome:
        """Run an action."""
        return engine.run(wanted, policy or Policy(), self.store, self.stop)

    def tree(self, files: Mapping[str, bytes], programs: frozenset[str] = frozenset()) -> Tree:
        """A tree in the store."""
        with self.store.temporary() as folder:
            for path, content in files.items():
                place = folder / "tree" / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                place.chmod(0o755 if path in programs else 0o644)
            (folder / "tree").mkdir(exist_ok=True)
            return self.store.put_tree(folder / "tree")

    def content(self, outcome: Outcome) -> dict[str, bytes]:
        """The files of an outcome."""
        return {e.path: self.store.read(e.content) for e in outcome.tree.files()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def mounted(name: str, tree: Tree, **changes: object) -> Action:
    """An action with one input tree."""
    return action(name, mounts=(Mount("/in", tree),), **changes)


def of_unknown_kind(pem: bytes, kind: str) -> bytes:
    """A key or a certificate in PEM form, in which an algorithm has a number that nobody knows.

    `kind`: the number (OID) that it has, in hexadecimal digits of its DER.
    """
    first, *lines, last = pem.splitlines(keepends=True)
    data, known = base64.b64decode(b"".join(lines)), bytes.fromhex(kind)
    assert data.count(known) == 1
    changed = data.replace(known, known[:-1] + b"\x77")
    return first + base64.encodebytes(changed) + last
