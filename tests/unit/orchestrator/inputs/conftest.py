"""What the tests of inputs share: a world, a spec with a person's files, a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.spec import model as specs
from orchestrator.store import Store
from tests.unit.orchestrator.inputs import second_root_world
from tests.unit.orchestrator.inputs import world as worlds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.spec.model import Spec


@pytest.fixture(name="world")
def _world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> worlds.World:
    return worlds.make(monkeypatch, tmp_path)


@pytest.fixture(name="spec")
def _spec(tmp_path: Path) -> Spec:
    folder = tmp_path / "project"
    folder.mkdir()
    return worlds.write_spec(folder)


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture(name="debian")
def _debian(world: worlds.World) -> second_root_world.Debian:
    return second_root_world.publish(world)


@pytest.fixture(name="wanted")
def _wanted(spec: Spec) -> Spec:
    text = worlds.SPEC + second_root_world.TABLE
    return specs.parse(text, spec.folder / "sourcery.toml")
