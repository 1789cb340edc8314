"""What isolates on workers, as the remote engine is given it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.remote.farm import Farm, Workers
from orchestrator import farm
from orchestrator.golang import launcher
from orchestrator.inputs import Clients, worker_tools
from orchestrator.lock import file as locks
from orchestrator.lock.model import RootPackage, WorkerTools
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers.remote.farm import Cache

PINNED = WorkerTools(
    packages=(
        RootPackage(
            package="bubblewrap",
            version="0.12.0-1",
            suite="trixie",
            where="pool/main/b/bubblewrap/bubblewrap_0.12.0-1_arm64.deb",
            size=1,
            sha256=digests.sha256_of_bytes(b"p"),
            blake3=digests.of_bytes(b"p"),
        ),
    ),
    tree=digests.of_bytes(b"t"),
)
LOCK = locks.load(Path(__file__).parents[3] / "sourcery.lock").model_copy(
    update={"workers": {"arm64": PINNED}}
)
PROGRAM = Tree([file("launcher", digests.of_bytes(b"l"), 1, executable=True)])
BUBBLEWRAP = Tree([file("bwrap", digests.of_bytes(b"b"), 1, executable=True)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def test_they_are_the_launcher_and_what_the_lock_pins_for_that_architecture(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def built(bootstrap: Tree, architecture: str, *_: object) -> Tree:
        asked.append((bootstrap, architecture))
        return PROGRAM

    def ensured(pinned: object, *_: object) -> Tree:
        asked.append(pinned)
        return BUBBLEWRAP

    monkeypatch.setattr(launcher, "program", built)
    monkeypatch.setattr(worker_tools, "ensure", ensured)
    tools = farm.Tools(LOCK, Path(), store, Tree, Clients())
    found = tools("arm64", store, threading.Event())
    assert [entry.path for entry in found] == ["bwrap", "launcher"]
    assert asked == [PINNED, (Tree(), "arm64")]


def test_an_architecture_that_nothing_is_pinned_for_is_refused(store: Store) -> None:
    def never() -> Tree:
        raise AssertionError

    tools = farm.Tools(LOCK, Path(), store, never, Clients())
    with pytest.raises(InputError, match="pins no bubblewrap"):
        tools("riscv64", store, threading.Event())


def test_without_a_farm_there_are_no_settings(store: Store) -> None:
    tools = farm.Tools(LOCK, Path(), store, Tree, Clients())
    assert farm.settings(None, tools, lambda _: None, again=True) is None
    named = Farm("unix:/farm", {"amd64": Workers((), 2)})
    made = farm.settings(named, tools, lambda _: None, again=False)
    assert made is not None
    assert (made.farm, made.tools) == (named, tools)


def test_what_is_made_again_is_not_asked_of_the_farms_cache(store: Store) -> None:
    tools = farm.Tools(LOCK, Path(), store, Tree, Clients())
    every: tuple[Cache, ...] = ("own", "all")
    for cache in every:
        named = Farm("unix:/farm", {}, actions=3, cache=cache, key=Path("key"))
        made = farm.settings(named, tools, lambda _: None, again=True)
        assert made is not None
        assert made.farm == Farm("unix:/farm", {}, actions=3)
