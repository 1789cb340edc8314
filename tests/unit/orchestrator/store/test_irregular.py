"""What is no file where the store or a person's input is one: refused or healed, never read."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from containers.host import durable
from orchestrator.artifacts import filling, output_directory
from orchestrator.artifacts.finished import Finished
from orchestrator.inputs import bundle, content
from orchestrator.inputs.local_path import LocalTransport, PathRequest
from orchestrator.lock import file as lock
from orchestrator.spec import model as spec
from orchestrator.store import DamagedBlob, Store
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import digest, manifest, regular
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.lock.file import Lock

KEY = digest.of_bytes(b"key")


def place_of(store: Store, content: bytes) -> Path:
    name = digest.of_bytes(content).hex
    return store.root / "blobs" / name[:2] / name[2:4] / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def nothing(_: Path) -> None:
    pass


def a_full_folder(place: Path) -> None:
    (place / "inside").mkdir(parents=True)


def a_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


IRREGULAR = [Path.mkdir, a_full_folder, os.mkfifo, a_device]


@pytest.mark.parametrize("plant", IRREGULAR)
def test_what_is_no_file_in_a_blob_s_place_is_damage_and_healed(
    store: Store, tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    found = store.put_bytes(b"content")
    tree = Tree([manifest.file("f", found, 7)])
    store.read(found)
    place = place_of(store, b"content")
    path = tmp_path / "content"
    path.write_bytes(b"content")
    ways: list[Callable[[], digest.Digest]] = [
        lambda: store.put_bytes(b"content"),
        lambda: store.put_file(path),
        lambda: store.put_stream(io.BytesIO(b"content"), limit=7)[0],
    ]
    for again in ways:
        place.unlink()
        plant(place)
        assert not store.has(found)
        assert not store.holds(tree)
        with pytest.raises(DamagedBlob):
            store.checkout(tree, BLOB_TIME)
        assert not os.path.lexists(place)
        plant(place)
        # Without anybody having met it.
        assert again() == found
        assert store.read(found) == b"content"


@pytest.mark.parametrize("depth", [1, 2])
def test_a_file_where_the_folders_of_a_blob_must_be_is_moved_aside(
    store: Store, depth: int
) -> None:
    place = place_of(store, b"content")
    obstacle = place.parents[depth - 1]
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.write_bytes(b"in the way")
    wanted = digest.of_bytes(b"content")
    assert not store.has(wanted)
    with pytest.raises(DamagedBlob):
        store.read(wanted)
    assert store.read(store.put_bytes(b"content")) == b"content"
    assert names(store.root / "damaged") == [obstacle.name]


@pytest.mark.parametrize("plant", IRREGULAR)
@pytest.mark.parametrize("before", [nothing, a_full_folder])
def test_what_is_no_file_in_a_record_s_place_is_none_and_healed(
    store: Store, plant: Callable[[Path], None], before: Callable[[Path], None]
) -> None:
    store.remember("kind", KEY, {"a": 1})
    place = store._result("kind", KEY)
    before(store.root / "damaged" / place.name)
    place.unlink()
    plant(place)
    assert store.recall("kind", KEY) is None
    assert store.damaged_records() == [place]
    store.remember("kind", KEY, {"a": 2})
    assert store.recall("kind", KEY) == {"a": 2}
    assert store.damaged_records() == []


def test_a_file_where_the_folder_of_a_record_must_be_is_moved_aside(store: Store) -> None:
    place = store._result("kind", KEY)
    place.parents[1].write_bytes(b"in the way")
    assert store.recall("kind", KEY) is None
    assert not store.remembers("kind", KEY)
    store.remember("kind", KEY, {"a": 1})
    assert store.recall("kind", KEY) == {"a": 1}


@pytest.mark.parametrize("name", ["version", "lock"])
@pytest.mark.parametrize(
    ("words", "plant"), [("a folder", Path.mkdir), ("a named pipe", os.mkfifo), ("link", a_device)]
)
def test_a_store_whose_own_files_are_none_is_refused(
    root: Path, name: str, words: str, plant: Callable[[Path], None]
) -> None:
    Store(root).close()
    (root / name).unlink()
    plant(root / name)
    with pytest.raises(InfrastructureError, match=words) as caught:
        Store(root)
    assert caught.value.subject == str(root / name)


@pytest.mark.parametrize("plant", IRREGULAR)
def test_what_is_no_file_in_a_lock_s_place_is_moved_aside(
    store: Store, plant: Callable[[Path], None]
) -> None:
    plant(store.root / "scratch" / f"{KEY.hex}.lock")
    with store.only_one(KEY):
        assert store.root.exists()
    plant(store.root / "scratch" / f"{KEY.hex}.lock")
    store.collect(unused_since=0)
    assert not os.path.lexists(store.root / "scratch" / f"{KEY.hex}.lock")


@pytest.mark.parametrize("plant", IRREGULAR)
def test_what_is_no_folder_in_a_checkout_s_place_is_moved_aside(
    store: Store, plant: Callable[[Path], None]
) -> None:
    tree = Tree([manifest.file("f", store.put_bytes(b"content"), 7)])
    plant(store.root / "checkouts" / f"{tree.digest.hex}-{BLOB_TIME}")
    assert (store.checkout(tree, BLOB_TIME) / "f").read_bytes() == b"content"
    assert store.existing(tree.digest, BLOB_TIME)


def test_a_file_that_changes_while_it_is_copied_is_not_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    opened = regular.opened

    def changed(place: Path) -> object:
        path.write_bytes(b"contenT")
        return opened(place)

    monkeypatch.setattr(regular, "opened", changed)
    with pytest.raises(regular.ChangedFileError):
        store.put_file(path)
    assert not list(durable.files(store.root / "blobs"))


# -- what a person names ---------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "plant"), [("folder", Path.mkdir), ("pipe", os.mkfifo)])
@pytest.mark.parametrize(
    "read",
    [spec.load, lock.load, lambda path: Finished.load(path.parent)],
    ids=["spec", "lock", "result"],
)
def test_a_text_that_is_no_file_is_refused(
    tmp_path: Path,
    read: Callable[[Path], object],
    words: str,
    plant: Callable[[Path], None],
) -> None:
    place = tmp_path / output_directory.RESULT
    plant(place)
    with pytest.raises(InputError, match=f"it is a (named )?{words}, not a file") as caught:
        read(place)
    assert caught.value.subject == str(place)
    assert caught.value.remedy


@pytest.mark.parametrize("plant", [Path.mkdir, os.mkfifo, a_device])
def test_a_bundle_that_is_no_file_is_refused(
    store: Store, tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    plant(tmp_path / "bundle")
    nothing_wanted = cast("Lock", SimpleNamespace(inputs=(), digest=KEY))
    with pytest.raises(InputError, match=r"cannot read the bundle: it is a .*, not a file"):
        bundle.read(tmp_path / "bundle", nothing_wanted, store, "amd64")


def test_a_text_without_end_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "spec"
    with place.open("wb") as stream:
        stream.truncate(1 << 40)
    for read in (spec.load, lock.load):
        with pytest.raises(InputError, match="more than 16777216 bytes"):
            read(place)


@pytest.mark.parametrize("name", [output_directory.RESULT, "version", "x.lock"])
def test_looking_for_what_is_made_opens_no_pipe(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "content" / "inner"
    folder.mkdir(parents=True)
    os.mkfifo(folder / name)
    assert not output_directory.is_result(folder / name)
    os.mkfifo(folder / filling.MARK)
    assert filling._read(folder / filling.MARK) == {}
    (folder / filling.MARK).unlink()
    with pytest.raises(InputError, match="neither a file nor a directory"):
        content.of_folder(tmp_path / "content", content.Rules())


@pytest.mark.parametrize("plant", [os.mkfifo, a_device])
def test_a_local_path_that_is_no_file_is_refused(
    store: Store, tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    plant(tmp_path / "x")
    with pytest.raises(InputError, match="not a file") as caught:
        LocalTransport(tmp_path).resolve(PathRequest("x", "x"), store)
    assert caught.value.subject == str(tmp_path / "x")


def test_a_local_file_that_changes_is_said_to(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "folder" / "file"
    place.parent.mkdir()
    place.write_bytes(b"content")
    measured = digest.measured

    def changed(path: Path, **rest: object) -> object:
        place.write_bytes(b"longer content")
        return measured(path, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(digest, "measured", changed)
    with pytest.raises(InputError, match="it changed while it was read") as caught:
        LocalTransport(tmp_path).resolve(PathRequest("x", "folder"), store)
    assert caught.value.subject == str(place)
