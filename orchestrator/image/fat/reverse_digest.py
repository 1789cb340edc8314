"""BLAKE3 of an image that is generated in reverse order and never stored: a second implementation.

A defect in the way the image is written shows as another digest. So nothing of that way is used
here but the layout: no file is written, files are not gathered, and none takes its place from the
one before it. BLAKE3 needs the bytes in order; so the image is gone through window by window, and
each window is filled from its end: the last file first, each one by itself and where its own
cluster says, the tables at last. What nobody writes is zero.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from orchestrator.image.gather import unreadable, wrong_size
from reproducibility import regular
from reproducibility.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.image.fat.disk import Disk
    from orchestrator.image.gather import Blob, StrPath
    from reproducibility.manifest import Entry

# Bytes of the image in memory at once.
WINDOW: Final = 4 << 20

# A byte of the image, and what starts there.
_Part = tuple[int, "Entry | bytes"]


def digest(disk: Disk, blob: Blob) -> Digest:
    """BLAKE3 of the image. `blob`: where the content of a file lies.

    Raises:
        InfrastructureError: a blob cannot be read or has not the size that its entry says; names
            which.
    """
    windows = _by_window(disk)
    hasher = blake3(max_threads=blake3.AUTO)
    zeros = bytes(WINDOW)
    buffer = memoryview(bytearray(WINDOW))
    for start in range(0, disk.size, WINDOW):
        length = min(WINDOW, disk.size - start)
        parts = windows.get(start)
        if parts is None:
            hasher.update(memoryview(zeros)[:length])
            continue
        buffer[:] = zeros
        for at, content in parts:
            _fill(buffer, at - start, content, blob)
        hasher.update(buffer[:length])
    return Digest("blake3", hasher.hexdigest())


def _by_window(disk: Disk) -> dict[int, list[_Part]]:
    """The parts that reach into each window, by its first byte, in the order of work."""
    geometry = disk.layout.geometry
    placed: Iterable[_Part] = (
        (disk.offset + geometry.offset(placed.cluster), placed.entry)
        for placed in reversed(disk.layout.files)
        if placed.cluster
    )
    windows: dict[int, list[_Part]] = defaultdict(list)
    for at, content in (*placed, *reversed(disk.metadata())):
        size = len(content) if isinstance(content, bytes) else content.size
        for start in range(at - at % WINDOW, at + size, WINDOW):
            windows[start].append((at, content))
    return windows


def _fill(buffer: memoryview, at: int, content: Entry | bytes, blob: Blob) -> None:
    """Put there what reaches into the window. `at`: where that starts; negative before it."""
    size = len(content) if isinstance(content, bytes) else content.size
    first, end = max(at, 0), min(at + size, len(buffer))
    if isinstance(content, bytes):
        buffer[first:end] = memoryview(content)[first - at : end - at]
    else:
        _read(content, blob(content), buffer[first:end], first - at)


def _read(entry: Entry, path: StrPath, piece: memoryview, at: int) -> None:
    """Fill `piece` with a file's bytes from `at` on."""
    try:
        source = regular.descriptor(path)
        try:
            if (found := os.fstat(source).st_size) != entry.size:
                raise wrong_size(entry, path, str(found))
            if os.preadv(source, [piece], at) != len(piece):
                raise wrong_size(entry, path, "fewer than a moment ago")
        finally:
            os.close(source)
    except OSError as error:
        raise unreadable(entry, path, error) from error
