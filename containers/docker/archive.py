"""Trees as tar streams, the form in which files travel through a container engine's API.

Streams are made and read piece by piece; no archive is ever held in memory or written to a disk.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from containers.outputs import check_path, naming
from containers.sandbox.confine import order_key
from reproducibility.digest import chunks
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from containers.outputs import Allowance
    from reproducibility.manifest import Entry, Tree

_BLOCK = 512
_PIECE = 1 << 20
_END = bytes(2 * _BLOCK)


@dataclass(frozen=True, slots=True)
class Form:
    """Form of a tree's files at the other end.

    `epoch`: every modification time, seconds. `user`, `group`: ids of the owner. `writable`: modes
    0644 and 0755, else 0444 and 0555; folders are 0755. `order_seed`: 0 for the order of the names,
    any other number for an order derived from it in each folder.
    """

    epoch: int
    user: int = 0
    group: int = 0
    writable: bool = False
    order_seed: int = 0


def pack(
    parts: Iterable[tuple[str, Tree]], form: Form, path_of: Callable[[Entry], Path]
) -> Iterator[bytes]:
    """A tar stream of trees, each below a folder that gets an entry of its own.

    `parts`: folders (relative; empty for none) and what lies in them. `path_of`: the file that
    holds an entry's bytes.
    """
    return _gathered(_pack(parts, form, path_of))


def joined(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    """A tar stream with one more member (`file_entry`) in front."""
    yield first
    yield from rest


def _pack(
    parts: Iterable[tuple[str, Tree]], form: Form, path_of: Callable[[Entry], Path]
) -> Iterator[bytes]:
    for folder, tree in parts:
        prefix = ""
        if folder:
            yield _folder_header(folder, form)
            prefix = folder + "/"
        for path, entry in _ordered(tree, form.order_seed):
            if entry is None:
                yield _folder_header(prefix + path, form)
            else:
                yield from _file(prefix + path, entry, form, path_of)
    yield _END


def file_entry(name: str, data: bytes, epoch: int) -> bytes:
    """A tar stream's part for one small file, owned by root, mode 0444."""
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = len(data), 0o444, epoch
    return _header(header) + data + _padding(len(data))


def _ordered(tree: Tree, order_seed: int) -> Iterator[tuple[str, Entry | None]]:
    """Paths with their entries, folders (None) before what lies in them."""
    children: dict[str, dict[str, Entry | None]] = {}

    def add(path: str, item: Entry | None) -> None:
        parent = path.rpartition("/")[0]
        siblings = children.setdefault(parent, {})
        if path not in siblings:
            siblings[path] = item
            if parent:
                add(parent, None)

    for entry in tree:
        add(entry.path, None if entry.kind == "directory" else entry)
    waiting = [""]
    while waiting:
        found = children.get(waiting.pop(), {})
        for path in sorted(found, key=lambda path: order_key(path.rpartition("/")[2], order_seed)):
            yield path, found[path]
            if found[path] is None:
                waiting.append(path)


def _folder_header(name: str, form: Form) -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.mtime = tarfile.DIRTYPE, 0o755, form.epoch
    header.uid, header.gid = form.user, form.group
    return _header(header)


def _file(name: str, entry: Entry, form: Form, path_of: Callable[[Entry], Path]) -> Iterator[bytes]:
    header = tarfile.TarInfo(name)
    header.size, header.mtime = entry.size, form.epoch
    header.mode = mode_of(executable=entry.executable, writable=form.writable)
    header.uid, header.gid = form.user, form.group
    yield _header(header)
    sent = 0
    with path_of(entry).open("rb") as stream:
        for chunk in chunks(stream, _PIECE):
            sent += len(chunk)
            yield chunk
    if sent != entry.size:
        raise InfrastructureError(
            f"a file has {sent} bytes instead of {entry.size}", subject=entry.path
        )
    yield _padding(sent)


def mode_of(*, executable: bool, writable: bool) -> int:
    """The mode of a file."""
    return (0o555 if executable else 0o444) | (0o200 if writable else 0)


def _header(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a network packet of their own."""
    kept = bytearray()
    for piece in pieces:
        kept += piece
        if len(kept) >= _PIECE:
            yield bytes(kept)
            kept.clear()
    if kept:
        yield bytes(kept)


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")
        self._size = self._said = 0

    def closes_at(self, offset: int) -> bool:
        """Return whether all that came from an offset on is the end of an archive.

        That is two blocks of zeros (POSIX, pax: "two 512-octet blocks of binary zeros"), and no
        more than further zeros after them.
        """
        return self._said <= offset and self._size >= offset + len(_END)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what io gives
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            said = len(piece.rstrip(b"\0"))
            if said:
                self._said = self._size + said
            self._size += len(piece)
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Content:
    """A member's content, whose reader gets the project's error where the stream ends too early."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except tarfile.TarError as error:
            raise _bad(error) from error


def _bad(error: object) -> InfrastructureError:
    return InfrastructureError(
        f"the container engine sent a bad archive: {error}",
        remedy="run the same command again; if it happens again, look at the engine's log",
    )


def members(pieces: Iterable[bytes]) -> Iterator[tuple[tarfile.TarInfo, BinaryIO | None]]:
    """The members of a tar stream, each with its content where it is a file.

    Raises:
        InfrastructureError: not a tar stream, or it ends too early.
    """
    stream = _Stream(pieces)
    buffered = io.BufferedReader(stream, _PIECE)
    try:
        with tarfile.open(mode="r|", fileobj=buffered) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                yield member, cast("BinaryIO", _Content(content)) if content else None
        # What follows the end must be read too, or the connection it comes on stays open.
        while buffered.read(_PIECE):
            pass
    except tarfile.TarError as error:
        raise _bad(error) from error
    # The library takes it for the end where there is no header, or none that it understands.
    if not stream.closes_at(archive.offset):
        raise _bad("it does not come to its end")


def unpack(pieces: Iterable[bytes], into: Path, allowance: Allowance) -> None:
    """Lay out a tar stream below a folder.

    `allowance`: what it may hold; each member is counted before anything of it is read or written.
    Files get mode 0644 or 0755. Links stay links and are never followed; what is neither file,
    folder nor link becomes a pipe, which no tree can hold, so that whoever scans it objects.

    Raises:
        ActionError: a path is too deep or too long.
        ExceededError: it holds more than it may.
        InfrastructureError: a name leads out of the folder.
        OSError: the disk is full, or cannot be written; names the file.
        Stopped: the person stopped the work.
    """
    folders = {PurePosixPath()}
    met = set(folders)
    files: dict[PurePosixPath, tuple[Path, int]] = {}
    for member, content in members(pieces):
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or path.parent not in folders:
            raise InfrastructureError(
                "the container engine sent a path outside of its place", subject=member.name
            )
        check_path(str(path))
        again = path in met and not (member.isdir() and path in folders)
        if again or "\0" in member.name + member.linkname:
            raise InfrastructureError(
                "the container engine sent a path twice, or one that cannot be",
                subject=ascii(member.name),
            )
        met.add(path)
        linked = files.get(PurePosixPath(member.linkname)) if member.islnk() else None
        allowance.spend(linked[1] if linked else member.size)
        target = into / path
        if member.isdir():
            target.mkdir(exist_ok=path in folders)
            folders.add(path)
        elif content is not None:
            _write(content, target, executable=bool(member.mode & 0o111), allowance=allowance)
            files[path] = target, member.size
        elif linked is not None:
            _link(linked[0], target)
            files[path] = target, linked[1]
        elif member.issym():
            target.symlink_to(member.linkname)
        else:
            os.mkfifo(target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links; what counts is the content
        shutil.copy(source, target)


def _write(content: BinaryIO, target: Path, *, executable: bool, allowance: Allowance) -> None:
    with naming(target), target.open("xb") as sink:
        for chunk in chunks(content, _PIECE):
            allowance.go_on()
            sink.write(chunk)
    target.chmod(0o755 if executable else 0o644)
