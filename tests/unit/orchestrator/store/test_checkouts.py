"""Checkouts: exactly the tree, or made again; no change to one reaches an action unseen."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.store import DamagedBlob, Store, checkouts
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import digest, manifest
from reproducibility.errors import Stopped
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.orchestrator.conftest import Child

EPOCH = 1_000_000_000
FILES = {"go.mod": b"module a\n", "src/a/a.go": b"package a\n", "bin/go": b"#!"}


@pytest.fixture
def tree(store: Store) -> Tree:
    return Tree(
        [
            *(
                manifest.file(
                    path, store.put_bytes(data), len(data), executable=path.startswith("bin/")
                )
                for path, data in FILES.items()
            ),
            manifest.directory("pkg/empty"),
        ]
    )


def times(folder: Path) -> set[float]:
    return {path.lstat().st_mtime for path in [folder, *folder.rglob("*")]}


def modes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): f"{path.lstat().st_mode & 0o7777:o}"
        for path in [folder, *folder.rglob("*")]
    }


MODES = {
    ".": "755",
    "bin": "755",
    "bin/go": "555",
    "go.mod": "444",
    "pkg": "755",
    "pkg/empty": "755",
    "src": "755",
    "src/a": "755",
    "src/a/a.go": "444",
}


@pytest.mark.parametrize("epoch", [BLOB_TIME, EPOCH])
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_a_checkout_is_the_tree_with_fixed_times_and_modes(
    store: Store, tree: Tree, epoch: int, mask: int
) -> None:
    before = os.umask(mask)
    try:
        folder = store.checkout(tree, epoch)
    finally:
        os.umask(before)
    assert manifest.scan(folder) == tree
    assert times(folder) == {epoch}
    assert modes(folder) == MODES


def test_files_are_shared_with_the_store_where_time_and_mode_allow(
    store: Store, tree: Tree
) -> None:
    shared = store.checkout(tree, BLOB_TIME)
    copied = store.checkout(tree, EPOCH)
    assert shared != copied
    for path in FILES:
        blob = store.path(tree.entries[[e.path for e in tree].index(path)])
        assert (shared / path).samefile(blob) == (not path.startswith("bin/"))
        assert not (copied / path).samefile(blob)


def test_a_blob_with_too_many_links_is_copied(
    store: Store, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK), source, None, target)

    monkeypatch.setattr(os, "link", refuse)
    folder = store.checkout(tree, BLOB_TIME)
    assert manifest.scan(folder) == tree
    assert times(folder) == {BLOB_TIME}


def test_a_checkout_is_made_once(store: Store, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store.checkout(tree, BLOB_TIME)
    monkeypatch.setattr(
        checkouts.Checkouts, "lay_out", lambda *_, **__: pytest.fail("laid out again")
    )
    assert store.checkout(tree, BLOB_TIME) == folder
    with closing(Store(store.root)) as later:
        assert later.checkout(tree, BLOB_TIME) == folder


def edit_a_shared_file(folder: Path) -> None:
    (folder / "src/a/a.go").chmod(0o644)
    (folder / "src/a/a.go").write_bytes(b"package b\n")
    (folder / "src/a/a.go").chmod(0o444)


def edit_and_hide_it(folder: Path) -> None:
    times = (folder / "src/a/a.go").stat()
    edit_a_shared_file(folder)
    os.utime(folder / "src/a/a.go", ns=(times.st_atime_ns, times.st_mtime_ns))


def edit_a_copy(folder: Path) -> None:
    status = (folder / "bin/go").stat()
    (folder / "bin/go").chmod(0o755)
    (folder / "bin/go").write_bytes(b"#?")
    (folder / "bin/go").chmod(0o555)
    os.utime(folder / "bin/go", ns=(status.st_atime_ns, status.st_mtime_ns))


def keeping_time(folder: Path, change: Callable[[], object]) -> None:
    status = folder.stat()
    change()
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove_a_file(folder: Path) -> None:
    keeping_time(folder / "src/a", (folder / "src/a/a.go").unlink)


def add_a_file(folder: Path) -> None:
    def add() -> None:
        (folder / "src/a/b.go").write_bytes(b"package a\n")
        (folder / "src/a/b.go").chmod(0o444)
        os.utime(folder / "src/a/b.go", (BLOB_TIME, BLOB_TIME))

    keeping_time(folder / "src/a", add)


def add_a_folder(folder: Path) -> None:
    def add() -> None:
        (folder / "src/b").mkdir()
        os.utime(folder / "src/b", (BLOB_TIME, BLOB_TIME))

    keeping_time(folder / "src", add)


def remove_an_empty_folder(folder: Path) -> None:
    keeping_time(folder / "pkg", (folder / "pkg/empty").rmdir)


def put_a_link_there(folder: Path) -> None:
    def change() -> None:
        (folder / "src/a/a.go").rename(folder.parent / "hidden")
        (folder / "src/a/a.go").symlink_to(folder.parent / "hidden")

    keeping_time(folder / "src/a", change)


def change_a_time(folder: Path) -> None:
    os.utime(folder / "bin/go", (BLOB_TIME, BLOB_TIME + 1))


def change_the_time_of_a_folder(folder: Path) -> None:
    os.utime(folder / "src", (BLOB_TIME, BLOB_TIME + 1))


def change_a_mode(folder: Path) -> None:
    (folder / "bin/go").chmod(0o444)


def change_the_mode_of_a_folder(folder: Path) -> None:
    (folder / "src").chmod(0o700)


def put_a_file_in_its_place(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_bytes(b"")


def put_a_dangling_link_in_its_place(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("nowhere")


TAMPERING = [
    edit_a_shared_file,
    edit_and_hide_it,
    edit_a_copy,
    remove_a_file,
    add_a_file,
    add_a_folder,
    remove_an_empty_folder,
    put_a_link_there,
    change_a_time,
    change_the_time_of_a_folder,
    change_a_mode,
    change_the_mode_of_a_folder,
    put_a_file_in_its_place,
    put_a_dangling_link_in_its_place,
]


@pytest.mark.parametrize("tamper", TAMPERING)
def test_a_checkout_that_was_tampered_with_is_made_again(
    root: Path, store: Store, tree: Tree, tamper: Callable[[Path], None]
) -> None:
    folder = store.checkout(tree, BLOB_TIME)
    tamper(folder)
    with closing(Store(root)) as later:
        try:
            again = later.checkout(tree, BLOB_TIME)
        except DamagedBlob as error:
            # The blob itself was edited through a link: whoever makes it makes it again.
            assert tamper in {edit_a_shared_file, edit_and_hide_it}
            later.put_bytes(FILES["src/a/a.go"])
            assert not later.has(error.digest) or later.read(error.digest)
            again = later.checkout(tree, BLOB_TIME)
        assert again == folder
        assert manifest.scan(again) == tree
        assert times(again) == {BLOB_TIME}
        assert modes(again) == MODES
        # It may have been in use: it was moved aside and not emptied.
        assert list((root / "damaged").iterdir())


def test_damage_found_elsewhere_makes_a_checkout_suspect(store: Store, tree: Tree) -> None:
    # The checkout shares the damaged bytes, and was found to be intact before.
    folder = store.checkout(tree, BLOB_TIME)
    edit_a_shared_file(folder)
    entry = tree.get("src/a/a.go")
    assert entry is not None
    with pytest.raises(DamagedBlob):
        store.path(entry)
    store.put_bytes(FILES["src/a/a.go"])
    again = store.checkout(tree, BLOB_TIME)
    assert (again / "src/a/a.go").read_bytes() == FILES["src/a/a.go"]


def test_a_checkout_that_another_process_moved_aside_is_made_again(
    store: Store, tree: Tree
) -> None:
    folder = store.checkout(tree, BLOB_TIME)
    folder.rename(store.root / "damaged" / "it")
    assert manifest.scan(store.checkout(tree, BLOB_TIME)) == tree


@pytest.mark.parametrize("epoch", [BLOB_TIME, EPOCH])
def test_no_checkout_is_left_where_a_blob_is_missing(store: Store, tree: Tree, epoch: int) -> None:
    for entry in list(tree.files())[:2]:
        store.path(entry).unlink()
    with pytest.raises(DamagedBlob):
        store.checkout(tree, epoch)
    assert not list((store.root / "checkouts").iterdir())
    for data in FILES.values():
        store.put_bytes(data)
    assert manifest.scan(store.checkout(tree, epoch)) == tree


def test_an_error_of_the_disk_is_no_checkout(
    store: Store, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space"):
            store.checkout(tree, EPOCH)
    assert manifest.scan(store.checkout(tree, EPOCH)) == tree


def test_many_threads_get_one_checkout(store: Store, tree: Tree) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.checkout(tree, BLOB_TIME)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert manifest.scan(found[0]) == tree


def test_two_processes_make_one_checkout(
    store: Store, tree: Tree, child: Callable[..., Child]
) -> None:
    store.save_tree(tree)
    code = """
store = Store(Path(sys.argv[1]))
tree = store.load_tree(Digest.parse(sys.argv[2]))
tell("open")
told()
folder = store.checkout(tree, int(sys.argv[3]))
tell(folder.stat().st_ino)
told()
"""
    children = [child(code, store.root, tree.digest, EPOCH) for _ in range(2)]
    assert [one.told() for one in children] == ["open", "open"]
    for one in children:
        one.tell("go")
    first, second = (one.told() for one in children)
    assert first == second != ""
    folder = store.checkout(tree, EPOCH)
    assert str(folder.stat().st_ino) == first
    assert manifest.scan(folder) == tree


@pytest.mark.parametrize("epoch", [BLOB_TIME, EPOCH])
def test_an_export_is_writable_and_shares_nothing(
    store: Store, tree: Tree, tmp_path: Path, epoch: int
) -> None:
    folder = tmp_path / "exported"
    store.export(tree, folder, epoch)
    assert manifest.scan(folder) == tree
    assert times(folder) == {epoch}
    for entry in tree.files():
        place = folder / entry.path
        assert place.stat().st_mode & 0o200
        place.write_bytes(b"changed")
        assert store.path(entry).read_bytes() == FILES[entry.path]
    with pytest.raises(FileExistsError):
        store.export(tree, folder, epoch)


# -- a wish to stop --------------------------------------------------------------------------------


def test_waiting_for_who_makes_a_checkout_can_be_stopped(store: Store, tree: Tree) -> None:
    """Another process makes the same one, for long, or is suspended."""
    stop = threading.Event()
    ended: list[type[BaseException]] = []

    def ask() -> None:
        try:
            store.checkout(tree, EPOCH, stop)
        except Stopped as error:
            ended.append(type(error))

    with store.only_one(digest.of_bytes(f"{tree.digest.hex}-{EPOCH}".encode())):
        asking = threading.Thread(target=ask)
        asking.start()
        stop.set()
        asking.join(60)
        assert ended == [Stopped]
    assert not list((store.root / "checkouts").iterdir())


def test_a_checkout_that_is_being_made_can_be_stopped(store: Store, tree: Tree) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        store.checkout(tree, EPOCH, stop)
    assert not list((store.root / "checkouts").iterdir())
    with pytest.raises(Stopped):
        store.export(tree, store.root.parent / "exported", EPOCH, stop)


def test_one_whose_comparison_is_stopped_stays(root: Path, store: Store, tree: Tree) -> None:
    folder = store.checkout(tree, EPOCH)
    inode = folder.stat().st_ino
    stop = threading.Event()
    stop.set()
    with closing(Store(root)) as later:
        with pytest.raises(Stopped):
            later.checkout(tree, EPOCH, stop)
        assert later.checkout(tree, EPOCH).stat().st_ino == inode
    assert not list((root / "damaged").iterdir())
