"""What the tests of the boot files share."""

from __future__ import annotations

import pytest

from tests.unit.orchestrator.boot.made import Memory


@pytest.fixture
def memory() -> Memory:
    return Memory()
