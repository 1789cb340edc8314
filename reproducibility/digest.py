"""Digests: BLAKE3 for everything the project decides, SHA-256 only where a format demands it.

A digest is a frozen value that carries its algorithm, so that two kinds are never compared by
accident. One streaming function makes each; no file is held in memory whole.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from blake3 import blake3
from cryptography.hazmat.primitives import hashes

from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Algorithm = Literal["blake3", "sha256"]

_CHUNK = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")
# Below this size threads cost more than they save.
_THREADS_FROM = 4 << 20


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`algorithm` and 64 lower-case hexadecimal digits (32 bytes)."""

    algorithm: Algorithm
    hex: str

    def __post_init__(self) -> None:
        if self.algorithm not in {"blake3", "sha256"} or not _HEX.fullmatch(self.hex):
            raise InputError(
                f"not a digest: {self.algorithm}:{self.hex}",
                remedy="expected blake3: or sha256: and 64 lower-case hexadecimal digits",
            )

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the form `blake3:<hex>`.

        Raises:
            InputError: another form.
        """
        algorithm, _, digits = text.partition(":")
        if algorithm == "blake3":
            return cls("blake3", digits)
        if algorithm == "sha256":
            return cls("sha256", digits)
        raise InputError(
            f"not a digest: {text!r}",
            remedy="expected blake3: or sha256: and 64 lower-case hexadecimal digits",
        )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def of_bytes(data: bytes) -> Digest:
    """BLAKE3 of bytes in memory."""
    return Digest("blake3", blake3(data).hexdigest())


def of_file(path: Path, *, follow: bool = True, expected: os.stat_result | None = None) -> Digest:
    """BLAKE3 of a regular file. Arguments and errors as `measured`."""
    return measured(path, follow=follow, expected=expected)[0]


def measured(
    path: Path,
    *,
    follow: bool = True,
    expected: os.stat_result | None = None,
    between: Callable[[], object] | None = None,
) -> tuple[Digest, int]:
    """BLAKE3 of a regular file, on all cores where it is large, and its size in bytes.

    It is read, not mapped: a mapped file that somebody cuts short ends the process (SIGBUS).

    `follow`: whether the path may be a symbolic link. `expected`: what was found there earlier.
    `between`: called before each piece; what it raises ends the work.

    Raises:
        IrregularFileError: it is something else.
        ChangedFileError: it changed while it was read, or since `expected`.
        OSError: the file cannot be read.
    """
    with _opened(path, follow=follow, expected=expected) as (stream, status):
        threads = blake3.AUTO if status.st_size >= _THREADS_FROM else 1
        hasher = blake3(max_threads=threads)
        _feed(stream, status, hasher.update, path, between)
        return Digest("blake3", hasher.hexdigest()), status.st_size


def of_stream(stream: BinaryIO) -> Digest:
    """BLAKE3 of what is left in a stream."""
    hasher = blake3()
    for chunk in chunks(stream):
        hasher.update(chunk)
    return Digest("blake3", hasher.hexdigest())


def sha256_of_bytes(data: bytes) -> Digest:
    """SHA-256 of bytes in memory; for formats that demand it."""
    hasher = hashes.Hash(hashes.SHA256())
    hasher.update(data)
    return Digest("sha256", hasher.finalize().hex())


def sha1_of_bytes(data: bytes) -> str:
    """SHA-1 of bytes in memory in 40 hexadecimal digits; as `sha1_of_file`."""
    hasher = hashes.Hash(hashes.SHA1())  # noqa: S303 - as there
    hasher.update(data)
    return hasher.finalize().hex()


def sha256_of_file(path: Path, *, follow: bool = True) -> Digest:
    """SHA-256 of a regular file, streamed; for formats that demand it. Errors as `measured`."""
    return Digest("sha256", _hashed(path, hashes.SHA256(), follow=follow))


def sha1_of_file(path: Path, *, follow: bool = True) -> str:
    """SHA-1 of a regular file in 40 hexadecimal digits, streamed. Errors as `measured`.

    For SPDX 2.3 alone, which wants it of each file (section 8.4): nothing here relies on it, so it
    is a text and no `Digest`.
    """
    return _hashed(path, hashes.SHA1(), follow=follow)  # noqa: S303 - see above


@contextlib.contextmanager
def _opened(
    path: Path, *, follow: bool, expected: os.stat_result | None
) -> Iterator[tuple[int, os.stat_result]]:
    handle = regular.descriptor(path, follow=follow)
    try:
        status = os.fstat(handle)
        if expected is not None:
            regular.require_same(expected, status, path)
        yield handle, status
    finally:
        os.close(handle)


def _hashed(path: Path, algorithm: hashes.HashAlgorithm, *, follow: bool) -> str:
    # Without a context manager of Python's, which is a fifth of the time for a small file.
    handle = regular.descriptor(path, follow=follow)
    try:
        hasher = hashes.Hash(algorithm)
        _feed(handle, os.fstat(handle), hasher.update, path, None)
    finally:
        os.close(handle)
    return hasher.finalize().hex()


def _feed(
    handle: int,
    status: os.stat_result,
    update: Callable[[memoryview], object],
    path: Path,
    between: Callable[[], object] | None,
) -> None:
    """Hand on a file's bytes, piece by piece in one buffer."""
    left = status.st_size
    buffer = memoryview(bytearray(min(_CHUNK, left + 1)))
    try:
        while left >= 0 and (count := os.readv(handle, [buffer])):
            if between is not None:
                between()
            update(buffer[:count])
            left -= count
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise
    if left:
        raise regular.ChangedFileError(path)
    regular.require_same(status, os.fstat(handle), path)


def chunks(stream: BinaryIO, size: int = _CHUNK) -> Iterator[bytes]:
    """The rest of a stream in pieces of at most `size` bytes."""
    while chunk := stream.read(size):
        yield chunk
