"""A project and a mirror, for tests of locking anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.orchestrator.nightly.project import Mirror, Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="mirror")
def _mirror() -> Mirror:
    return Mirror()


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Project:
    return Project(tmp_path)
