"""The output directory, put in place in one step: a reader sees the old one or the new one.

What is being made lies beside it in a hidden folder that a later run removes if its maker was
killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from containers.scratch import Scratch
from orchestrator.store import durable
from reproducibility import canonical
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULT = "result.json"
# What lies beside the image and the archive.
BESIDE = (RESULT, "SHA256SUMS", "B3SUMS")
_PREFIX = ".sourcery-new"
# linux/fcntl.h and linux/fs.h
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def refuse_foreign(out: Path) -> None:
    """Make sure that replacing `out` loses nothing that a build did not make, and is possible.

    Raises:
        InputError: it is a file, or a folder with something in it but no result of a build.
        InfrastructureError: nothing can be written there; better said before the work than after.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(
            "the output directory's place is taken by something that is no folder",
            subject=str(out),
            remedy="give another folder with --out",
        )
    if out.is_dir() and any(out.iterdir()) and not is_result(out / RESULT):
        raise InputError(
            f"the folder is not empty and holds no {RESULT} of a build",
            subject=str(out),
            remedy="give another folder with --out, or empty this one",
        )
    nearest = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InfrastructureError(
            "cannot write beside the output directory",
            subject=str(nearest),
            remedy="give another folder with --out, or mend its permissions",
        )


def is_unfinished(name: str) -> bool:
    """Whether a folder's name is that of an output directory in the making."""
    return name.startswith(_PREFIX)


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `out` when the block ends well, else vanishes.

    Raises:
        InputError: meanwhile something else has come to lie in `out`.
        InfrastructureError: the folder cannot be made or put in place.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - without following a link
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Scratch(out.parent, _PREFIX)
    except OSError as error:
        raise InfrastructureError(
            f"cannot write beside the output directory: {error.strerror}", subject=str(out.parent)
        ) from error
    try:
        inner = scratch.folder / "out"
        inner.mkdir()
        yield inner
        try:
            refuse_foreign(out)
            for path, _ in durable.files(inner):
                durable.sync(path)
            durable.sync(inner)
            _put_in_place(inner, out)
        except OSError as error:
            raise _refused(out, error) from error
    finally:
        # What cannot be removed (files of another user in the old folder) is no failure of a build.
        with contextlib.suppress(OSError):
            scratch.close()


def is_result(path: Path) -> bool:
    """Whether a file is the result that a build leaves in its output directory."""
    try:
        document = canonical.loads(path.read_bytes())
    except (OSError, InputError):
        return False
    return isinstance(document, dict) and {"schema", "verdict", "image"} <= document.keys()


def _put_in_place(fresh: Path, out: Path) -> None:
    try:
        try:
            _exchange(fresh, out)
        except FileNotFoundError:
            _first_or_exchange(fresh, out)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS}:
            raise
        # A file system without exchange: there is a moment without an output directory.
        old = fresh.with_name("old")
        out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            old.rename(out)
            raise
    durable.sync(out.parent)


def _first_or_exchange(fresh: Path, out: Path) -> None:
    # Another build may put its first result there between the look and the rename.
    try:
        fresh.rename(out)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        _exchange(fresh, out)


def _exchange(first: Path, second: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    status = libc.renameat2(
        _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE
    )
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(second))


def _refused(out: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"cannot put the output directory in place: {error.strerror}", subject=str(out)
    )
