"""Unpacks archives into the store as trees, without files on the disk in between.

Names that lead outside, links, devices, encrypted members and oversized contents are refused.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import zstandard
from cryptography.hazmat.primitives import hashes

from orchestrator.inputs.transport import LARGEST, Store
from reproducibility import digest as digests
from reproducibility import manifest
from reproducibility.errors import InputError
from reproducibility.manifest import Entry, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_IN_MEMORY = 4 << 20
_ENCRYPTED = 0x1
# Those of Go's archive/zip and of wheels. Python unpacks the others in one go, however large.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


# What Python's readers of archives raise at damaged bytes.
_DAMAGED = (
    EOFError,
    NotImplementedError,
    ValueError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    zstandard.ZstdError,
)


@contextlib.contextmanager
def refusing_damage(what: str, subject: str, remedy: str = "") -> Iterator[None]:
    """Turn what the readers of archives raise at damaged bytes into a refusal.

    Raises:
        InputError: the archive, `what`, is damaged.
        OSError: the disk failed.
    """
    try:
        yield
    except (OSError, *_DAMAGED) as error:
        # A damaged offset makes the readers seek to where no file can have a byte.
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            raise
        raise InputError(f"{what}: {error}", subject=subject, remedy=remedy) from error


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A tree, and the SHA-256 (hexadecimal) of each file by its name in the archive."""

    tree: Tree
    sha256: dict[str, str]


class _Hashing:
    """A stream that hashes what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hasher = hashes.Hash(hashes.SHA256())

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._hasher.update(data)
        return data

    def hexdigest(self) -> str:
        return self._hasher.finalize().hex()


def zip_tree(
    path: Path,
    store: Store,
    *,
    place: Callable[[str], str | None],
    executable: Callable[[str], bool],
    limit: int = LARGEST,
) -> Unpacked:
    """The files of a zip archive.

    `place`: a member's path in the tree by its name in the archive, None to leave it out.
    `executable`: whether a path in the tree is a program. `limit`: bytes, all files together.

    Raises:
        InputError: not a zip archive, or one that must not be unpacked.
    """
    with (
        refusing_damage("not a whole zip archive", str(path)),
        zipfile.ZipFile(path) as archive,
    ):
        members = list(_members(archive, path, limit))

        def keep(member: zipfile.ZipInfo) -> tuple[Entry | None, str]:
            with archive.open(member) as stream:
                target = place(member.filename)
                return _keep(stream, member.file_size, target, store, executable)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            kept = list(zip(members, pool.map(keep, members), strict=True))
    return Unpacked(
        Tree(entry for _, (entry, _) in kept if entry is not None),
        {member.filename: sha256 for member, (_, sha256) in kept},
    )


def _members(archive: zipfile.ZipFile, path: Path, limit: int) -> Iterator[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    total = sum(member.file_size for member in members)
    if total > limit or len(members) > manifest.MOST_ENTRIES:
        raise InputError(
            f"the archive holds {len(members)} files of {total} bytes, more than allowed",
            subject=str(path),
        )
    if len({member.filename for member in members}) != len(members):
        raise InputError("the archive holds a name twice", subject=str(path))
    for member in members:
        mode = member.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            raise InputError("the archive holds a link or a device", subject=member.filename)
        if member.flag_bits & _ENCRYPTED:
            raise InputError("the archive is encrypted", subject=member.filename)
        if member.compress_type not in _METHODS:
            raise InputError(
                f"the archive is compressed by method {member.compress_type}, neither stored nor "
                "deflated",
                subject=member.filename,
            )
        if ".." in member.filename.split("/") or member.filename.startswith("/"):
            raise InputError("a name in the archive leads outside", subject=member.filename)
        yield member


def _keep(
    stream: BinaryIO | object,
    size: int,
    target: str | None,
    store: Store,
    executable: Callable[[str], bool],
) -> tuple[Entry | None, str]:
    hashing = _Hashing(stream)  # type: ignore[arg-type]
    if target is None:
        for _ in digests.chunks(hashing):  # type: ignore[arg-type]
            pass
        return None, hashing.hexdigest()
    if size <= _IN_MEMORY:
        # Piece by piece: `zipfile` asks a stream for all of its content at once otherwise, however
        # much more that is than was promised.
        data = b"".join(digests.chunks(hashing))  # type: ignore[arg-type]
        content, length = store.put_bytes(data), len(data)
    else:
        content, length = store.put_stream(hashing, limit=size)  # type: ignore[arg-type]
    if length != size:
        raise InputError(f"the archive promises {size} bytes and holds {length}", subject=target)
    entry = manifest.file(target, content, length, executable=executable(target))
    return entry, hashing.hexdigest()


def keep_stream(
    stream: BinaryIO, size: int, target: str, store: Store, *, executable: bool
) -> Entry:
    """Put one archive member into the store; returns its entry at `target`.

    Raises:
        InputError: it does not have `size` bytes.
    """
    entry, _ = _keep(stream, size, target, store, lambda _: executable)
    if entry is None:
        raise InputError("nothing to keep", subject=target)
    return entry
