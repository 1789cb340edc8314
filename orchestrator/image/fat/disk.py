"""Disk image: a master boot record (MBR), a gap, and one active FAT32 partition.

Sources: the master boot record as fdisk writes it, with the partition at 1 MiB; UEFI
specification 2.10, section 5.2.1 "Legacy Master Boot Record".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.image.fat.bootsector import HEADS, SECTORS_PER_TRACK
from orchestrator.image.fat.volume import NO_BOOT_CODE, SECTOR, BootCode
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from orchestrator.image.fat.layout import Layout

START: Final = 2048  # sector of the partition

# FAT32, addressed by sector number.
_TYPE = 0x0C
_ACTIVE = 0x80
_MAX_CODE = 440
_SIGNATURE_AT = 440
_UINT32 = 1 << 32
# What stands in place of cylinder, head and sector beyond cylinder 1023.
_BEYOND = b"\xfe\xff\xff"
_CYLINDERS = 1024
# Status, first sector, type, last sector, first sector by number, how many; then three empty ones.
_PARTITION = struct.Struct("<B3sB3sII48x")


@dataclass(frozen=True)
class Disk:
    """A volume behind a partition table.

    `signature`: 32 bits that tell disks apart. `code`: at most 440 bytes that the BIOS runs.
    `volume_boot`: the boot loader's parts of the volume's boot sector.

    Raises:
        InputError: the signature or the code does not fit.
    """

    layout: Layout
    signature: int
    code: bytes = b"\xcd\x18\xf4\xeb\xfd"  # the next boot device, else halt
    volume_boot: BootCode = NO_BOOT_CODE

    def __post_init__(self) -> None:
        if not 0 <= self.signature < _UINT32:
            raise InputError(
                f"a disk signature has 32 bits: {self.signature:#x}", subject="signature"
            )
        if len(self.code) > _MAX_CODE:
            raise InputError(
                f"boot code of {len(self.code)} bytes does not fit: "
                f"a master boot record has room for {_MAX_CODE}",
                subject="boot code",
            )

    @property
    def offset(self) -> int:
        """Byte of the image at which the volume starts."""
        return START * SECTOR

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self.offset + self.layout.geometry.size

    def sectors(self, path: str) -> range:
        """The sectors of the disk that a file takes, in the file's order; empty for an empty file.

        Raises:
            KeyError: there is no such file.
        """
        extent = self.layout.extent(path)
        first = (self.offset + extent.start) // SECTOR
        return range(first, first - (-len(extent) // SECTOR))

    def metadata(self) -> list[tuple[int, bytes]]:
        """Everything but the files: (byte in the image, bytes), in ascending order."""
        inner = self.layout.metadata(self.volume_boot, hidden=START)
        return [(0, self._master_boot_record()), *((self.offset + at, data) for at, data in inner)]

    def _master_boot_record(self) -> bytes:
        count = self.layout.geometry.sectors
        partition = _PARTITION.pack(
            _ACTIVE, _address(START), _TYPE, _address(START + count - 1), START, count
        )
        signature = struct.pack("<IH", self.signature, 0)
        return self.code.ljust(_SIGNATURE_AT, b"\0") + signature + partition + b"\x55\xaa"


def _address(sector: int) -> bytes:
    """Cylinder, head and sector of a sector number."""
    track, within = divmod(sector, SECTORS_PER_TRACK)
    cylinder, head = divmod(track, HEADS)
    if cylinder >= _CYLINDERS:
        return _BEYOND
    return bytes([head, cylinder >> 8 << 6 | within + 1, cylinder & 0xFF])
