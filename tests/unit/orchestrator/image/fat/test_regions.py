"""The map of an image agrees with what the writer put where, and is made of damaged images too."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.image.fat import fields, names, reader, regions, writer
from reproducibility.errors import InputError
from tests.conftest import examples
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
