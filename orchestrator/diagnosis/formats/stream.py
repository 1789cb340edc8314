"""Bytes to be compared as the file object that libraries read, and what they raise at damage."""

from __future__ import annotations

import contextlib
import io
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from orchestrator.files import decompression
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.diagnosis.source import Source

_DAMAGED: Final = (
    *decompression.DAMAGED,
    OverflowError,
    RecursionError,
    LookupError,
    # Asked for by a number in the bytes.
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)
# A few bytes must not become many in memory.
TIMES: Final = 100


@contextlib.contextmanager
def refusing(words: str, subject: str = "") -> Iterator[None]:
    """Context that turns what libraries raise at damaged bytes into an error about the file.

    Raises:
        InputError: they are damaged, or beyond a bound.
        OSError: of the machine; libraries' own have no number.
    """
    try:
        yield
    except _DAMAGED as error:
        raise InputError(
            f"{words}: {str(error) or type(error).__name__}", subject=subject
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{words}: {error}", subject=subject) from error


class _Reader(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        if start + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what io gives
        data = self._source.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def opened(source: Source) -> BinaryIO:
    """The bytes as a buffered, seekable stream."""
    return cast("BinaryIO", io.BufferedReader(_Reader(source), 1 << 16))
