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

from orchestrator.image.gather import BUFFER, Gatherer, unreadable, wrong_size
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.image.disk import Disk
    from orchestrator.image.gather import Blob, StrPath
    from reproducibility.manifest import Entry

Order = Literal["forward", "backward"]

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
    with contextlib.closing(_Target(target)) as image:
        try:
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
    end = 0
    for position, data in disk.metadata():
        image.put(data, position)
        end = position + len(data)
    # The last of the tables are the folders: where they end, the first file starts.
    image.position = end
    gatherer = Gatherer(image.append)
    cluster = disk.layout.geometry.cluster
    for placed in disk.layout.files:
        if placed.cluster:
            gatherer.file(placed.entry, blob(placed.entry))
            gatherer.zeros(-placed.entry.size % cluster)
    gatherer.flush()


def _backward(disk: Disk, blob: Blob, image: _Target) -> None:
    buffer = memoryview(bytearray(BUFFER))
    for placed in reversed(disk.layout.files):
        if placed.cluster:
            start = disk.offset + disk.layout.geometry.offset(placed.cluster)
            _copy_backward(placed.entry, blob(placed.entry), image, start, buffer)
    for position, data in reversed(disk.metadata()):
        image.put(data, position)


def _copy_backward(
    entry: Entry, path: StrPath, image: _Target, start: int, buffer: memoryview
) -> None:
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if (found := os.fstat(source).st_size) != entry.size:
                raise wrong_size(entry, path, str(found))
            for at in range((entry.size - 1) // BUFFER * BUFFER, -1, -BUFFER):
                piece = buffer[: min(BUFFER, entry.size - at)]
                if os.preadv(source, [piece], at) != len(piece):
                    raise wrong_size(entry, path, "fewer than a moment ago")
                image.put(piece, start + at)
        finally:
            os.close(source)
    except OSError as error:
        raise unreadable(entry, path, error) from error


class _Target:
    """The image file while it is written. `position`: where `append` writes next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file."""
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

    def append(self, data: memoryview) -> None:
        """Write all of `data` after what was appended before."""
        self.put(data, self.position)
        self.position += len(data)

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
