"""The independent reader sees what was written, and every kind of damage."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.image.fat import reader, writer
from reproducibility.errors import ComparisonError
from reproducibility.manifest import MOST_PARTS, file
from tests.conftest import examples
from tests.unit.orchestrator.image.fat import volumes
from tests.unit.orchestrator.image.samples import EPOCH, VOLUME, Blobs, Content, data, disk

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.image.fat.disk import Disk
    from orchestrator.image.fat.reader import Reading
    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry, Tree

_CONTENT: Content = {
    "README": data(100),
    "a folder/first.txt": data(2000, 2),
    "a folder/second.txt": data(700, 3),
    "a folder/below/größe": data(1, 4),
    "tmp": None,
    "empty": b"",
}
_START = 1 << 20


class Written:
    """An image, and where its parts are."""

    def __init__(self, folder: Path) -> None:
        blobs = Blobs(folder / "blobs")
        self.tree: Tree = blobs.tree(_CONTENT)
        self.disk: Disk = disk(self.tree)
        self.path = folder / "image"
        writer.write(self.disk, blobs.path, self.path)
        geometry = self.disk.layout.geometry
        self.fat = _START + geometry.fat_offset(0)
        self.second_fat = _START + geometry.fat_offset(1)
        self.root = _START + geometry.offset(2)

    def record(self, alias: bytes) -> int:
        """Where the 32-byte record with this 8.3 name stands."""
        return self.root + self.disk.layout.folders.index(alias)

    def patch(self, at: int, new: bytes) -> None:
        with self.path.open("r+b") as image:
            image.seek(at)
            image.write(new)

    def flip(self, at: int) -> None:
        with self.path.open("r+b") as image:
            image.seek(at)
            (old,) = image.read(1)
        self.patch(at, bytes([old ^ 1]))

    def link(self, cluster: int, successor: int) -> None:
        """An entry in both FATs."""
        for fat in (self.fat, self.second_fat):
            self.patch(fat + 4 * cluster, struct.pack("<I", successor))

    def read(self) -> Reading:
        return reader.read(self.path)

    def damage(self) -> str:
        with pytest.raises(ComparisonError, match="damaged") as caught:
            self.read()
        assert caught.value.subject == str(self.path)
        assert caught.value.status == 1
        return caught.value.summary


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_all_is_read_back(written: Written) -> None:
    found = written.read()
    assert found.tree == written.tree
    assert found.label == "SOURCERY"
    assert found.volume_id == VOLUME.volume_id
    assert found.moments == {EPOCH}
    assert found.stray_times(EPOCH) == []
    assert found.stray_times(EPOCH + 2) == [EPOCH]
    assert found.stray_times(EPOCH + 86_400) == [EPOCH - EPOCH % 86_400, EPOCH]
    assert found.used == written.disk.layout.used


def test_executable_files_are_expected_to_lose_that(tmp_path: Path) -> None:
    tree = Blobs(tmp_path).tree(_CONTENT, executable=True)
    plain = Blobs(tmp_path).tree(_CONTENT)
    assert reader.expected(tree) == plain != tree


def test_the_partition_is_found_in_the_table(written: Written) -> None:
    assert reader.partition(written.path) == _START
    assert reader.read(written.path, offset=_START) == written.read()


@pytest.mark.parametrize("at", [446, 450, 454, 461, 510, 511])
def test_no_partition_table(written: Written, at: int) -> None:
    written.patch(at, b"\x7f")
    with pytest.raises(ComparisonError, match="first partition"):
        written.read()


def test_an_image_that_was_cut(written: Written) -> None:
    with written.path.open("r+b") as image:
        image.truncate(written.disk.size - 512)
    with pytest.raises(ComparisonError, match="first partition"):
        written.read()
    written.path.write_bytes(b"")
    with pytest.raises(ComparisonError, match="first partition"):
        written.read()


def test_a_flipped_byte_in_any_file(written: Written) -> None:
    for entry in written.tree.files():
        for byte in {0, entry.size // 2, entry.size - 1} if entry.size else ():
            at = _START + written.disk.layout.extent(entry.path)[byte]
            written.flip(at)
            found = written.read().tree
            different = set(found.entries) ^ set(written.tree.entries)
            assert {one.path for one in different} == {entry.path}
            written.flip(at)
    assert written.read().tree == written.tree


def test_a_flipped_byte_in_a_long_name(written: Written) -> None:
    written.flip(written.record(b"FIRST   TXT") - 32 + 1)
    assert {entry.path for entry in written.read().tree} >= {"a folder/girst.txt"}


def test_a_flipped_byte_in_an_alias(written: Written) -> None:
    written.flip(written.record(b"FIRST   TXT"))
    assert "Broken LFN" in written.damage()


def test_another_size(written: Written) -> None:
    size = written.record(b"FIRST   TXT") + 28
    written.patch(size, struct.pack("<I", 1999))
    assert written.read().tree != written.tree
    written.patch(size, struct.pack("<I", 1000))
    assert "more clusters" in written.damage()
    written.patch(size, struct.pack("<I", 4000))
    assert "fewer clusters" in written.damage()
    written.patch(size, struct.pack("<I", 0))
    assert "is empty, but has" in written.damage()


def test_another_cluster(written: Written) -> None:
    written.patch(written.record(b"FIRST   TXT") + 26, b"\x03\x00")
    assert "used twice" in written.damage()


def test_a_chain_without_end(written: Written) -> None:
    first = written.disk.layout.extent("a folder/first.txt").start
    cluster = 2 + (first - written.disk.layout.geometry.offset(2)) // 512
    written.link(cluster + 1, cluster)
    assert "used twice" in written.damage()


def test_a_folder_without_end(written: Written) -> None:
    written.link(3, 3)
    assert "used twice" in written.damage()


def test_a_folder_inside_itself(written: Written) -> None:
    written.patch(written.record(b"BELOW      ") + 26, struct.pack("<H", 3))
    assert "used twice" in written.damage()


def test_folders_that_point_to_the_wrong_place(written: Written) -> None:
    own = written.record(b".          ") + 26
    written.flip(own)
    assert "itself and the folder above" in written.damage()
    written.flip(own)
    written.flip(own + 32)
    assert "itself and the folder above" in written.damage()


def test_clusters_that_belong_to_nothing(written: Written) -> None:
    written.link(60_000, 0x0FFFFFFF)
    assert "are in use, but" in written.damage()


def test_fats_that_differ(written: Written) -> None:
    written.flip(written.second_fat + 4 * 60_000)
    assert "FATs differ" in written.damage()


def test_a_volume_that_was_not_unmounted(written: Written) -> None:
    written.link(1, 0x07FFFFFF)
    assert "not cleanly unmounted" in written.damage()


def test_another_label_or_volume_id(written: Written) -> None:
    written.flip(_START + 67)
    assert written.read().volume_id == VOLUME.volume_id ^ 1
    written.patch(_START + 71, b"X")
    assert "names the volume 'XOURCERY'" in written.damage()
    written.patch(written.root, b"X")
    assert written.read().label == "XOURCERY"


@pytest.mark.once
@pytest.mark.parametrize("field", [13, 14, 16, 18, 22, 24])
@pytest.mark.parametrize("alias", [b"SOURCERY   ", b"README     ", b".          ", b"TMP        "])
def test_any_other_time(written: Written, alias: bytes, field: int) -> None:
    written.flip(written.record(alias) + field)
    found = written.read()
    assert found.tree == written.tree
    assert len(found.stray_times(EPOCH)) == 1


def test_no_file_system_at_all(written: Written) -> None:
    written.patch(_START, bytes(512))
    assert "Boot code must start" in written.damage()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("shared"))


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(
    place=st.sampled_from(["boot", "fat", "folders"]),
    offset=st.integers(0, 511),
    value=st.integers(0, 255),
)
def test_whatever_is_damaged_is_an_answer_not_an_accident(
    shared: Written, place: str, offset: int, value: int
) -> None:
    start = {"boot": _START, "fat": shared.fat, "folders": shared.root}[place]
    at = start + offset % (512 if place != "fat" else 80)
    with shared.path.open("rb") as image:
        image.seek(at)
        old = image.read(1)
    shared.patch(at, bytes([value]))
    try:
        # Anything but a reading and this error would come through.
        with contextlib.suppress(ComparisonError):
            shared.read()
    finally:
        shared.patch(at, old)


def test_folders_in_folders_end_where_a_tree_s_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only in the end: the paths of what was met would fill the memory before."""
    # As many clusters as only a FAT32 volume has.
    volume = volumes.Volume(66_000)
    for number in range(2, 2 + 250):
        above = 0 if number == 3 else number - 1
        dots = (volumes.short(".", number, 0, 0x10), volumes.short("..", above, 0, 0x10))
        record = volumes.short("D", number + 1, 0, 0x10) + volumes.short("F")
        volume.put(number, (b"".join(dots) if number > 2 else b"") + record)
    volume.put(252, volumes.short(".", 252, 0, 0x10) + volumes.short("..", 251, 0, 0x10))
    image = tmp_path / "volume"
    image.write_bytes(volume.written())
    met: list[str] = []

    def counted(path: str, content: Digest, size: int) -> Entry:
        met.append(path)
        return file(path, content, size)

    monkeypatch.setattr(reader, "file", counted)
    with pytest.raises(ComparisonError, match="folders in folders"):
        reader.read(image, offset=0)
    # One of the root, and one of each folder that a tree can have.
    assert len(met) == MOST_PARTS + 1
