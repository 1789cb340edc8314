"""A project and a mirror, for tests of locking anew; a night whose commands are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.orchestrator.nightly.project import Mirror, Project
from tests.unit.orchestrator.nightly.world import World, begin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="mirror")
def _mirror() -> Mirror:
    return Mirror()


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield from begin(tmp_path, monkeypatch)
