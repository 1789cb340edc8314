"""Two paths that change places: what lies where afterwards, and what is said where it fails."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from containers.host import rename

if TYPE_CHECKING:
    from pathlib import Path


def test_two_folders_change_places(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / f"in {folder.name}").touch()
    rename.exchange(first, second)
    assert [path.name for path in first.iterdir()] == ["in second"]
    assert [path.name for path in second.iterdir()] == ["in first"]


def test_a_file_and_a_folder_change_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder").mkdir()
    rename.exchange(tmp_path / "file", tmp_path / "folder")
    assert (tmp_path / "file").is_dir()
    assert (tmp_path / "folder").read_text() == "content"


def test_what_is_missing_is_an_error_and_nothing_moves(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for first, second in (("there", "missing"), ("missing", "there")):
        with pytest.raises(FileNotFoundError) as caught:
            rename.exchange(tmp_path / first, tmp_path / second)
        assert caught.value.errno == errno.ENOENT
        assert caught.value.filename == str(tmp_path / second)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
