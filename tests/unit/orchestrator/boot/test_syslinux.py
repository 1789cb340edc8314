"""SYSLINUX: found in its installer, patched as the installer does it, and placed on an image."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import bios_loader
from orchestrator.boot import syslinux
from orchestrator.image.fat import writer
from orchestrator.image.fat.disk import START, Disk
from orchestrator.image.fat.layout import lay_out
from orchestrator.image.fat.volume import Volume
from reproducibility.errors import InputError
from tests.unit.orchestrator.boot import made
from tests.unit.orchestrator.boot.made import AREA, SECTOR_SIZE, Memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.boot.syslinux import Loader
    from reproducibility.manifest import Entry, Tree

_VOLUME = Volume(made.VOLUME_ID, "STICK", 1_700_000_000, fixed=bios_loader.FIXED)
_SIGNATURE = 0x5717_C001


def _loader(memory: Memory) -> Loader:
    return syslinux.loader(memory.tree(made.syslinux()), memory.read)


def _words(data: bytes) -> Sequence[int]:
    return struct.unpack(f"<{len(data) // 4}I", data)


def test_the_parts_are_found(memory: Memory) -> None:
    found = _loader(memory)
    assert found.master == b"m" * 440
    assert len(found.sector) == SECTOR_SIZE
    assert found.sector.endswith(b"c\x55\xaa")
    assert len(found.system) == 30 * SECTOR_SIZE
    assert found.module == made.elf_32(b"module")
    assert len(found.unpatched) == 32 * SECTOR_SIZE


@pytest.mark.parametrize(
    ("path", "damage", "words"),
    [
        ("usr/bin/syslinux", lambda _: None, "package syslinux has no usr/bin/syslinux"),
        ("usr/lib/syslinux/mbr/mbr.bin", lambda _: None, "package syslinux-common has no"),
        ("usr/bin/syslinux", lambda _: b"", "hold a boot sector"),
        ("usr/bin/syslinux", lambda data: data.replace(b"\x58\x90SYS", b"\x58\x90GRUB"), "a boot"),
        ("usr/bin/syslinux", lambda data: data.replace(b"\r\nSYSLINUX", b"\r\nSYSTEM.."), "a boot"),
        ("usr/bin/syslinux", lambda data: data[: -len(b"the end") - 5], "hold an ldlinux.c32"),
        (
            "usr/bin/syslinux",
            lambda data: data.replace(struct.pack("<I", 0x3EB202FE), bytes(4)),
            "a patch area",
        ),
        (
            "usr/bin/syslinux",
            lambda data: data.replace(struct.pack("<HH", 127, 64), struct.pack("<HH", 127, 60000)),
            "a patch area",
        ),
    ],
)
def test_a_part_that_is_not_there(memory: Memory, path: str, damage: object, words: str) -> None:
    content = made.syslinux()
    damaged = damage(content.pop(path))  # type: ignore[operator]
    packages = memory.tree(content if damaged is None else content | {path: damaged})
    with pytest.raises(InputError, match=words) as caught:
        syslinux.loader(packages, memory.read)
    assert caught.value.subject.startswith("package syslinux")


def test_patched(memory: Memory) -> None:
    found = _loader(memory)
    sectors = [*range(5000, 5010), *range(9000, 9020), 70, 80]
    image, boot = found.patched(sectors)
    assert len(image) == len(found.unpatched)
    _, _, data, adv, dwords, _, most, _ = struct.unpack_from("<IIHHIIHH", image, AREA)
    assert (data, adv, dwords, most) == (30, 2, 30 * 128, 127)
    # The sum that the loader checks: all words of ldlinux.sys give the magic number.
    assert sum(_words(image[: 30 * SECTOR_SIZE])) % (1 << 32) == 0x3EB202FE
    # What is loaded by the table is what comes after the first sector.
    table = [struct.unpack_from("<QH", image, made.TABLE + 10 * i) for i in range(made.MOST)]
    assert table[:2] == [(5001, 9), (9000, 20)]
    assert not any(map(any, table[2:]))
    assert struct.unpack_from("<QQ", image, made.ADV) == (70, 80)
    assert image[made.FOLDER : made.FOLDER + 10] == b"/syslinux\0"
    sector = bytearray(SECTOR_SIZE)
    sector[:11], sector[90:510] = boot.head, boot.code
    assert struct.unpack_from("<I", sector, made.LOW) == (5000,)
    assert struct.unpack_from("<I", sector, made.HIGH) == (0,)
    # Two copies of empty auxiliary data, each with its sum.
    first, second = image[-2 * SECTOR_SIZE : -SECTOR_SIZE], image[-SECTOR_SIZE:]
    assert first == second
    assert (_words(first)[0], _words(first)[-1]) == (0x5A2D2FA5, 0xDD28BF64)
    assert sum(_words(first)[1:-1]) % (1 << 32) == 0xA3041767


def test_another_number_of_sectors(memory: Memory) -> None:
    with pytest.raises(InputError, match="do not lie in 31 sectors"):
        _loader(memory).patched(range(31))


def test_more_pieces_than_there_is_room_for(memory: Memory) -> None:
    packages = memory.tree(made.syslinux(sectors=60))
    found = syslinux.loader(packages, memory.read)
    found.patched(range(62))
    with pytest.raises(InputError, match="room for 40 pieces"):
        found.patched(range(0, 124, 2))


@given(
    runs=st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(1, 200)), min_size=1, max_size=8)
)
def test_extents_are_the_sectors_and_none_is_too_long(runs: list[tuple[int, int]]) -> None:
    sectors = [start + index for start, length in runs for index in range(length)]
    found = syslinux.extents(sectors)
    assert [start + index for start, length in found for index in range(length)] == sectors
    assert all(length * SECTOR_SIZE < 1 << 16 for _, length in found)
    # None could be longer than it is.
    for (start, length), (following, _) in itertools.pairwise(found):
        assert length == 127 or start + length != following


def _stick(memory: Memory, found: Loader, folder: Path) -> tuple[Tree, Disk, Path]:
    """An image with the loader and some files around it; written."""
    tree = memory.tree(
        {
            syslinux.LDLINUX: found.unpatched,
            syslinux.MODULE: found.module,
            "syslinux/syslinux.cfg": b"DEFAULT amd64\n",
            "boot/amd64/vmlinuz": b"kernel" * 1000,
            "README": b"hello",
            "zzz/last": b"last" * 3000,
        }
    )
    final, disk = bios_loader.installed(tree, lay_out(tree, _VOLUME), _SIGNATURE, found, memory.put)
    blobs = folder / "blobs"
    blobs.mkdir()

    def blob(entry: Entry) -> Path:
        path = blobs / entry.digest
        path.write_bytes(memory.read(entry.content))
        return path

    image = folder / "stick.img"
    writer.write(disk, blob, image)
    return final, disk, image


def test_installed(memory: Memory, tmp_path: Path) -> None:
    found = _loader(memory)
    final, disk, image = _stick(memory, found, tmp_path)
    content = memory.content(final, syslinux.LDLINUX)
    data = image.read_bytes()
    assert data[:440] == found.master
    # The file lies where the disk says, and names the sectors of the volume in which it lies.
    sectors = disk.sectors(syslinux.LDLINUX)
    assert data[sectors.start * SECTOR_SIZE : sectors.stop * SECTOR_SIZE] == content
    first = sectors.start - START
    assert struct.unpack_from("<QH", content, made.TABLE) == (first + 1, 29)
    for copy in (START, START + 6):
        sector = data[copy * SECTOR_SIZE : (copy + 1) * SECTOR_SIZE]
        assert struct.unpack_from("<I", sector, made.LOW) == (first,)
        assert sector[200:510] == b"c" * 310
    # To lay the final tree out again changes nothing but what was patched.
    again = Disk(lay_out(final, _VOLUME), _SIGNATURE, disk.code, disk.volume_boot)
    assert again.metadata() == disk.metadata()
    assert again.layout.files == disk.layout.files


def test_a_tree_without_the_file(memory: Memory) -> None:
    tree = memory.tree({"README": b"hello"})
    layout = lay_out(tree, Volume(made.VOLUME_ID, "STICK", 1_700_000_000))
    with pytest.raises(KeyError):
        bios_loader.installed(tree, layout, _SIGNATURE, _loader(memory), memory.put)


def _run(program: str, *arguments: object) -> str:
    found = shutil.which(program)
    assert found is not None
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", "MTOOLSRC": os.devnull}
    done = subprocess.run(
        [found, *map(str, arguments)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


@pytest.mark.needs_tools("syslinux", "mcopy", "mshowfat")
def test_the_real_installer_writes_the_same_bytes(memory: Memory, tmp_path: Path) -> None:
    """The machine's own SYSLINUX installs itself on an image of ours."""
    program = shutil.which("syslinux")
    assert program is not None
    packages = made.syslinux() | {"usr/bin/syslinux": Path(program).read_bytes()}
    found = syslinux.loader(memory.tree(packages), memory.read)
    _, _, image = _stick(memory, found, tmp_path)
    before = image.read_bytes()
    offset = START * SECTOR_SIZE
    _run("syslinux", "--install", "--directory", f"/{syslinux.FOLDER}", "-t", offset, image)
    after = image.read_bytes()
    assert after != before  # it copied the file to another place
    for path, expected in ((syslinux.MODULE, found.module), (syslinux.LDLINUX, None)):
        _run("mcopy", "-n", "-i", f"{image}@@{offset}", f"::/{path}", tmp_path)
        copied = (tmp_path / Path(path).name).read_bytes()
        if expected is not None:
            assert copied == expected
            continue
        patched, boot = found.patched(_sectors(image, after[offset:], path))
        assert copied == patched
        assert after[offset : offset + 11] == boot.head
        assert after[offset + 90 : offset + 510] == boot.code.ljust(420, b"\0")


def _sectors(image: Path, volume: bytes, path: str) -> list[int]:
    """The sectors of the volume in which a file lies, by mtools; whole sectors of it only."""
    shown = _run("mshowfat", "-i", f"{image}@@{START * SECTOR_SIZE}", f"::/{path}")
    per_cluster, reserved, fats = volume[13], *struct.unpack_from("<HB", volume, 14)
    start = reserved + fats * struct.unpack_from("<I", volume, 36)[0]
    clusters = [
        cluster
        for first, last in re.findall(r"<([0-9]+)(?:-([0-9]+))?>", shown)
        for cluster in range(int(first), int(last or first) + 1)
    ]
    sectors = [
        start + (cluster - 2) * per_cluster + index
        for cluster in clusters
        for index in range(per_cluster)
    ]
    size = (image.parent / Path(path).name).stat().st_size
    return sectors[: -(-size // SECTOR_SIZE)]
