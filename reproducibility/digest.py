"""Digests: BLAKE3 for everything the project decides, SHA-256 only where a format demands it.

A digest is a frozen value that carries its algorithm, so that two kinds are never compared by
accident. One streaming function makes each; no file is held in memory whole.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from mmap import PROT_READ, mmap
from typing import TYPE_CHECKING, BinaryIO, Literal

from blake3 import blake3
from cryptography.hazmat.primitives import hashes

from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Algorithm = Literal["blake3", "sha256"]

_CHUNK = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")
# Below this size the threads and the mapping cost more than they save.
_MAP_FROM = 4 << 20
# A file is mapped piece by piece: what is mapped counts as this process's memory.
_WINDOW = 4 << 20


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


def of_file(path: Path) -> Digest:
    """BLAKE3 of a file, memory-mapped in pieces and on all cores where it is large.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < _MAP_FROM:
            return Digest("blake3", blake3(stream.read()).hexdigest())
        hasher = blake3(max_threads=blake3.AUTO)
        for start in range(0, size, _WINDOW):
            length = min(_WINDOW, size - start)
            with mmap(stream.fileno(), length, prot=PROT_READ, offset=start) as window:
                hasher.update(window)
        return Digest("blake3", hasher.hexdigest())


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


def sha256_of_file(path: Path) -> Digest:
    """SHA-256 of a file, streamed; for formats that demand it.

    Raises:
        OSError: the file cannot be read.
    """
    hasher = hashes.Hash(hashes.SHA256())
    with path.open("rb") as stream:
        for chunk in chunks(stream):
            hasher.update(chunk)
    return Digest("sha256", hasher.finalize().hex())


def chunks(stream: BinaryIO, size: int = _CHUNK) -> Iterator[bytes]:
    """The rest of a stream in pieces of at most `size` bytes."""
    while chunk := stream.read(size):
        yield chunk
