"""Digests of an earlier build's files, begun early, and which of them count when asked for."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator import resources
from orchestrator.artifacts.earlier_files import EarlierFiles
from reproducibility import digest as digests
from reproducibility.errors import Stopped
from tests import results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reproducibility.digest import Digest

NAME = "sourcery.img"
SPEC, LOCK, OTHER = (digests.of_bytes(word) for word in (b"spec", b"lock", b"another"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output directory with a result of the spec and the lock, and one file."""
    folder = tmp_path / "out"
    folder.mkdir()
    said = results.document(spec=str(SPEC), lock=str(LOCK), tool=resources.VERSION)
    (folder / "result.json").write_text(json.dumps(said))
    (folder / NAME).write_bytes(b"an image")
    return folder


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were hashed, in their order."""
    names: list[str] = []
    measured = digests.measured

    def noting(path: Path, **arguments: object) -> object:
        names.append(path.name)
        return measured(path, **arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(digests, "measured", noting)
    return names


def begun(out: Path, pool: ThreadPoolExecutor, *, lock: Digest = LOCK) -> EarlierFiles:
    """The files of an output directory, whose digests are known by now if they were begun."""
    files = EarlierFiles(out)
    files.begin(pool, [NAME], spec=SPEC, lock=lock, stop=threading.Event())
    pool.submit(int).result()
    return files


def test_a_file_that_is_the_same_is_hashed_once(
    out: Path, pool: ThreadPoolExecutor, hashed: list[str]
) -> None:
    files = begun(out, pool)
    assert files.digest(NAME) == digests.of_bytes(b"an image")
    assert hashed == [NAME]


def written(path: Path) -> None:
    """Other bytes of the same length, with the old time."""
    before = path.stat()
    path.write_bytes(b"an imagf")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"an imagf")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


@pytest.mark.parametrize("change", [written, replaced])
def test_a_file_that_changed_since_is_hashed_again(
    out: Path, pool: ThreadPoolExecutor, change: Callable[[Path], None]
) -> None:
    files = begun(out, pool)
    assert digests.of_file(out / NAME) == files.digest(NAME)
    change(out / NAME)
    assert files.digest(NAME) == digests.of_bytes(b"an imagf")


def test_nothing_begins_for_another_lock(
    out: Path, pool: ThreadPoolExecutor, hashed: list[str]
) -> None:
    files = begun(out, pool, lock=OTHER)
    assert hashed == []
    assert files.digest(NAME) == digests.of_bytes(b"an image")


def test_nothing_begins_without_a_result(
    out: Path, pool: ThreadPoolExecutor, hashed: list[str]
) -> None:
    (out / "result.json").write_text("{}")
    begun(out, pool)
    assert hashed == []


def test_a_file_that_is_gone(out: Path, pool: ThreadPoolExecutor) -> None:
    (out / NAME).unlink()
    files = begun(out, pool)
    with pytest.raises(FileNotFoundError):
        files.digest(NAME)


def test_a_wish_to_stop_ends_the_hashing(out: Path, pool: ThreadPoolExecutor) -> None:
    stop = threading.Event()
    stop.set()
    files = EarlierFiles(out)
    files.begin(pool, [NAME], spec=SPEC, lock=LOCK, stop=stop)
    with pytest.raises(Stopped):
        files.digest(NAME)


def a_link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("on another disk")))


def a_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [a_link, a_broken_link, a_folder, a_pipe])
@pytest.mark.parametrize("early", [True, False])
def test_what_is_no_regular_file_is_not_taken_over(
    out: Path, tmp_path: Path, pool: ThreadPoolExecutor, change: Callable[[Path], None], early: bool
) -> None:
    change(out / NAME)
    files = begun(out, pool) if early else EarlierFiles(out)
    for ask in (files.size, files.digest, lambda name: files.link(name, tmp_path / "new")):
        with pytest.raises(OSError, match=NAME):
            ask(NAME)
    assert not os.path.lexists(tmp_path / "new")


def test_a_link_to_the_file_that_was_hashed_does_not_count(
    out: Path, pool: ThreadPoolExecutor
) -> None:
    files = begun(out, pool)
    assert files.digest(NAME) == digests.of_bytes(b"an image")
    a_link(out / NAME)
    with pytest.raises(OSError, match=NAME):
        files.digest(NAME)
