"""The output directory: a reader sees the old one or the new one, and nobody else's is replaced."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.host import durable, rename
from orchestrator.artifacts import folder_lock, output_directory
from reproducibility import canonical
from reproducibility.errors import InfrastructureError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.orchestrator.conftest import Child

RESULT = canonical.pretty(
    {"schema": 1, "verdict": "PASS", "image": {"path": "first"}, "cpio": {"path": "second"}}
)


def write(folder: Path, content: bytes) -> None:
    """Two files that belong together, as image and sums do."""
    (folder / output_directory.RESULT).write_bytes(RESULT)
    (folder / "first").write_bytes(content)
    (folder / "second").write_bytes(content)


def write_and_raise(folder: Path, error: type[BaseException]) -> None:
    write(folder, b"half")
    raise error("in the middle")


def build(out: Path, content: bytes) -> None:
    with output_directory.replacing(out) as fresh:
        write(fresh, content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "parent" / "out"


def test_the_first_one_is_put_in_place(out: Path) -> None:
    build(out, b"1")
    assert (out / "first").read_bytes() == b"1"
    assert names(out.parent) == ["out"]


def test_the_next_one_takes_its_place(out: Path) -> None:
    build(out, b"1")
    (out / "logs").mkdir()
    (out / "logs" / "left over.log").write_bytes(b"")
    build(out, b"2")
    assert names(out) == ["first", output_directory.RESULT, "second"]
    assert (out / "second").read_bytes() == b"2"
    assert names(out.parent) == ["out"]


def test_an_empty_folder_may_be_replaced(out: Path) -> None:
    out.mkdir(parents=True)
    output_directory.refuse_foreign(out)
    build(out, b"1")
    assert (out / "first").read_bytes() == b"1"


def test_a_reader_never_sees_half_a_result_or_none(out: Path) -> None:
    build(out, b"0")
    done = threading.Event()
    seen: list[object] = []

    def read() -> None:
        while not done.is_set():
            try:
                # An open folder is one result, whatever happens to its name.
                folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                seen.append(error)
                return
            try:
                listed = sorted(os.listdir(folder))  # noqa: PTH208 - by descriptor
                if listed and listed != ["first", output_directory.RESULT, "second"]:
                    # Only one that is being removed may lack files; then it is not `out` any more.
                    same = os.path.samestat(os.fstat(folder), out.stat())
                    seen.extend([listed] if same else [])
            finally:
                os.close(folder)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(40):
        build(out, b"%d" % number)
    done.set()
    for reader in readers:
        reader.join()
    assert seen == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, InfrastructureError])
def test_a_failure_leaves_the_old_one(out: Path, error: type[BaseException]) -> None:
    build(out, b"1")
    with pytest.raises(error), output_directory.replacing(out) as fresh:
        write_and_raise(fresh, error)
    assert (out / "first").read_bytes() == b"1"
    assert names(out.parent) == ["out"]


def test_a_failure_of_the_first_one_leaves_nothing(out: Path) -> None:
    with pytest.raises(ValueError, match="middle"), output_directory.replacing(out):
        raise ValueError("in the middle")
    assert names(out.parent) == []


def fail(number: int) -> Callable[..., None]:
    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


def test_a_failure_to_put_it_in_place_leaves_the_old_one(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(out, b"1")
    monkeypatch.setattr(rename, "exchange", fail(errno.EIO))
    with pytest.raises(InfrastructureError, match="Input/output") as caught:
        build(out, b"2")
    assert caught.value.subject == str(out)
    assert (out / "first").read_bytes() == b"1"
    assert names(out.parent) == ["out"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_exchange(
    out: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    build(out, b"1")
    monkeypatch.setattr(rename, "exchange", fail(number))
    build(out, b"2")
    assert (out / "first").read_bytes() == b"2"
    assert names(out.parent) == ["out"]


def test_without_exchange_too_a_failure_leaves_the_old_one(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(out, b"1")
    monkeypatch.setattr(rename, "exchange", fail(errno.EINVAL))
    renamed = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "out" and self != out:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InfrastructureError, match="No space"):
        build(out, b"2")
    assert (out / "first").read_bytes() == b"1"
    assert names(out.parent) == ["out"]


def test_every_file_is_on_the_disk_before_the_exchange(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, exchange = durable.sync, rename.exchange

    def synced(path: Path) -> None:
        order.append(path.name)
        sync(path)

    def exchanged(first: Path, second: Path) -> None:
        order.append("exchange")
        exchange(first, second)

    build(out, b"1")
    monkeypatch.setattr(durable, "sync", synced)
    monkeypatch.setattr(rename, "exchange", exchanged)
    with output_directory.replacing(out) as fresh:
        write(fresh, b"2")
        (fresh / "logs").mkdir()
        (fresh / "logs" / "log").write_bytes(b"")
    before = order[: order.index("exchange")]
    assert {"first", "second", "log", output_directory.RESULT, "out"} <= set(before)
    assert order[-1] == "parent"


# -- what is not ours ------------------------------------------------------------------------------


def test_nothing_there_is_fine(out: Path) -> None:
    output_directory.refuse_foreign(out)


def photos(out: Path) -> None:
    out.mkdir(parents=True)
    (out / "holiday.jpg").write_bytes(b"")


def another_result(out: Path) -> None:
    photos(out)
    (out / output_directory.RESULT).write_text('{"score": 3}')


def no_json(out: Path) -> None:
    photos(out)
    (out / output_directory.RESULT).write_text("{")


def a_folder_of_that_name(out: Path) -> None:
    (out / output_directory.RESULT).mkdir(parents=True)


def a_file(out: Path) -> None:
    out.parent.mkdir(exist_ok=True)
    out.write_bytes(b"")


def a_link(out: Path) -> None:
    (out.parent / "elsewhere").mkdir(parents=True, exist_ok=True)
    out.symlink_to("elsewhere")


def a_dangling_link(out: Path) -> None:
    out.parent.mkdir(exist_ok=True)
    out.symlink_to("nowhere")


FOREIGN = [
    photos, another_result, no_json, a_folder_of_that_name, a_file, a_link, a_dangling_link,
]  # fmt: skip


@pytest.mark.parametrize("make", FOREIGN)
def test_what_no_build_made_is_refused(out: Path, make: Callable[[Path], None]) -> None:
    make(out)
    with pytest.raises(InputError) as caught:
        output_directory.refuse_foreign(out)
    assert caught.value.subject == str(out)
    assert "--out" in caught.value.remedy


@pytest.mark.parametrize("make", FOREIGN)
def test_what_came_there_during_the_build_is_refused_too(
    out: Path, make: Callable[[Path], None]
) -> None:
    with pytest.raises(InputError), output_directory.replacing(out):
        make(out)
    assert os.path.lexists(out)
    assert not (out / "first").exists()


# -- work in progress ------------------------------------------------------------------------------

_BUILD = """
from orchestrator.artifacts import folder_lock, output_directory
with output_directory.replacing(Path(sys.argv[1])) as fresh:
    (fresh / "half").write_bytes(b"half")
    tell(fresh)
    told()
    (fresh / "result.json").write_text('{"schema": 1, "verdict": "PASS", "image": {}}')
"""


def test_what_a_killed_build_left_goes_and_what_a_living_one_makes_stays(
    out: Path, child: Callable[..., Child]
) -> None:
    build(out, b"1")
    killed, living = child(_BUILD, out), child(_BUILD, out.with_name("other"))
    left, kept = killed.told(), living.told()
    killed.kill()
    assert Path(left).exists()
    assert (out / "first").read_bytes() == b"1"
    build(out, b"2")
    assert not Path(left).exists()
    assert Path(kept, "half").exists()
    living.tell("go on")
    assert living.end() == 0
    assert names(out.parent) == ["other", "out"]
    assert (out / "first").read_bytes() == b"2"


def test_two_builds_into_one_place_leave_one_whole_result(
    out: Path, child: Callable[..., Child]
) -> None:
    children = [child(_BUILD, out) for _ in range(2)]
    for one in children:
        assert one.told()
    for one in children:
        one.tell("go on")
    assert [one.end() for one in children] == [0, 0]
    assert names(out) == ["half", output_directory.RESULT]
    assert names(out.parent) == ["out"]


def test_who_holds_the_folder_changes_the_one_that_lies_there(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence is written by path: it must not get into the folder of the next build."""
    build(out, b"1")
    waiting, real = threading.Event(), fcntl.flock

    def flock(handle: int, how: int) -> None:
        waiting.set()
        real(handle, how)

    handle = folder_lock.take(out)
    monkeypatch.setattr(fcntl, "flock", flock)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(build, out, b"2")
        while not waiting.wait(0.01) and not building.done():
            pass
        assert (out / "first").read_bytes() == b"1"
        (out / output_directory.AUDIT).write_text('{"schema": 1, "audited": {}}')
        os.close(handle)
        building.result()
    assert (out / "first").read_bytes() == b"2"
    assert not (out / output_directory.AUDIT).exists()


# -- what comes to lie there during the build ------------------------------------------------------


@pytest.mark.parametrize("number", [None, errno.EINVAL])
def test_a_persons_file_that_came_meanwhile_stays(
    out: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    build(out, b"1")
    if number is not None:
        monkeypatch.setattr(rename, "exchange", fail(number))
    with output_directory.replacing(out) as fresh:
        write(fresh, b"2")
        (out / "notes.txt").write_bytes(b"mine")
    assert (out / "first").read_bytes() == b"2"
    assert (out / "notes.txt").read_bytes() == b"mine"
    assert names(out) == ["first", "notes.txt", output_directory.RESULT, "second"]
    assert names(out.parent) == ["out"]


def test_beside_the_first_result_of_another_build_it_stays_too(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = Path.rename

    def others_first(self: Path, target: Path) -> Path:
        if target == out and not out.exists():
            out.mkdir()
            write(out, b"1")
            (out / "notes.txt").write_bytes(b"mine")
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", others_first)
    build(out, b"2")
    assert (out / "first").read_bytes() == b"2"
    assert (out / "notes.txt").read_bytes() == b"mine"
    assert names(out.parent) == ["out"]


_BUILD_WITHIN = "import os; os.chdir(sys.argv[1])" + _BUILD


@pytest.mark.parametrize("begun", ["before", "meanwhile"])
def test_a_folder_in_which_another_build_works_is_not_moved_away(
    out: Path, child: Callable[..., Child], begun: str
) -> None:
    """It stands in the folder, and so fills it."""
    build(out, b"1")
    others: list[Child] = []

    def begin() -> None:
        others.append(child(_BUILD_WITHIN, out))
        assert Path(others[0].told()).is_relative_to(out)

    if begun == "before":
        begin()
    with output_directory.replacing(out) as fresh:
        write(fresh, b"2")
        if begun == "meanwhile":
            begin()
    assert (out / "first").read_bytes() == b"2"
    others[0].tell("go on")
    assert others[0].end() == 0
    assert names(out) == ["half", output_directory.RESULT]
    assert names(out.parent) == ["out"]


def test_a_folder_in_which_a_killed_build_worked_is_replaced(
    out: Path, child: Callable[..., Child]
) -> None:
    build(out, b"1")
    killed = child(_BUILD_WITHIN, out)
    assert killed.told()
    killed.kill()
    before = out.stat().st_ino
    build(out, b"2")
    assert out.stat().st_ino != before
    assert names(out) == ["first", output_directory.RESULT, "second"]


@pytest.mark.parametrize("shared", [False, True])
def test_waiting_for_who_holds_the_folder_can_be_stopped(out: Path, *, shared: bool) -> None:
    build(out, b"1")
    if shared:
        (out / "notes.txt").touch()
    before = names(out)
    stop = threading.Event()

    def stop_while_it_is_held() -> None:
        with ExitStack() as held, output_directory.replacing(out, stop) as fresh:
            write(fresh, b"2")
            held.callback(os.close, folder_lock.take(out))
            stop.set()

    with pytest.raises(Stopped):
        stop_while_it_is_held()
    assert (out / "first").read_bytes() == b"1"
    assert names(out) == before
    assert names(out.parent) == ["out"]


def test_a_narrow_umask_is_harmless(out: Path) -> None:
    before = os.umask(0o077)
    try:
        build(out, b"1")
        build(out, b"2")
    finally:
        os.umask(before)
    assert (out / "first").read_bytes() == b"2"
    assert out.stat().st_mode & 0o777 == 0o700
    assert names(out.parent) == ["out"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InfrastructureError), output_directory.replacing(tmp_path / "file" / "out"):
        pytest.fail("there is no such folder")


def test_the_working_directory_itself_can_be_the_output(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir(parents=True)
    monkeypatch.chdir(out)
    build(Path(), b"1")
    assert (out / "first").read_bytes() == b"1"
    assert names(out.parent) == ["out"]
