"""Taking outputs: what was declared, at its place, with plain modes, and nothing over a link."""

from __future__ import annotations

import errno
import os
import resource
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containers.outputs import outermost, take
from containers.policy import Limits
from reproducibility.errors import ActionError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMITS = Limits(work=10 << 20, files=100)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture(params=["rename", "copy"])
def taken(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Take outputs of `tmp_path/work`, on one file system and between two."""
    if request.param == "copy":

        def refuse(*_: Any, **__: Any) -> None:  # noqa: ANN401 - as os.rename
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "rename", refuse)

    def run(*outputs: str) -> Path:
        into = tmp_path / "into"
        with opened(tmp_path / "work") as work:
            assert take(work, outputs, into, LIMITS, threading.Event()) == ""
        return into

    return run


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_declared_paths_come_out_at_their_places(work: Path, taken: Callable[..., Path]) -> None:
    (work / "out" / "deep").mkdir(parents=True)
    (work / "out" / "deep" / "file").write_text("deep")
    (work / "out" / "empty").mkdir()
    (work / "single").write_text("one")
    (work / "other").write_text("no")
    into = taken("out/deep", "single", "absent", "out/absent", "single/below")
    assert (into / "out" / "deep" / "file").read_text() == "deep"
    assert (into / "single").read_text() == "one"
    assert {path.name for path in into.iterdir()} == {"out", "single"}
    assert {path.name for path in (into / "out").iterdir()} == {"deep"}


def test_modes_become_plain(work: Path, taken: Callable[..., Path]) -> None:
    (work / "out" / "closed").mkdir(parents=True)
    for name, mode in (("a", 0), ("b", 0o4755), ("c", 0o010), ("d", 0o600)):
        (work / "out" / "closed" / name).write_text(name)
        (work / "out" / "closed" / name).chmod(mode)
    (work / "out" / "closed").chmod(0o300)
    (work / "out").chmod(0)
    into = taken("out/closed")
    found = {
        path.name: path.stat().st_mode & 0o7777 for path in (into / "out" / "closed").iterdir()
    }
    assert found == {"a": 0o644, "b": 0o755, "c": 0o755, "d": 0o644}
    assert (into / "out" / "closed").stat().st_mode & 0o7777 == 0o755
    assert (into / "out" / "closed" / "a").read_text() == "a"


def test_nothing_is_reached_over_a_link(
    work: Path, taken: Callable[..., Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    (work / "behind").symlink_to(secret)
    (work / "link").symlink_to(secret / "file")
    (work / "out").mkdir()
    (work / "out" / "link").symlink_to(secret)
    into = taken("behind/file", "link", "out")
    assert {path.name for path in into.iterdir()} == {"link", "out"}
    assert (into / "link").is_symlink()
    assert (into / "out" / "link").is_symlink()
    assert (secret / "file").read_text() == "secret"
    assert secret.stat().st_mode & 0o777 != 0


def test_special_files_stay_special(work: Path, taken: Callable[..., Path]) -> None:
    (work / "out").mkdir()
    os.mkfifo(work / "out" / "pipe")
    assert (taken("out") / "out" / "pipe").is_fifo()


def test_too_deep_a_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.joinpath(*["d"] * 300).mkdir(parents=True)

    def refuse(*_: Any, **__: Any) -> None:  # noqa: ANN401 - as os.rename
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", refuse)
    with opened(work) as descriptor, pytest.raises(ActionError, match="nested more than 200"):
        take(descriptor, ["d"], tmp_path / "into", Limits(), threading.Event())


def test_outputs_in_outputs_are_one() -> None:
    assert outermost(["out/a", "out", "output", "x/y", "x/z"]) == ["out", "output", "x/y", "x/z"]
    assert outermost(["a", "a"]) == ["a"]


def hole(path: Path, size: int) -> None:
    """A file that is one hole of so many bytes."""
    with path.open("wb") as stream:
        stream.truncate(size)


@pytest.mark.parametrize(
    ("files", "size", "limit"),
    [(10, 1 << 20, ""), (11, 1 << 20, "work"), (1, 11 << 20, "work"), (100, 0, "files")],
)
def test_outputs_are_counted_before_they_are_taken(
    work: Path, tmp_path: Path, files: int, size: int, limit: str
) -> None:
    (work / "out").mkdir()
    for number in range(files):
        hole(work / "out" / str(number), size)
    with opened(work) as descriptor:
        assert take(descriptor, ["out"], tmp_path / "into", LIMITS, threading.Event()) == limit
    assert (tmp_path / "into" / "out").exists() == (limit == "")
    assert (work / "out").exists() == (limit != "")


def test_each_name_of_a_file_counts(work: Path, tmp_path: Path) -> None:
    hole(work / "a", 4 << 20)
    os.link(work / "a", work / "b")
    os.link(work / "a", work / "c")
    with opened(work) as descriptor:
        taken = take(descriptor, ["a", "b", "c"], tmp_path / "into", LIMITS, threading.Event())
    assert taken == "work"


def test_holes_stay_holes(work: Path, taken: Callable[..., Path]) -> None:
    with (work / "out").open("wb") as stream:
        stream.write(b"start")
        stream.seek(4 << 20)
        stream.write(b"middle")
        stream.truncate(8 << 20)
    hole(work / "empty", 1 << 20)
    into = taken("out", "empty")
    data = (into / "out").read_bytes()
    assert len(data) == 8 << 20
    assert data.strip(b"\0").split(b"\0" * 1000)[0] == b"start"
    assert data[4 << 20 :].rstrip(b"\0") == b"middle"
    assert (into / "out").stat().st_blocks * 512 < 1 << 20
    assert (into / "empty").stat().st_size == 1 << 20


@pytest.mark.parametrize("after", [0, 3, 7, 9])
def test_a_wish_to_stop_is_heeded(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:  # noqa: ANN401 - as os.rename
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", refuse)
    (work / "out").mkdir()
    for number in range(3):
        (work / "out" / str(number)).write_text("x")
    stop = threading.Event()
    asked = iter(range(1000))
    monkeypatch.setattr(stop, "is_set", lambda: next(asked) >= after)
    with opened(work) as descriptor, pytest.raises(Stopped):
        take(descriptor, ["out"], tmp_path / "into", LIMITS, stop)


def test_each_level_of_folders_takes_one_descriptor(work: Path, taken: Callable[..., Path]) -> None:
    deep = work / "out"
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Sixty numbers are free below the limit, whatever else this process has open.
    taken_now = {int(place.name) for place in Path("/proc/self/fd").iterdir()}
    free = [number for number in range(soft) if number not in taken_now]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[60], hard))
    try:
        into = taken("out")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (into / deep.relative_to(work) / "file").is_file()
