"""FAT directory records of 32 bytes: encoding them.

Sources: fatgen103, "FAT 32 Byte Directory Entry Structure" and "FAT Long Directory Entries".
"""

from __future__ import annotations

import struct
import time

from orchestrator.image.fat import names
from reproducibility.errors import InputError

SIZE = 32
# fatgen103: a directory has at most 65,536 entries; Linux FAT_MAX_DIR_SIZE says the same.
MAX_PER_DIRECTORY = 65_536

READ_ONLY = 0x01
HIDDEN = 0x02
SYSTEM = 0x04
VOLUME_LABEL = 0x08
DIRECTORY = 0x10
ARCHIVE = 0x20
_LONG_NAME = 0x0F
_LAST_LONG = 0x40

DOT = b".          "
DOT_DOT = b"..         "

# Name, attributes, NT flags, tenths, creation time and date, access date, cluster (high), write
# time and date, cluster (low), size.
_SHORT = struct.Struct("<11sBBBHHHHHHHI")
# Order, 5 units, attributes and type, checksum of the alias, 6 units, cluster (zero), 2 units.
_LONG = {
    count: struct.Struct("<" + "B10sHB12sH4s" * count)
    for count in range(1, -(-names.MAX_UNITS // names.UNITS_PER_SLOT) + 1)
}
_SLOT_BYTES = 2 * names.UNITS_PER_SLOT
# A byte rotated to the right by one bit.
_ROTATED = bytes((value >> 1 | value << 7) & 0xFF for value in range(256))

_EARLIEST = 315_532_800  # 1980-01-01 00:00:00 UTC
_LATEST = 4_354_819_198  # 2107-12-31 23:59:58 UTC


def stamp(epoch: int) -> tuple[int, int]:
    """Date and time fields for a moment. `epoch`: seconds since 1970-01-01 UTC.

    Raises:
        InputError: before 1980, after 2107, or an odd second: FAT has no such time.
    """
    if not _EARLIEST <= epoch <= _LATEST or epoch % 2:
        raise InputError(
            f"FAT cannot hold the time {epoch}",
            subject="epoch",
            remedy=f"choose an even number of seconds from {_EARLIEST} to {_LATEST}",
        )
    moment = time.gmtime(epoch)
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    return date, moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2


def short(field: bytes, attributes: int, cluster: int, size: int, when: tuple[int, int]) -> bytes:
    """The record of a file, directory or label. `field`: 11 bytes; `when`: see `stamp`."""
    date, clock = when
    high, low = divmod(cluster, 1 << 16)
    return _SHORT.pack(field, attributes, 0, 0, clock, date, date, high, clock, date, low, size)


def long(name: str, field: bytes) -> bytes:
    """The records of a long name, last part first, as they stand before the alias `field`."""
    text = name.encode("utf-16-le")
    count, rest = divmod(len(text), _SLOT_BYTES)
    if rest:
        # A zero ends the name where it does not fill its last record; 0xFFFF fills what is left.
        text += b"\0\0" + b"\xff" * (_SLOT_BYTES - rest - 2)
        count += 1
    check = _checksum(field)
    values: list[int | bytes] = []
    for order in range(count, 0, -1):
        part = text[(order - 1) * _SLOT_BYTES : order * _SLOT_BYTES]
        values += (order, part[:10], _LONG_NAME, check, part[10:22], 0, part[22:])
    values[0] = count | _LAST_LONG
    return _LONG[count].pack(*values)


def _checksum(field: bytes) -> int:
    value = 0
    for byte in field:
        value = (_ROTATED[value] + byte) & 0xFF
    return value
