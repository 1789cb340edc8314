"""Writes a disk image: the same bytes in two orders of work, with bounded memory.

`forward` gathers the files in the order of their clusters into one buffer and writes it in large
pieces from the start to the end. `backward` writes each file by itself, the last piece of the last
file first, and the tables at the end: an error in the layout that one order hides shows as a
difference in the other.

The range in use is allocated beforehand, so that a full disk is noticed before the work; free
space stays a hole. Measured on ext4: with the range allocated, one buffer and plain reads and
writes take half the time of the same without, and of sendfile and copy_file_range.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Literal

from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.image.disk import Disk
    from reproducibility.manifest import Entry

    Blob = Callable[[Entry], str | os.PathLike[str]]

Order = Literal["forward", "backward"]

_BUFFER = 1 << 20
_NOT_SUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def write(
    disk: Disk, blob: Blob, target: Path, *, order: Order = "forward", durable: bool = False
) -> None:
    """Write the image to `target`, which is made or emptied; removed again where that fails.

    `blob`: where the content of a file lies. `durable`: wait until the medium has it.

    Raises:
        InfrastructureError: a blob cannot be read or has not the size that its entry says, or the
            target cannot be written; names which.
    """
    try:
        with _Target(target) as image:
            image.allocate(disk.size, disk.offset + disk.layout.end)
            if order == "forward":
                _forward(disk, blob, image)
            else:
                _backward(disk, blob, image)
            if durable:
                image.sync()
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise


def _forward(disk: Disk, blob: Blob, image: _Target) -> None:
    metadata = disk.metadata()
    for position, data in metadata:
        image.put(data, position)
    # The last piece of the tables ends where the first file starts.
    position = metadata[-1][0] + len(metadata[-1][1])
    gathered = _Gathered(image, position)
    cluster = disk.layout.geometry.cluster
    for placed in disk.layout.files:
        if placed.cluster:
            gathered.copy(placed.entry, blob(placed.entry))
            gathered.zeros(-placed.entry.size % cluster)
    gathered.flush()


def _backward(disk: Disk, blob: Blob, image: _Target) -> None:
    buffer = memoryview(bytearray(_BUFFER))
    for placed in reversed(disk.layout.files):
        if placed.cluster:
            start = disk.offset + disk.layout.geometry.offset(placed.cluster)
            _copy_backward(placed.entry, blob(placed.entry), image, start, buffer)
    for position, data in reversed(disk.metadata()):
        image.put(data, position)


def _copy_backward(
    entry: Entry, path: str | os.PathLike[str], image: _Target, start: int, buffer: memoryview
) -> None:
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if (found := os.fstat(source).st_size) != entry.size:
                raise _wrong_size(entry, path, f"{found} bytes")
            for at in range((entry.size - 1) // _BUFFER * _BUFFER, -1, -_BUFFER):
                piece = buffer[: min(_BUFFER, entry.size - at)]
                if os.preadv(source, [piece], at) != len(piece):
                    raise _wrong_size(entry, path, "fewer bytes than a moment ago")
                image.put(piece, start + at)
        finally:
            os.close(source)
    except OSError as error:
        raise _unreadable(entry, path, error) from error


class _Target:
    """The image file while it is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def allocate(self, size: int, used: int) -> None:
        """Give the file its size in bytes, and room for the first `used` bytes."""
        try:
            os.ftruncate(self._descriptor, size)
            os.posix_fallocate(self._descriptor, 0, used)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise self._failed(error) from error

    def put(self, data: bytes | memoryview, position: int) -> None:
        """Write all of `data`."""
        try:
            written = os.pwrite(self._descriptor, data, position)
            while written < len(data):
                rest = memoryview(data)[written:]
                written += os.pwrite(self._descriptor, rest, position + written)
        except OSError as error:
            raise self._failed(error) from error

    def sync(self) -> None:
        """Wait until the medium has it."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> InfrastructureError:
        return InfrastructureError(
            f"the image cannot be written: {error.strerror}",
            subject=str(self._path),
            remedy="make room on the disk or choose another place, and run the build again",
        )


class _Gathered:
    """Bytes for consecutive positions of the target, gathered into large writes."""

    def __init__(self, target: _Target, position: int) -> None:
        self._target = target
        self._position = position
        self._view = memoryview(bytearray(_BUFFER))
        self._filled = 0
        self._one_more = bytearray(1)

    def copy(self, entry: Entry, path: str | os.PathLike[str]) -> None:
        """Append a file."""
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                left = entry.size
                while left:
                    if self._filled == _BUFFER:
                        self.flush()
                    piece = self._view[self._filled : self._filled + left]
                    # A byte after the last one that is expected shows that the file is longer.
                    count = os.readv(source, [piece, self._one_more] if len(piece) == left else [piece])
                    if not 0 < count <= left:
                        found = "more bytes" if count else f"{entry.size - left} bytes"
                        raise _wrong_size(entry, path, found)
                    self._filled += count
                    left -= count
            finally:
                os.close(source)
        except OSError as error:
            raise _unreadable(entry, path, error) from error

    def zeros(self, count: int) -> None:
        """Append zeros."""
        while count:
            if self._filled == _BUFFER:
                self.flush()
            piece = min(count, _BUFFER - self._filled)
            self._view[self._filled : self._filled + piece] = bytes(piece)
            self._filled += piece
            count -= piece

    def flush(self) -> None:
        """Write what is gathered."""
        self._target.put(self._view[: self._filled], self._position)
        self._position += self._filled
        self._filled = 0


def _wrong_size(entry: Entry, path: str | os.PathLike[str], found: str) -> InfrastructureError:
    return InfrastructureError(
        f"{entry.path} must have {entry.size} bytes, its blob has {found}",
        subject=os.fspath(path),
        remedy="the blob is damaged: verify the store, and run the build again",
    )


def _unreadable(
    entry: Entry, path: str | os.PathLike[str], error: OSError
) -> InfrastructureError:
    return InfrastructureError(
        f"the content of {entry.path} cannot be read: {error.strerror}",
        subject=os.fspath(path),
        remedy="the blob is missing or damaged: verify the store, and run the build again",
    )
