"""The store: what goes in comes out whole, or its damage is noticed; two processes at once."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from containers.host import durable
from orchestrator.store import DamagedBlob, Store, remove_folder
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import digest, manifest
from reproducibility.errors import InfrastructureError, InputError, Stopped
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.orchestrator.conftest import Child

KEY = digest.of_bytes(b"key")


def place_of(store: Store, content: bytes) -> Path:
    name = digest.of_bytes(content).hex
    return store.root / "blobs" / name[:2] / name[2:4] / name


def edit(place: Path, content: bytes) -> None:
    """Change a file in place, as a disk or a careless root would."""
    place.chmod(0o644)
    place.write_bytes(content)
    place.chmod(0o444)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- opening ---------------------------------------------------------------------------------------


def test_opening_twice_finds_the_same_content(root: Path) -> None:
    with closing(Store(root)) as first:
        found = first.put_bytes(b"kept")
        with closing(Store(root)) as second:
            assert second.read(found) == b"kept"
    with closing(Store(root)) as third:
        assert third.read(found) == b"kept"
        third.close()


def test_refuses_a_store_of_another_version(root: Path) -> None:
    Store(root).close()
    (root / "version").write_text("sourcery-store 99\n")
    with pytest.raises(InfrastructureError, match="another version") as caught:
        Store(root)
    assert caught.value.remedy


def test_says_why_a_folder_cannot_be_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InfrastructureError, match="cannot use the store") as caught:
        Store(tmp_path / "file")
    assert caught.value.subject == str(tmp_path / "file")
    assert "--store" in caught.value.remedy


# -- blobs -----------------------------------------------------------------------------------------


def test_every_way_in_gives_the_same_blob(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    found = store.put_bytes(b"content")
    assert store.put_file(path) == found
    assert store.put_stream(io.BytesIO(b"content"), limit=7) == (found, 7)
    assert path.exists()
    assert store.put_file(path, move=True) == found == digest.of_bytes(b"content")
    assert store.has(found)
    assert store.has(found, 7)
    assert not store.has(found, 8)
    assert store.read(found) == b"content"
    status = store.blob(found).stat()
    assert status.st_mode & 0o777 == 0o444
    assert status.st_mtime == BLOB_TIME


def test_moving_a_file_in_takes_it(store: Store) -> None:
    path = store.root / "scratch" / "moved"
    path.write_bytes(b"moved")
    path.chmod(0o755)
    found = store.put_file(path, move=True)
    assert not path.exists()
    assert store.blob(found).stat().st_mode & 0o777 == 0o444


def test_moving_over_a_border_of_file_systems_copies(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "elsewhere"
    path.write_bytes(b"elsewhere")
    rename = type(path).rename

    def refuse(self: Path, target: Path) -> Path:
        if self == path:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(self, target)

    monkeypatch.setattr(type(path), "rename", refuse)
    assert store.read(store.put_file(path, move=True)) == b"elsewhere"


def test_a_stream_that_is_too_long_leaves_nothing(store: Store) -> None:
    with pytest.raises(InfrastructureError, match="6 bytes"):
        store.put_stream(io.BytesIO(b"content"), limit=6)
    assert not list(durable.files(store.root / "blobs"))
    assert not list(durable.files(store.root / "scratch" / store._scratch.folder.name))


def test_a_stream_that_breaks_leaves_nothing(store: Store) -> None:
    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError(size)

    with pytest.raises(ConnectionResetError):
        store.put_stream(Breaks(), limit=100)
    assert not list(durable.files(store.root / "blobs"))


def test_a_missing_blob_is_a_damaged_one(store: Store) -> None:
    assert not store.has(KEY)
    with pytest.raises(DamagedBlob, match="found nothing") as caught:
        store.blob(KEY)
    assert caught.value.digest == KEY


@pytest.mark.parametrize("content", [b"", b"contenT", b"content and more"])
def test_a_damaged_blob_is_noticed_when_used_and_moved_aside(root: Path, content: bytes) -> None:
    with closing(Store(root)) as writer:
        found = writer.put_bytes(b"content")
    with closing(Store(root)) as store:
        edit(place_of(store, b"content"), content)
        with pytest.raises(DamagedBlob) as caught:
            store.read(found)
        assert caught.value.digest == found
        assert str(digest.of_bytes(content)) in caught.value.summary
        assert not store.has(found)
        assert names(root / "damaged") == [found.hex]
        assert store.put_bytes(b"content") == found
        assert store.read(found) == b"content"


def test_damage_after_the_first_look_is_noticed(store: Store) -> None:
    found = store.put_bytes(b"content")
    assert store.read(found) == b"content"
    edit(place_of(store, b"content"), b"contenT")
    with pytest.raises(DamagedBlob):
        store.read(found)


def test_a_blob_is_read_once_and_not_each_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = store.put_bytes(b"content")
    store.blob(found)
    monkeypatch.setattr(digest, "of_file", lambda *_, **__: pytest.fail("read again"))
    store.blob(found)


def test_a_blob_cut_short_by_a_power_failure_is_replaced_by_the_next_put(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    found = store.put_bytes(b"content")
    edit(place_of(store, b"content"), b"")
    assert store.put_bytes(b"content") == found
    assert store.read(found) == b"content"
    edit(place_of(store, b"content"), b"")
    assert store.put_file(path) == found
    assert store.read(found) == b"content"


def test_a_bad_sector_is_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = store.put_bytes(b"content")

    def fail(*_: object, **__: object) -> digest.Digest:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(digest, "of_file", fail)
    with pytest.raises(DamagedBlob):
        store.blob(found)
    assert names(store.root / "damaged") == [found.hex]


def test_a_blob_that_may_not_be_read_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Making it again would not help: the loop would go on for nothing.
    found = store.put_bytes(b"content")

    def fail(*_: object, **__: object) -> digest.Digest:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(digest, "of_file", fail)
    with pytest.raises(InfrastructureError, match="Permission denied") as caught:
        store.blob(found)
    assert not isinstance(caught.value, DamagedBlob)
    assert store.has(found)


def test_a_loop_like_the_builds_makes_damaged_blobs_again(store: Store) -> None:
    contents = [b"one", b"two", b"three"]
    tree = Tree(manifest.file(c.decode(), digest.of_bytes(c), len(c)) for c in map(bytes, contents))
    rounds = 0

    def make() -> dict[str, bytes]:
        nonlocal rounds
        rounds += 1
        if not store.holds(tree):
            for content in contents:
                store.put_bytes(content)
        folder = store.checkout(tree, BLOB_TIME)
        return {entry.path: (folder / entry.path).read_bytes() for entry in tree}

    expected = {content.decode(): content for content in contents}
    assert make() == expected
    for content in contents:
        edit(place_of(store, content), content.upper())
    with closing(Store(store.root)) as fresh, pytest.raises(DamagedBlob):
        fresh.checkout(tree, BLOB_TIME)
    # All three were found in one go.
    assert not any(store.has(entry.content) for entry in tree)
    assert make() == expected
    assert rounds == 2


# -- trees -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [False, True])
def test_a_tree_comes_back(store: Store, tmp_path: Path, move: bool) -> None:
    folder = tmp_path / "folder"
    (folder / "a/empty").mkdir(parents=True)
    (folder / "a/one").write_bytes(b"1")
    (folder / "a/same").write_bytes(b"1")
    (folder / "program").write_bytes(b"#!")
    (folder / "program").chmod(0o755)
    expected = manifest.scan(folder)
    tree = store.put_tree(folder, move=move)
    assert tree == expected
    assert store.load_tree(tree.digest) == tree
    assert store.holds(tree)
    assert all(store.path(entry).read_bytes() for entry in tree.files())


def test_holds_sees_a_missing_file_and_one_of_another_size(store: Store) -> None:
    tree = Tree([manifest.file("a", store.put_bytes(b"1"), 1)])
    assert store.holds(tree)
    place_of(store, b"1").chmod(0o644)
    place_of(store, b"1").write_bytes(b"12")
    assert not store.holds(tree)
    place_of(store, b"1").unlink()
    assert not store.holds(tree)


def test_a_blob_that_is_no_manifest_is_no_tree(store: Store) -> None:
    with pytest.raises(InputError, match="not a tree manifest"):
        store.load_tree(store.put_bytes(b"something else"))


def test_a_folder_with_a_link_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="link"):
        store.put_tree(tmp_path / "folder", move=True)
    assert not list(durable.files(store.root / "blobs"))


# -- results ---------------------------------------------------------------------------------------


def test_results_are_remembered_by_kind_and_key(store: Store) -> None:
    store.remember("action-sandbox", KEY, {"outputs": "x"})
    assert store.recall("action-sandbox", KEY) == {"outputs": "x"}
    assert store.recall("action-docker", KEY) is None
    assert store.recall("action-sandbox", digest.of_bytes(b"another key")) is None
    store.remember("action-sandbox", KEY, {"outputs": "y"})
    assert store.recall("action-sandbox", KEY) == {"outputs": "y"}
    store.forget("action-sandbox", KEY)
    store.forget("action-sandbox", KEY)
    assert store.recall("action-sandbox", KEY) is None


@pytest.mark.parametrize("text", ["", "{", '{"a": 1, "a": 2}', "[]", "[" * 100_000, "\0" * 100])
def test_an_unreadable_result_is_none_and_stays_until_it_is_made_again(
    store: Store, text: str
) -> None:
    store.remember("kind", KEY, {"a": 1})
    place = store._result("kind", KEY)
    place.write_text(text)
    assert store.recall("kind", KEY) is None
    assert place.read_text() == text  # so that gc sees it too
    store.remember("kind", KEY, {"a": 2})
    assert store.recall("kind", KEY) == {"a": 2}


def test_a_result_is_written_after_all_that_it_refers_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, write = durable.sync_disk, durable.write

    def synced(folder: Path) -> None:
        order.append("sync")
        sync(folder)

    def written(path: Path, data: bytes) -> None:
        order.append("write")
        write(path, data)

    monkeypatch.setattr(durable, "sync_disk", synced)
    monkeypatch.setattr(durable, "write", written)
    store.remember("kind", KEY, {"outputs": str(store.put_bytes(b"1"))})
    assert order == ["sync", "write"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "file"
    durable.write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        durable.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


# -- work in progress ------------------------------------------------------------------------------


def test_a_temporary_folder_is_removed_however_its_use_ends(store: Store) -> None:
    kept = []
    with contextlib.suppress(ValueError), store.temporary() as folder:
        kept.append(folder)
        (folder / "read-only").mkdir(mode=0o500)
        raise ValueError
    assert not kept[0].exists()
    with store.temporary() as first, store.temporary() as second:
        assert first != second
        assert names(first) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(
    root: Path, child: Callable[..., Child]
) -> None:
    code = """
store = Store(Path(sys.argv[1]))
with store.temporary() as folder, store._fresh_file() as (descriptor, name):
    (folder / "half").write_bytes(b"half a download")
    tell(folder)
    tell(name)
    told()
"""
    killed, living = child(code, root), child(code, root)
    left = [killed.told(), killed.told()]
    kept = [living.told(), living.told()]
    killed.kill()
    with closing(Store(root)):
        assert not any(os.path.lexists(path) for path in left)
        assert all(os.path.lexists(path) for path in kept)
    living.tell("end")
    assert living.end() == 0
    assert not any(os.path.lexists(path) for path in kept)


def test_closing_leaves_no_scratch(root: Path) -> None:
    store = Store(root)
    with store.only_one(KEY), store.temporary():
        pass
    store.close()
    assert names(root / "scratch") == []


@pytest.mark.parametrize("delay", [0, 1, 5, 30])
def test_killed_at_any_moment_the_store_is_consistent(
    root: Path, child: Callable[..., Child], delay: int
) -> None:
    code = """
store = Store(Path(sys.argv[1]))
for number in range(100_000):
    with store.temporary() as folder:
        (folder / "a").write_bytes(b"%d" % number * 5000)
        (folder / "b").write_bytes(b"b%d" % number)
        tree = store.put_tree(folder, move=True)
    key = digest.of_bytes(b"%d" % number)
    store.remember("kind", key, {"outputs": str(tree.digest)})
    tell(number)
"""
    writer = child(code, root)
    for _ in range(delay):
        assert writer.told()
    last = int(writer.told())
    writer.kill()
    with closing(Store(root)) as store:
        count, damaged = store.verify()
        assert not damaged
        assert count >= 3 * (last + 1)
        for number in range(last + 1):
            document = store.recall("kind", digest.of_bytes(b"%d" % number))
            assert document is not None
            tree = store.load_tree(digest.Digest.parse(document["outputs"]))
            assert store.holds(tree)
        assert names(root / "scratch") == sorted(
            [store._scratch.folder.name, store._scratch._lock.name]
        )


def test_removing_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/file").write_bytes(b"")
    (folder / "a/b").chmod(0)
    (folder / "a").chmod(0)
    remove_folder(folder)
    assert not folder.exists()
    remove_folder(folder)


def test_removing_a_link_to_a_folder_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_bytes(b"")
    (tmp_path / "link").symlink_to("kept")
    remove_folder(tmp_path / "link")
    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == ["file"]


def test_a_wish_to_stop_is_heeded_while_a_tree_is_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    for number in range(4):
        (folder / "inner" / str(number)).write_bytes(bytes([number]) * (5 << 20))
    stop = threading.Event()
    asked = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(stop, "is_set", lambda: next(asked) < 0)
        kept = store.put_tree(folder, stop=stop)
    times = next(asked)
    # At every file, and within each.
    assert times > 2 * 4
    for after in range(times):
        asked = itertools.count()
        with monkeypatch.context() as patch:
            patch.setattr(stop, "is_set", lambda: next(asked) >= after)  # noqa: B023 - used at once
            with pytest.raises(Stopped):
                store.put_tree(folder, stop=stop)
    assert store.put_tree(folder, stop=stop) == kept
