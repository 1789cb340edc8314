"""Whether two files are the same, and how many bytes of them are not."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from orchestrator.diagnosis import counting, equal
from orchestrator.diagnosis.source import Memory, differing, first_difference, runs
from reproducibility import digest, regular
from reproducibility.errors import Stopped

SIZES = [0, 1, equal.PIECE - 1, equal.PIECE, equal.PIECE + 1, 3 * equal.PIECE + 7, 6 << 20]


def two(folder: Path, first: bytes, second: bytes) -> tuple[Path, Path]:
    for name, data in (("1", first), ("2", second)):
        (folder / name).write_bytes(data)
    return folder / "1", folder / "2"


@pytest.mark.parametrize("size", SIZES)
def test_digests_are_those_of_each_file(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    same = digest.of_bytes(data)
    assert equal.digests(*two(tmp_path, data, data)) == (same, same)
    for other in (data + b"x", data[:-1] + b"?" if data else b"y"):
        if other != data:
            found = equal.digests(*two(tmp_path, data, other))
            assert found == (same, digest.of_bytes(other))


def test_a_difference_in_the_last_byte_of_a_short_piece(tmp_path: Path) -> None:
    data = bytes(equal.PIECE + 9)
    found = equal.digests(*two(tmp_path, data, data[:-1] + b"\1"))
    assert found[0] != found[1]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(regular.IrregularFileError):
        equal.digests(*two(tmp_path, b"", b"")[:1], tmp_path / "pipe")


def test_files_that_do_not_say_their_size_are_refused(tmp_path: Path) -> None:
    """Those of /proc say 0, and have bytes all the same."""
    version, memory = Path("/proc/version"), Path("/proc/meminfo")
    empty, _ = two(tmp_path, b"", b"")
    for first, second in ((version, memory), (version, version), (empty, version)):
        with pytest.raises(regular.IrregularFileError, match="more bytes than the 0"):
            equal.digests(first, second)


def test_it_can_be_stopped(tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        equal.digests(*two(tmp_path, b"a", b"a"), stop)


@pytest.mark.parametrize("size", [1, 4096, 5000, counting.PIECE + 5])
def test_bytes_are_counted(size: int, tmp_path: Path) -> None:
    data = bytes(size)
    for at in {0, size // 2, size - 1}:
        other = bytearray(data)
        other[at] = 1
        assert counting.differing_bytes(*two(tmp_path, data, bytes(other))) == (at, 1)
        sides = Memory(data), Memory(bytes(other))
        assert first_difference(*sides) == at
        [(block, length)] = differing(*sides)
        assert block <= at < block + length
        assert runs(data, bytes(other), most=9) == [(at, at + 1)]


def test_runs_that_are_near_are_one() -> None:
    assert runs(b"a..b....................c", b"A..B....................C", most=9) == [
        (0, 4), (24, 25),
    ]  # fmt: skip
    assert len(runs(bytes(100), b"\1" + bytes(49) + b"\1" + bytes(49), most=1)) == 1
    assert first_difference(Memory(b"ab"), Memory(b"abc")) == 2
