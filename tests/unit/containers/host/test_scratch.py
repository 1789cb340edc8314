"""Scratch folders go with their process, and what a killed one left goes with the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from containers.host.scratch import Scratch, living, remove, sweep
from reproducibility.errors import InfrastructureError

_CHECKOUT = Path(__file__).resolve().parents[4]
_KILLED = """
import os, pathlib, signal, sys
from containers.host.scratch import Scratch
scratch = Scratch(pathlib.Path(sys.argv[1]), "engine")
(scratch.folder / "file").write_text("left behind")
print(scratch.folder.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_closed_folder_is_gone(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "deep" / "parent", "engine")
    assert scratch.folder.is_dir()
    assert scratch.folder.stat().st_mode & 0o777 == 0o700
    (scratch.folder / "file").write_text("x")
    scratch.close()
    assert list((tmp_path / "deep" / "parent").iterdir()) == []


def test_live_folders_are_left_alone(tmp_path: Path) -> None:
    first = Scratch(tmp_path, "engine")
    second = Scratch(tmp_path, "engine")
    assert second.swept == []
    assert sweep(tmp_path, "engine") == []
    assert first.folder.is_dir()
    assert first.folder != second.folder
    first.close()
    second.close()


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(_CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    name = done.stdout.strip()
    assert (tmp_path / name / "file").exists(), done.stderr
    other = Scratch(tmp_path, "other")
    assert other.swept == []
    scratch = Scratch(tmp_path, "engine")
    assert scratch.swept == [name]
    assert not (tmp_path / name).exists()
    scratch.close()
    other.close()


def test_a_lock_stays_until_what_else_its_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "engine-gone.lock").write_text("")
    removed: list[str] = []

    def fail(name: str) -> None:
        raise InfrastructureError(f"cannot remove what {name} left")

    with pytest.raises(InfrastructureError, match="what engine-gone left"):
        Scratch(tmp_path, "engine", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["engine-gone.lock"]
    Scratch(tmp_path, "engine", removed.append).close()
    assert removed == ["engine-gone"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_stays_where_something_else_is_left(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "engine")
    scratch.close(clean=False)
    assert [path.name for path in tmp_path.iterdir()] == [f"{scratch.folder.name}.lock"]
    assert sweep(tmp_path, "engine") == [scratch.folder.name]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InfrastructureError, match="cannot make a scratch folder"):
        Scratch(tmp_path / "file", "engine")


def test_removing_does_not_mind_modes_links_or_special_files(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    folder = tmp_path / "folder"
    (folder / "closed" / "inner").mkdir(parents=True)
    (folder / "closed" / "inner" / "file").write_text("x")
    (folder / "link").symlink_to(outside)
    (folder / "closed" / "link").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    (folder / "closed" / "inner").chmod(0)
    (folder / "closed").chmod(0)
    folder.chmod(0)
    remove(folder)
    assert not folder.exists()
    assert (outside / "kept").read_text() == "kept"


def test_removing_does_not_mind_depth(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
    remove(folder)
    assert not folder.exists()


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    remove(tmp_path / "absent")


def test_a_living_process_is_told_from_one_that_is_gone(tmp_path: Path) -> None:
    assert not living(tmp_path, "engine")
    scratch = Scratch(tmp_path, "engine")
    assert living(tmp_path, "engine")
    assert not living(tmp_path, "other")
    scratch.close()
    (tmp_path / "engine-0.lock").touch()
    (tmp_path / "engine-1.lock").mkdir()
    assert not living(tmp_path, "engine")
