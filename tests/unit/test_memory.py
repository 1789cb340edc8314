"""The unit tests' folder in memory: who holds it, and what of killed sessions goes."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.unit import memory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ROOM", 0)


def claimed(parent: Path) -> tuple[Path, int]:
    found = memory.claim(parent)
    assert found is not None
    return found


def test_what_is_held_stays_and_what_nobody_holds_goes(tmp_path: Path) -> None:
    killed, of_killed = claimed(tmp_path)
    (killed / "closed").mkdir(mode=0o500)
    held = claimed(tmp_path)
    assert killed.is_dir(), "it is held"
    # As the kernel does for a process that was killed.
    os.close(of_killed)
    other = claimed(tmp_path)
    assert {*tmp_path.iterdir()} == {held[0], other[0]}
    for found in (held, other):
        memory.release(*found)
    assert not [*tmp_path.iterdir()]


def test_what_has_no_lock_goes_when_it_is_old(tmp_path: Path) -> None:
    new, old, foreign = (tmp_path / name for name in ("unit-new", "unit-old", "another"))
    for folder in (new, old, foreign):
        folder.mkdir()
    for folder in (old, foreign):
        os.utime(folder, (0, 0))
    memory.sweep(tmp_path)
    assert {*tmp_path.iterdir()} == {new, foreign}


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder, target = tmp_path / "unit-link", tmp_path / "target"
    folder.mkdir()
    target.touch()
    (folder / "in-use").symlink_to(target)
    (tmp_path / "unit-too").symlink_to(folder)
    memory.sweep(tmp_path)
    assert folder.is_dir()


@pytest.mark.parametrize("short", ["disk", "memory"])
def test_where_there_is_no_room_there_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    monkeypatch.setattr(memory, "ROOM", 1 << 20)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000 if short == "disk" else 1 << 40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(memory, "available", lambda: 1000 if short == "memory" else 1 << 40)
    assert memory.claim(tmp_path) is None
    assert not [*tmp_path.iterdir()]


def test_memory_that_is_to_be_had(tmp_path: Path) -> None:
    said = tmp_path / "meminfo"
    said.write_text("MemTotal:  24 kB\nMemFree: 3 kB\nMemAvailable:    16 kB\n")
    assert memory.available(said) == 16 << 10
    said.write_text("MemTotal:  24 kB\n")
    assert memory.available(said) == 0
    assert memory.available() > 0
