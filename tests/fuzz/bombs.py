"""Streams of less than 1 MiB that hold more than a parser may take of memory."""

from __future__ import annotations

import functools
import lzma
import zlib
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

# Bytes of zeros in each.
SIZE = 400 << 20
_PIECE = bytes(1 << 20)


def _packed(start: bytes, compress: Callable[[bytes], bytes], flush: Callable[[], bytes]) -> bytes:
    return b"".join([compress(start), *(compress(_PIECE) for _ in range(SIZE >> 20)), flush()])


@functools.cache
def xz(start: bytes = b"") -> bytes:
    """An xz stream. `start`: what stands before the zeros."""
    packer = lzma.LZMACompressor(preset=0)
    return _packed(start, packer.compress, packer.flush)


@functools.cache
def gz(start: bytes = b"") -> bytes:
    """A gzip stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return _packed(start, packer.compress, packer.flush)


@functools.cache
def deflated() -> tuple[bytes, int]:
    """A raw deflate stream, as in a zip archive, and the CRC-32 of its content."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    checksum = 0
    for _ in range(SIZE >> 20):
        checksum = zlib.crc32(_PIECE, checksum)
    return _packed(b"", packer.compress, packer.flush), checksum


@functools.cache
def zst(start: bytes = b"") -> bytes:
    """A Zstandard frame."""
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return _packed(start, packer.compress, packer.flush)
