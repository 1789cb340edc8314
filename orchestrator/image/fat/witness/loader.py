"""Expected SYSLINUX on the image: taken out of its packages, and patched for where it lies.

Sources: the SYSLINUX installer's libinstaller/syslxmod.c, setadv.c and syslxint.h; Debian's package
syslinux, in whose program the boot sector, ldlinux.sys and ldlinux.c32 lie one after the other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproducibility import digest as digests
from reproducibility.errors import ComparisonError

if TYPE_CHECKING:
    from reproducibility.manifest import Tree

SYSTEM = "syslinux/ldlinux.sys"
_MODULE = "syslinux/ldlinux.c32"
_FOLDER = b"/syslinux\0"

_SECTOR = 512
_NAMED = b"\xeb\x58\x90SYSLINUX"
_MARK = b"\x55\xaa\r\nSYSLINUX "
_ELF_32 = b"\x7fELF\x01"
_MAGIC = 0x3EB202FE
# The code of a boot sector lies around the file system's parameters.
_CODE = slice(90, 510)
# Setup data that nobody has set: two magic numbers, the words in between, a third.
_ADV_SIZE = _SECTOR
_ADV_HEAD, _ADV_SUM, _ADV_TAIL = 0x5A2D2FA5, 0xA3041767, 0xDD28BF64
# One piece of the loader's list stays within a segment of a PC.
_PER_PIECE = 127
_PIECE = 10


@dataclass(frozen=True)
class Packages:
    """Files of the packages. `record`: `mbr.bin`. `installer`: the program `syslinux`."""

    record: bytes
    installer: bytes


@dataclass(frozen=True)
class Installed:
    """Code that the BIOS runs: that of the master boot record, of the boot sector, `ldlinux.sys`.

    `head`: bytes 0 to 10 of the boot sector. `code`: bytes 90 to 509.
    """

    record: bytes
    head: bytes
    code: bytes
    system: bytes


def as_found(record: bytes, sector: bytes) -> Installed:
    """The code in a master boot record and a boot sector, with no word on `ldlinux.sys`."""
    return Installed(record[:440], sector[:11], sector[_CODE], b"")


def installed(packages: Packages, tree: Tree, first: int) -> Installed:
    """The loader for an image whose `ldlinux.sys` starts at a sector. `first`: of the volume.

    Raises:
        ComparisonError: the packages and the tree do not fit together.
    """
    sector, system = _parts(packages.installer, tree)
    words = _Words(system)
    area = next((at for at in range(0, len(system) - 3, 4) if words.u32(at) == _MAGIC), None)
    if area is None:
        raise ComparisonError("the program syslinux has no patch area", subject=SYSTEM)
    count = len(system) // _SECTOR
    extended = words.u16(area + 22)
    adv, folder, _, _, _, table, room, low, high = (words.u16(extended + 2 * n) for n in range(9))
    boot = _Words(sector)
    boot.put(low, first, 4)
    boot.put(high, 0, 4)
    words.put(area + 8, count, 2)
    words.put(area + 10, 2, 2)
    words.put(area + 12, len(system) // 4, 4)
    words.put(area + 16, 0, 4)
    pieces = b""
    for start in range(1, count, _PER_PIECE):
        length = min(_PER_PIECE, count - start)
        pieces += (first + start).to_bytes(8, "little") + length.to_bytes(2, "little")
    words.data[table : table + room * _PIECE] = pieces.ljust(room * _PIECE, b"\0")
    words.put(adv, first + count, 8)
    words.put(adv + 8, first + count + 1, 8)
    words.data[folder : folder + len(_FOLDER)] = _FOLDER
    total = sum(struct.unpack_from(f"<{len(system) // 4}I", words.data))
    words.put(area + 16, (_MAGIC - total) % (1 << 32), 4)
    code = bytes(boot.data)
    return Installed(packages.record, code[:11], code[_CODE], bytes(words.data) + 2 * _unset())


def _parts(installer: bytes, tree: Tree) -> tuple[bytes, bytes]:
    """The boot sector and `ldlinux.sys`; what follows must be the `ldlinux.c32` of the tree."""
    system, module = tree.get(SYSTEM), tree.get(_MODULE)
    if system is None or module is None:
        raise ComparisonError(f"the tree lacks {SYSTEM} or {_MODULE}", subject=SYSTEM)
    start = installer.find(_NAMED)
    while start >= 0:
        at = start + _SECTOR
        end = at + system.size - 2 * _ADV_SIZE
        if (
            installer[at - 2 : at - 2 + len(_MARK)] == _MARK
            and installer[end : end + len(_ELF_32)] == _ELF_32
            and digests.of_bytes(installer[end : end + module.size]) == module.content
        ):
            return installer[start:at], installer[at:end]
        start = installer.find(_NAMED, start + 1)
    raise ComparisonError(
        f"{SYSTEM} and {_MODULE} are not those in the program syslinux", subject=SYSTEM
    )


def _unset() -> bytes:
    words = (_ADV_HEAD, _ADV_SUM, *[0] * (_ADV_SIZE // 4 - 3), _ADV_TAIL)
    return b"".join(word.to_bytes(4, "little") for word in words)


class _Words:
    """Little-endian numbers in bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def u16(self, at: int) -> int:
        return int.from_bytes(self.data[at : at + 2], "little")

    def u32(self, at: int) -> int:
        return int.from_bytes(self.data[at : at + 4], "little")

    def put(self, at: int, value: int, size: int) -> None:
        self.data[at : at + size] = value.to_bytes(size, "little")
