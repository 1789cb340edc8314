"""Reads ELF: one section of a file, and where a file within bytes ends.

Source: System V ABI, "Object Files", ELF header and section headers; little-endian. Kernel modules
of all supported architectures have 64 bits, SYSLINUX's have 32.
"""

from __future__ import annotations

import struct

from reproducibility.errors import InputError

_IDENTITY = b"\x7fELF\x02\x01\x01"
# From the end of the identity: type, machine, version, entry, program headers, section headers,
# flags, size of this header, then size and number of program headers, of section headers, and which
# section holds the names.
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
# Name, type, flags, address, offset, size, link, information, alignment, size of an entry.
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NO_BITS = 8
_STRINGS = 3
_IDENTITY_32 = b"\x7fELF\x01\x01\x01"
_HEADER_32 = struct.Struct("<16xHHIIIIIHHHHHH")
# SYSLINUX's modules have some 30. The loader is looked for at many places, so that each must be
# quick to tell.
_MOST_SECTIONS_32 = 1000
_SECTION_32 = struct.Struct("<10I")


def section(data: bytes, name: str, subject: str) -> bytes | None:
    """The content of the section `name`, or None where there is none. `subject`: the file.

    Raises:
        InputError: not a whole ELF file of the expected kind.
    """
    try:
        return _section(data, name.encode() + b"\0")
    except (struct.error, ValueError, OverflowError) as error:
        raise InputError(
            f"not a whole 64-bit little-endian ELF file: {error}",
            subject=subject,
            remedy="fetch the kernel package again, or build the kernel's modules again",
        ) from error


def _section(data: bytes, name: bytes) -> bytes | None:
    if not data.startswith(_IDENTITY):
        raise ValueError("another start")
    header = _HEADER.unpack_from(data)
    table, size, count, names_at = header[5], header[10], header[11], header[12]
    if size != _SECTION.size or names_at >= count:
        raise ValueError("no table of sections")
    sections = [_SECTION.unpack_from(data, table + size * index) for index in range(count)]
    names = _content(data, sections[names_at])
    for found in sections:
        if names[found[0] : found[0] + len(name)] == name:
            return _content(data, found)
    return None


def _content(data: bytes, header: tuple[int, ...]) -> bytes:
    kind, start, size = header[1], header[4], header[5]
    if kind == _NO_BITS:
        return b""
    if start + size > len(data):
        raise ValueError("cut short")
    return data[start : start + size]


def length_32(data: bytes, start: int) -> int | None:
    """Bytes of the 32-bit ELF file that starts at `start`, or None where none starts there."""
    if not data.startswith(_IDENTITY_32, start):
        return None
    try:
        header = _HEADER_32.unpack_from(data, start)
        table, size, count, names_at = header[5], header[10], header[11], header[12]
        if size != _SECTION_32.size or not names_at < count <= _MOST_SECTIONS_32:
            return None
        sections = [
            _SECTION_32.unpack_from(data, start + table + _SECTION_32.size * index)
            for index in range(count)
        ]
    except struct.error:
        return None
    if sections[names_at][1] != _STRINGS:
        return None
    ends = [found[4] + found[5] for found in sections if found[1] != _NO_BITS]
    length = max([table + size * count, *ends])
    return length if start + length <= len(data) else None
