"""Changes on the disk that are there whole or not at all, and that outlive a loss of power.

Nothing here knows what the files are for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from containers import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator


def write(path: Path, data: bytes) -> None:
    """Put a file in place, whole and on the disk; mode 0644.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        try:
            write_all(descriptor, data)
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write bytes to an open file.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk.

    Raises:
        OSError: it is gone, or the disk could not be written.
    """
    with _opened(path) as descriptor:
        os.fsync(descriptor)


def sync_disk(folder: Path) -> None:
    """Wait until everything written to a folder's file system is on the disk."""
    with _opened(folder) as descriptor:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            os.sync()


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it, write-protected parts too, as far as can be."""
    with contextlib.suppress(OSError):
        scratch.remove(folder)


def files(folder: Path, *, strict: bool = True) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file below a folder that others may be changing: what vanishes is left out.

    `strict`: what cannot be looked at is an error, not left out.

    Raises:
        OSError: a folder cannot be listed, or a file not be looked at.
    """

    def failed(error: OSError) -> None:
        if strict and not isinstance(error, FileNotFoundError):
            raise error

    for where, _, names in os.walk(folder, onerror=failed):
        for name in names:
            path = Path(where, name)
            try:
                status = path.lstat()
            except OSError as error:
                failed(error)
            else:
                yield path, status


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
