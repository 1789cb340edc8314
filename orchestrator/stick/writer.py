"""Writes an image to a stick: what is refused, the writing, and the reading back.

While it is written, a stick has no partition table: its beginning, and what would be found of the
old one behind the image (`remains.py`), is overwritten with zeros first, and its beginning written
last. So one that was interrupted is not taken for a whole one, nor for what it was.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from mmap import mmap
from typing import TYPE_CHECKING

from blake3 import blake3

from orchestrator.stick import contents, signatures
from orchestrator.stick.medium import SPOILT, UNREAD, WHOLE, looked_at
from reproducibility import regular
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from threading import Event

    from orchestrator.stick.contents import Contents
    from orchestrator.stick.disks import Target
    from orchestrator.stick.medium import Medium
    from orchestrator.stick.signatures import Signature

    # Bytes done, bytes in all.
    Tell = Callable[[int, int], None]

LARGEST = 256 << 30
# A multiple of every block size and of what sticks erase at once.
PIECE = 4 << 20
# A multiple of every logical block.
_ALIGNED = 4096
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
    """Return what is on the target now.

    Raises:
        InfrastructureError: it cannot be read, or is not what it was any more.
    """
    with looked_at(target) as descriptor:
        return contents.examine(
            lambda at, size: os.pread(descriptor, size, at), target.size, target.block
        )


@dataclass(frozen=True, slots=True)
class Written:
    """Digests of what was written: the image's, each piece's (BLAKE3), and the zeros behind it."""

    digest: Digest
    pieces: tuple[bytes, ...]
    size: int
    zeros: tuple[range, ...] = ()

    @property
    def total(self) -> int:
        """Bytes that were written."""
        return self.size + sum(map(len, self.zeros))


def write(  # noqa: PLR0913 - what, where to, and who is told, the rest by keyword
    image: Path,
    medium: Medium,
    tell: Tell,
    stop: Event,
    *,
    expected: Digest,
    zeros: tuple[range, ...] = (),
) -> Written:
    """Write the image, and have it on the medium when this returns.

    `expected`: BLAKE3 of the image; one with other bytes never gets its beginning, so the medium
    is not taken for a whole one. `zeros`: bytes behind the image that are overwritten
    (`remains.places`). `medium.state` says at any moment, and so after any exception, what is true
    of it.

    Raises:
        ComparisonError: the image is not the expected one any more.
        InfrastructureError: the image cannot be read or the medium written.
        Stopped: `stop` was set.
    """
    with regular.opened(image) as source:
        # Never closed by hand: a failure's traceback may still hold a view of it.
        buffer = mmap(-1, PIECE)
        total = os.fstat(source.fileno()).st_size
        try:
            copy = _Copy(source.fileno(), medium, buffer, total, zeros)
            return _write(copy, tell, stop, expected)
        except OSError as error:
            raise medium.failed(error, "cannot be written") from error


@dataclass(frozen=True)
class _Copy:
    source: int
    sink: Medium
    buffer: mmap
    total: int
    zeros: tuple[range, ...]

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


def _write(copy: _Copy, tell: Tell, stop: Event, expected: Digest) -> Written:
    sink = copy.sink.descriptor
    hasher = blake3(max_threads=blake3.AUTO)
    pieces: list[bytes] = []
    flushed = 0
    blanked = 0
    total = copy.total + sum(map(len, copy.zeros))
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
        if at == 0:
            for blanked in _blank(copy, stop):
                tell(blanked, total)
        if at - flushed >= _FLUSH and not copy.sink.direct:
            os.fdatasync(sink)
            flushed = at
        tell(blanked + min(at + PIECE, copy.total), total)
    os.fsync(sink)
    written = Digest("blake3", hasher.hexdigest())
    if written != expected:
        raise ComparisonError(
            f"the image is not what it was any more: blake3 {written.hex}, not {expected.hex}",
            subject=str(copy.sink.target.path),
            remedy="find out what else writes to the image, and build it again if it stays so. "
            + copy.sink.state,
        )
    with copy.piece(0) as view:
        if blake3(view).digest() != pieces[0]:
            raise OSError(errno.EIO, "the image changed while it was read")
        copy.put(view, 0)
    os.fsync(sink)
    copy.sink.state = UNREAD
    return Written(written, tuple(pieces), copy.total, copy.zeros)


def _blank(copy: _Copy, stop: Event) -> Iterator[int]:
    """Overwrite what is behind the image, and have that on the medium; the bytes done so far."""
    direct = copy.sink.direct
    done = 0
    copy.buffer[:] = bytes(PIECE)
    for place in copy.zeros:
        for at in range(place.start, place.stop, PIECE):
            if stop.is_set():
                raise Stopped("stopped")
            with memoryview(copy.buffer)[: min(PIECE, place.stop - at)] as view:
                copy.put(view, at)
                done += len(view)
            yield done
    if copy.zeros:
        os.fsync(copy.sink.descriptor)
    if direct and not copy.sink.direct:
        # Only for an end that is no whole block; the image need not go through the cache.
        copy.sink.forget()


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
        for number, (at, view) in enumerate(_pieces(medium, range(written.size))):
            if stop.is_set():
                raise Stopped("stopped")
            hasher.update(view)
            if blake3(view).digest() != written.pieces[number]:
                wrong.append(at)
            tell(at + len(view), written.total)
        kept = _not_zero(written, medium, tell, stop)
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
    if kept:
        raise ComparisonError(
            f"the stick still holds something of what it held before, at byte {kept[0]:,}, "
            "where zeros were written",
            subject=str(medium.target.path),
            remedy="do not use it: write it again, and take another stick if that does not help",
        )
    medium.state = WHOLE
    return past_cache


def _not_zero(written: Written, medium: Medium, tell: Tell, stop: Event) -> list[int]:
    """Places behind the image that are not as they were written."""
    kept = []
    done = written.size
    for place in written.zeros:
        for at, view in _pieces(medium, place):
            if stop.is_set():
                raise Stopped("stopped")
            if view != bytes(len(view)):
                kept.append(at)
            done += len(view)
            tell(done, written.total)
    return kept


def remaining(image: Path, medium: Medium) -> tuple[Signature, ...] | None:
    """Return what `wipefs` finds on the medium and not in the image; None if it failed."""
    on_stick, in_image = (signatures.look(path) for path in (medium.target.path, image))
    if on_stick.not_looked or in_image.not_looked:
        return None
    there = {(one.offset, one.kind) for one in in_image.found}
    return tuple(one for one in on_stick.found if (one.offset, one.kind) not in there)


def _pieces(source: Medium, place: range) -> Iterator[tuple[int, memoryview]]:
    """Place and bytes of each piece; the bytes are there until the next one is asked for."""
    buffer = mmap(-1, PIECE + _ALIGNED)
    for at in range(place.start, place.stop, PIECE):
        # From the beginning of a block to the end of one: reading past the cache wants that.
        before = at % _ALIGNED
        wanted = before + min(PIECE, place.stop - at)
        whole = memoryview(buffer)[: wanted + -wanted % _ALIGNED]
        done = 0
        while done < wanted:
            count = _read(source, whole[done:], at - before + done)
            if count == 0:
                raise OSError(errno.EIO, "it ends too early")
            done += count
        yield at, whole[before:wanted]


def _read(source: Medium, view: memoryview, at: int) -> int:
    try:
        return os.preadv(source.descriptor, [view], at)
    except OSError as error:
        if error.errno != errno.EINVAL or not source.direct:
            raise
    source.indirect()
    return os.preadv(source.descriptor, [view], at)
