"""FAT32 volumes made by hand, cluster by cluster: the writer makes none that are damaged."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

SECTOR = 512
RESERVED = 32
_LAST = 0x0FFFFFFF
_SLOT = 26
FOLDER = 0x10


def short(name: str, cluster: int = 0, size: int = 0, attributes: int = 0x20) -> bytes:
    """A directory entry. `name`: up to eleven signs, as they are stored."""
    return struct.pack(
        "<11sB8xH4xHI", name.ljust(11).encode(), attributes, cluster >> 16, cluster & 0xFFFF, size
    )


def long(name: str) -> bytes:
    """The records of a long name, however long it is."""
    text = name.encode("utf-16-le") + b"\0\0"
    text += b"\xff" * (-len(text) % _SLOT)
    parts = [text[at : at + _SLOT] for at in range(0, len(text), _SLOT)]
    return b"".join(
        struct.pack(
            "<B10s3B12sH4s", (number - 1) % 63 + 1, part[:10], 0x0F, 0, 0, part[10:22], 0, part[22:]
        )
        for number, part in reversed(list(enumerate(parts, 1)))
    )


@dataclass
class Volume:
    """A volume of `clusters` clusters, each of `each` sectors; the root starts at cluster 2.

    `info`: the sector of FSInfo.
    """

    clusters: int
    each: int = 1
    info: int = 1
    _held: dict[int, bytes] = field(default_factory=dict)
    _fat: dict[int, int] = field(default_factory=lambda: {0: 0x0FFFFFF8, 1: _LAST})

    def put(self, first: int, data: bytes) -> int:
        """Put data into clusters from `first`; returns the cluster behind them."""
        size = self.each * SECTOR
        count = max(1, -(-len(data) // size))
        for number in range(count):
            self._held[first + number] = data[number * size : (number + 1) * size]
            self._fat[first + number] = first + number + 1 if number + 1 < count else _LAST
        return first + count

    def written(self) -> bytes:
        """The bytes of the volume."""
        table = -(-4 * (self.clusters + 2) // SECTOR)
        sectors = RESERVED + table + self.clusters * self.each
        data = bytearray(sectors * SECTOR)
        data[:11] = b"\xeb\x58\x90MSDOS5.0"
        struct.pack_into("<HBHB", data, 11, SECTOR, self.each, RESERVED, 1)
        data[21] = 0xF8
        struct.pack_into("<II", data, 32, sectors, table)
        struct.pack_into("<IHH", data, 44, 2, self.info, 0)
        data[510:512] = b"\x55\xaa"
        struct.pack_into("<I", data, self.info * SECTOR, 0x41615252)
        for cluster, entry in self._fat.items():
            struct.pack_into("<I", data, RESERVED * SECTOR + 4 * cluster, entry)
        for cluster, held in self._held.items():
            at = (RESERVED + table + (cluster - 2) * self.each) * SECTOR
            data[at : at + len(held)] = held
        return bytes(data)


def disk(volume: bytes, start: int, size: int = 0) -> bytes:
    """A disk with one partition at the sector `start`. `size`: bytes of it at least."""
    table = bytearray(SECTOR)
    struct.pack_into("<BxxxBxxxII", table, 446, 0x80, 0x0C, start, len(volume) // SECTOR)
    table[510:] = b"\x55\xaa"
    return (bytes(table) + bytes((start - 1) * SECTOR) + volume).ljust(size, b"\0")
