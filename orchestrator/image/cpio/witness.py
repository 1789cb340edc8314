"""Reads a cpio archive back, sharing no code with what writes it (`writer`, `newc`).

The compressed file must be one Zstandard frame and nothing else; what is in it must be the tree's
members in their order, every field and every byte of padding as it has to be. Sources: Linux
Documentation/driver-api/early-userspace/buffer-format.rst; RFC 8878, "Zstandard Frames".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

import zstandard
from blake3 import blake3

from reproducibility import regular
from reproducibility.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reproducibility.manifest import Entry, Tree

_PIECE = 1 << 20
_BLOCK = 512

_FRAME = bytes.fromhex("28b52ffd")
# Of the frame's header: a checksum at the end, no dictionary, nothing unused set.
_CHECKSUM = 0b0000_0100
# The content's size is written in so many bytes, less what fewer could say; it fits one segment, or
# a window of 512 KiB (the level's) is named before it.
_SIZES = ((1, 0), (2, 256), (4, 0), (8, 0))
_WINDOW = 19 - 10 << 3
_LARGEST_SEGMENT = 1 << 19
_RESERVED_BLOCK = 3
_RLE = 1


def findings(archive: Path, tree: Tree, epoch: int) -> list[str]:
    """Return what is not as the tree says, in a sentence; none where all is right.

    `epoch`: the one time, in seconds since 1970-01-01 UTC.

    Raises:
        OSError: the archive cannot be read.
    """
    try:
        with regular.opened(archive) as packed:
            size = _frame(packed)
            packed.seek(0)
            _read(_Source(packed, size), tree, epoch)
    except ComparisonError as error:
        return [error.summary]
    return []


def _frame(packed: BinaryIO) -> int:
    """The size that the frame says its content has; the frame must be all that is in the file."""
    size = os.fstat(packed.fileno()).st_size
    head = packed.read(len(_FRAME) + 1)
    descriptor = head[-1] if len(head) > len(_FRAME) else 0
    one_segment = bool(descriptor >> 5 & 1)
    which = descriptor >> 6
    if head[:4] != _FRAME or descriptor & 0b1_1111 != _CHECKSUM or not (which or one_segment):
        raise ComparisonError("it does not start with a Zstandard frame with size and checksum")
    if not one_segment and packed.read(1) != bytes([_WINDOW]):
        raise ComparisonError("its Zstandard frame has another window than 512 KiB")
    width, less = _SIZES[which]
    content = int.from_bytes(packed.read(width), "little") + less
    if one_segment and content > _LARGEST_SEGMENT:
        raise ComparisonError(f"its Zstandard frame has a window of {content} bytes")
    last = False
    while not last:
        block = packed.read(3)
        header = int.from_bytes(block, "little")
        last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        if kind == _RESERVED_BLOCK:
            raise ComparisonError(f"byte {packed.tell()}: not a block of a Zstandard frame")
        at = packed.seek(1 if kind == _RLE else length, os.SEEK_CUR)
        if not block or at > size:
            raise ComparisonError("it ends too early")
    end = packed.tell() + 4
    if end != size:
        raise ComparisonError(
            "it ends too early" if end > size else f"{size - end} bytes follow the frame's end"
        )
    return content


class _Source:
    """Decompressed bytes, in order. `size`: bytes, as the frame says."""

    def __init__(self, packed: BinaryIO, size: int) -> None:
        decompressor = zstandard.ZstdDecompressor()
        self._stream = decompressor.stream_reader(packed, read_size=_PIECE)
        self._buffer = b""
        self._at = 0
        self.taken = 0
        self.size = size

    def take(self, count: int) -> bytes:
        """So many bytes, 1 MiB at most."""
        while len(self._buffer) - self._at < count:
            more = self._more()
            if not more:
                raise ComparisonError("it ends too early")
            self._buffer = self._buffer[self._at :] + more
            self._at = 0
        found = self._buffer[self._at : self._at + count]
        self._at += count
        self.taken += count
        return found

    def pieces(self, count: int) -> Iterator[bytes]:
        """So many bytes, in pieces."""
        while count:
            piece = self.take(min(count, _PIECE))
            count -= len(piece)
            yield piece

    def at_end(self) -> bool:
        """Return whether nothing is left; the frame's checksum is then compared."""
        return self._at == len(self._buffer) and not self._more()

    def _more(self) -> bytes:
        try:
            return self._stream.read(_PIECE)
        except zstandard.ZstdError as error:
            raise ComparisonError(f"not a Zstandard stream: {error}") from error


def _read(source: _Source, tree: Tree, epoch: int) -> None:
    for number, (path, entry) in enumerate(_members(tree), 1):
        size = entry.size if entry else 0
        mode = 0o040755 if entry is None else 0o100755 if entry.executable else 0o100644
        links = 2 if entry is None else 1
        _match(source, _header(path, (number, mode, 0, 0, links, epoch, size)), path)
        if entry is None or not size:
            _same(entry, blake3(), path)
            continue
        hasher = blake3()
        for piece in source.pieces(size):
            hasher.update(piece)
        _same(entry, hasher, path)
        if any(source.take(-size % 4)):
            raise ComparisonError(f"{path}: the padding behind it is not zero")
    _match(source, _header("TRAILER!!!", (0, 0, 0, 0, 1, 0, 0)), "the trailer")
    if any(source.take(-source.taken % _BLOCK)):
        raise ComparisonError("the padding at the end is not zero")
    if not source.at_end():
        raise ComparisonError("something follows the trailer")
    if source.taken != source.size:
        raise ComparisonError(f"the frame says {source.size} bytes, and holds {source.taken}")


def _members(tree: Tree) -> list[tuple[str, Entry | None]]:
    """Files and folders (None), each folder before what lies in it."""
    found: dict[str, Entry | None] = {}
    for entry in tree.entries:
        parts = entry.path.split("/")
        found.update(("/".join(parts[:depth]), None) for depth in range(1, len(parts)))
        found[entry.path] = entry if entry.kind == "file" else None
    return [(path, found[path]) for path in sorted(found)]


def _header(path: str, fields: tuple[int, ...]) -> bytes:
    name = path.encode() + b"\0"
    # Devices of file system and node, length of the name, sum.
    numbers = (*fields, 0, 0, 0, 0, len(name), 0)
    whole = "070701" + "".join(f"{number:08X}" for number in numbers)
    member = whole.encode() + name
    return member + bytes(-len(member) % 4)


_FIELDS = (
    "magic", "inode", "mode", "owner", "group", "links", "time", "size", "device", "device",
    "device", "device", "length of the name", "sum",
)  # fmt: skip
_MAGIC = 6
_NUMBERS = 110


def _match(source: _Source, wanted: bytes, path: str) -> None:
    at = source.taken
    found = source.take(len(wanted))
    if found == wanted:
        return
    first = next(n for n, (one, two) in enumerate(zip(found, wanted, strict=True)) if one != two)
    which = "name" if first >= _NUMBERS else _FIELDS[(first + 8 - _MAGIC) // 8]
    raise ComparisonError(
        f"{path}, {which}: byte {at + first} of what is compressed is {found[first]:#04x}, "
        f"should be {wanted[first]:#04x}"
    )


def _same(entry: Entry | None, hasher: blake3, path: str) -> None:
    if entry is not None and (found := hasher.hexdigest()) != entry.digest:
        raise ComparisonError(f"{path}: blake3 {found[:16]}, should be {entry.digest[:16]}")
