"""What the tests of the image share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.orchestrator.image.samples import Blobs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")
