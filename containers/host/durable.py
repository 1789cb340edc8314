"""Atomic, durable changes on the disk: whole or not at all, and safe against a loss of power.

Nothing here knows what the files are for.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# rename(2): something of another kind, or a folder with something in it, has the name already.
_TAKEN = {errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY}


def write(path: Path, data: bytes) -> None:
    """Put a file in place, whole and on the disk; mode 0644.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Put files in place, each whole and on the disk; mode 0644.

    All are written beside their places first, so what cannot be written changes none of them, and
    between the first and the last of them in place there are only renames.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    made: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            made[path] = Path(name)
            try:
                write_all(descriptor, data)
                os.fchmod(descriptor, 0o644)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for path, written in made.items():
            written.rename(path)
    except BaseException:
        for written in made.values():
            written.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in made}:
        sync(folder)


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


def move_aside(place: Path, aside: Path) -> None:
    """Move what is not what it should be into a folder, under its own name where that is free."""
    with contextlib.suppress(FileNotFoundError):
        try:
            place.rename(aside / place.name)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            place.rename(aside / f"{place.name}-{secrets.token_hex(4)}")


def make_way(place: Path, top: Path, aside: Path) -> None:
    """Make the folders of a file below `top`; what stands in their way, or in its own, goes aside.

    Raises:
        OSError: they cannot be made.
    """
    for folder in [*reversed(place.relative_to(top).parents[:-1])]:
        if os.path.lexists(top / folder) and not (top / folder).is_dir():
            move_aside(top / folder, aside)
    if place.is_dir() and not place.is_symlink():
        move_aside(place, aside)
    place.parent.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file, or a folder as far as can be; what is gone already is no error.

    Raises:
        OSError: a file cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)


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
