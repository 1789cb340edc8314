"""Writes a tree as a cpio archive compressed with Zstandard, which a kernel unpacks to memory.

The format is "newc" (Linux Documentation/driver-api/early-userspace/buffer-format.rst). Everything
in it is fixed: entries sorted by path, folders explicit and before what lies in them, owner 0,
modes 0755 and 0644, one time, inode numbers counted from 1.

The compression is fixed too: level, checksum, and the multi-threaded mode of libzstd, which cuts
the input into jobs by the level alone. So the number of threads, if there is at least one, changes
no byte (a test holds that); the single-threaded mode, which is 0, gives other bytes.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import zstandard

from orchestrator.image import folders
from orchestrator.image.cpio import newc
from orchestrator.image.gather import Gatherer
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.image.gather import Blob
    from reproducibility.manifest import Entry, Tree

LEVEL: Final = 1
# What decides the compressed bytes: libzstd promises none from one version to the next.
COMPRESSION: Final = f"libzstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}, level {LEVEL}"
# Each takes some 6 MiB.
_MOST_THREADS = 8

_LARGEST = (1 << 32) - 1


def write(tree: Tree, blob: Blob, target: Path, *, epoch: int, threads: int | None = None) -> None:
    """Write the archive to `target`, which is made or emptied; removed again where that fails.

    `epoch`: seconds since 1970-01-01 UTC. `threads`: by default one a core, 8 at most; never less
    than 1. They change no byte.

    Raises:
        InputError: the time or a file's size does not fit 32 bits; names which.
        InfrastructureError: a blob cannot be read or has not the size that its entry says, or the
            target cannot be written; names which.
    """
    members = list(_members(tree))
    _check(members, epoch)
    packer = compressor(threads)
    try:
        stream = target.open("wb")
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        with stream, packer.stream_writer(stream, size=size(tree), closefd=False) as packed:
            gatherer = Gatherer(packed.write)
            _append(gatherer, members, blob, epoch)
            gatherer.flush()
    except BaseException as error:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from error
        raise


def compressor(threads: int | None = None) -> zstandard.ZstdCompressor:
    """Return what compresses an archive; see `write`."""
    return zstandard.ZstdCompressor(
        level=LEVEL,
        threads=max(1, threads or min(_MOST_THREADS, len(os.sched_getaffinity(0)))),
        write_checksum=True,
        write_content_size=True,
    )


def size(tree: Tree) -> int:
    """Bytes of the archive before compression."""
    total = sum(newc.length(path, entry.size if entry else 0) for path, entry in _members(tree))
    return total + len(newc.end(total))


def _members(tree: Tree) -> Iterator[tuple[str, Entry | None]]:
    """Path and file, or None for a folder; sorted by path, so that a folder precedes its files."""
    found: list[tuple[str, Entry | None]] = [(path, None) for path in folders.of(tree) if path]
    found += [(entry.path, entry) for entry in tree.files()]
    return iter(sorted(found, key=_path))


def _path(member: tuple[str, Entry | None]) -> str:
    return member[0]


def _check(members: list[tuple[str, Entry | None]], epoch: int) -> None:
    if not 0 <= epoch <= _LARGEST:
        raise InputError(f"cpio cannot hold the time {epoch}", subject="epoch")
    for path, entry in members:
        if entry and entry.size > _LARGEST:
            raise InputError(f"cpio cannot hold a file of {entry.size} bytes", subject=path)


def _append(
    gatherer: Gatherer, members: list[tuple[str, Entry | None]], blob: Blob, epoch: int
) -> None:
    total = 0
    for number, (path, entry) in enumerate(members, 1):
        if entry is None:
            gatherer.add(newc.header(path, number, newc.FOLDER, epoch=epoch))
            total += newc.length(path, 0)
            continue
        mode = newc.PROGRAM if entry.executable else newc.FILE
        gatherer.add(newc.header(path, number, mode, entry.size, epoch=epoch))
        gatherer.file(entry, blob(entry))
        gatherer.zeros(-entry.size % newc.WORD)
        total += newc.length(path, entry.size)
    gatherer.add(newc.end(total))


def _unwritable(target: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"the archive cannot be written: {error.strerror}",
        subject=str(target),
        remedy="make room on the disk or choose another place, and run the build again",
    )
