"""Which folders are recognised as those of nights."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.history.database import History
from orchestrator.history.header import FILE, keeps_nights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (b)")


def linked(path: Path) -> None:
    with History.open(path.parent / "elsewhere" / FILE):
        path.symlink_to(path.parent / "elsewhere" / FILE)


@pytest.mark.parametrize(
    "plant",
    [
        str,
        of_another_program,
        linked,
        os.mkfifo,
        os.mkdir,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"SQLite format 3\0"),
        lambda path: path.write_bytes(b"x" * 100),
    ],
)
def test_what_is_no_history_is_none(tmp_path: Path, plant: Callable[[Path], object]) -> None:
    plant(tmp_path / FILE)
    assert not keeps_nights(tmp_path)


def test_a_history_is_recognised_while_and_after_it_is_written(tmp_path: Path) -> None:
    with History.open(tmp_path / FILE):
        assert keeps_nights(tmp_path)
    assert keeps_nights(tmp_path)
