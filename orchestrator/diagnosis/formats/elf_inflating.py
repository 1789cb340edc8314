"""Compressed sections of an ELF file (SHF_COMPRESSED, zlib), within one bound for the whole file.

Each section may unpack to a thousand times its size, and a file may have thousands of them. Source:
System V ABI, "Section Compression".
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from orchestrator.diagnosis.formats.stream import TIMES
from orchestrator.files import decompression

if TYPE_CHECKING:
    from orchestrator.diagnosis.formats.elf import File, Section
    from orchestrator.diagnosis.model import Collector

_COMPRESSED = 0x800
_ZLIB = 1
# Of the compression header, by whether the file has 64 bits: its type comes first.
_FORMS = {False: "III", True: "IIQQ"}
_SIZE_AT = {False: 1, True: 2}


class Inflating:
    """What the compressed sections of one file may still unpack to together."""

    def __init__(self, file: File, to: Collector, size: int) -> None:
        self._form = struct.Struct(file.order + _FORMS[file.wide])
        self._size_at = _SIZE_AT[file.wide]
        self._to = to
        self._untold = to.limits.each
        self.left = decompression.limit(size, to.limits.unpacked, TIMES)

    @staticmethod
    def compressed(section: Section) -> bool:
        """Tell whether a section is compressed."""
        return bool(section.flags & _COMPRESSED)

    def content(self, section: Section, path: str) -> bytes | None:
        """What a compressed section unpacks to; None where it is not looked into: it is said."""
        words = "it is damaged, or compressed in another way than by zlib"
        if len(section.content) >= self._form.size:
            fields = self._form.unpack_from(section.content)
            size = fields[self._size_at]
            if fields[0] == _ZLIB and size > self.left:
                words = "with the sections before it, it unpacks to more than is looked at"
            elif fields[0] == _ZLIB:
                found = self._inflated(section.content, size)
                if found is not None:
                    return found
        self._untold -= 1
        if self._untold >= 0:
            self._to.note(f"{path} was compared as it is compressed: {words}")
        return None

    def _inflated(self, data: bytes, size: int) -> bytes | None:
        inflater = zlib.decompressobj()
        # What is damaged behind its first bytes has taken its time, too.
        self.left -= size
        try:
            # One byte more than it says, so that the end is met; 0 would be without a bound.
            found = inflater.decompress(memoryview(data)[self._form.size :], size + 1)
        except zlib.error:
            return None
        return found if len(found) == size and inflater.eof else None
