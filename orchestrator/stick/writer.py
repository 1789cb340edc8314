"""Puts an image on a stick: what is refused, the writing, and the reading back.

While it is written, a stick has no partition table: its beginning is overwritten with zeros first
and written last, so that one that was interrupted is not taken for a whole one.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from mmap import mmap
from typing import TYPE_CHECKING

from blake3 import blake3

from orchestrator.stick import contents
from orchestrator.stick.medium import SPOILT, UNREAD, WHOLE, looked_at
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from threading import Event

    from orchestrator.stick.contents import Contents
    from orchestrator.stick.disks import Target
    from orchestrator.stick.medium import Medium

    # Bytes done, bytes in all.
    Tell = Callable[[int, int], None]

LARGEST = 256 << 30
# A multiple of every block size and of what sticks erase at once.
PIECE = 4 << 20
# With a cache in between, progress is honest where it is emptied now and then.
_FLUSH = 64 << 20


def refuse(  # noqa: PLR0913 - what is to be written, where to, and who says that it may be
    target: Target,
    image: Path,
    size: int,
    *,
    force: bool,
    made: Iterable[Path] = (),
    largest: int = LARGEST,
) -> None:
    """Make sure that an image of `size` bytes may and can be written to a target.

    `made`: what the build made beside the image.

    Raises:
        InputError: it must not, or only with `force`, or does not fit; says which.
    """
    subject = str(target.path)
    if target.kind == "partition":
        raise InputError(
            "this is a partition, and the image is one of a whole disk",
            subject=subject,
            remedy=f"write to the disk that it lies on: {target.disk}",
        )
    if target.kind == "file":
        _refuse_file(target, image, made)
        return
    if target.system:
        raise InputError(
            "the running system, or the image itself, lies on this disk: it is never written to",
            subject="; ".join([subject, *map(str, target.uses)]),
            remedy="`lsblk` shows the disks of this machine: take the one of the stick",
        )
    if target.uses:
        raise InputError(
            "this disk is in use",
            subject="; ".join([subject, *map(str, target.uses)]),
            remedy="unmount what is mounted, switch off what is held, then write again",
        )
    if target.read_only:
        raise InputError(
            "this disk is write-protected", subject=subject, remedy="move the switch on the card"
        )
    if target.size < size:
        raise InputError(
            f"the image does not fit: it has {size:,} bytes, the disk {target.size:,}",
            subject=subject,
            remedy="take a larger stick, or build a smaller image",
        )
    if not force and not target.removable:
        raise InputError(
            "this disk is not one that is made to be taken out",
            subject=f"{subject} {target.model}".strip(),
            remedy="if it is the right one nevertheless, give --force",
        )
    if not force and target.size > largest:
        raise InputError(
            f"this disk has {target.size >> 30} GiB, which is more than sticks have",
            subject=f"{subject} {target.model}".strip(),
            remedy="if it is the right one nevertheless, give --force",
        )


def _refuse_file(target: Target, image: Path, made: Iterable[Path]) -> None:
    subject = str(target.path)
    if target.in_dev:
        raise InputError(
            "this is a file, not a device: what is written there stays in this machine's memory",
            subject=subject,
            remedy="remove it and plug the stick in",
        )
    if target.path.samefile(image):
        raise InputError("this is the image itself", subject=subject)
    if any(path.exists() and target.path.samefile(path) for path in made):
        raise InputError(
            "this is a file of the build that is to be written",
            subject=subject,
            remedy="name the stick, or another file",
        )


def lost(target: Target) -> Contents:
    """What is on the target now.

    Raises:
        InfrastructureError: it cannot be read, or is not what it was any more.
    """
    with looked_at(target) as descriptor:
        return contents.examine(
            lambda at, size: os.pread(descriptor, size, at), target.size, target.block
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the image's BLAKE3, and that of each piece of it."""

    digest: Digest
    pieces: tuple[bytes, ...]
    size: int


def write(image: Path, medium: Medium, tell: Tell, stop: Event) -> Written:
    """Write the image, and have it on the medium when this returns.

    `medium.state` says at any moment, and so after any exception, what is true of it.

    Raises:
        InfrastructureError: the image cannot be read or the medium written.
        Stopped: `stop` was set.
    """
    with image.open("rb", buffering=0) as source:
        # Never closed by hand: a failure's traceback may still hold a view of it.
        buffer = mmap(-1, PIECE)
        total = os.fstat(source.fileno()).st_size
        try:
            return _write(_Copy(source.fileno(), medium, buffer, total), tell, stop)
        except OSError as error:
            raise medium.failed(error, "cannot be written") from error


@dataclass(frozen=True)
class _Copy:
    source: int
    sink: Medium
    buffer: mmap
    total: int

    def piece(self, at: int) -> memoryview:
        """Read a piece of the image; it is in the buffer until the next one is read."""
        wanted = min(PIECE, self.total - at)
        view = memoryview(self.buffer)[:wanted]
        done = 0
        while done < wanted:
            count = os.preadv(self.source, [view[done:]], at + done)
            if count == 0:
                raise OSError(errno.EIO, "the image became shorter while it was read")
            done += count
        return view

    def put(self, view: memoryview, at: int) -> None:
        """Write bytes of the buffer to a place."""
        self.sink.state = SPOILT
        done = 0
        while done < len(view):
            try:
                done += os.pwritev(self.sink.descriptor, [view[done:]], at + done)
            except OSError as error:
                # The end need not be a multiple of the disk's blocks.
                if error.errno != errno.EINVAL or not self.sink.direct:
                    raise
                self.sink.indirect()


def _write(copy: _Copy, tell: Tell, stop: Event) -> Written:
    sink = copy.sink.descriptor
    hasher = blake3(max_threads=blake3.AUTO)
    pieces: list[bytes] = []
    flushed = 0
    for at in range(0, copy.total, PIECE):
        if stop.is_set():
            raise Stopped("stopped")
        view = copy.piece(at)
        hasher.update(view)
        pieces.append(blake3(view).digest())
        if at == 0:
            copy.buffer[: len(view)] = bytes(len(view))
        copy.put(view, at)
        view.release()
        if at - flushed >= _FLUSH and not copy.sink.direct:
            os.fdatasync(sink)
            flushed = at
        tell(min(at + PIECE, copy.total), copy.total)
    os.fsync(sink)
    with copy.piece(0) as view:
        if blake3(view).digest() != pieces[0]:
            raise OSError(errno.EIO, "the image changed while it was read")
        copy.put(view, 0)
    os.fsync(sink)
    copy.sink.state = UNREAD
    return Written(Digest("blake3", hasher.hexdigest()), tuple(pieces), copy.total)


def check(written: Written, medium: Medium, tell: Tell, stop: Event) -> bool:
    """Read the medium back and compare; whether all of it went past the kernel's cache.

    Raises:
        ComparisonError: it gives back other bytes than were written; says where the first are.
        InfrastructureError: it cannot be read.
        Stopped: `stop` was set.
    """
    hasher = blake3(max_threads=blake3.AUTO)
    wrong = []
    try:
        medium.forget()
        for number, (at, view) in enumerate(_pieces(medium, written.size)):
            if stop.is_set():
                raise Stopped("stopped")
            hasher.update(view)
            if blake3(view).digest() != written.pieces[number]:
                wrong.append(at)
            tell(at + len(view), written.size)
        past_cache = medium.direct
    except OSError as error:
        raise medium.failed(error, "cannot be read back") from error
    if wrong or hasher.hexdigest() != written.digest.hex:
        where = f"{len(wrong)} of {len(written.pieces)} pieces of {PIECE >> 20} MiB differ"
        raise ComparisonError(
            f"the stick gives back other bytes than were written: {where}"
            + (f", the first one at byte {wrong[0]:,}" if wrong else ""),
            subject=str(medium.target.path),
            remedy="do not use it: write it again, and take another stick if it differs again",
        )
    medium.state = WHOLE
    return past_cache


def _pieces(source: Medium, size: int) -> Iterator[tuple[int, memoryview]]:
    """Place and bytes of each piece; the bytes are there until the next one is asked for."""
    buffer = mmap(-1, PIECE)
    for at in range(0, size, PIECE):
        wanted = min(PIECE, size - at)
        whole = memoryview(buffer)
        done = 0
        while done < wanted:
            # To the end of a block: what the image does not fill is read too.
            count = _read(source, whole[done:], at + done)
            if count == 0:
                raise OSError(errno.EIO, "it ends too early")
            done += count
        yield at, whole[:wanted]


def _read(source: Medium, view: memoryview, at: int) -> int:
    try:
        return os.preadv(source.descriptor, [view], at)
    except OSError as error:
        if error.errno != errno.EINVAL or not source.direct:
            raise
    source.indirect()
    return os.preadv(source.descriptor, [view], at)
