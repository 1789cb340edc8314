"""Computes BLAKE3 and SHA-256 of a large file at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproducibility import digest

if TYPE_CHECKING:
    from pathlib import Path

    from reproducibility.digest import Digest


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`size`: bytes."""

    size: int
    blake3: Digest
    sha256: Digest


def of_file(path: Path) -> Fingerprint:
    """Return both digests, each computed in a thread of its own.

    SHA-256 has one thread and takes the longer, so BLAKE3 costs no time on two cores.

    Raises:
        OSError: the file cannot be read.
    """
    with ThreadPoolExecutor(1) as other:
        sha256 = other.submit(digest.sha256_of_file, path)
        blake3, size = digest.measured(path)
        return Fingerprint(size, blake3, sha256.result())
