"""Whether two files are the same: both are read once, side by side, and one of them is hashed."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from blake3 import blake3

from reproducibility import digest, regular
from reproducibility.digest import Digest
from reproducibility.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

PIECE = 1 << 20
# Below this size threads cost more than they save.
_THREADS_FROM = 4 << 20


def digests(first: Path, second: Path, stop: Event | None = None) -> tuple[Digest, Digest]:
    """BLAKE3 of two files; where they are the same, only one is hashed and the other compared.

    Raises:
        IrregularFileError: one is no regular file, or has more bytes than the size that it says.
        ChangedFileError: one changed while it was read.
        OSError: one cannot be read.
        Stopped: `stop` was set.
    """

    def go_on() -> None:
        if stop is not None and stop.is_set():
            raise Stopped("stopped")

    same = _same(first, second, go_on)
    if same is not None:
        return same, same
    one = digest.measured(first, between=go_on)[0]
    return one, digest.measured(second, between=go_on)[0]


def _same(first: Path, second: Path, go_on: Callable[[], None]) -> Digest | None:
    """The digest of both; None where they differ."""
    with ExitStack() as stack:
        handles = []
        for path in (first, second):
            handles.append(regular.descriptor(path))
            stack.callback(os.close, handles[-1])
        status = [os.fstat(handle) for handle in handles]
        for path, handle, before in zip((first, second), handles, status, strict=True):
            _require_end(path, handle, before)
        if status[0].st_size != status[1].st_size:
            return None
        threads = blake3.AUTO if status[0].st_size >= _THREADS_FROM else 1
        hasher = blake3(max_threads=threads)
        buffers = bytearray(PIECE), bytearray(PIECE)
        left = status[0].st_size
        while left > 0:
            go_on()
            one, other = map(os.readv, handles, ([buffer] for buffer in buffers))
            # A last piece leaves the same bytes of the piece before in both.
            if one != other or not one or buffers[0] != buffers[1]:
                return None
            hasher.update(memoryview(buffers[0])[:one])
            left -= one
        for path, handle, before in zip((first, second), handles, status, strict=True):
            regular.require_same(before, os.fstat(handle), path)
        return Digest("blake3", hasher.hexdigest())


def _require_end(path: Path, handle: int, before: os.stat_result) -> None:
    """Refuse a file that goes on behind its size, as those of /proc do, which say 0.

    Raises:
        IrregularFileError: it does.
        ChangedFileError: it grew meanwhile.
    """
    if os.pread(handle, 1, before.st_size):
        regular.require_same(before, os.fstat(handle), path)
        words = f"it has more bytes than the {before.st_size} that its size says"
        raise regular.IrregularFileError(errno.EINVAL, words, os.fspath(path))
