"""What is no regular file is refused before it is read, and a file that changes is noticed."""

from __future__ import annotations

import os
import socket
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from reproducibility import digest, manifest, regular

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGE = 6 << 20


def a_socket(place: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(place))


IRREGULAR: list[tuple[str, Callable[[Path], object]]] = [
    ("a folder", lambda place: place.mkdir()),
    ("a named pipe", os.mkfifo),
    ("a socket", a_socket),
    ("a character device", lambda place: place.symlink_to("/dev/zero")),
]


@pytest.mark.parametrize(("words", "plant"), IRREGULAR)
def test_what_is_no_file_is_named_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, plant: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "x"
    plant(place.relative_to(tmp_path))
    readers: list[Callable[[Path], object]] = [
        regular.read,
        regular.opened,
        digest.of_file,
        digest.sha256_of_file,
    ]
    for read in readers:
        with pytest.raises(regular.IrregularFileError) as caught:
            read(place)
        assert caught.value.strerror == f"it is {words}, not a file"
        assert caught.value.filename == str(place)


def test_a_link_is_followed_only_where_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    link = tmp_path / "link"
    link.symlink_to("file")
    assert regular.read(link) == b"content"
    assert digest.of_file(link) == digest.of_bytes(b"content")
    for read in (regular.read, digest.of_file, digest.sha256_of_file):
        with pytest.raises(regular.IrregularFileError, match="symbolic link"):
            read(link, follow=False)


def test_nothing_there_is_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        regular.read(tmp_path / "none")


def test_a_text_has_a_largest_size(tmp_path: Path) -> None:
    place = tmp_path / "text"
    place.write_bytes(b"1234")
    assert regular.read(place, limit=4) == b"1234"
    with pytest.raises(regular.LargeFileError, match="more than 3 bytes"):
        regular.read(place, limit=3)


@pytest.mark.parametrize("size", [0, 1, 1 << 16, LARGE])
def test_no_more_is_allocated_than_the_file_has(tmp_path: Path, size: int) -> None:
    place = tmp_path / "file"
    place.write_bytes(bytes(size))
    tracemalloc.start()
    try:
        assert regular.read(place, limit=512 << 20) == bytes(size)
        assert tracemalloc.get_traced_memory()[1] < 2 * size + (1 << 18)
    finally:
        tracemalloc.stop()


def test_a_file_that_says_nothing_of_its_size_is_read_whole() -> None:
    found = regular.read("/proc/self/maps")
    assert found.count(b"\n") > 10
    assert found.endswith(b"\n")
    with pytest.raises(regular.LargeFileError):
        regular.read("/proc/self/maps", limit=10)


def test_a_file_that_grows_while_it_is_read_is_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"a" * 10)
    look = os.fstat

    def then_grow(handle: int) -> os.stat_result:
        status = look(handle)
        place.write_bytes(b"a" * 200_000)
        return status

    monkeypatch.setattr(os, "fstat", then_grow)
    assert regular.read(place) == b"a" * 200_000
    with pytest.raises(regular.LargeFileError):
        regular.read(place, limit=199_999)


def test_a_file_that_is_made_on_opening_may_be_there_or_not(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    flags = os.O_RDWR | os.O_CREAT
    for _ in range(2):
        os.close(regular.descriptor(place, follow=False, flags=flags))
    place.unlink()
    place.mkdir()
    with pytest.raises(regular.IrregularFileError, match="a folder"):
        regular.descriptor(place, follow=False, flags=flags)


def cut_short(place: Path) -> None:
    os.truncate(place, 10)


def longer(place: Path) -> None:
    with place.open("ab") as stream:
        stream.write(b"more")


def written_over(place: Path) -> None:
    with place.open("r+b") as stream:
        stream.write(b"other")
    os.utime(place, (1, 1))


@pytest.mark.parametrize("size", [100, LARGE])
@pytest.mark.parametrize("change", [cut_short, longer, written_over])
def test_a_file_that_changes_while_it_is_hashed_is_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, change: Callable[[Path], None]
) -> None:
    place = tmp_path / "file"
    place.write_bytes(bytes(size))
    read = os.readv
    changed: list[Path] = []

    def then_change(handle: int, buffers: list[memoryview]) -> int:
        count = read(handle, buffers)
        if not changed:
            changed.append(place)
            change(place)
        return count

    monkeypatch.setattr(os, "readv", then_change)
    for hash_it in (digest.of_file, digest.sha256_of_file):
        place.write_bytes(bytes(size))
        changed.clear()
        with pytest.raises(regular.ChangedFileError) as caught:
            hash_it(place)
        assert caught.value.strerror == "it changed while it was read"
        assert caught.value.filename == str(place)


def test_a_file_that_another_one_replaced_is_not_the_one_that_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"one")
    known = place.stat()
    assert digest.of_file(place, expected=known) == digest.of_bytes(b"one")
    other = tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(known.st_atime_ns, known.st_mtime_ns))
    measured = digest.measured

    def replaced(path: Path, **rest: object) -> tuple[digest.Digest, int]:
        if other.exists():
            other.rename(place)
        return measured(path, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(digest, "measured", replaced)
    (tmp_path / "folder").mkdir()
    place = place.rename(tmp_path / "folder" / "file")
    with pytest.raises(regular.ChangedFileError):
        manifest.scan(tmp_path / "folder")
