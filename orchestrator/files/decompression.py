"""Decompresses gzip, xz, bzip2 and zstd streams piece by piece, within bounds set beforehand.

A few bytes can be made to unpack to millions of times as many. So nothing is unpacked in one go
whose size is only promised, and no window or dictionary is made that real packers do not ask for.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

# What the readers raise at damaged bytes, or beyond a bound.
DAMAGED: Final = (EOFError, ValueError, lzma.LZMAError, zlib.error, zstandard.ZstdError)
# Bytes that LZMA may take; `xz -9`, the most that packages are made with, asks for 65 MiB.
_LZMA_MEMORY = 80 << 20
# The window of `zstd --ultra -22`.
_ZSTD_WINDOW = 128 << 20
_PIECE = 1 << 16
# Times its size that a compressed program or kernel has at most.
PROGRAM: Final = 100
# A block of four bytes can stand for 128 KiB.
_ZSTD_PIECE = 512


class LargeContentError(ValueError):
    """Content that is larger than it may be."""


class _Decompressor(Protocol):
    """Decompressor objects of `lzma` and `bz2`."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zstandard:
    """`zstandard` as a `_Decompressor`; its own reader does not mind that the end is missing."""

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._stream = decompressor.decompressobj()
        self._packed = memoryview(b"")
        self._found = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._stream.eof and not self._found

    @property
    def needs_input(self) -> bool:
        return not self._packed and not self._found

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data + bytes(self._packed)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if data:
            self._packed = memoryview(data)
        while self._packed and not self._found and not self._stream.eof:
            piece, self._packed = self._packed[:_ZSTD_PIECE], self._packed[_ZSTD_PIECE:]
            self._found = memoryview(self._stream.decompress(piece))
        found, self._found = self._found[:max_length], self._found[max_length:]
        return bytes(found)


class _Unpacked(io.RawIOBase):
    """One or more streams, one after the other, with zeros between and behind them."""

    def __init__(self, packed: BinaryIO, make: Callable[[], _Decompressor]) -> None:
        self._packed = packed
        self._make = make
        self._decompressor = make()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what io gives
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._next()
                if not data:
                    return 0
            elif self._decompressor.needs_input:
                data = self._packed.read(_PIECE)
                if not data:
                    raise EOFError("it is cut short")
            found = self._decompressor.decompress(data, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)

    def _next(self) -> bytes:
        """The beginning of a further stream; a decompressor for it is there then."""
        data = self._decompressor.unused_data.lstrip(b"\0")
        while not data and (more := self._packed.read(_PIECE)):
            data = more.lstrip(b"\0")
        if data:
            self._decompressor = self._make()
        return data


class _Bounded(io.RawIOBase):
    """Stream of at most so many bytes; one more is an error."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what io gives
        data = self._stream.read(min(len(buffer), self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise LargeContentError(f"it unpacks to more than {self._limit} bytes")
        buffer[: len(data)] = data
        return len(data)


def reader(packed: BinaryIO, packing: str, limit: int) -> BinaryIO:
    """Return what is in a compressed stream, as a stream.

    `packing`: the end of its file's name: `.xz`, `.lzma`, `.bz2`, `.gz`, `.zst`, or empty for none.
    `limit`: the bytes that it may give.

    Raises:
        ValueError: no such packing. And while it is read: one of `DAMAGED`, or `OSError`.
    """
    match packing:
        case ".xz" | ".lzma":
            found: object = _Unpacked(packed, lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY))
        case ".bz2":
            found = _Unpacked(packed, bz2.BZ2Decompressor)
        case ".gz":
            found = gzip.GzipFile(fileobj=packed)
        case ".zst":
            found = _Unpacked(packed, _Zstandard)
        case "":
            found = packed
        case _:
            raise ValueError(f"{packing} is no packing that is known here")
    return cast("BinaryIO", io.BufferedReader(_Bounded(cast("BinaryIO", found), limit), _PIECE))


def unpacked(data: bytes, packing: str, limit: int) -> bytes:
    """Return what is in compressed bytes. Arguments and errors as `reader`."""
    return data if not packing else reader(io.BytesIO(data), packing, limit).read()


def limit(size: int, largest: int, times: int = 1000) -> int:
    """The bytes that so many compressed ones may be unpacked to, `largest` at most.

    Programs shrink to a third, their documentation to a tenth; images of flash memory, which are
    mostly empty, to less than a hundredth (Debian's qemu-efi-aarch64 unpacks to 106 times its
    package). The first 4 MiB are free. `times`: fewer for what is no such image, and is held in
    memory.
    """
    return min(largest, max(4 << 20, times * size))
