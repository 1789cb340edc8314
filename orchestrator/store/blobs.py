"""Blob files, named by the BLAKE3 of their bytes, compared with their name when they are used.

A blob appears under its name whole (rename), read-only, and with one fixed time, so that folders
can share it as a hard link. One that is not what its name says is moved aside: whoever made it can
make it again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from blake3 import blake3

from containers.host import durable
from reproducibility import digest as digests
from reproducibility import regular
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reproducibility.manifest import Entry, Tree

# Modification time of every blob: 2026-01-01 00:00:00 UTC, which is the default spec's epoch. A
# checkout for this time is made of hard links, for any other of copies.
BLOB_TIME = 1_767_225_600
# Bytes of what is read as a whole: boot files, manifests, what a step said.
_LARGEST_READ = 512 << 20
_READABLE = "mend its permissions or the disk, or give another store with --store"


class DamagedBlob(InfrastructureError):  # noqa: N818 - it is the blob that is damaged
    """A blob is missing, or its bytes are not what its name says; it was moved aside."""

    def __init__(self, digest: Digest, found: str) -> None:
        super().__init__(
            f"a blob of the store is damaged: expected {digest}, found {found}",
            subject=str(digest),
            remedy="it was moved aside; the step that makes it runs again",
        )
        self.digest = digest


class BlobFolder:
    """A folder of blobs, safe for several processes and threads at once.

    `folder`: below it `ab/cd/<64 hex>`. `damaged`: where blobs go that are not what their names
    say. `fresh`: a folder of this object's own, on the same file system, for files being written.
    """

    def __init__(self, folder: Path, damaged: Path, fresh: Path) -> None:
        self._folder = str(folder)
        self._damaged = damaged
        self._fresh = fresh
        self._verified: dict[str, tuple[int, int, int]] = {}
        # How many blobs were moved aside: what was laid out before may share their bytes.
        self._damages = 0

    @property
    def damages(self) -> int:
        """Number of damaged blobs that this object has found."""
        return self._damages

    def has(self, digest: Digest, size: int | None = None) -> bool:
        """Return whether a blob of this name is there (its bytes are not looked at).

        `size`: whether one of so many bytes is; None for any.

        Raises:
            InfrastructureError: its folder cannot be looked into.
        """
        found = self._size(digest.hex)
        return found is not None and size in {None, found}

    def holds(self, tree: Tree) -> bool:
        """Return whether every file of a tree is there with the right size (bytes not looked at).

        Raises:
            InfrastructureError: a folder of blobs cannot be looked into.
        """
        return all(self._has_size(entry.digest, entry.size) for entry in tree.files())

    def blob(self, digest: Digest) -> Path:
        """The file that holds a blob, its bytes compared with its name; read-only.

        Raises:
            DamagedBlob: it is missing or its bytes differ.
            InfrastructureError: it cannot be read.
        """
        place = self._place(digest.hex)
        try:
            identity = _identity(place.lstat())
            if self._verified.get(digest.hex) == identity:
                return place
            found = digests.of_file(place, follow=False)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DamagedBlob(digest, "nothing") from error
        except OSError as error:
            if error.errno != errno.EIO and not isinstance(error, regular.IrregularFileError):
                raise InfrastructureError(
                    f"cannot read a blob of the store: {error.strerror}",
                    subject=str(place),
                    remedy=_READABLE,
                ) from error
            self.move_aside(place)
            raise DamagedBlob(digest, str(error.strerror)) from error
        if found != digest:
            self.move_aside(place)
            raise DamagedBlob(digest, str(found))
        self._verified[digest.hex] = identity
        return place

    def path(self, entry: Entry) -> Path:
        """The verified blob of a tree's entry."""
        return self.blob(entry.content)

    def look_again(self, tree: Tree) -> None:
        """Compare every file of a tree with its name, whatever was found of it before.

        Raises:
            DamagedBlob: one differs.
        """
        for entry in tree.files():
            self._verified.pop(entry.digest, None)
            self.path(entry)

    def unverified(self, entry: Entry) -> Path:
        """The file of an entry's blob, there or not, its bytes not looked at.

        For who compares the bytes with something else than their name.
        """
        return self._place(entry.digest)

    def read(self, digest: Digest) -> bytes:
        """A blob's bytes, for small ones.

        Raises:
            DamagedBlob: it is missing or its bytes differ.
            InputError: it is too large for that.
        """
        place = self.blob(digest)
        try:
            return regular.read(place, follow=False, limit=_LARGEST_READ)
        except regular.LargeFileError as error:
            raise InputError(
                f"a kernel, a module or a list of files is none: {error.strerror}",
                subject=str(place),
                remedy="name another package or folder in the spec",
            ) from error

    def matches(self, path: Path, status: os.stat_result, entry: Entry) -> bool:
        """Return whether a file, perhaps a hard link to a blob, holds an entry's bytes.

        Raises:
            OSError: it cannot be read.
        """
        if status.st_size != entry.size:
            return False
        identity = _identity(status)
        if self._verified.get(entry.digest) == identity:
            return True
        if digests.of_file(path, follow=False, expected=status).hex != entry.digest:
            return False
        # Where it is the blob itself, that need not be read again.
        self._verified.setdefault(entry.digest, identity)
        return True

    def put_bytes(self, data: bytes) -> Digest:
        """Keep bytes; returns their digest."""
        digest = digests.of_bytes(data)
        if not self._has_size(digest.hex, len(data)):
            with self._fresh_file() as (descriptor, name):
                durable.write_all(descriptor, data)
                self._admit(name, digest)
        return digest

    def put_stream(self, stream: BinaryIO, *, limit: int) -> tuple[Digest, int]:
        """Keep what is left in a stream; returns digest and size in bytes.

        Raises:
            InfrastructureError: more than `limit` bytes came.
        """
        hasher = blake3()
        size = 0
        with self._fresh_file() as (descriptor, name):
            for chunk in digests.chunks(stream):
                size += len(chunk)
                if size > limit:
                    raise InfrastructureError(f"more than the allowed {limit} bytes came")
                hasher.update(chunk)
                durable.write_all(descriptor, chunk)
            digest = Digest("blake3", hasher.hexdigest())
            self._admit(name, digest)
        return digest, size

    def put_file(self, path: Path, *, move: bool = False) -> Digest:
        """Keep a file's bytes; with `move` the file itself goes into the store if it can.

        Raises:
            OSError: it is no regular file, cannot be read or changed meanwhile; the disk is full.
        """
        digest, size = digests.measured(path)
        self._put_known(path, digest, size, move=move)
        return digest

    def move_aside(self, place: Path) -> None:
        """Take something out of use that is not what it should be."""
        self._damages += 1
        durable.move_aside(place, self._damaged)

    def _place(self, name: str) -> Path:
        return Path(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name[:2]}/{name[2:4]}/{name}"

    def _has_size(self, name: str, size: int) -> bool:
        return self._size(name) == size

    def _size(self, name: str) -> int | None:
        """Bytes of a blob's file; None where there is none, or something else."""
        path = self._path(name)
        try:
            status = os.lstat(path)  # 20,000 files; three times as fast as by a `Path`
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InfrastructureError(
                f"cannot read a blob of the store: {error.strerror}",
                subject=path,
                remedy=_READABLE,
            ) from error
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _put_known(self, path: Path, digest: Digest, size: int, *, move: bool) -> None:
        # One of another size was cut short by a loss of power: it is replaced.
        if self._has_size(digest.hex, size):
            return
        if move:
            with contextlib.suppress(OSError):
                self._admit(path, digest)
                return
        # Somebody may write to it since it was hashed: what is copied is hashed again.
        hasher = blake3()
        with self._fresh_file() as (descriptor, name), regular.opened(path) as stream:
            for chunk in digests.chunks(stream):
                hasher.update(chunk)
                durable.write_all(descriptor, chunk)
            if hasher.hexdigest() != digest.hex:
                raise regular.ChangedFileError(path)
            self._admit(name, digest)

    @contextlib.contextmanager
    def _fresh_file(self) -> Iterator[tuple[int, Path]]:
        descriptor, name = tempfile.mkstemp(dir=self._fresh, prefix="blob-")
        try:
            yield descriptor, Path(name)
        finally:
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)

    def _admit(self, path: Path, digest: Digest) -> None:
        """Give a finished file its place."""
        place = self._place(digest.hex)
        os.utime(path, (BLOB_TIME, BLOB_TIME))
        path.chmod(0o444)
        try:
            path.rename(place)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            durable.make_way(place, Path(self._folder), self._damaged)
            path.rename(place)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    """Return what changes when a file's bytes are written to, or when another file takes its place.

    Of anything but a regular file it is never that of a blob that was read.
    """
    return status.st_ino, status.st_mtime_ns, status.st_size
