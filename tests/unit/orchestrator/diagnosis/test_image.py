"""One byte changed in each region of an image, by the real writer's bytes: found, and named."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.diagnosis.model import Cause
from orchestrator.diagnosis.trees import explain_files
from orchestrator.image.fat import regions
from tests.unit.orchestrator.image.fat.test_witness import Written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.diagnosis.model import Diagnosis
    from orchestrator.image.fat.regions import Map

START = 1 << 20
FIRST = "a folder with a long name/first.txt"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written.make(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def copy(written: Written) -> Path:
    return Path(shutil.copy(written.path, written.path.with_name("other")))


@pytest.fixture(scope="module")
def found(written: Written) -> Map:
    return map_of(written.path)


def map_of(path: Path) -> Map:
    with path.open("rb") as stream:
        return regions.read(
            lambda at, length: os.pread(stream.fileno(), length, at), path.stat().st_size
        )


@pytest.fixture
def planted(written: Written, copy: Path) -> Iterator[Planted]:
    one = Planted(written.path, copy)
    yield one
    one.undo()


class Planted:
    """Two images, and changes of the second that are undone at the end."""

    def __init__(self, first: Path, second: Path) -> None:
        self.first, self.second = first, second
        self._old: list[tuple[int, bytes]] = []
        self._descriptor = os.open(second, os.O_RDWR)

    def put(self, at: int, data: bytes) -> None:
        self._old.append((at, os.pread(self._descriptor, len(data), at)))
        os.pwrite(self._descriptor, data, at)

    def flip(self, at: int) -> None:
        [old] = os.pread(self._descriptor, 1, at)
        self.put(at, bytes([old ^ 1]))

    def diagnosis(self) -> Diagnosis:
        return explain_files("image", self.first, self.second)

    def undo(self) -> None:
        for at, data in reversed(self._old):
            os.pwrite(self._descriptor, data, at)
        os.close(self._descriptor)


def item(found: Map, path: str) -> regions.Item:
    return next(one for one in found.items if one.path == path)


def places(written: Written, found: Map) -> dict[str, tuple[int, str, Cause]]:
    """Region -> byte, words that name it, class."""
    geometry = written.disk.layout.geometry
    one = item(found, FIRST)
    fat = START + geometry.fat_offset(0) + 4 * one.cluster
    record = one.record
    return {
        "MBR code": (20, "master boot record, boot code", Cause.CODE),
        "disk signature": (441, "master boot record, disk signature", Cause.UNKNOWN),
        "partition entry": (446 + 12, "partition entry 1, number of sectors", Cause.UNKNOWN),
        "gap": (5000, "gap before the partition", Cause.ALLOCATION),
        "boot sector field": (START + 26, "boot sector, heads", Cause.UNKNOWN),
        "boot code": (START + 300, "boot sector, boot code", Cause.CODE),
        "FSInfo": (START + 512 + 492, "FSInfo, hint of the next free cluster", Cause.ALLOCATION),
        "third boot sector": (START + 1024 + 7, "third boot sector", Cause.UNKNOWN),
        "backup boot sector": (START + 6 * 512 + 67, "backup of the boot sector, volume ID",
                               Cause.UNKNOWN),
        "backup of FSInfo": (START + 7 * 512 + 488, "backup of the FSInfo, number of free",
                             Cause.ALLOCATION),
        "reserved sectors": (START + 12 * 512 + 3, "reserved sectors, sector 12",
                             Cause.ALLOCATION),
        "FAT": (fat, f"first FAT of /{FIRST}, entry of cluster {one.cluster}", Cause.ALLOCATION),
        "FAT copy": (fat + geometry.fat_offset(1) - geometry.fat_offset(0),
                     f"second FAT of /{FIRST}, entry of cluster {one.cluster}", Cause.ALLOCATION),
        "unused FAT entry": (START + geometry.fat_offset(1) - 4, "first FAT, entry of cluster",
                             Cause.ALLOCATION),
        "time": (record + 22, f"directory entry of /{FIRST}, time written", Cause.TIME),
        "access date": (record + 18, f"directory entry of /{FIRST}, date accessed", Cause.TIME),
        "alias": (record + 7, f"directory entry of /{FIRST}, alias", Cause.UNKNOWN),
        "attributes": (record + 11, f"directory entry of /{FIRST}, attributes", Cause.UNKNOWN),
        "first cluster": (record + 27, f"directory entry of /{FIRST}, first cluster",
                          Cause.ALLOCATION),
        "file data": (one.runs[0][0] + 700, "", Cause.UNKNOWN),
        "slack": (one.runs[0][0] + one.size + 3, f"slack of /{FIRST}", Cause.ALLOCATION),
        "free space": (START + written.disk.layout.end + 777, "free space", Cause.ALLOCATION),
    }  # fmt: skip


REGIONS = (
    "MBR code", "disk signature", "partition entry", "gap", "boot sector field", "boot code",
    "FSInfo", "third boot sector", "backup boot sector", "backup of FSInfo", "reserved sectors",
    "FAT", "FAT copy", "unused FAT entry", "time", "access date", "alias", "attributes",
    "first cluster", "file data", "slack", "free space",
)  # fmt: skip


@pytest.mark.parametrize("region", REGIONS)
def test_one_byte_is_found_and_named(
    region: str, planted: Planted, written: Written, found: Map
) -> None:
    at, words, cause = places(written, found)[region]
    planted.flip(at)
    told = planted.diagnosis()
    main = told.main
    assert main is not None
    assert main.cause is cause, told.lines()
    assert any(words in one.where for one in told.findings), told.lines()
    assert not any(one.follows for one in told.findings if one.path == "image"), told.lines()
    if region == "file data":
        assert main.path == f"image > {FIRST}"
        assert f"byte {at} of the image" in main.where
        assert main.offset == 700
    else:
        assert any(one.offset == at for one in told.findings), told.lines()


def test_a_long_name_is_seen_as_another_name(planted: Planted, found: Map) -> None:
    one = item(found, FIRST)
    planted.put(one.record - len(one.long) + 1, "g".encode("utf-16-le"))
    told = planted.diagnosis()
    wheres = [finding.where for finding in told.findings]
    assert any(f"/{FIRST}, only in the first" in where for where in wheres)
    assert all(finding.path == "image" for finding in told.findings)


def test_the_checksum_of_a_long_name_is_named(planted: Planted, found: Map) -> None:
    one = item(found, FIRST)
    planted.flip(one.record - len(one.long) + 13)
    told = planted.diagnosis()
    assert [finding.where for finding in told.findings] == [
        f"directory entry of /{FIRST}, checksum of the alias"
    ]


@pytest.mark.parametrize("seconds", [2, 3600])
def test_a_time_and_a_zone(planted: Planted, found: Map, seconds: int) -> None:
    one = item(found, FIRST)
    old = struct.unpack_from("<H", one.raw, 22)[0]
    hours = seconds // 3600 << 11
    planted.put(one.record + 22, struct.pack("<H", (old ^ 1) if not hours else old ^ hours))
    main = planted.diagnosis().main
    assert main is not None
    assert main.cause is (Cause.LOCALE if hours else Cause.TIME)


def test_equal_images_have_no_findings(planted: Planted) -> None:
    told = planted.diagnosis()
    assert (told.findings, told.total, told.main) == ((), 0, None)
    assert told.lines() == []


def test_every_byte_has_a_region(written: Written, found: Map) -> None:
    for name, parts in written.regions().items():
        for part in parts:
            for at in {part.start, part.stop - 1} if part else ():
                assert str(found.at(at)), name
                assert found.at(at).region
