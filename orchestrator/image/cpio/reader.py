"""Unpacks the cpio archive that a build leaves (`writer`) into a folder.

Strict: it reads what our own writer writes, and refuses everything else; a path that could lead out
of the folder is among that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

import zstandard

from reproducibility import regular
from reproducibility.errors import InputError
from reproducibility.manifest import (
    LONGEST_PATH,
    MOST_ENTRIES,
    MOST_FOLDERS,
    MOST_NAMES,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = b"070701"
_HEADER = 110
_TRAILER = "TRAILER!!!"
_PIECE = 1 << 20
_SHOWN = 80
# Bytes of a file's name on a disk (NAME_MAX).
_LONGEST_NAME = 255
# The window of the level that archives are made with is 512 KiB.
_WINDOW = 8 << 20
# Files and folders.
_MOST_MEMBERS = 2 * MOST_ENTRIES
_FOLDER, _FILE = 0o040000, 0o100000
_EXECUTABLE = 0o111
_HEX = re.compile(rb"[0-9A-Fa-f]{104}")


class Readable(Protocol):
    """Source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes; none at the end."""
        ...


class Member(NamedTuple):
    """A member's path, mode (with its type), time (seconds since 1970-01-01 UTC), size in bytes."""

    path: str
    mode: int
    time: int
    size: int

    @property
    def is_folder(self) -> bool:
        """True for a folder, False for a file."""
        return self.mode & ~0o7777 == _FOLDER


def epoch(archive: Path) -> int:
    """The time that every file of the archive has, in seconds since 1970-01-01 UTC.

    Raises:
        InputError: it is not such an archive.
        OSError: it cannot be read.
    """
    with regular.opened(archive) as packed:
        member = next(members(Source(packed, archive)), None)
    if member is None:
        raise InputError("the archive is empty", subject=str(archive))
    return member.time


def unpack(archive: Path, folder: Path) -> None:
    """Unpack into an empty folder: names, content and executable bits.

    Raises:
        InputError: it is not such an archive.
        OSError: it cannot be read, or the folder not be written.
    """
    with regular.opened(archive) as packed:
        source = Source(packed, archive)
        for member in members(source):
            place = folder / member.path
            if member.is_folder:
                place.mkdir()
                continue
            with place.open("xb") as sink:
                for piece in source.content(member):
                    sink.write(piece)
            if member.mode & _EXECUTABLE:
                place.chmod(0o755)


class Source:
    """The archive's bytes, in order. `archive`: only for what is said of it."""

    def __init__(self, packed: Readable, archive: Path) -> None:
        self.archive = archive
        # It only reads.
        stream = cast("BinaryIO", packed)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._stream = decompressor.stream_reader(stream, read_size=_PIECE)

    def take(self, size: int) -> bytes:
        """Read exactly so many bytes."""
        data = bytearray()
        try:
            while len(data) < size and (piece := self._stream.read(size - len(data))):
                data += piece
        except zstandard.ZstdError as error:
            raise self.refused(f"not a Zstandard stream: {error}") from error
        if len(data) < size:
            raise self.refused("it ends too early")
        return bytes(data)

    def content(self, member: Member) -> Iterator[bytes]:
        """A file's content in pieces; its padding is taken too."""
        left = member.size
        while left:
            piece = self.take(min(left, _PIECE))
            left -= len(piece)
            yield piece
        self.take(-member.size % 4)

    def skip(self, member: Member) -> None:
        """Go past a file's content."""
        for _ in self.content(member):
            pass

    def refused(self, why: str) -> InputError:
        """The error for an archive that is none of ours."""
        return InputError(
            f"this is not an archive of a build: {why}",
            subject=str(self.archive),
            remedy="build again, or name another folder with --out",
        )


def members(source: Source) -> Iterator[Member]:
    """Yield every member; the caller takes its content before it asks for the next.

    Raises:
        InputError: it is not such an archive.
    """
    count = names = 0
    met: set[str] = set()
    folders = {""}
    while True:
        header = source.take(_HEADER)
        if not header.startswith(_MAGIC) or not _HEX.fullmatch(header[6:]):
            raise source.refused("a member has no header of the format newc")
        fields = [int(header[at : at + 8], 16) for at in range(6, _HEADER, 8)]
        mode, time, size, length = fields[1], fields[5], fields[6], fields[11]
        count += 1
        names += length
        if length > LONGEST_PATH + 1 or count > _MOST_MEMBERS or names > MOST_NAMES + MOST_FOLDERS:
            raise source.refused("more or longer names than a tree can have")
        name = source.take(length + -(_HEADER + length) % 4)[: length - 1]
        path = _path(source, name)
        if path == _TRAILER:
            return
        if mode & ~0o7777 not in {_FOLDER, _FILE}:
            raise source.refused(f"{path} is neither a file nor a folder")
        member = Member(path, mode, time, size)
        if path in met or path.rpartition("/")[0] not in folders:
            raise source.refused(f"{path} comes twice, or before its folder")
        met.add(path)
        if member.is_folder:
            folders.add(path)
        yield member


def _path(source: Source, name: bytes) -> str:
    """A member's name as a path that can lie below a folder."""
    try:
        path = name.decode()
    except UnicodeDecodeError as error:
        raise source.refused(f"the path {name[:_SHOWN]!r} is not UTF-8") from error
    if not {"", ".", ".."}.isdisjoint(path.split("/")) or "\0" in path:
        raise source.refused(f"the path {path!r}")
    if max(map(len, name.split(b"/"))) > _LONGEST_NAME:
        raise source.refused(f"a longer name than there can be in {path[:_SHOWN]}...")
    return path
