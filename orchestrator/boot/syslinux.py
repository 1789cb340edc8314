"""SYSLINUX, the BIOS boot loader: found in its packages, and patched for the sectors it lies in.

What a BIOS runs is 440 bytes in the master boot record, then the volume's boot sector, then
`ldlinux.sys`. The last two know sectors by number: the installer writes the numbers of the sectors
in which `ldlinux.sys` lies into both. Here they are data, patched before an image is written.
Sources: the SYSLINUX installer's libinstaller/syslxmod.c, setadv.c, syslxint.h and bin2c.pl,
doc/sector_map.txt and doc/distrib.txt.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.boot import elf
from orchestrator.image.fat.volume import SECTOR, BootCode
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

FOLDER: Final = "syslinux"
LDLINUX: Final = f"{FOLDER}/ldlinux.sys"
MODULE: Final = f"{FOLDER}/ldlinux.c32"

INSTALLER: Final = "usr/bin/syslinux"
MASTER: Final = "usr/lib/syslinux/mbr/mbr.bin"
_REMEDY = "name a suite whose packages syslinux and syslinux-common are of version 6"

_SECTOR_START = b"\xeb\x58\x90SYSLINUX\0"
_SECTOR_END = b"\x55\xaa"
_IMAGE_START = b"\r\nSYSLINUX "

_MAGIC = struct.pack("<I", 0x3EB202FE)
# struct patch_area: magic, instance, data sectors, ADV sectors, dwords, checksum, most sectors a
# transfer, where the extended area lies.
_AREA = struct.Struct("<IIHHIIHH")
_TOTALS = struct.Struct("<HHII")
_TOTALS_AT = 8
_CHECKSUM_AT = 16
# struct ext_patch_area: where the ADV pointers lie; the folder's name and its room; the subvolume's
# and its room; the extents and their number; in the boot sector the low and the high half of the
# first sector's number, and the RAID patch.
_EXTENDED = struct.Struct("<10H")
_EXTENT = struct.Struct("<QH")
_ADV_SECTORS = 2
_SEGMENT = 1 << 16
_UINT32 = 0xFFFFFFFF


@dataclass(frozen=True)
class Loader:
    """SYSLINUX as the packages have it.

    `master`: the code of the master boot record. `sector`: the boot sector of 512 bytes. `system`:
    `ldlinux.sys` without the two sectors of auxiliary data that the installer appends. `module`:
    `ldlinux.c32`, the second half of the loader. `packages`: the two files that these were taken
    from, for who wants to take them out again.
    """

    master: bytes
    sector: bytes
    system: bytes
    module: bytes
    packages: Tree

    @property
    def unpatched(self) -> bytes:
        """`ldlinux.sys` in its full size, before its sectors are known."""
        return self.system + _auxiliary() * _ADV_SECTORS

    def patched(self, sectors: Sequence[int]) -> tuple[bytes, BootCode]:
        """`ldlinux.sys` and the boot sector's parts, for the sectors in which the former lies.

        `sectors`: counted from the start of the volume, in the file's order.

        Raises:
            InputError: not as many sectors as the file has, or the loader's tables lack room.
        """
        if len(sectors) * SECTOR != len(self.unpatched):
            raise InputError(
                f"{len(self.unpatched)} bytes do not lie in {len(sectors)} sectors", subject=LDLINUX
            )
        image, sector = bytearray(self.unpatched), bytearray(self.sector)
        count = len(self.system) // SECTOR
        where = _patch_area(self.system)
        extended = _AREA.unpack_from(image, where)[-1]
        adv, folder, room, _, _, table, most, low, high, _ = _EXTENDED.unpack_from(image, extended)
        first = sectors[0]
        struct.pack_into("<I", sector, low, first & _UINT32)
        struct.pack_into("<I", sector, high, first >> 32)
        words = len(self.system) // 4
        _TOTALS.pack_into(image, where + _TOTALS_AT, count, _ADV_SECTORS, words, 0)
        runs = extents(sectors[1:count])
        name = f"/{FOLDER}".encode() + b"\0"
        if len(runs) > most or len(name) > room:
            raise InputError(
                f"the loader has room for {most} pieces and a folder of {room} bytes",
                subject=LDLINUX,
                remedy=_REMEDY,
            )
        image[table : table + most * _EXTENT.size] = b"".join(
            _EXTENT.pack(*run) for run in runs
        ).ljust(most * _EXTENT.size, b"\0")
        struct.pack_into("<QQ", image, adv, *sectors[count:])
        image[folder : folder + len(name)] = name
        total = sum(struct.unpack_from(f"<{words}I", image))
        checksum = (struct.unpack("<I", _MAGIC)[0] - total) & _UINT32
        struct.pack_into("<I", image, where + _CHECKSUM_AT, checksum)
        return bytes(image), BootCode.from_sector(bytes(sector))


def extents(sectors: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of sectors, (first, how many), as the loader reads them: each less than 64 KiB.

    The installer has a further condition, on borders of 64 KiB in memory. It compares two addresses
    within one sector, so it never parts anything; and neither is anything parted here.
    """
    runs: list[tuple[int, int]] = []
    for sector in sectors:
        if runs:
            start, length = runs[-1]
            if sector == start + length and (length + 1) * SECTOR < _SEGMENT:
                runs[-1] = (start, length + 1)
                continue
        runs.append((sector, 1))
    return runs


def loader(packages: Tree, read: Callable[[Digest], bytes]) -> Loader:
    """Find the loader's parts in the unpacked packages syslinux and syslinux-common.

    The boot sector, `ldlinux.sys` and the `ldlinux.c32` that goes with it lie one after the other
    in the data of the installer. `ldlinux.c32` exists as a file too, in syslinux-common, but from
    another build: the two halves of the loader must come from one.

    Raises:
        InputError: a part is missing, or is not of a version that is understood; names it.
    """
    installer = _file(packages, INSTALLER, read)
    start = installer.find(_SECTOR_END + _IMAGE_START) + len(_SECTOR_END)
    sector = installer[max(0, start - SECTOR) : start]
    if not sector.startswith(_SECTOR_START):
        raise _not_found("a boot sector that ldlinux.sys follows")
    # bin2c.pl fills ldlinux.sys up to a whole sector, so the next one starts at such a border.
    for end in range(start + SECTOR, len(installer), SECTOR):
        if length := elf.length_32(installer, end):
            module = installer[end : end + length]
            master = _file(packages, MASTER, read)
            used = packages.where(lambda entry: entry.path in {INSTALLER, MASTER})
            found = Loader(master, sector, installer[start:end], module, used)
            _check(found)
            return found
    raise _not_found("an ldlinux.c32 after ldlinux.sys")


def _not_found(what: str) -> InputError:
    return InputError(
        f"the program does not hold {what}",
        subject=f"package syslinux, {INSTALLER}",
        remedy=_REMEDY,
    )


def _check(found: Loader) -> None:
    """Return whether the tables lie where the code that patches them may write."""
    where = _patch_area(found.system)
    area = _AREA.unpack_from(found.system, where) if where >= 0 else (0,)
    if 0 < area[-1] <= len(found.system) - _EXTENDED.size:
        adv, folder, room, _, _, table, most, low, high, _ = _EXTENDED.unpack_from(
            found.system, area[-1]
        )
        ends = (adv + 16, folder + room, table + most * _EXTENT.size)
        if max(ends) <= len(found.system) and max(low, high) <= SECTOR - 6:
            return
    raise _not_found("an ldlinux.sys with a patch area of the form of SYSLINUX 6")


def _patch_area(system: bytes) -> int:
    """Return where the patch area starts, or -1. It is aligned to four bytes."""
    at = system.find(_MAGIC)
    while at >= 0 and at % 4:
        at = system.find(_MAGIC, at + 1)
    return at if at + _AREA.size <= len(system) else -1


def _auxiliary() -> bytes:
    """An empty sector of auxiliary data (ADV), which a boot loader could keep settings in."""
    empty = bytes(SECTOR - 12)
    # The sum of all words after the second is to be the difference to the second magic number.
    return struct.pack("<II", 0x5A2D2FA5, 0xA3041767) + empty + struct.pack("<I", 0xDD28BF64)


def _file(packages: Tree, path: str, read: Callable[[Digest], bytes]) -> bytes:
    entry = packages.get(path)
    if entry is None or entry.kind != "file":
        package = "syslinux" if path == INSTALLER else "syslinux-common"
        raise InputError(
            f"the package {package} has no {path}", subject=f"package {package}", remedy=_REMEDY
        )
    return read(entry.content)
