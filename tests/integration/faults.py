"""A program: a small build's work on a store, with faults planted in it.

Run as `python -m tests.integration.faults KIND FOLDER`. It counts the calls that a whole run makes,
chooses points that are spread evenly over them, and for each point: lays out a store as an earlier
build left it, runs the work with a fault at that point, runs the same again without, and looks at
what is there then. For each point it prints a line of JSON with what is not as it must be.

Kinds: `kill` (SIGKILL before, after or within the call), `full` (from that call on nothing can be
written), `read` (that call gives EIO), `clock` (SIGKILL from outside at a time), `disk` (the store
lies on a small tmpfs that runs full; the program must be root in a mount namespace of its own).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers.host import durable
from orchestrator.artifacts import output_directory
from orchestrator.image.cpio import writer as cpio
from orchestrator.store import BLOB_TIME, DamagedBlob, Store
from reproducibility import canonical, manifest, regular
from reproducibility import digest as digests
from reproducibility.errors import SourceryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POINTS = {"kill": 40, "full": 40, "read": 20, "clock": 40, "disk": 12}
KEY = digests.of_bytes(b"key")
EARLIER = digests.of_bytes(b"what an earlier build made")
_ATTEMPTS = 8
# As it is before any fault is planted.
_tell = os.write


# -- the work --------------------------------------------------------------------------------------


def content(number: int) -> bytes:
    return bytes([number]) * (number * 900)


def earlier(place: Path) -> None:
    """A store as an earlier build left it, and that build's output."""
    with closing(Store(place / "store")) as store:
        kept = manifest.Tree(
            manifest.file(f"old/{n}", store.put_bytes(content(n)), n * 900) for n in range(3)
        )
        store.remember("kind", EARLIER, {"tree": str(store.save_tree(kept))})
        store.checkout(kept, BLOB_TIME)
        publish(store, kept, place)


def work(place: Path) -> str:
    """What a build does with a store; gives the digest of all that came of it."""
    with closing(Store(place / "store")) as store:
        trees = healed(store, place)
        store.collect(unused_since=0)
    with closing(Store(place / "new")) as other:
        other.remember("kind", KEY, {"blob": str(other.put_bytes(b"content"))})
    trees.append(manifest.scan(place / "out"))
    return digests.of_bytes("".join(str(tree.digest) for tree in trees).encode()).hex


def healed(store: Store, place: Path) -> list[manifest.Tree]:
    """The step and what is made of it, again as long as damaged blobs are met."""
    for attempt in range(_ATTEMPTS):
        try:
            found = made(store)
            checkouts = [store.checkout(found, BLOB_TIME + n) for n in (0, 2)]
            publish(store, found, place)
            return [found, *map(manifest.scan, checkouts)]
        except DamagedBlob:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def made(store: Store) -> manifest.Tree:
    """The tree of a step: as it is remembered, or made."""
    known = store.recall("kind", KEY)
    if known is not None:
        with contextlib.suppress(DamagedBlob):
            tree = store.load_tree(digests.Digest.parse(known["tree"]))
            if store.holds(tree):
                return tree
    with store.only_one(KEY), store.temporary() as folder:
        for number in range(12):
            path = folder / f"work/folder {number % 3}/file {number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(number))
        tree = store.put_tree(folder / "work", move=True)
        store.remember("kind", KEY, {"tree": str(tree.digest)})
    return tree


def publish(store: Store, tree: manifest.Tree, place: Path) -> None:
    output_directory.refuse_foreign(place / "out")
    with output_directory.replacing(place / "out") as fresh:
        cpio.write(tree, store.path, fresh / "archive", epoch=BLOB_TIME, threads=1)
        document = {"schema": 1, "verdict": "PASS", "image": {"path": "archive"}}
        (fresh / output_directory.RESULT).write_bytes(canonical.pretty(document))


def lost(place: Path) -> Iterator[str]:
    """What is not as it must be after a fault, and after the same was run again."""
    with closing(Store(place / "store")) as store:
        for key in (KEY, EARLIER):
            known = store.recall("kind", key)
            if known is None:
                yield f"the record of {key} is gone"
                continue
            for entry in store.load_tree(digests.Digest.parse(known["tree"])).files():
                store.path(entry)
        if store.verify()[1] or store.damaged_records():
            yield "something is damaged"
        store.collect(unused_since=0)
    with closing(Store(place / "new")) as store:
        store.collect(unused_since=0)
    left = [path for name in ("store", "new") for path in (place / name).glob(".*")]
    left += [*(place / "store" / "scratch").iterdir(), *(place / "new" / "scratch").iterdir()]
    left += [path for path in place.iterdir() if path.name not in {"store", "new", "out"}]
    left += [path for path, _ in durable.files(place / "store" / "results") if path.name[0] == "."]
    left += (place / "store" / "damaged").iterdir()
    yield from (f"left: {path.relative_to(place)}" for path in left)


# -- faults ----------------------------------------------------------------------------------------

# What changes a disk, and what would need room on it.
_CHANGES = ("write", "sendfile", "mkdir", "link", "rename", "replace", "open", "fsync", "utime",
            "chmod", "fchmod", "unlink", "rmdir")  # fmt: skip
_NEED_ROOM = frozenset({"write", "sendfile", "mkdir", "link", "open"})
_READS = ("readv", "scandir", "lstat")


class Faults:
    """Counts calls, and lets something happen at the one with the number `at`."""

    def __init__(self, kind: str, at: int) -> None:
        self.count = 0
        self._kind = kind
        self._at = at

    def install(self) -> None:
        for name in _READS if self._kind == "read" else _CHANGES:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        if self._kind == "read":
            regular.opened = self._wrapped("opened", regular.opened)
        else:
            durable.sync_disk = self._wrapped("sync_disk", durable.sync_disk)

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the call has
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **named)
            self.count += 1
            if self._kind == "kill" and self.count == self._at:
                self._kill(name, call, arguments, named)
            if self._kind == "read" and self.count == self._at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            if self._kind == "full" and 0 < self._at <= self.count and name in _NEED_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **named)

        return instead

    def _kill(self, name: str, call: Callable[..., Any], arguments: Any, named: Any) -> None:  # noqa: ANN401
        with contextlib.suppress(OSError):
            if name == "write":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            elif self._at % 2:
                call(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)


def in_child(task: Callable[[], object], seconds: float | None = None) -> tuple[str, str]:
    """Run something in a process of its own: what it gave, and how it failed.

    `seconds`: kill it after this time.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            told = ["", str(task())]
        except (OSError, SourceryError) as error:
            told = [f"{type(error).__name__}: {error}", ""]
        except BaseException as error:  # noqa: BLE001 - told, whatever it is
            told = [f"a mistake: {error!r}", ""]
        _tell(theirs, json.dumps(told).encode())
        os._exit(0)
    os.close(theirs)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(ours, "rb") as stream:
        data = stream.read()
    os.waitpid(child, 0)
    failure, result = json.loads(data or b'["killed", ""]')
    return result, failure


def counted(kind: str, place: Path) -> str:
    faults = Faults(kind, 0)
    faults.install()
    work(place)
    return str(faults.count)


def faulty(kind: str, at: int, place: Path) -> str:
    Faults(kind, at).install()
    return work(place)


def spread(total: int, points: int) -> list[int]:
    """Points in the middle of so many parts of 1 to `total`."""
    return [1 + (2 * n + 1) * total // (2 * points) for n in range(points)]


def tried(
    place: Path, base: Path, expected: str, fault: Callable[[], tuple[str, str]]
) -> dict[str, Any]:
    """One point: the fault, the same again, and what is there then."""
    shutil.copytree(base, place, symlinks=True, dirs_exist_ok=True)
    _, met = fault()
    result, failure = in_child(lambda: work(place))
    wrong = [failure] if failure else []
    if not failure and result != expected:
        wrong.append("another digest")
    remains, failure = in_child(lambda: "\n".join(lost(place)))
    wrong += [line for line in (remains, failure) if line]
    if met.startswith("a mistake"):
        wrong.append(met)
    return {"met": met, "wrong": wrong}


def points(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    base, place = folder / "base", folder / "place"
    base.mkdir()
    in_child(lambda: earlier(base))
    shutil.copytree(base, place)
    started = time.monotonic()
    expected, failure = in_child(lambda: work(place))
    took = time.monotonic() - started
    shutil.rmtree(place)
    if failure:
        yield {"met": "", "wrong": [failure]}
        return
    if kind == "clock":
        for at in range(POINTS[kind]):
            seconds = took * (at + 0.5) / POINTS[kind]
            fault = partial(in_child, partial(work, place), seconds)
            yield tried(place, base, expected, fault)
            shutil.rmtree(place)
    elif kind == "disk":
        yield from on_small_disks(base, place, expected)
    else:
        shutil.copytree(base, place)
        total, _ = in_child(lambda: counted(kind, place))
        shutil.rmtree(place)
        for at in spread(int(total), POINTS[kind]):
            fault = partial(in_child, partial(faulty, kind, at, place))
            found = tried(place, base, expected, fault)
            yield {"at": at, "of": int(total), **found}
            shutil.rmtree(place)


def on_small_disks(base: Path, place: Path, expected: str) -> Iterator[dict[str, Any]]:
    """The same on file systems that run full at different points."""
    place.mkdir()
    least = _mounted(place, 64 << 10, base)
    most = _mounted(place, 64 << 10, base, work)
    for at in range(POINTS["disk"]):
        kib = least + (most - least) * at // (POINTS["disk"] - 1)
        _mount(place, f"size={kib}k")
        yield {"KiB": kib, **tried(place, base, expected, partial(until_full, place))}
        _run("umount", place)


def until_full(place: Path) -> tuple[str, str]:
    """The work as far as there is room; afterwards there is more."""
    found = in_child(lambda: work(place))
    _mount(place, "remount,size=64m")
    return found


def _mounted(place: Path, kib: int, base: Path, then: Callable[[Path], object] = str) -> int:
    """KiB that are in use on a large file system after something was done."""
    _mount(place, f"size={kib}k")
    shutil.copytree(base, place, symlinks=True, dirs_exist_ok=True)
    in_child(lambda: then(place))
    status = os.statvfs(place)
    _run("umount", place)
    return (status.f_blocks - status.f_bfree) * status.f_bsize >> 10


def _mount(place: Path, options: str) -> None:
    _run("mount", "-t", "tmpfs", "-o", options, "none", place)


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


def main() -> None:
    """Read the arguments, try every point, tell what was found."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    for found in points(kind, folder):
        print(json.dumps(found), flush=True)  # noqa: T201 - a program's answer


if __name__ == "__main__":
    main()
