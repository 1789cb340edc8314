"""A test marked `needs_tools("fsck.fat", ...)` is skipped where one of them is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .samples import Blobs
from .tools import find

if TYPE_CHECKING:
    from pathlib import Path


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [
        str(name)
        for mark in item.iter_markers("needs_tools")
        for name in mark.args
        if find(str(name)) is None
    ]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")
