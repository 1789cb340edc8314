"""What isolates on a farm's workers in locks and bundles: pinned, kept, looked up anew, carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs import bundle, resolve, worker_tools
from orchestrator.inputs.ensure import ensure
from orchestrator.lock import differences
from orchestrator.lock.file import Absent, WorkerTools
from orchestrator.store import Store
from reproducibility.errors import InfrastructureError
from tests.unit.orchestrator.inputs.second_root_world import Debian
from tests.unit.orchestrator.inputs.test_worker_tools import PACKAGES
from tests.unit.orchestrator.inputs.world import SPEC, make, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from tests.unit.orchestrator.inputs.world import World

TABLE = '\n[workers]\narchitectures = ["amd64"]\n'


class Shelf:
    """A world whose Debian has bubblewrap, a spec that asks for it, and a store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / "world").mkdir()
        self.world: World = make(monkeypatch, folder / "world")
        self.debian = Debian(self.world)
        self.debian.packages = dict(PACKAGES)
        for name in PACKAGES:
            self.debian.publish(name)
        (folder / "project").mkdir()
        self.spec: Spec = write_spec(folder / "project", SPEC + TABLE)
        self.store = Store(folder / "store")
        self.folder = folder

    def lock(self, previous: Lock | None = None, *, update: frozenset[str] = frozenset()) -> Lock:
        return resolve.lock(
            self.spec, previous, self.store, update=update, clients=self.world.clients()
        )


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    return Shelf(monkeypatch, tmp_path)


def test_it_is_pinned_and_kept(shelf: Shelf) -> None:
    first = shelf.lock()
    found = first.workers["amd64"]
    assert isinstance(found, WorkerTools)
    assert [one.package for one in found.packages] == sorted(PACKAGES)
    asked = len(shelf.debian.installing)
    assert shelf.lock(first) == first
    assert len(shelf.debian.installing) == asked
    assert shelf.lock(first, update=frozenset({"workers"})) == first
    assert len(shelf.debian.installing) == asked + 1


def test_what_changed_of_it_is_told(shelf: Shelf) -> None:
    lock = shelf.lock()
    without = lock.model_copy(update={"workers": {}})
    absent = lock.model_copy(update={"workers": {"amd64": Absent(reason="no index")}})
    assert any(
        line.startswith("workers of amd64: new, 3") for line in differences.moved(None, lock)
    )
    assert differences.moved(lock, without) == ["workers of amd64: gone"]
    assert differences.moved(lock, absent) == ["workers of amd64: not pinned: no index"]
    names = {(one.name, one.part) for one in differences.changes(without, lock)}
    assert names == {("workers", part) for part in ("", *PACKAGES)}


def test_a_bundle_carries_it_where_it_is_asked_to(shelf: Shelf) -> None:
    lock, clients = shelf.lock(), shelf.world.clients()
    ensure(lock, shelf.store, folder=shelf.spec.folder, clients=clients, artifacts=True)
    worker_tools.bring(lock, shelf.spec.folder, shelf.store, clients, artifacts=True)
    place, other = shelf.folder / "bundle", shelf.folder / "other"
    bundle.write(lock, shelf.store, place, "amd64", workers=True)
    bundle.write(lock, shelf.store, other, "amd64")
    offline = shelf.world.clients(offline=True)
    with_it, without = Store(shelf.folder / "with"), Store(shelf.folder / "without")
    bundle.read(place, lock, with_it, "amd64")
    assert worker_tools.bring(lock, shelf.spec.folder, with_it, offline)
    bundle.read(other, lock, without, "amd64")
    with pytest.raises(InfrastructureError):
        worker_tools.bring(lock, shelf.spec.folder, without, offline)


def test_what_is_pinned_otherwise_now_is_passed_over(shelf: Shelf) -> None:
    lock, clients = shelf.lock(), shelf.world.clients()
    ensure(lock, shelf.store, folder=shelf.spec.folder, clients=clients, artifacts=True)
    worker_tools.bring(lock, shelf.spec.folder, shelf.store, clients, artifacts=True)
    place = shelf.folder / "bundle"
    bundle.write(lock, shelf.store, place, "amd64", workers=True)
    other = lock.model_copy(update={"workers": {"amd64": Absent(reason="no index")}})
    store = Store(shelf.folder / "other")
    bundle.read(place, other, store, "amd64")
    found = lock.workers["amd64"]
    assert isinstance(found, WorkerTools)
    assert not any(store.has(one.blake3) for one in found.packages)
