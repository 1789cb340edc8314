"""The programs that check and read FAT everywhere agree: dosfstools and mtools."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.image.fat import reader, writer
from orchestrator.image.fat.volume import Volume
from reproducibility import manifest
from tests.conftest import examples
from tests.unit.orchestrator.image import tools
from tests.unit.orchestrator.image.samples import (
    EPOCH,
    SMALL,
    VOLUME,
    Blobs,
    Content,
    contents,
    data,
    disk,
)

pytestmark = pytest.mark.once

_MIB = 1 << 20
_MTOOLS = pytest.mark.needs_tools("mdir", "mcopy", "mlabel", "mattrib")
_FSCK = pytest.mark.needs_tools("fsck.fat")


def _write(content: Content, folder: Path, volume: Volume = VOLUME) -> Path:
    blobs = Blobs(folder / "blobs")
    target = folder / "image"
    writer.write(disk(blobs.tree(content), volume), blobs.path, target)
    return target


def _fsck(image: Path) -> str:
    """What fsck.fat says of the volume; it is clean, and nothing is worth a word."""
    volume = image.with_name("volume")
    with image.open("rb") as source, volume.open("wb") as target:
        source.seek(_MIB)
        while piece := source.read(_MIB):
            # What is zero stays a hole.
            if piece == bytes(len(piece)):
                target.seek(len(piece), os.SEEK_CUR)
            else:
                target.write(piece)
        target.truncate(image.stat().st_size - _MIB)
    status, text = tools.run("fsck.fat", "-n", volume)
    lines = text.replace(str(volume), "VOLUME").splitlines()
    assert status == 0, text
    assert len(lines) == 2, text
    assert re.fullmatch(r"fsck\.fat \S+ \(.*\)", lines[0])
    return lines[1]


def _many() -> Content:
    return {
        "README": data(10),
        "UPPER.TXT": data(512),
        ".gitignore": b"",
        "tmp": None,
        "go/src/größe ΩЖ.txt": data(5000),
        "go/src/a+b,c;d=[e].txt": data(1),
        **{f"folder/a long name that has a number {number}": data(number) for number in range(300)},
    }


@_FSCK
@pytest.mark.parametrize("content", [SMALL, _many(), {}], ids=["small", "many", "nothing"])
def test_fsck_is_clean(tmp_path: Path, content: Content) -> None:
    image = _write(content, tmp_path)
    used = reader.read(image).used
    assert re.fullmatch(rf"VOLUME: \d+ files, {used}/\d+ clusters", _fsck(image))


@_FSCK
@pytest.mark.parametrize("size", [0, 60 << 20, 130 << 20, 300 << 20])
def test_fsck_is_clean_at_every_cluster_size(tmp_path: Path, size: int) -> None:
    volume = Volume(1, "A LABEL", EPOCH, free_bytes=size)
    _fsck(_write({"A LABEL": data(1), "A~1": None}, tmp_path, volume))


@_FSCK
def test_fsck_sees_damage(tmp_path: Path) -> None:
    image = _write(_many(), tmp_path)
    with image.open("r+b") as stream:
        stream.seek(_MIB + 512 + 488)
        stream.write(b"\0\0\0\0")
    with pytest.raises(AssertionError, match="Free cluster summary wrong"):
        _fsck(image)


@_FSCK
@settings(deadline=None, max_examples=examples(8), suppress_health_check=[HealthCheck.too_slow])
@given(content=contents())
def test_fsck_is_clean_for_any_tree(content: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _fsck(_write(content, Path(folder)))


@_MTOOLS
def test_mtools_reads_every_file(tmp_path: Path) -> None:
    image = _write(_many(), tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    status, text = tools.run("mcopy", "-s", "-n", "-m", "-i", f"{image}@@1M", "::/*", out)
    assert (status, text) == (0, "")
    assert manifest.scan(out) == reader.read(image).tree
    assert {file.stat().st_mtime for file in out.rglob("*.txt")} == {EPOCH}


@_MTOOLS
def test_mtools_lists_names_label_and_attributes(tmp_path: Path) -> None:
    content: Content = {"UPPER.TXT": b"1", "lower.txt": b"1", "ldlinux.sys": b"1"}
    volume = Volume(0x1234_5678, "A LABEL", EPOCH, fixed=frozenset({"ldlinux.sys"}))
    place = f"{_write(content, tmp_path, volume)}@@1M"
    assert tools.run("mdir", "-b", "-a", "-i", place, "::/")[1].split() == [
        "::/UPPER.TXT",
        "::/ldlinux.sys",
        "::/lower.txt",
    ]
    status, text = tools.run("mdir", "-a", "-i", place, "::/")
    assert status == 0
    assert "Volume in drive : is A LABEL" in text
    assert "Volume Serial Number is 1234-5678" in text
    assert "2023-11-14  22:13" in text
    status, text = tools.run("mattrib", "-i", place, "::/ldlinux.sys", "::/UPPER.TXT")
    assert status == 0
    assert [line.split()[:-1] for line in text.splitlines()] == [["A", "SHR"], ["A"]]
