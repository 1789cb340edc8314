"""Opens regular files only, safely where others may have put them there or be changing them.

A named pipe in a file's place would block whoever opens it, a device would be woken or read without
end, a symbolic link would lead elsewhere. What goes wrong is an `OSError` whose words go where the
machine's own would.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import BinaryIO

    StrPath = str | os.PathLike[str]

# Bytes that a text may have which is read as a whole: a spec, a lock, a result. Those of the
# largest builds have some 100 KiB.
LARGEST_TEXT: Final = 16 << 20

_BUFFER = 1 << 16
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


class IrregularFileError(OSError):
    """There is something, and it is no regular file; `strerror` says what it is."""


class ChangedFileError(OSError):
    """A file was written to, cut short or replaced while it was read."""

    def __init__(self, path: StrPath) -> None:
        super().__init__(errno.ESTALE, "it changed while it was read", os.fspath(path))


class LargeFileError(OSError):
    """A file has more bytes than it may."""

    def __init__(self, path: StrPath, limit: int) -> None:
        super().__init__(errno.EFBIG, f"it has more than {limit} bytes", os.fspath(path))


def kind(mode: int) -> str:
    """Return what something is, in words, by its mode; "a file" for a regular one."""
    return next((words for test, words in _KINDS if test(mode)), "a file")


def status(path: StrPath, *, follow: bool = True) -> os.stat_result:
    """Status of a regular file (stat(2)). Arguments and errors as `descriptor`."""
    found = os.stat(path, follow_symlinks=follow)  # noqa: PTH116 - three times as fast
    _require(found, path)
    return found


def descriptor(path: StrPath, *, follow: bool = True, flags: int = os.O_RDONLY) -> int:
    """Open a regular file; never waits, and wakes no device.

    `follow`: whether the path may be a symbolic link to one. `flags`: those of open(2).

    Raises:
        IrregularFileError: it is something else.
        OSError: it cannot be opened.
    """
    # Looked at before: to open a device can do something. And again after, when it is held.
    try:
        status(path, follow=follow)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags, 0o644)
    try:
        _require(os.fstat(handle), path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def opened(path: StrPath, *, follow: bool = True) -> BinaryIO:
    """A regular file, open for reading. Arguments and errors as `descriptor`."""
    return io.BufferedReader(io.FileIO(descriptor(path, follow=follow), "rb"), _BUFFER)


def read(path: StrPath, *, follow: bool = True, limit: int = LARGEST_TEXT) -> bytes:
    """The bytes of a regular file. Arguments and further errors as `descriptor`.

    Raises:
        LargeFileError: it has more than `limit` bytes.
    """
    with io.FileIO(descriptor(path, follow=follow), "rb") as stream:
        # So much is asked for as the file says that it has: what is asked for is allocated first.
        # One that says nothing, as those of /proc, or that grows meanwhile, is read on.
        size = os.fstat(stream.fileno()).st_size
        found, length = [], 0
        while length <= limit and (piece := _some(stream, size + 1 - length, limit + 1 - length)):
            found.append(piece)
            length += len(piece)
    if length > limit:
        raise LargeFileError(path, limit)
    return b"".join(found)


def require_same(before: os.stat_result, now: os.stat_result, path: StrPath) -> None:
    """Compare what is known of a file with what is found later.

    Raises:
        ChangedFileError: it is another file, or has another size or modification time.
    """
    if _identity(before) != _identity(now):
        raise ChangedFileError(path)


def _some(stream: io.FileIO, expected: int, limit: int) -> bytes | None:
    return stream.read(min(max(expected, _BUFFER), limit))


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _require(status: os.stat_result, path: StrPath) -> None:
    if not stat.S_ISREG(status.st_mode):
        words = f"it is {kind(status.st_mode)}, not a file"
        raise IrregularFileError(errno.EINVAL, words, os.fspath(path))
