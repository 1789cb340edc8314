"""Parameters of a FAT32 volume, checked once: identity, time, room, boot code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from orchestrator.image.fat import records
from reproducibility.errors import InputError

SECTOR: Final = 512

_LABEL = re.compile(r"(?! )[A-Z0-9!#$%&'()\-@^_`{}~ ]{1,11}(?<! )")
_UINT32 = 1 << 32

# The boot sector: jump (3 bytes) and system name (8) before the BIOS parameter block, code from
# byte 90 to the signature at 510. fatgen103, "Boot Sector and BPB Structure".
_JUMP_AND_NAME = 11
_CODE_START = 90
_CODE_END = 510


@dataclass(frozen=True, slots=True)
class BootCode:
    """The parts of a boot sector that are a boot loader's and not the file system's.

    `head`: 11 bytes, a jump to byte 90 and the system name. `code`: at most 420 bytes from byte 90.
    """

    head: bytes
    code: bytes

    def __post_init__(self) -> None:
        jumps = self.head[:1] == b"\xe9" or (self.head[:1] == b"\xeb" and self.head[2:3] == b"\x90")
        if len(self.head) != _JUMP_AND_NAME or not jumps:
            raise InputError(
                "a boot sector starts with a jump and 8 bytes of name", subject="boot code"
            )
        if len(self.code) > _CODE_END - _CODE_START:
            raise InputError(
                f"boot code of {len(self.code)} bytes does not fit: "
                f"a FAT32 boot sector has room for {_CODE_END - _CODE_START}",
                subject="boot code",
            )

    @classmethod
    def from_sector(cls, sector: bytes) -> BootCode:
        """The parts of a boot loader's ready-made boot sector of 512 bytes.

        Raises:
            InputError: not 512 bytes, or no jump at the start.
        """
        if len(sector) != SECTOR:
            raise InputError(
                f"a boot sector has {SECTOR} bytes, not {len(sector)}", subject="boot code"
            )
        return cls(sector[:_JUMP_AND_NAME], sector[_CODE_START:_CODE_END])


# fatgen103 recommends the name MSWIN4.1: some readers look at it. The code asks the BIOS for the
# next boot device (int 0x18) and halts where there is none.
NO_BOOT_CODE: Final = BootCode(b"\xeb\x58\x90MSWIN4.1", b"\xcd\x18\xf4\xeb\xfd")


@dataclass(frozen=True, slots=True)
class Volume:
    """The parameters of a volume.

    `volume_id`: 32 bits. `label`: 1 to 11 characters that an 8.3 name may hold, spaces inside.
    `epoch`: seconds since 1970-01-01 UTC, the one time of everything, even, from 1980 to 2107.
    `free_bytes` and `free_percent` (of the content): room to leave, added up; what rounding and
    the smallest FAT32 volume bring comes on top. `fixed`: paths of files that must not be moved
    (a boot loader knows their sectors); they get the attributes read-only, hidden and system.

    Raises:
        InputError: a value that FAT32 cannot hold.
    """

    volume_id: int
    label: str
    epoch: int
    free_bytes: int = 0
    free_percent: int = 0
    fixed: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        records.stamp(self.epoch)
        if not 0 <= self.volume_id < _UINT32:
            raise InputError(f"a volume ID has 32 bits: {self.volume_id:#x}", subject="volume ID")
        if not _LABEL.fullmatch(self.label) or self.label == "NO NAME":
            raise InputError(
                f"FAT cannot hold the volume label {self.label!r}",
                subject="label",
                remedy="choose 1 to 11 of A-Z, 0-9, inner spaces, and !#$%&'()-@^_`{}~",
            )
        if self.free_bytes < 0 or self.free_percent < 0:
            raise InputError("the free space cannot be negative", subject="free space")
