"""Disks and images: what lies on them, by tables of the project's own making and of anybody's."""

from __future__ import annotations

import contextlib
import functools
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.image.fat import reader
from orchestrator.image.fat import witness as witnesses
from orchestrator.stick import contents, remains
from orchestrator.stick.disks import Kernel
from tests.fuzz import scratch
from tests.fuzz.target import Target
from tests.unit.orchestrator.image.fat import test_witness
from tests.unit.orchestrator.stick import test_contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PATCH = struct.Struct("<BBH")
_MOST_PATCHES = 200
_DISK = 1 << 30


@dataclass(frozen=True)
class _Image:
    """An image that is right, and the regions that a patch can lie in."""

    path: Path
    expected: witnesses.Expected
    regions: tuple[range, ...]


@functools.cache
def _image() -> _Image:
    written = test_witness.Written.make(scratch.folder() / "image")
    regions = [one for found in written.regions().values() for one in found if one]
    small = [one for one in regions if len(one) < 1 << 17]
    return _Image(written.path, written.expected, tuple(small))


@contextlib.contextmanager
def _patched(data: bytes) -> Iterator[_Image]:
    """The image with patches: each says a region, how many bytes follow, and where they go.

    Undone at the end, so that the next input finds the image as it was.
    """
    image = _image()
    undo: list[tuple[int, bytes]] = []
    descriptor = os.open(image.path, os.O_RDWR)
    try:
        at = 0
        while at + _PATCH.size <= len(data) and len(undo) < _MOST_PATCHES:
            which, length, offset = _PATCH.unpack_from(data, at)
            at += _PATCH.size
            new = data[at : at + 1 + length % 64]
            at += len(new)
            region = image.regions[which % len(image.regions)]
            place = region.start + offset % len(region)
            undo.append((place, os.pread(descriptor, len(new), place)))
            os.pwrite(descriptor, new, place)
        yield image
    finally:
        for place, old in reversed(undo):
            os.pwrite(descriptor, old, place)
        os.close(descriptor)


def _read(data: bytes) -> None:
    with _patched(data) as image:
        reader.read(image.path)


def _witness(data: bytes) -> None:
    with _patched(data) as image:
        for finding in witnesses.findings(image.path, image.expected):
            if not finding.isprintable():
                raise AssertionError(repr(finding))


def _patches() -> Sequence[bytes]:
    """A patch of every region."""
    count = len(_image().regions)
    each = [_PATCH.pack(which % 256, 3, 7 * which) + b"\x01\x02\x03\x04" for which in range(count)]
    return [b"", *each[:40]]


def _raw(data: bytes) -> None:
    """A file that is no image, or begins like one."""
    path = scratch.file("raw", data)
    for offset in (None, 0):
        reader.read(path, offset=offset)


def _boot_sector() -> Sequence[bytes]:
    """The beginnings of images, by their partition table and without."""
    with _image().path.open("rb") as stream:
        disk = stream.read(512)
        stream.seek(1 << 20)
        volume = stream.read(40_000)
    return [volume, disk + bytes(100_000)]


def _fat(count: int, size: int) -> bytes:
    """A boot sector that says a FAT of so many sectors, of a volume of `size` sectors."""
    with _image().path.open("rb") as stream:
        stream.seek(1 << 20)
        sector = bytearray(stream.read(512))
    struct.pack_into("<I", sector, 36, count)
    struct.pack_into("<I", sector, 32, size)
    return bytes(sector)


def _large_tables() -> Sequence[bytes]:
    return [
        _fat(count, size).ljust(length, b"\0")
        for count, size in ((0xFFFFFFFF, 0xFFFFFFFF), (1 << 20, 1 << 30), (2000, 0xFFFFFFFF))
        for length in (512, 1_000_000)
    ]


# -- anybody's disks -------------------------------------------------------------------------------


def _examined(data: bytes) -> None:
    for size in (len(data), _DISK):
        for block in (512, 4096):

            def read(at: int, length: int) -> bytes:
                if at < 0 or length < 0:
                    raise AssertionError("a place before the disk")
                return data[at : at + length]

            found = contents.examine(read, size, block)
            for part in found.parts:
                if not str(part).isprintable():
                    raise AssertionError(repr(part))
            for one in remains.places(4096, size, found, (0, len(data))):
                if not 4096 <= one.start < one.stop <= size:
                    raise AssertionError(repr(one))


def _disks() -> Sequence[bytes]:
    mbr = test_contents.mbr((0x0C, 8, 60), (0x05, 80, 100), (0x83, 200, 4))
    test_contents.fat(mbr, 8 * 512, b"STICK      ")
    gpt = bytearray(test_contents.mbr((0xEE, 1, 0xFFFFFFFF)))
    gpt[512:] = b""
    header = b"EFI PART".ljust(32, b"\0") + struct.pack("<Q", 400)
    header = header.ljust(72, b"\0") + struct.pack("<QII", 2, 4, 128)
    entry = b"k" * 16 + bytes(16) + struct.pack("<QQ", 8, 90) + bytes(8)
    name = "Größe".encode("utf-16-le")
    disk = bytes(gpt) + header.ljust(512, b"\0") + (entry + name.ljust(72, b"\0")) * 3
    plain = bytearray(test_contents.mbr())
    test_contents.fat(plain, 0, b"NO NAME    ")
    return [bytes(mbr[: 256 << 10]), disk.ljust(8192, b"\0"), bytes(plain[:4096])]


def _told(data: bytes) -> None:
    """What the kernel tells: of mounts and of swap space, and of a disk's facts."""
    with scratch.fresh() as folder:
        place = folder / "sys/devices/pci0/usb1/block/sdb"
        place.mkdir(parents=True)
        for name in ("dev", "size", "diskseq", "removable", "queue/logical_block_size"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text("8:16" if name == "dev" else "512")
        for name in ("device/model", "device/vendor"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(data[:64])
        link = folder / "sys/dev/block/8:16"
        link.parent.mkdir(parents=True)
        link.symlink_to(place)
        for name in ("self/mountinfo", "swaps"):
            (folder / "proc" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "proc" / name).write_bytes(data)
        found = Kernel(folder / "proc", folder / "sys").disk(folder / "node", "8:16", ())
        for use in found.uses:
            str(use)


_MOUNTS = (
    b"22 1 8:16 / / rw,relatime shared:1 - ext4 /dev/sdb rw\n"
    b"23 22 0:41 / /mnt/with\\040space rw - btrfs /dev/sdb rw\n"
    b"Filename\tType\tSize\tUsed\tPriority\n/dev/sdb\\0401 partition 1 0 -2\n"
)

TARGETS = (
    Target("image", _read, _patches, examples=12),
    Target("image-witness", _witness, _patches, (), examples=12),
    Target("volume", _raw, _boot_sector, nasty=_large_tables, examples=20),
    Target("disk", _examined, _disks, ()),
    Target("mounts", _told, lambda: [_MOUNTS], (), examples=25),
)
