"""The map of an image agrees with what the writer put where, and is made of damaged images too."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.image.fat import fields, names, reader, regions, writer
from reproducibility import manifest
from reproducibility.errors import InputError
from tests.conftest import examples
from tests.unit.orchestrator.image.fat import volumes
from tests.unit.orchestrator.image.samples import SMALL, Blobs, Content, contents, disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.image.fat.regions import Map


def read(path: Path) -> Map:
    handle = os.open(path, os.O_RDONLY)
    try:
        return regions.read(lambda at, n: os.pread(handle, n, at), path.stat().st_size)
    finally:
        os.close(handle)


def write(folder: Path, content: Content) -> Path:
    blobs = Blobs(folder / "blobs")
    writer.write(disk(blobs.tree(content)), blobs.path, folder / "image")
    return folder / "image"


@settings(
    max_examples=examples(10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(contents(12))
def test_files_and_places_are_those_of_the_layout(tmp_path_factory: pytest.TempPathFactory,
                                                  content: Content) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("map")
    blobs = Blobs(folder / "blobs")
    laid = disk(blobs.tree(content))
    writer.write(laid, blobs.path, folder / "image")
    found = read(folder / "image")
    files = {item.path: item for item in found.items if not item.is_folder}
    assert files.keys() == {placed.entry.path for placed in laid.layout.files}
    for path, item in files.items():
        extent = laid.layout.extent(path)
        assert item.size == len(extent)
        if item.size:
            start = laid.offset + extent.start
            assert item.runs[0][0] == start
            assert found.at(start + item.size - 1) == regions.Location(
                "file data", "", path, item.size - 1
            )
        name = path.rpartition("/")[2]
        assert bool(item.long) is not names.is_short(name)
    for placed in folder.iterdir():
        if placed.is_file():
            placed.unlink()


def test_the_map_agrees_with_the_independent_reader(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    tree = reader.read(path).tree
    found = read(path)
    files = {item.path: item.size for item in found.items if not item.is_folder}
    assert files == {entry.path: entry.size for entry in tree.files()}


def test_a_chain_that_goes_in_circles_ends(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    found = read(path)
    item = next(one for one in found.items if one.path == "go/src/cmd/go/main_test.go")
    with path.open("r+b") as stream:
        stream.seek(found.start + found.reserved + 4 * item.cluster)
        stream.write(struct.pack("<I", item.cluster))
    again = next(one for one in read(path).items if one.path == item.path)
    assert sum(length for _, length in again.runs) == found.cluster


class Walked(tuple[tuple[int, int], ...]):
    """Runs of clusters that count how often somebody goes through all of them."""

    __slots__ = ()
    times = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        type(self).times += 1
        return super().__iter__()


def test_pieces_of_a_file_are_found_without_going_through_all(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"a": bytes(40 * 4096)}))
    (number,) = (n for n, item in enumerate(found.items) if item.path == "a")
    item = found.items[number]
    ((start, length),) = item.runs
    # In pieces of one cluster, from the last to the first.
    size = found.cluster
    pieces = Walked((start + at, size) for at in range(0, length, size))
    found.items[number] = replace(item, runs=Walked(reversed(pieces)))
    Walked.times = 0
    for at in range(length // size):
        assert found.at(start + at * size + 7).offset == length - (at + 1) * size + 7
    assert Walked.times == 1


def test_the_backup_helps_where_the_boot_sector_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    wanted = read(path)
    with path.open("r+b") as stream:
        stream.seek(wanted.start)
        stream.write(bytes(64))
    assert [one.path for one in read(path).items] == [one.path for one in wanted.items]


def test_a_volume_without_a_partition_table(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    data = path.read_bytes()
    (tmp_path / "volume").write_bytes(data[1 << 20 :])
    found = read(tmp_path / "volume")
    assert found.start == 0
    assert found.at(0).region == "boot sector"
    assert len(found.items) == len(read(path).items)


@pytest.mark.parametrize("data", [b"", bytes(4096), b"\xeb" + bytes(509) + b"\x55\xaa"])
def test_no_image(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "no").write_bytes(data)
    with pytest.raises(InputError):
        read(tmp_path / "no")
    assert not regions.looks_like(lambda at, n: data[at : at + n], len(data))


@pytest.mark.parametrize(
    ("table", "size"),
    [(fields.MASTER, 512), (fields.BOOT, 512), (fields.INFORMATION, 512), (fields.SHORT, 32),
     (fields.LONG, 32)],
)  # fmt: skip
def test_fields_fill_their_structures(table: fields.Fields, size: int) -> None:
    spans = fields.spans(table, size)
    assert spans[0][0] == 0
    assert spans[-1][1] == size
    assert [end for _, end, _ in spans[:-1]] == [start for start, _, _ in spans[1:]]
    assert all(start < end for start, end, _ in spans)
    assert fields.name(table, size - 1) == spans[-1][2]


def mapped(data: bytes) -> Map:
    return regions.read(lambda at, length: data[at : at + length], len(data))


def nested(depth: int, name: str) -> bytes:
    volume = volumes.Volume(depth + 2)
    for number in range(depth):
        record = volumes.short("D", 3 + number, attributes=volumes.FOLDER)
        volume.put(2 + number, (volumes.long(name) if name else b"") + record)
    volume.put(2 + depth, b"")
    return volume.written()


def test_folders_within_folders_do_not_make_paths_without_end() -> None:
    """A path holds all names above it: the sum of them grows with the square of the depth."""
    assert len(mapped(nested(20, "n" * 150)).items) == 21
    with pytest.raises(InputError, match="a longer path than is looked at"):
        mapped(nested(30, "n" * 150))


def test_folders_within_folders_have_an_end() -> None:
    assert len(mapped(nested(manifest.MOST_PARTS, "")).items) == manifest.MOST_PARTS + 1
    with pytest.raises(InputError, match="deeper folders than are looked at"):
        mapped(nested(manifest.MOST_PARTS + 1, ""))


def test_all_paths_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = volumes.Volume(20)
    volume.put(2, volumes.short("D", 10, attributes=volumes.FOLDER))
    volume.put(10, b"".join(volumes.short(f"F{number}") for number in range(9)))
    data = volume.written()
    # The folder's name of one byte, and nine paths of four.
    monkeypatch.setattr(manifest, "MOST_NAMES", 1 + 9 * 4)
    assert len(mapped(data).items) == 11
    monkeypatch.setattr(manifest, "MOST_NAMES", 9 * 4)
    with pytest.raises(InputError, match="more names than are looked at"):
        mapped(data)


@pytest.mark.parametrize(("signs", "taken"), [(13 * 20 - 1, True), (13 * 20, False)])
def test_a_long_name_has_at_most_twenty_records(signs: int, *, taken: bool) -> None:
    """More of them belong to no name: the file is known by its alias, as it is to a kernel."""
    name = "n" * signs
    volume = volumes.Volume(9)
    volume.put(2, volumes.long(name) + volumes.short("A       TXT") + volumes.short("B"))
    found = mapped(volume.written())
    assert [item.path for item in found.items[1:]] == [name if taken else "A.TXT", "B"]
    assert len(found.items[1].long) == (20 * 32 if taken else 0)
    assert found.at(found.data).region == ("directory entry" if taken else "directory")


def test_many_records_of_a_long_name_are_not_kept() -> None:
    """Records of long names before a short one are as many as a folder has room for."""
    volume = volumes.Volume(400)
    volume.put(2, volumes.long("n" * 50_000) + volumes.short("A") + volumes.short("B"))
    found = mapped(volume.written())
    assert [(item.path, item.long) for item in found.items[1:]] == [("A", b""), ("B", b"")]
