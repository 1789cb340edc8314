"""Upkeep of the store: gc keeps all that is in use, never runs during a build; verify and size."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.store import Store, durable, upkeep
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import digest, manifest
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.orchestrator.conftest import Child

KEY = digest.of_bytes(b"key")
OTHER = digest.of_bytes(b"another key")
LONG_AGO, BEFORE, LATELY = 1_000_000_000, 2_000_000_000, 3_000_000_000


def tree_of(store: Store, *contents: bytes) -> Tree:
    tree = Tree(
        manifest.file(f"f{number}", store.put_bytes(data), len(data))
        for number, data in enumerate(contents)
    )
    store.save_tree(tree)
    return tree


def used(store: Store, kind: str, key: digest.Digest, when: int) -> None:
    """Make a result look as if it was last used at a time."""
    os.utime(store._result(kind, key), (when, when))


def blobs(store: Store) -> set[str]:
    return {path.name for path, _ in durable.files(store.root / "blobs")}


def test_gc_keeps_what_results_in_use_refer_to_and_nothing_else(store: Store) -> None:
    kept = tree_of(store, b"1", b"2")
    gone = tree_of(store, b"2", b"3")
    stdout = store.put_bytes(b"said")
    store.put_bytes(b"of no result")
    store.remember("action-a", KEY, {"outputs": str(kept.digest), "log": [{"out": str(stdout)}]})
    store.remember("action-a", OTHER, {"outputs": str(gone.digest)})
    used(store, "action-a", KEY, LATELY)
    used(store, "action-a", OTHER, LONG_AGO)
    count, freed = store.collect(unused_since=BEFORE)
    assert count == 4
    assert freed > 0
    assert blobs(store) == {
        kept.digest.hex,
        stdout.hex,
        digest.of_bytes(b"1").hex,
        digest.of_bytes(b"2").hex,
    }
    assert store.recall("action-a", OTHER) is None
    assert store.recall("action-a", KEY) is not None
    assert store.holds(store.load_tree(kept.digest))


def test_looking_a_result_up_is_using_it(store: Store) -> None:
    tree = tree_of(store, b"1")
    store.remember("action-a", KEY, {"outputs": str(tree.digest)})
    used(store, "action-a", KEY, LONG_AGO)
    store.recall("action-a", KEY)
    store.collect(unused_since=LONG_AGO + 1)
    assert store.recall("action-a", KEY) is not None
    assert store.holds(tree)


def test_gc_removes_checkouts_and_what_was_moved_aside(store: Store) -> None:
    tree = tree_of(store, b"1" * 10_000)
    store.remember("action-a", KEY, {"outputs": str(tree.digest)})
    folder = store.checkout(tree, BLOB_TIME + 2)
    (folder / "f0").unlink()
    with closing(Store(store.root)) as later:
        folder = later.checkout(tree, BLOB_TIME + 2)
    (store.root / "damaged" / "blob").write_bytes(b"2")
    store.collect(unused_since=LONG_AGO)
    assert not list((store.root / "checkouts").iterdir())
    assert not list((store.root / "damaged").iterdir())
    # The store that collected knows that it must make it again.
    assert manifest.scan(store.checkout(tree, BLOB_TIME + 2)) == tree


def test_gc_removes_old_logs_of_failures_and_keeps_new_ones(store: Store) -> None:
    for name, when in (("old", LONG_AGO), ("new", LATELY)):
        (store.root / "failures" / name).write_bytes(b"")
        os.utime(store.root / "failures" / name, (when, when))
    store.collect(unused_since=BEFORE)
    assert [path.name for path in (store.root / "failures").iterdir()] == ["new"]


def test_gc_counts_the_bytes_of_checkouts_too(store: Store) -> None:
    tree = tree_of(store, b"1" * 100_000)
    store.remember("action-a", KEY, {"outputs": str(tree.digest)})
    used(store, "action-a", KEY, LATELY)
    store.checkout(tree, BLOB_TIME)
    store.checkout(tree, BLOB_TIME + 2)
    _, freed = store.collect(unused_since=BEFORE)
    assert freed >= 100_000
    assert store.holds(tree)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"outputs": 3}', '{"outputs": "blake3:abc"}', '"blake3:/../"']
)
def test_gc_survives_results_that_say_nothing(store: Store, text: str) -> None:
    tree = tree_of(store, b"1")
    store.remember("action-a", KEY, {"outputs": str(tree.digest)})
    store.remember("action-a", OTHER, {})
    store._result("action-a", OTHER).write_text(text)
    store.collect(unused_since=LONG_AGO)
    assert store.holds(store.load_tree(tree.digest))


def test_gc_survives_a_damaged_manifest(store: Store) -> None:
    found = store.put_bytes(manifest.MAGIC + b"not a line\n")
    store.remember("action-a", KEY, {"outputs": str(found)})
    store.collect(unused_since=LONG_AGO)
    assert blobs(store) == {found.hex}


def test_gc_refuses_while_another_store_object_is_open_and_does_not_lose_its_own_lock(
    store: Store,
) -> None:
    found = store.put_bytes(b"in the middle of a build")
    with closing(Store(store.root)) as other:
        with pytest.raises(InfrastructureError, match="a build is using the store"):
            other.collect(unused_since=LATELY)
        # A refused gc still uses the store: nobody else may collect either.
        with pytest.raises(InfrastructureError, match="a build is using the store"):
            store.collect(unused_since=LATELY)
    assert store.has(found)
    store.collect(unused_since=LATELY)
    assert not store.has(found)


def test_gc_refuses_during_a_build_of_another_process(
    store: Store, child: Callable[..., Child]
) -> None:
    code = """
store = Store(Path(sys.argv[1]))
tell(store.put_bytes(b"built"))
told()
"""
    building = child(code, store.root)
    found = digest.Digest.parse(building.told())
    with pytest.raises(InfrastructureError) as caught:
        store.collect(unused_since=LATELY)
    assert caught.value.remedy == "run gc when it is done"
    assert store.has(found)
    building.kill()
    store.collect(unused_since=LATELY)
    assert not store.has(found)


def test_a_build_waits_for_gc(store: Store, child: Callable[..., Child]) -> None:
    code = """
tell("started")
store = Store(Path(sys.argv[1]))
tell("open")
"""
    opened = []
    collect = upkeep.collect

    def during(root: Path, *, unused_since: float) -> tuple[int, int]:
        building = child(code, root)
        assert building.told() == "started"
        opened.append(building)
        return collect(root, unused_since=unused_since)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "collect", during)
        store.collect(unused_since=BEFORE)
    assert opened[0].told() == "open"


def test_gc_removes_locks_that_killed_processes_left(
    store: Store, child: Callable[..., Child]
) -> None:
    code = """
store = Store(Path(sys.argv[1]))
with store.only_one(KEY):
    tell("locked")
    told()
"""
    holder = child(code, store.root)
    assert holder.told() == "locked"
    holder.kill()
    engine = store.root / "scratch" / "sandbox-0123456789abcdef.lock"
    engine.write_bytes(b"")
    assert (store.root / "scratch" / f"{KEY.hex}.lock").exists()
    store.collect(unused_since=LONG_AGO)
    assert not (store.root / "scratch" / f"{KEY.hex}.lock").exists()
    # Those are swept with the folders that they stand for, by their own engine.
    assert engine.exists()
    with store.temporary() as folder:
        assert folder.exists()


def test_verify_finds_and_moves_aside_every_damaged_blob(store: Store) -> None:
    found = [store.put_bytes(b"%d" % number) for number in range(10)]
    stray = store.root / "blobs" / "README"
    stray.write_bytes(b"not a blob")
    assert store.verify() == (10, [])
    for wanted in found[:3]:
        place = store.blob(wanted)
        place.chmod(0o644)
        place.write_bytes(b"!")
    assert store.verify() == (10, sorted(found[:3]))
    assert store.verify() == (7, [])
    assert not any(store.has(wanted) for wanted in found[:3])
    assert sorted(p.name for p in (store.root / "damaged").iterdir()) == sorted(
        wanted.hex for wanted in found[:3]
    )
    assert stray.exists()


def test_size_counts_each_byte_once(store: Store) -> None:
    empty = store.size()
    assert set(empty) == set(upkeep.PARTS)
    tree = tree_of(store, b"1" * 100_000)
    store.checkout(tree, BLOB_TIME)
    linked = store.size()
    assert linked["blobs"] >= 100_000
    assert linked["checkouts"] == 0
    store.checkout(tree, BLOB_TIME + 2)
    copied = store.size()
    assert copied["checkouts"] >= 100_000
    assert copied["blobs"] == linked["blobs"]


def test_looking_at_a_store_that_is_in_use(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files come and go while a build runs.
    store.put_bytes(b"1")
    walk = os.walk

    def with_ghosts(folder: Path) -> object:
        for where, folders, names in walk(folder):
            yield where, folders, [*names, "0" * 64]

    monkeypatch.setattr(os, "walk", with_ghosts)
    assert store.size()["blobs"] > 0
    assert store.verify() == (1, [])
