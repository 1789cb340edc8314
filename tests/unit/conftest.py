"""Unit tests write into memory, where the machine has room for that.

They write little, and sync it often: on a disk that others write to, a test waits for their bytes
too, and much of the unit tests' time is spent so. Nothing that they look at depends on the disk;
the integration tests work on one. `--basetemp` names another folder, which is kept.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from tests.unit import memory

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_held: list[tuple[Path, int]] = []


def pytest_configure(config: pytest.Config) -> None:
    """Let `tmp_path`, `tempfile` and what tests start use a folder in memory."""
    if config.option.basetemp is None and (found := memory.claim()):
        _held.append(found)
        os.environ["TMPDIR"] = tempfile.tempdir = str(found[0])


def pytest_unconfigure() -> None:
    """Give the memory back."""
    for found in _held:
        memory.release(*found)
