"""Upkeep of the store: gc keeps all that is in use, never runs during a build; verify and size."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from containers.host import durable
from orchestrator.store import Store, upkeep
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
# Before a test runs, so that what it writes counts as used.
EARLY = LONG_AGO + 1


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


def kept_in(store: Store) -> tuple[Tree, digest.Digest]:
    """A tree that a record names, and something of no record that gc would remove."""
    tree = tree_of(store, b"1", b"2")
    store.remember("action-a", KEY, {"outputs": str(tree.digest)})
    used(store, "action-a", KEY, LATELY)
    return tree, store.put_bytes(b"of no result")


def blob_place(store: Store, found: digest.Digest) -> Path:
    return store.root / "blobs" / found.hex[:2] / found.hex[2:4] / found.hex


def cut_short(place: Path) -> None:
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-9])


def emptied(place: Path) -> None:
    place.chmod(0o644)
    place.write_bytes(b"")


def first_bit(place: Path) -> None:
    flipped(place, 0)


def last_bit(place: Path) -> None:
    flipped(place, -1)


def flipped(place: Path, at: int) -> None:
    place.chmod(0o644)
    data = bytearray(place.read_bytes())
    data[at] ^= 1
    place.write_bytes(data)


def a_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def a_pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def a_link_in_a_circle(place: Path) -> None:
    place.unlink()
    place.symlink_to(place)


FAULTS = [cut_short, emptied, first_bit, a_folder, a_pipe, a_link_in_a_circle]


@pytest.mark.parametrize("plant", [*FAULTS, last_bit])
def test_gc_removes_nothing_when_a_manifest_cannot_be_read(
    store: Store, plant: Callable[[Path], None]
) -> None:
    tree, _ = kept_in(store)
    before = blobs(store)
    place = blob_place(store, tree.digest)
    plant(place)
    with pytest.raises(InfrastructureError) as caught:
        store.collect(unused_since=EARLY)
    assert caught.value.subject == str(place)
    assert "nothing was removed" in caught.value.remedy
    assert blobs(store) | {tree.digest.hex} == before
    # What the message says to do works.
    if "verify" in caught.value.remedy:
        assert store.verify()[1] == [tree.digest]
        with pytest.raises(InfrastructureError, match="moved aside"):
            store.collect(unused_since=EARLY)
        assert blobs(store) | {tree.digest.hex} == before
        tree_of(store, b"1", b"2")
        store.collect(unused_since=EARLY)
        assert blobs(store) == before - {digest.of_bytes(b"of no result").hex}


@pytest.mark.parametrize("plant", FAULTS)
def test_gc_removes_nothing_when_a_record_cannot_be_read(
    store: Store, plant: Callable[[Path], None]
) -> None:
    kept_in(store)
    old = store._result("action-a", OTHER)
    store.remember("action-a", OTHER, {})
    used(store, "action-a", OTHER, LONG_AGO)
    before = blobs(store)
    place = store._result("action-a", KEY)
    plant(place)
    with pytest.raises(InfrastructureError) as caught:
        store.collect(unused_since=EARLY)
    assert str(place) in caught.value.subject
    assert "nothing was removed" in caught.value.remedy
    assert blobs(store) == before
    assert old.exists()


def test_gc_sees_every_changed_digit_of_a_record(store: Store) -> None:
    tree, _ = kept_in(store)
    place = store._result("action-a", KEY)
    whole = place.read_bytes()
    before = blobs(store)
    start = whole.index(tree.digest.hex.encode())
    for at in range(start, start + 64):
        flipped(place, at)
        with pytest.raises(InfrastructureError):
            store.collect(unused_since=EARLY)
        place.write_bytes(whole)
    assert blobs(store) == before
    assert store.collect(unused_since=EARLY)[0] == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "[]", '{"outputs": "blake3:abc"}', '"blake3:/../"']
)
def test_gc_stops_at_results_that_say_nothing(store: Store, text: str) -> None:
    kept_in(store)
    store.remember("action-a", OTHER, {})
    place = store._result("action-a", OTHER)
    place.write_text(text)
    before = blobs(store)
    with pytest.raises(InfrastructureError):
        store.collect(unused_since=EARLY)
    assert blobs(store) == before
    assert store.damaged_records() == [place]
    place.unlink()
    assert store.collect(unused_since=EARLY)[0] == 1


def test_gc_stops_at_a_damaged_result_after_a_build_met_it(store: Store) -> None:
    kept_in(store)
    store.remember("action-a", OTHER, {})
    place = store._result("action-a", OTHER)
    place.write_bytes(place.read_bytes()[:-3])
    before = blobs(store)
    assert store.recall("action-a", OTHER) is None
    with pytest.raises(InfrastructureError):
        store.collect(unused_since=EARLY)
    assert blobs(store) == before
    store.remember("action-a", OTHER, {})
    assert store.collect(unused_since=EARLY)[0] == 1


def test_gc_stops_at_a_manifest_that_is_none(store: Store) -> None:
    found = store.put_bytes(manifest.MAGIC + b"not a line\n")
    store.remember("action-a", KEY, {"outputs": str(found)})
    with pytest.raises(InfrastructureError, match="not a tree manifest"):
        store.collect(unused_since=EARLY)
    assert blobs(store) == {found.hex}


def test_gc_takes_a_blob_that_was_never_fetched_as_it_is(store: Store) -> None:
    # A lock pins what other machines need, too.
    tree, _ = kept_in(store)
    store.remember("inputs", KEY, {"digests": [str(tree.digest), str(OTHER)]})
    assert store.collect(unused_since=EARLY)[0] == 1


def test_gc_takes_records_of_an_earlier_version(store: Store) -> None:
    tree, _ = kept_in(store)
    store._result("action-a", KEY).write_text(f'{{"outputs": "{tree.digest}"}}')
    assert store.collect(unused_since=EARLY)[0] == 1
    assert store.recall("action-a", KEY) == {"outputs": str(tree.digest)}


def test_gc_removes_what_a_killed_writer_left_among_the_results(store: Store) -> None:
    kept_in(store)
    left = store._result("action-a", KEY).with_name(f".{KEY.hex}.json.0a1b2c")
    left.write_text("{")
    assert store.collect(unused_since=EARLY)[0] == 2
    assert not left.exists()


class Locked:
    """Folders without permissions, which bind everybody but root; root becomes somebody else."""

    def __init__(self, *places: Path) -> None:
        self.places = places

    def __enter__(self) -> None:
        self.modes = [place.stat().st_mode for place in self.places]
        for place in self.places:
            place.chmod(0)

    def __exit__(self, *exception: object) -> None:
        for place, mode in zip(self.places, self.modes, strict=True):
            place.chmod(mode)


AS_SOMEBODY = """
import os
from orchestrator.store import upkeep
root = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
for work in (
    lambda: upkeep.collect(root, unused_since=2_000_000_000),
    lambda: upkeep.size(root),
    lambda: upkeep.verify(root / "blobs", lambda path: tell("moved aside")),
    lambda: upkeep.damaged_records(root / "results"),
):
    try:
        tell("done" if work() is not None else "")
    except Exception as error:
        tell(f"{type(error).__name__} {getattr(error, 'subject', '')}")
"""


def test_what_may_not_be_read_is_not_taken_for_damaged_or_absent(
    store: Store, child: Callable[..., Child]
) -> None:
    tree, _ = kept_in(store)
    before = blobs(store)
    for parent in store.root.parents:
        if parent.stat().st_uid == os.geteuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o055)
    manifest_place, record = blob_place(store, tree.digest), store._result("action-a", KEY)
    for place, expected in (
        (manifest_place, ["collect", "verify"]),
        (record, ["collect", "records"]),
        (manifest_place.parent, ["collect", "size", "verify"]),
        (record.parent, ["collect", "size", "records"]),
    ):
        with Locked(place):
            one = child(AS_SOMEBODY, store.root)
            told = dict(
                zip(("collect", "size", "verify", "records"), iter(one.told, ""), strict=False)
            )
            one.close()
        for name, words in told.items():
            said = f"InfrastructureError {place}"
            assert (words == said) == (name in expected), (place, name, words)
    assert blobs(store) == before


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


def test_gc_removes_locks_that_killed_processes_left(store: Store, holder: Child) -> None:
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


def test_verify_moves_aside_what_is_no_file(store: Store) -> None:
    found = [store.put_bytes(b"%d" % number) for number in range(3)]
    a_folder(blob_place(store, found[0]))
    a_pipe(blob_place(store, found[1]))
    assert store.verify() == (3, sorted(found[:2]))


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

    def with_ghosts(folder: Path, **options: Any) -> object:  # noqa: ANN401 - os.walk's
        for where, folders, names in walk(folder, **options):
            yield where, folders, [*names, "0" * 64]

    monkeypatch.setattr(os, "walk", with_ghosts)
    assert store.size()["blobs"] > 0
    assert store.verify() == (1, [])
