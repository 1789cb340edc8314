"""Boot sector, FSInfo and third boot sector of a FAT32 volume, and their copies (reserved area).

Sources: fatgen103, "Boot Sector and BPB Structure", "FAT32 FSInfo Sector Structure and Backup Boot
Sector".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from orchestrator.image.fat.geometry import FAT_COUNT, FIRST_CLUSTER
from orchestrator.image.fat.volume import SECTOR

if TYPE_CHECKING:
    from orchestrator.image.fat.geometry import Geometry
    from orchestrator.image.fat.volume import BootCode, Volume

MEDIA = 0xF8
# The geometry that BIOSes report for disks addressed by sector number.
HEADS = 255
SECTORS_PER_TRACK = 63

_FIRST_HARD_DISK = 0x80
_EXTENDED_SIGNATURE = 0x29
_BACKUP = 6
_SIGNATURE = b"\x55\xaa"

# From byte 11: the fields common to all FAT types (BPB_BytsPerSec to BPB_TotSec32), those of FAT32
# (BPB_FATSz32 to BPB_Reserved), then the drive, the volume ID, the label and the type's name.
_PARAMETERS = struct.Struct("<HBHBHHBHHHII" + "IHHIHH12x" + "BBBI11s8s")
_FSINFO = struct.Struct("<I480xIII14x2s")


def reserved_area(
    geometry: Geometry, volume: Volume, boot: BootCode, *, used: int, hidden: int
) -> bytes:
    """The first sectors of the volume. `used`: clusters in use; `hidden`: sectors before it."""
    three = _boot_sector(geometry, volume, boot, hidden) + _information(geometry, used) + _third()
    return three + bytes(_BACKUP * SECTOR - len(three)) + three


def _boot_sector(geometry: Geometry, volume: Volume, boot: BootCode, hidden: int) -> bytes:
    parameters = _PARAMETERS.pack(
        SECTOR,
        geometry.cluster // SECTOR,
        geometry.reserved,
        FAT_COUNT,
        0,  # entries of a FAT16 root directory
        0,  # sectors, where they fit 16 bits on FAT16
        MEDIA,
        0,  # sectors of a FAT16's FAT
        SECTORS_PER_TRACK,
        HEADS,
        hidden,
        geometry.sectors,
        geometry.fat_sectors,
        0,  # both FATs are kept alike
        0,  # version 0.0
        FIRST_CLUSTER,  # where the root directory starts
        1,  # sector of FSInfo
        _BACKUP,
        _FIRST_HARD_DISK,
        0,
        _EXTENDED_SIGNATURE,
        volume.volume_id,
        volume.label.ljust(11).encode("ascii"),
        b"FAT32   ",
    )
    sector = boot.head + parameters + boot.code
    return sector.ljust(SECTOR - 2, b"\0") + _SIGNATURE


def _information(geometry: Geometry, used: int) -> bytes:
    """FSInfo: how many clusters are free, and the last one that was given out."""
    last = FIRST_CLUSTER + used - 1
    return _FSINFO.pack(0x41615252, 0x61417272, geometry.clusters - used, last, _SIGNATURE)


def _third() -> bytes:
    return bytes(SECTOR - 2) + _SIGNATURE
