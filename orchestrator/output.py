"""The output directory, put in place in one step: a reader sees the old one or the new one.

What is being made lies beside it in a hidden folder that a later run removes if its maker was
killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.store import remove_folder
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULT = "result.json"
_PREFIX = ".sourcery-new-"
# linux/fcntl.h and linux/fs.h
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def refuse_foreign(out: Path) -> None:
    """Make sure that replacing `out` loses nothing that a build did not make.

    Raises:
        InputError: it is a file, or a folder with something in it but no result of a build.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(
            "the output directory's place is taken by something that is no folder",
            subject=str(out),
            remedy="give another folder with --out",
        )
    if out.is_dir() and any(out.iterdir()) and not (out / RESULT).is_file():
        raise InputError(
            f"the folder is not empty and holds no {RESULT}: it was not made by a build",
            subject=str(out),
            remedy="give another folder with --out, or empty this one",
        )


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `out` when the block ends well, else vanishes.

    Raises:
        InfrastructureError: the folder cannot be made or put in place.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(out.parent)
        fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=_PREFIX))
    except OSError as error:
        raise InfrastructureError(
            f"cannot write beside the output directory: {error.strerror}", subject=str(out.parent)
        ) from error
    descriptor = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        inner = fresh / "out"
        inner.mkdir()
        yield inner
        _sync(inner)
        _put_in_place(inner, out)
    finally:
        os.close(descriptor)
        remove_folder(fresh)


def _put_in_place(fresh: Path, out: Path) -> None:
    if not out.exists():
        fresh.rename(out)
    else:
        libc = ctypes.CDLL(None, use_errno=True)
        status = libc.renameat2(
            _AT_FDCWD, os.fsencode(fresh), _AT_FDCWD, os.fsencode(out), _RENAME_EXCHANGE
        )
        if status != 0:
            number = ctypes.get_errno()
            if number not in {errno.EINVAL, errno.ENOSYS}:
                raise InfrastructureError(
                    f"cannot put the output directory in place: {os.strerror(number)}",
                    subject=str(out),
                )
            # A file system without exchange: there is a moment without an output directory.
            old = fresh.with_name("old")
            out.rename(old)
            fresh.rename(out)
    _sync(out.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(parent: Path) -> None:
    for left in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_folder(left)
            finally:
                os.close(descriptor)
