"""Unit tests write into memory, where the machine has room for that.

They write little, and sync it often: on a disk that others write to, a test waits for their bytes
too, and much of the unit tests' time is spent so. Nothing that they look at depends on the disk;
the integration tests work on one. `--basetemp` names another folder, which is kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host.durable import remove_folder

if TYPE_CHECKING:
    import pytest

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder inside has a name of its own
# More than three sessions at once have ever taken.
_ROOM = 4 << 30
_made: list[Path] = []


def pytest_configure(config: pytest.Config) -> None:
    """Let `tmp_path`, `tempfile` and what tests start use a folder in memory."""
    if config.option.basetemp is None and (folder := _in_memory()):
        _made.append(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def pytest_unconfigure() -> None:
    """Give the memory back."""
    for folder in _made:
        remove_folder(folder)


def _in_memory() -> Path | None:
    """A new folder in memory, where there is enough of it and programs may run from there."""
    try:
        if shutil.disk_usage(_MEMORY).free < _ROOM:
            return None
        # Short: tests lay sockets below it, whose paths have at most 107 bytes (unix(7)).
        folder = Path(tempfile.mkdtemp(dir=_MEMORY, prefix="unit-"))
    except OSError:
        return None
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    try:
        subprocess.run([program], check=True)
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(folder)
        return None
    program.unlink()
    return folder
