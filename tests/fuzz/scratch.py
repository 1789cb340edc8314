"""Where a target puts what its parser reads from, or unpacks: one folder for the process."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from blake3 import blake3

from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNT = itertools.count()
# Bytes of what is kept of a stream.
_SMALL = 4 << 20


@functools.cache
def folder() -> Path:
    """The process's folder, removed at its end."""
    made = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def file(name: str, data: bytes) -> Path:
    """A file with this content; the next call with the same name replaces it."""
    place = folder() / name
    place.write_bytes(data)
    return place


@contextmanager
def fresh() -> Iterator[Path]:
    """A folder that is removed at the end."""
    made = folder() / f"fresh-{next(_COUNT)}"
    made.mkdir()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def store() -> Iterator[Store]:
    """An empty store that is removed at the end."""
    with fresh() as place:
        opened = Store(place / "store")
        try:
            yield opened
        finally:
            opened.close()


class Sink:
    """A store that keeps the digests of what it gets, and as bytes only what is small.

    It bounds streams as the real one does; what it is fuzzed for is the reader before it.
    """

    def __init__(self) -> None:
        self._small: dict[str, bytes] = {}
        self._blob = folder() / "blob"

    def put_bytes(self, data: bytes) -> Digest:
        found = digests.of_bytes(data)
        self._small[found.hex] = data
        return found

    def put_stream(self, stream: BinaryIO, *, limit: int) -> tuple[Digest, int]:
        hasher, size, kept = blake3(), 0, b""
        for chunk in digests.chunks(stream):
            size += len(chunk)
            if size > limit:
                raise InfrastructureError(f"more than the allowed {limit} bytes came")
            hasher.update(chunk)
            kept = kept + chunk if size <= _SMALL else b""
        found = Digest("blake3", hasher.hexdigest())
        if size <= _SMALL:
            self._small[found.hex] = kept
        return found, size

    def has(self, digest: Digest) -> bool:
        return digest.hex in self._small

    def blob(self, digest: Digest) -> Path:
        self._blob.write_bytes(self._small[digest.hex])
        return self._blob

    def read(self, digest: Digest) -> bytes:
        return self._small[digest.hex]

    def save_tree(self, tree: Tree) -> Digest:
        return self.put_bytes(tree.serialize())

    def load_tree(self, digest: Digest) -> Tree:
        return Tree.parse(self._small[digest.hex])

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        with fresh() as place:
            yield place


def drop(name: str) -> None:
    """Remove a file that `file` made."""
    with suppress(FileNotFoundError):
        (folder() / name).unlink()
