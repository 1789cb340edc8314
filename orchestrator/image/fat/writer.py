"""Writes a disk image, with bounded memory.

The files are gathered in the order of their clusters and written in large pieces, in a few
stretches of the image at the same time. `reverse_digest` makes the same image another way.

The range in use is allocated beforehand, so that a full disk is noticed before the work; free
space stays a hole. Measured on ext4: with the range allocated, one buffer and plain reads and
writes take half the time of the same without, and of sendfile and copy_file_range.
"""

from __future__ import annotations

import contextlib
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.image.gather import Gatherer
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.image.fat.disk import Disk
    from orchestrator.image.fat.layout import Placed
    from orchestrator.image.gather import Blob

# Reads and writes are system calls: threads share them out over the CPUs.
_MOST_STRETCHES = 4
# Opening a file takes as long as copying so many bytes of it.
_OVERHEAD = 20_000
_NOT_SUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def write(disk: Disk, blob: Blob, target: Path, *, durable: bool = False) -> None:
    """Write the image to `target`, which is made or emptied; removed again where that fails.

    `blob`: where the content of a file lies. `durable`: wait until the medium has it.

    Raises:
        InfrastructureError: a blob cannot be read or has not the size that its entry says, or the
            target cannot be written; names which.
    """
    with contextlib.closing(_Target(target)) as image:
        try:
            image.allocate(disk.size, disk.offset + disk.layout.end)
            _fill(disk, blob, image)
            if durable:
                image.sync()
        except BaseException:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
            raise


def _fill(disk: Disk, blob: Blob, image: _Target) -> None:
    for position, data in disk.metadata():
        image.put(data, position)
    stretches = _stretches(disk.layout.files, min(_MOST_STRETCHES, len(os.sched_getaffinity(0))))
    with ThreadPoolExecutor(len(stretches) or 1) as pool:
        for done in [pool.submit(_gather, disk, blob, image, files) for files in stretches]:
            done.result()


def _gather(disk: Disk, blob: Blob, image: _Target, files: Sequence[Placed]) -> None:
    """Write files that lie one after the other."""
    geometry = disk.layout.geometry
    position = disk.offset + geometry.offset(files[0].cluster)

    def put(piece: memoryview) -> None:
        nonlocal position
        image.put(piece, position)
        position += len(piece)

    gatherer = Gatherer(put)
    for placed in files:
        gatherer.file(placed.entry, blob(placed.entry))
        gatherer.zeros(-placed.entry.size % geometry.cluster)
    gatherer.flush()


def _stretches(files: Sequence[Placed], count: int) -> list[list[Placed]]:
    """The files that have clusters, in at most `count` stretches that take about the same time."""
    filled = [placed for placed in files if placed.cluster]
    share = sum(placed.entry.size + _OVERHEAD for placed in filled) // count + 1
    found: list[list[Placed]] = []
    done = 0
    for placed in filled:
        if done >= share * len(found):
            found.append([])
        found[-1].append(placed)
        done += placed.entry.size + _OVERHEAD
    return found


class _Target:
    """The image file while it is written, by several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
