"""Reads a disk's partition table (MBR, GPT), partitions and file systems.

Only to tell a person what would be lost. Sources: UEFI specification 2.10, chapter 5 (MBR, GPT);
blkid's table of magic numbers (util-linux, libblkid/src/superblocks).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    # Offset and size in bytes; fewer bytes at the end of the disk.
    Read = Callable[[int, int], bytes]

_SECTOR = 512
_TABLE = 446
# Status, first sector, type, last sector, first sector by number, how many.
_PARTITION = struct.Struct("<4xB3xII")
_BOOTABLE = b"\x55\xaa"
_PROTECTIVE = 0xEE
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
# Links of a chain of logical partitions that are followed; a chain may bite its tail.
_MOST_LOGICAL = 60
_GPT = b"EFI PART"
_GPT_HEADER = 92
# Sizes of an entry; more than 128 bytes are allowed, and nobody uses them.
_GPT_ENTRIES = range(128, 4097)
_MOST = 256  # entries of a GPT that are looked at
_NAMES = {
    0x05: "extended",
    0x07: "NTFS or exFAT",
    0x0B: "FAT32",
    0x0C: "FAT32",
    0x0E: "FAT16",
    0x0F: "extended",
    0x82: "Linux swap",
    0x83: "Linux",
    0x8E: "Linux LVM",
    0xEF: "EFI system",
    0xFD: "Linux RAID",
}
# Name, where its magic number is, the number, where the label is (None: none), its length.
_SYSTEMS: tuple[tuple[str, int, bytes, int | None, int], ...] = (
    ("FAT32", 82, b"FAT32   ", 71, 11),
    ("FAT16", 54, b"FAT16   ", 43, 11),
    ("FAT12", 54, b"FAT12   ", 43, 11),
    ("exFAT", 3, b"EXFAT   ", None, 0),
    ("NTFS", 3, b"NTFS    ", None, 0),
    ("LUKS", 0, b"LUKS\xba\xbe", None, 0),
    ("XFS", 0, b"XFSB", 108, 12),
    ("squashfs", 0, b"hsqs", None, 0),
    ("LVM", 512, b"LABELONE", None, 0),
    ("ext2, ext3 or ext4", 1080, b"\x53\xef", 1144, 16),
    ("swap", 4086, b"SWAPSPACE2", 1052, 16),
    ("ISO 9660", 32769, b"CD001", 32808, 32),
    ("btrfs", 65600, b"_BHRfS_M", 65835, 256),
)
_LOOKED_AT = 66 << 10


@dataclass(frozen=True, slots=True)
class Part:
    """A partition, or the whole disk where it has none (number 0).

    `size`, `start`: bytes. `kind`: of the file system, else of the partition. `label`: of either.
    """

    number: int
    size: int
    kind: str
    label: str = ""
    start: int = 0

    def __str__(self) -> str:
        named = f" {self.label!r}" if self.label else ""
        return f"{self.kind}{named}"


@dataclass(frozen=True, slots=True)
class Contents:
    """`table`: `GPT`, `MBR`, or empty where there is none.

    `copies`: the bytes at which the table says that its copy begins.
    """

    table: str
    parts: tuple[Part, ...]
    copies: tuple[int, ...] = ()


def examine(read: Read, size: int, block: int = _SECTOR) -> Contents:
    """Look at a disk of `size` bytes with logical blocks of `block` bytes.

    Raises:
        OSError: it cannot be read.
    """

    def within(at: int, length: int) -> bytes:
        return read(at, min(length, size - at)) if at < size else b""

    return _examine(within, size, block)


def _examine(read: Read, size: int, block: int) -> Contents:
    first = read(0, _SECTOR)
    whole = _file_system(read, 0)
    if len(first) == _SECTOR and first.endswith(_BOOTABLE):
        found = list(_PARTITION.iter_unpack(first[_TABLE:-2]))
        if any(kind == _PROTECTIVE for kind, _, _ in found):
            header = read(block, _GPT_HEADER)
            if _is_gpt(header):
                (copy,) = struct.unpack_from("<Q", header, 32)
                return Contents("GPT", tuple(_gpt(read, header, block)), (copy * block,))
        if whole is None or not whole[0].startswith("FAT"):
            parts = _mbr(read, found, block)
            if parts:
                return Contents("MBR", tuple(parts))
    if whole is not None:
        return Contents("", (Part(0, size, *whole),))
    # Programs take the copy at the end where the table at the beginning is gone.
    header = read(size - block, _GPT_HEADER) if size > block else b""
    if _is_gpt(header):
        return Contents("GPT", tuple(_gpt(read, header, block)), (size - block,))
    return Contents("", ())


def _is_gpt(header: bytes) -> bool:
    return header.startswith(_GPT) and len(header) == _GPT_HEADER


def _mbr(read: Read, found: list[tuple[int, int, int]], block: int) -> list[Part]:
    parts = [
        _part(read, number, start * block, count * block, _NAMES.get(kind, f"{kind:#04x}"))
        for number, (kind, start, count) in enumerate(found, 1)
        if kind and count
    ]
    for kind, start, count in found:
        if kind in _EXTENDED and count:
            parts += _logical(read, start, block)
    return parts


def _logical(read: Read, base: int, block: int) -> list[Part]:
    """The partitions in an extended one that starts at a block: a chain of tables of two entries.

    The first entry is a partition, counted from its table; the second the next table, from `base`.
    """
    parts: list[Part] = []
    here = base
    while len(parts) < _MOST_LOGICAL:
        data = read(here * block, _SECTOR)
        if len(data) < _SECTOR or not data.endswith(_BOOTABLE):
            break
        first, second, *_ = _PARTITION.iter_unpack(data[_TABLE:-2])
        kind, start, count = first
        if not kind or not count:
            break
        named = _NAMES.get(kind, f"{kind:#04x}")
        at = (here + start) * block
        parts.append(_part(read, len(parts) + 5, at, count * block, named))
        kind, start, _ = second
        if kind not in _EXTENDED or not start:
            break
        here = base + start
    return parts


def _part(read: Read, number: int, start: int, size: int, kind: str, label: str = "") -> Part:  # noqa: PLR0913 - the parts of a partition
    found = _file_system(read, start)
    if found is None:
        return Part(number, size, kind, label, start)
    return Part(number, size, found[0], found[1] or label, start)


def _gpt(read: Read, header: bytes, block: int) -> list[Part]:
    first, count, length = struct.unpack_from("<QII", header, 72)
    if length not in _GPT_ENTRIES:
        return []
    data = read(first * block, min(count, _MOST) * length)
    parts = []
    for at in range(0, len(data) - 127, length):
        kind, start, end = struct.unpack_from("<16s16xQQ", data, at)
        if any(kind):
            name = data[at + 56 : at + 128].decode("utf-16-le", "replace").partition("\0")[0]
            number, size = at // length + 1, max(0, end - start + 1) * block
            parts.append(_part(read, number, start * block, size, "partition", name))
    return parts


def _file_system(read: Read, start: int) -> tuple[str, str] | None:
    """Kind and label of the file system that starts at a byte."""
    data = read(start, _LOOKED_AT)
    for name, at, magic, label, length in _SYSTEMS:
        if data[at : at + len(magic)] == magic:
            text = b"" if label is None else data[label : label + length].partition(b"\0")[0]
            return name, _printable(text)
    return None


def _printable(text: bytes) -> str:
    found = "".join(c for c in text.decode("utf-8", "replace") if c.isprintable()).strip()
    return "" if found == "NO NAME" else found
