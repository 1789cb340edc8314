"""A store under faults, killed, full or unreadable: nothing is lost, and the same comes of it.

The faults are planted in the calls themselves (`tests.integration.faults`), but for kills at a time
and disks that really run full.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.integration.faults import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

# In memory: what is looked for does not depend on the disk, and syncing one takes its time.
MEMORY = Path("/dev/shm")  # noqa: S108 - the folder inside has a name of its own


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="sourcery-faults-") as folder:
        yield Path(folder)


def tried(kind: str, place: Path, *before: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.integration.faults", kind, str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(kind: str, found: list[dict[str, Any]]) -> None:
    assert len(found) == POINTS[kind]
    assert [point for point in found if point["wrong"]] == []


def test_a_kill_at_any_write_loses_nothing(place: Path) -> None:
    found = tried("kill", place)
    check("kill", found)
    assert {point["met"] for point in found} == {"killed"}


def test_a_disk_without_room_from_any_write_on_loses_nothing(place: Path) -> None:
    found = tried("full", place)
    check("full", found)
    # At the end files are only removed.
    assert sum("No space left on device" in point["met"] for point in found) >= 30


def test_a_read_error_at_any_point_loses_nothing(place: Path) -> None:
    found = tried("read", place)
    check("read", found)
    # The others were healed, or left out.
    assert any("Input/output error" in point["met"] for point in found)


def test_a_kill_at_any_time_loses_nothing(place: Path) -> None:
    check("clock", tried("clock", place))


def test_a_disk_that_runs_full_loses_nothing(place: Path) -> None:
    unshare = shutil.which("unshare")
    alone = [unshare or "unshare", "--map-root-user", "--mount"]
    if unshare is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    found = tried("disk", place, *alone)
    check("disk", found)
    assert sum("No space left on device" in point["met"] for point in found) >= 8
