"""Gathers many small files into few large writes, checking each file's size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reproducibility import regular
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reproducibility.manifest import Entry

    StrPath = str | os.PathLike[str]
    # Where the content of a file lies.
    Blob = Callable[[Entry], StrPath]

BUFFER = 1 << 20


class Gatherer:
    """Appends files and bytes to one stream and hands it on in pieces of 1 MiB.

    `put` takes a piece, which is only valid during the call. `flush` hands on what is left.
    """

    def __init__(self, put: Callable[[memoryview], object]) -> None:
        self._put = put
        self._view = memoryview(bytearray(BUFFER))
        self._filled = 0
        self._one_more = bytearray(1)

    def file(self, entry: Entry, path: StrPath) -> None:
        """Append a file's content.

        Raises:
            InfrastructureError: it cannot be read, or has another size than its entry says.
        """
        try:
            source = regular.descriptor(path)
        except OSError as error:
            raise unreadable(entry, path, error) from error
        try:
            left = entry.size
            while left:
                piece = self._piece(left)
                # Room for one byte more than is expected shows that the file is longer.
                pieces: list[memoryview | bytearray] = [piece]
                if len(piece) == left:
                    pieces.append(self._one_more)
                try:
                    count = os.readv(source, pieces)
                except OSError as error:
                    raise unreadable(entry, path, error) from error
                if not 0 < count <= left:
                    raise wrong_size(entry, path, "more" if count else str(entry.size - left))
                self._filled += count
                left -= count
        finally:
            os.close(source)

    def add(self, data: bytes) -> None:
        """Append bytes."""
        rest = memoryview(data)
        while rest:
            piece = self._piece(len(rest))
            piece[:] = rest[: len(piece)]
            self._filled += len(piece)
            rest = rest[len(piece) :]

    def zeros(self, count: int) -> None:
        """Append zeros."""
        self.add(bytes(count))

    def flush(self) -> None:
        """Hand on what is gathered."""
        if self._filled:
            self._put(self._view[: self._filled])
            self._filled = 0

    def _piece(self, most: int) -> memoryview:
        """Return where the next bytes go: at least one, at most `most`."""
        if self._filled == BUFFER:
            self.flush()
        return self._view[self._filled : self._filled + most]


def wrong_size(entry: Entry, path: StrPath, found: str) -> InfrastructureError:
    """A blob is not what its entry says. `found`: how many bytes it has."""
    return InfrastructureError(
        f"{entry.path} must have {entry.size} bytes, but its blob has {found}",
        subject=os.fspath(path),
        remedy="the blob is damaged: verify the store, and run the build again",
    )


def unreadable(entry: Entry, path: StrPath, error: OSError) -> InfrastructureError:
    """A blob cannot be read."""
    return InfrastructureError(
        f"the content of {entry.path} cannot be read: {error.strerror}",
        subject=os.fspath(path),
        remedy="the blob is missing or damaged: verify the store, and run the build again",
    )
