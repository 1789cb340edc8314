"""The store's locks on keys: threads, processes, and what killed ones leave."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.store import HeldError, Store
from reproducibility import digest
from reproducibility.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.orchestrator.conftest import Child

KEY = digest.of_bytes(b"key")
OTHER = digest.of_bytes(b"another key")
# Who holds which lock, and who waits for it (proc_locks(5)).
LOCKS = Path("/proc/locks")


def test_only_one_thread_holds_a_key(store: Store) -> None:
    inside: list[int] = []
    most = 0

    def work() -> None:
        nonlocal most
        for _ in range(20):
            with store.only_one(KEY):
                inside.append(1)
                most = max(most, len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not list((store.root / "scratch").glob(f"{KEY.hex}*"))


def test_two_keys_do_not_wait_for_each_other(store: Store) -> None:
    with store.only_one(KEY), store.only_one(OTHER):
        pass


@pytest.mark.parametrize("error", [FileNotFoundError, ValueError, KeyboardInterrupt, Stopped])
def test_an_error_under_a_lock_is_passed_on_and_lets_go(
    store: Store, error: type[BaseException]
) -> None:
    with pytest.raises(error), store.only_one(KEY):
        raise error("inside")
    with store.only_one(KEY):
        pass


def test_who_does_not_wait_is_told_who_holds_a_lock(store: Store) -> None:
    with store.alone(KEY):
        with pytest.raises(HeldError, match=f"process {os.getpid()} ") as caught, store.alone(KEY):
            pytest.fail("two hold it")
        assert caught.value.process == f"process {os.getpid()}"
        with store.alone(OTHER):
            pass
    with store.only_one(KEY), pytest.raises(HeldError, match="another process"), store.alone(KEY):
        pytest.fail("two hold it")
    with store.alone(KEY):
        pass
    assert not list((store.root / "scratch").glob(f"{KEY.hex}*"))


def test_a_lock_that_a_killed_process_left_hinders_nobody(store: Store) -> None:
    (store.root / "scratch" / f"{KEY.hex}.lock").write_text("1")
    with store.alone(KEY):
        pass


def test_a_lock_whose_file_cannot_be_removed_is_let_go_of(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("no")

    for held in (store.only_one, store.alone):
        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", refused)
            patched.setattr(Path, "unlink", refused)
            with pytest.raises(PermissionError), held(KEY):
                pass
        # It could not be taken at once if its descriptor were still open.
        with store.alone(KEY):
            pass


def test_waiting_for_a_lock_can_be_stopped(store: Store) -> None:
    stop = threading.Event()
    with store.only_one(KEY, stop):
        stop.set()
        with pytest.raises(Stopped), store.only_one(KEY, stop):
            pytest.fail("two hold it")
    with store.only_one(KEY, stop):
        pass


def test_waiting_for_a_store_that_is_tidied_up_can_be_stopped(store: Store) -> None:
    store.close()
    stop = threading.Event()
    stop.set()
    with (store.root / "lock").open("ab") as collecting:
        fcntl.flock(collecting, fcntl.LOCK_EX)
        with pytest.raises(Stopped):
            Store(store.root, stop)
    Store(store.root, stop).close()


def test_a_lock_on_a_file_that_its_last_holder_removed_is_no_lock(store: Store) -> None:
    place = store.root / "scratch" / f"{KEY.hex}.lock"
    entered = threading.Event()

    def wait() -> None:
        with store.only_one(KEY):
            entered.set()

    waiting = threading.Thread(target=wait)
    with place.open("ab") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        waiting.start()
        waited_for = f":{place.stat().st_ino} "
        for _ in range(1000):
            if any("->" in line and waited_for in line for line in LOCKS.read_text().splitlines()):
                break
            time.sleep(0.01)
        place.unlink()
        with store.only_one(KEY):
            fcntl.flock(holder, fcntl.LOCK_UN)
            assert not entered.wait(0.3)
    waiting.join()
    assert entered.is_set()


def test_a_lock_waits_for_another_process_and_dies_with_it(store: Store, holder: Child) -> None:
    stop = threading.Event()
    entered = threading.Event()

    def wait() -> None:
        with store.only_one(KEY, stop):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(0.3)
    holder.kill()
    assert entered.wait(60)
    waiting.join()


def test_two_processes_that_run_the_same_action_compute_once(
    store: Store, child: Callable[..., Child]
) -> None:
    code = """
store = Store(Path(sys.argv[1]))
tell("open")
told()
with store.only_one(KEY):
    if store.recall("kind", KEY) is None:
        with Path(sys.argv[2]).open("ab") as runs:
            runs.write(b"x")
        store.remember("kind", KEY, {"made": str(store.put_bytes(b"result"))})
print(store.read(Digest.parse(store.recall("kind", KEY)["made"])).decode())
"""
    runs = store.root.parent / "runs"
    children = [child(code, store.root, runs) for _ in range(2)]
    assert [one.told() for one in children] == ["open", "open"]
    for one in children:
        one.tell("go")
    assert [one.told() for one in children] == ["result", "result"]
    assert runs.read_bytes() == b"x"


def test_two_processes_put_the_same_blobs(store: Store, child: Callable[..., Child]) -> None:
    code = """
store = Store(Path(sys.argv[1]))
tell("open")
told()
for number in range(200):
    store.put_bytes(b"%d" % number * 1000)
tell("done")
"""
    children = [child(code, store.root) for _ in range(2)]
    assert [one.told() for one in children] == ["open", "open"]
    for one in children:
        one.tell("go")
    assert [one.told() for one in children] == ["done", "done"]
    assert [one.end() for one in children] == [0, 0]
    assert store.verify() == (200, [])
    for number in range(200):
        content = b"%d" % number * 1000
        assert store.read(digest.of_bytes(content)) == content


def test_a_lock_that_is_removed_while_it_is_looked_at_is_no_obstacle(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = store.root / "scratch" / f"{KEY.hex}.lock"
    seen = []
    look = os.lstat

    def then_remove(path: object, **rest: object) -> os.stat_result:
        status = look(path, **rest)  # type: ignore[arg-type]
        if str(path) == str(place):
            seen.append(path)
            place.unlink(missing_ok=True)
        return status

    taken: list[Path] = []
    monkeypatch.setattr(os, "lstat", then_remove)
    monkeypatch.setattr("containers.host.durable.move_aside", lambda *a: taken.append(a[0]))
    place.touch()
    with store.only_one(KEY):
        pass
    assert taken == []
