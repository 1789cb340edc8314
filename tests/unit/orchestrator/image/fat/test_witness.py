"""The witness sees every bit of an image that is not what the tree and the parameters say."""

from __future__ import annotations

import ast
import functools
import os
import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.artifacts import bios_loader
from orchestrator.boot import syslinux
from orchestrator.image.fat import reader, witness, writer
from orchestrator.image.fat.layout import lay_out
from orchestrator.image.fat.volume import Volume
from orchestrator.image.fat.witness import folders
from reproducibility.errors import ComparisonError
from tests.conftest import examples
from tests.unit.orchestrator.boot import made
from tests.unit.orchestrator.image.samples import (
    EPOCH,
    SIGNATURE,
    VOLUME,
    Blobs,
    Content,
    contents,
    data,
    disk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.image.fat.disk import Disk
    from reproducibility.manifest import Tree

_SECTOR = 512
_START = 1 << 20
# Single bits changed in each region.
_FLIPS = 200

_CONTENT: Content = {
    "README": data(100),
    "a folder with a long name/first.txt": data(2000, 2),
    "a folder with a long name/second.txt": data(700, 3),
    "a folder with a long name/below/größe": data(1, 4),
    "go/src/main.go": data(5000, 5),
    "tmp": None,
    "empty": b"",
    **{
        f"src/many/a file with the number {number}.go": data(number, number) for number in range(40)
    },
}


@dataclass
class Written:
    """An image that a PC's BIOS boots, and all that the witness is told of it."""

    path: Path
    disk: Disk
    tree: Tree
    expected: witness.Expected

    @classmethod
    def make(cls, folder: Path, volume: Volume = VOLUME) -> Written:
        blobs = Blobs(folder / "blobs")
        packages = made.syslinux()
        loader = syslinux.loader(blobs.tree(packages), blobs.read)
        files = {syslinux.LDLINUX: loader.unpatched, syslinux.MODULE: loader.module}
        tree = blobs.tree(_CONTENT | files)
        placed = lay_out(tree, replace(volume, fixed=bios_loader.FIXED))
        final, finished = bios_loader.installed(tree, placed, SIGNATURE, loader, blobs.put)
        path = folder / "image"
        writer.write(finished, blobs.path, path)
        expected = witness.Expected(
            tree=final,
            label=volume.label,
            volume_id=volume.volume_id,
            signature=SIGNATURE,
            epoch=EPOCH,
            free_space=0,
            packages=witness.Packages(
                packages["usr/lib/syslinux/mbr/mbr.bin"], packages["usr/bin/syslinux"]
            ),
        )
        return cls(path, finished, final, expected)

    def findings(self) -> list[str]:
        return witness.findings(self.path, self.expected)

    def differs(self) -> bool:
        """Whether the witness or the reader of the content objects."""
        try:
            return bool(self.findings() or self.changed())
        except ComparisonError:
            return True

    def changed(self) -> set[str]:
        """The files that are others than those in the tree, by the reader of the content.

        Raises:
            ComparisonError: the volume cannot be read at all.
        """
        seen, wanted = reader.read(self.path).tree, reader.expected(self.tree)
        paths = {entry.path for tree in (seen, wanted) for entry in tree}
        return {path for path in paths if seen.get(path) != wanted.get(path)}

    def files(self) -> dict[str, range]:
        """Where each file's bytes are in the image, by its path; of those that have any."""
        layout = self.disk.layout
        found = {}
        for placed in layout.files:
            extent = layout.extent(placed.entry.path)
            if extent:
                found[placed.entry.path] = range(_START + extent.start, _START + extent.stop)
        return found

    def regions(self) -> dict[str, list[range]]:
        """Bytes of the image by region; together they are the whole image, each byte once."""
        layout = self.disk.layout
        geometry = layout.geometry
        fats = [_START + geometry.fat_offset(number) for number in range(2)]
        data_at = _START + geometry.offset(2)
        end = _START + layout.end
        folders = range(data_at, data_at + len(layout.folders))
        system: list[range] = []
        content: list[range] = []
        slack: list[range] = []
        for path, found in self.files().items():
            which = system if path == syslinux.LDLINUX else content
            which.append(found)
            rest = -len(found) % geometry.cluster
            slack.append(range(found.stop, found.stop + rest))

        def sectors(*numbers: int) -> list[range]:
            return [range(_START + n * _SECTOR, _START + (n + 1) * _SECTOR) for n in numbers]

        [boot] = sectors(0)
        return {
            "code of the master boot record": [range(440)],
            "disk signature and partition table": [range(440, 512)],
            "gap before the partition": [range(512, _START)],
            "parameters of the boot sector": [boot[11:90]],
            "boot code": [boot[:11], boot[90:]],
            "FSInfo": sectors(1),
            "backup of boot sector and FSInfo": sectors(6, 7, 8),
            "reserved sectors": [
                *sectors(2, 3, 4, 5),
                range(_START + 9 * _SECTOR, _START + geometry.reserved * _SECTOR),
            ],
            "first FAT": [range(fats[0], fats[1])],
            "first FAT, in use": [range(fats[0], fats[0] + len(layout.fat))],
            "second FAT": [range(fats[1], data_at)],
            "second FAT, in use": [range(fats[1], fats[1] + len(layout.fat))],
            "directories": [folders],
            CONTENT: content,
            "ldlinux.sys": system,
            "cluster slack": slack,
            "free space": [range(end, self.disk.size)],
        }


class Image:
    """The bytes of an image file, changed in place."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR)

    def close(self) -> None:
        os.close(self._descriptor)

    def flip(self, at: int, bit: int) -> None:
        [old] = os.pread(self._descriptor, 1, at)
        os.pwrite(self._descriptor, bytes([old ^ 1 << bit]), at)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written.make(tmp_path_factory.mktemp("witness"))


@pytest.fixture
def image(written: Written) -> Iterator[Image]:
    opened = Image(written.path)
    yield opened
    opened.close()


def test_what_is_right_has_no_findings(written: Written) -> None:
    assert written.findings() == []
    assert not written.differs()


def test_the_regions_are_the_whole_image(written: Written) -> None:
    regions = written.regions()
    parts = sorted(
        ((one.start, one.stop) for name, found in regions.items() if "in use" not in name
         for one in found if one)
    )  # fmt: skip
    assert parts[0][0] == 0
    assert parts[-1][1] == written.path.stat().st_size
    assert [start for start, _ in parts[1:]] == [stop for _, stop in parts[:-1]]


CONTENT = "content of files"
REGIONS = (
    "code of the master boot record", "disk signature and partition table",
    "gap before the partition", "parameters of the boot sector", "boot code", "FSInfo",
    "backup of boot sector and FSInfo", "reserved sectors", "first FAT", "first FAT, in use",
    "second FAT", "second FAT, in use", "directories", CONTENT, "ldlinux.sys",
    "cluster slack", "free space",
)  # fmt: skip


_PLANNED = functools.cache(folders.plan)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the witness works out from the tree alone is worked out once for all changed bits."""
    monkeypatch.setattr(folders, "plan", _PLANNED)


@pytest.mark.once
@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize("region", [region for region in REGIONS if region != CONTENT])
def test_every_changed_bit_is_seen(written: Written, image: Image, region: str) -> None:
    assert written.regions().keys() == set(REGIONS)
    parts = written.regions()[region]
    total = sum(map(len, parts))
    draw = random.Random(region)  # noqa: S311 - the same places each time
    unseen = []
    for number in draw.sample(range(8 * total), min(_FLIPS, 8 * total)):
        at, bit = _place(parts, number // 8), number % 8
        image.flip(at, bit)
        if not written.findings():
            unseen.append((at, bit))
        image.flip(at, bit)
    assert unseen == []
    assert written.findings() == []


@pytest.mark.once
def test_every_changed_bit_of_a_files_content_is_seen(written: Written, image: Image) -> None:
    """By the reader. One bit in each of the files at a time, and each of them is named."""
    draw = random.Random(CONTENT)  # noqa: S311 - the same places each time
    files = written.files()
    assert len(files) > 40
    for _ in range(-(-_FLIPS // len(files))):
        places = [(draw.choice(found), draw.randrange(8)) for found in files.values()]
        for place in places:
            image.flip(*place)
        assert written.changed() == files.keys()
        for place in places:
            image.flip(*place)
    assert written.changed() == set()


def _place(parts: list[range], number: int) -> int:
    for part in parts:
        if number < len(part):
            return part[number]
        number -= len(part)
    raise AssertionError


# -- what it is told, and what it says -----------------------------------------------------------


def _bare(tree: Tree, volume: Volume) -> witness.Expected:
    return witness.Expected(
        tree, volume.label, volume.volume_id, SIGNATURE, volume.epoch, volume.free_bytes
    )


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(content=contents())
def test_any_tree(content: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Path(folder, "blobs"))
        tree = blobs.tree(content)
        path = Path(folder, "image")
        writer.write(disk(tree), blobs.path, path)
        assert witness.findings(path, _bare(tree, VOLUME)) == []


@pytest.mark.parametrize(
    "volume",
    [
        Volume(0, "A", 315_532_800),
        Volume(0xFFFF_FFFF, "NINE LIVES", 4_354_819_198, free_bytes=(100 << 20) + 4096),
        Volume(1, "SOURCERY", EPOCH, free_bytes=300 << 20),
        Volume(1, "SOURCERY", EPOCH, free_bytes=9 << 30),
    ],
)
def test_any_volume(blobs: Blobs, tmp_path: Path, volume: Volume) -> None:
    similar = {f"a name like others {number}.txt": data(number) for number in range(1, 120)}
    tree = blobs.tree({**_CONTENT, **similar, "Sourcery": b"as the label", "many~1": b"taken"})
    path = tmp_path / "image"
    writer.write(disk(tree, volume), blobs.path, path)
    assert witness.findings(path, _bare(tree, volume)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "OTHER"}, "label"),
        ({"volume_id": 1}, "volume ID"),
        ({"signature": 1}, "the disk's signature"),
        ({"epoch": EPOCH + 2}, "time made"),
        ({"epoch": EPOCH + 86_400}, "date"),
        ({"free_space": 1 << 30}, "free space"),
        ({"packages": None}, "boot code"),
    ],
)
def test_other_parameters_are_seen(written: Written, change: dict[str, object], said: str) -> None:
    other = replace(written.expected, **change)  # type: ignore[arg-type]
    found = witness.findings(written.path, other)
    assert any(said in finding for finding in found), found


@pytest.mark.parametrize("part", ["usr/lib/syslinux/mbr/mbr.bin", "usr/bin/syslinux"])
def test_other_packages_are_seen(written: Written, part: str) -> None:
    packages = written.expected.packages
    assert packages is not None
    if part.endswith("mbr.bin"):
        other = replace(packages, record=b"n" * 440)
    else:
        # One byte of the boot sector's code.
        other = replace(packages, installer=packages.installer.replace(b"ccc", b"cdc", 1))
    found = witness.findings(written.path, replace(written.expected, packages=other))
    assert len(found) >= 1


def test_packages_of_another_loader(written: Written) -> None:
    other = replace(written.expected, packages=witness.Packages(b"m" * 440, b"another program"))
    [said] = witness.findings(written.path, other)
    assert "not those in the program syslinux" in said


PLACES: dict[str, tuple[Callable[[Written], int], str]] = {
    "alias": (lambda w: _record(w, b"FIRST   TXT"), "record of a folder with a long name/first"),
    "attributes": (lambda w: _record(w, b"FIRST   TXT") + 11, "first.txt, attributes"),
    "accessed": (lambda w: _record(w, b"FIRST   TXT") + 18, "first.txt, date accessed"),
    "tenths": (lambda w: _record(w, b"FIRST   TXT") + 13, "first.txt, time made"),
    "size": (lambda w: _record(w, b"FIRST   TXT") + 28, "first.txt, size"),
    "checksum": (lambda w: _record(w, b"FIRST   TXT") - 32 + 13, "first.txt, checksum"),
    "a system file": (lambda w: _record(w, b"LDLINUX SYS") + 11, "ldlinux.sys, attributes"),
    "end of a directory": (lambda w: _record(w, b"TMP        ") + 32, "the directory /"),
    "gap": (lambda _: 5000, "the gap before the partition: byte 5000 is 0x01, should be 0x00"),
    "second FAT": (
        lambda w: _START + w.disk.layout.geometry.fat_offset(1) + 8, "the second FAT"
    ),
    "backup": (lambda _: _START + 6 * 512 + 67, "the backup of the boot sector, volume ID"),
    "cluster size": (lambda _: _START + 13, "the boot sector, sectors of a cluster"),
    "loader": (
        lambda w: _START + w.disk.layout.extent(syslinux.LDLINUX).start + 40, "ldlinux.sys: byte"
    ),
}  # fmt: skip


def _record(written: Written, alias: bytes) -> int:
    layout = written.disk.layout
    return _START + layout.geometry.offset(2) + layout.folders.index(alias)


@pytest.mark.parametrize("place", PLACES)
def test_what_differs_is_named(written: Written, image: Image, place: str) -> None:
    where, said = PLACES[place]
    at = where(written)
    image.flip(at, 0)
    found = written.findings()
    image.flip(at, 0)
    assert len(found) == 1
    assert said in found[0]


def test_an_image_that_was_cut_or_has_more(written: Written) -> None:
    size = written.path.stat().st_size
    for other in (0, 512, size - 512, size - (1 << 20), size + 512, size + (1 << 20)):
        copy = written.path.with_name("copy")
        with copy.open("wb") as stream:
            stream.write(written.path.read_bytes()[:other])
            stream.truncate(other)
        assert len(witness.findings(copy, written.expected)) == 1


def test_no_more_than_some_findings(written: Written, image: Image) -> None:
    at = [_START + written.disk.layout.geometry.fat_offset(0) + 4 * n for n in range(2)]
    gap = range(1024, 1 << 20, 1 << 17)
    for place in (*at, *gap, 3, 500):
        image.flip(place, 0)
    assert 2 < len(written.findings()) <= 8
    for place in (*at, *gap, 3, 500):
        image.flip(place, 0)
    assert written.findings() == []


def test_it_shares_no_code_with_the_writer() -> None:
    ours = ("orchestrator", "containers")
    for path in Path(witness.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            assert not name.startswith(ours) or name.startswith(witness.__name__), path.name
            assert not isinstance(node, ast.Import) or node.names[0].name not in ours, path.name
