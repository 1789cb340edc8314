"""A store for what is read from builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store, closed at the end."""
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()
