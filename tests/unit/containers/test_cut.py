"""Output that was cut is known by its last line, and no other is taken for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from containers.cut import notice, was_cut
from containers.sandbox.supervise import Log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("limit", [80, 100, 4096])
@pytest.mark.parametrize("more", [-1, 0, 1, 1 << 20])
def test_logs_are_told_apart(tmp_path: Path, limit: int, more: int, *, known: bool) -> None:
    log = Log(tmp_path / "log", limit)
    log.write(b"x" * (limit + more))
    log.close()
    data = (tmp_path / "log").read_bytes()
    assert was_cut(data, limit if known else None) == log.cut == (more > 0)


@pytest.mark.parametrize("limit", [0, 10, 30, 79])
def test_without_room_for_a_notice_what_fills_the_limit_counts_as_cut(limit: int) -> None:
    assert was_cut(b"x" * limit, limit)
    assert not was_cut(b"x" * limit, limit + 1)
    assert was_cut(b"x" * limit, limit - 1)
    assert not was_cut(b"x" * limit, None)


@pytest.mark.parametrize(
    "last", [notice(99, 200), notice(100, 100), notice(100, 99), notice(100, 200) + b"x"]
)
def test_a_line_like_a_notice_is_none(last: bytes) -> None:
    assert was_cut(b"x" * (100 - len(notice(100, 200))) + notice(100, 200), 100)
    assert not was_cut(b"x" * (100 - len(last)) + last, 100)
