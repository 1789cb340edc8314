"""Names of the fields in an image's tables, by the byte at which each starts.

Sources: the master boot record as fdisk writes it; fatgen103, "Boot Sector and BPB Structure",
"FAT32 FSInfo Sector Structure and Backup Boot Sector", "FAT 32 Byte Directory Entry Structure",
"FAT Long Directory Entries".
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

Fields = tuple[tuple[int, str], ...]

_PARTITION = (
    (0, "status"), (1, "first address (CHS)"), (4, "type"), (5, "last address (CHS)"),
    (8, "first sector"), (12, "number of sectors"),
)  # fmt: skip
MASTER: Final[Fields] = (
    (0, "boot code"), (440, "disk signature"), (444, "reserved bytes"),
    *((446 + 16 * n + at, f"partition entry {n + 1}, {name}")
      for n in range(4) for at, name in _PARTITION),
    (510, "signature"),
)  # fmt: skip
BOOT: Final[Fields] = (
    (0, "jump"), (3, "system name"), (11, "bytes of a sector"), (13, "sectors of a cluster"),
    (14, "reserved sectors"), (16, "number of FATs"), (17, "entries of a FAT16's root"),
    (19, "sectors, 16 bits"), (21, "media byte"), (22, "sectors of a FAT16's FAT"),
    (24, "sectors of a track"), (26, "heads"), (28, "hidden sectors"), (32, "sectors"),
    (36, "sectors of a FAT"), (40, "flags"), (42, "version"), (44, "root's cluster"),
    (48, "sector of FSInfo"), (50, "sector of the backup"), (52, "reserved bytes"), (64, "drive"),
    (65, "reserved byte"), (66, "extended signature"), (67, "volume ID"), (71, "label"),
    (82, "file system's name"), (90, "boot code"), (510, "signature"),
)  # fmt: skip
INFORMATION: Final[Fields] = (
    (0, "lead signature"), (4, "reserved bytes"), (484, "structure signature"),
    (488, "number of free clusters"), (492, "hint of the next free cluster"),
    (496, "reserved bytes behind"), (508, "trail signature"),
)  # fmt: skip
SHORT: Final[Fields] = (
    (0, "alias"), (11, "attributes"), (12, "reserved byte"), (13, "time made, hundredths"),
    (14, "time made"), (16, "date made"), (18, "date accessed"), (20, "first cluster, high"),
    (22, "time written"), (24, "date written"), (26, "first cluster, low"), (28, "size"),
)  # fmt: skip
LONG: Final[Fields] = (
    (0, "ordinal of a long name's part"), (1, "long name"),
    (11, "attributes of a long name's part"),
    (12, "type of a long name's part"), (13, "checksum of the alias"), (14, "long name"),
    (26, "first cluster of a long name's part"), (28, "long name"),
)  # fmt: skip


def name(fields: Fields, byte: int) -> str:
    """The name of the field in which a byte lies."""
    return fields[bisect_right([start for start, _ in fields], byte) - 1][1]


def spans(fields: Fields, size: int) -> list[tuple[int, int, str]]:
    """Return where each field lies in a structure of `size` bytes: (start, end, name)."""
    ends = [start for start, _ in fields[1:]] + [size]
    return [(start, end, which) for (start, which), end in zip(fields, ends, strict=True)]
