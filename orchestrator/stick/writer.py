"""Puts an image on a stick: what is refused, the writing, and the reading back.

While it is written, a stick has no partition table: its beginning is overwritten with zeros first
and written last, so that one that was interrupted is not taken for a whole one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from mmap import mmap
from typing import TYPE_CHECKING

from blake3 import blake3

from orchestrator.stick import contents
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from threading import Event

    from orchestrator.stick.contents import Contents
    from orchestrator.stick.disks import Target

    # Bytes done, bytes in all.
    Tell = Callable[[int, int], None]

LARGEST = 256 << 30
# A multiple of every block size and of what sticks erase at once.
PIECE = 4 << 20
# With a cache in between, progress is honest where it is emptied now and then.
_FLUSH = 64 << 20
# linux/fs.h
_BLKRRPART, _BLKFLSBUF = 0x125F, 0x1261


def refuse(target: Target, image: Path, size: int, *, force: bool, largest: int = LARGEST) -> None:
    """Make sure that an image of `size` bytes may and can be written to a target.

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
        if target.path.samefile(image):
            raise InputError("this is the image itself", subject=subject)
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


def lost(target: Target) -> Contents:
    """What is on the target now.

    Raises:
        InfrastructureError: it cannot be read.
    """
    try:
        with target.path.open("rb", buffering=0) as stream:
            descriptor = stream.fileno()
            return contents.examine(
                lambda at, size: os.pread(descriptor, size, at), target.size, target.block
            )
    except OSError as error:
        raise _failed(target, error, "cannot be read", unusable=False) from error


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the image's BLAKE3, and that of each piece of it."""

    digest: Digest
    pieces: tuple[bytes, ...]
    size: int


def write(image: Path, target: Target, tell: Tell, stop: Event) -> Written:
    """Write the image, and have it on the medium when this returns.

    Raises:
        InfrastructureError: the target cannot be opened or written; says whether it is spoilt.
        Stopped: `stop` was set; the target is spoilt.
    """
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(image.open("rb", buffering=0))
        try:
            sink = _open(target, os.O_RDWR)
        except OSError as error:
            raise _failed(target, error, "cannot be opened", unusable=False) from error
        stack.callback(os.close, sink)
        # Never closed by hand: a failure's traceback may still hold a view of it.
        buffer = mmap(-1, PIECE)
        total = os.fstat(source.fileno()).st_size
        try:
            return _write(_Copy(source.fileno(), sink, buffer, total), target, tell, stop)
        except OSError as error:
            raise _failed(target, error, "cannot be written", unusable=True) from error


@dataclass(frozen=True)
class _Copy:
    source: int
    sink: int
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
        done = 0
        while done < len(view):
            try:
                done += os.pwritev(self.sink, [view[done:]], at + done)
            except OSError as error:
                # The end need not be a multiple of the disk's blocks.
                if error.errno != errno.EINVAL or not _direct(self.sink):
                    raise
                _indirect(self.sink)


def _write(copy: _Copy, target: Target, tell: Tell, stop: Event) -> Written:
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
        if at - flushed >= _FLUSH and not _direct(copy.sink):
            os.fdatasync(copy.sink)
            flushed = at
        tell(min(at + PIECE, copy.total), copy.total)
    os.fsync(copy.sink)
    with copy.piece(0) as view:
        if blake3(view).digest() != pieces[0]:
            raise OSError(errno.EIO, "the image changed while it was read")
        copy.put(view, 0)
    os.fsync(copy.sink)
    _forget(copy.sink, target)
    if target.kind == "disk":
        # Have the kernel read the new partition table; who has udev may get the stick mounted.
        with contextlib.suppress(OSError):
            fcntl.ioctl(copy.sink, _BLKRRPART)
    return Written(Digest("blake3", hasher.hexdigest()), tuple(pieces), copy.total)


def check(written: Written, target: Target, tell: Tell, stop: Event) -> bool:
    """Read the target back and compare; whether that went past the kernel's cache.

    Raises:
        ComparisonError: it gives back other bytes than were written; says where the first are.
        InfrastructureError: it cannot be read.
        Stopped: `stop` was set.
    """
    try:
        source = _open(target, os.O_RDONLY, exclusive=False)
    except OSError as error:
        raise _failed(target, error, "cannot be read back", unusable=False) from error
    try:
        _forget(source, target)
        past_cache = _direct(source)
        hasher = blake3(max_threads=blake3.AUTO)
        wrong = []
        for number, (at, view) in enumerate(_pieces(source, written.size)):
            if stop.is_set():
                raise Stopped("stopped")
            hasher.update(view)
            if blake3(view).digest() != written.pieces[number]:
                wrong.append(at)
            tell(at + len(view), written.size)
    except OSError as error:
        raise _failed(target, error, "cannot be read back", unusable=True) from error
    finally:
        os.close(source)
    if wrong or hasher.hexdigest() != written.digest.hex:
        where = f"{len(wrong)} of {len(written.pieces)} pieces of {PIECE >> 20} MiB differ"
        raise ComparisonError(
            f"the stick gives back other bytes than were written: {where}"
            + (f", the first one at byte {wrong[0]:,}" if wrong else ""),
            subject=str(target.path),
            remedy="do not use it: write it again, and take another stick if it differs again",
        )
    return past_cache


def _pieces(source: int, size: int) -> Iterator[tuple[int, memoryview]]:
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


def _read(source: int, view: memoryview, at: int) -> int:
    try:
        return os.preadv(source, [view], at)
    except OSError as error:
        if error.errno != errno.EINVAL or not _direct(source):
            raise
    _indirect(source)
    return os.preadv(source, [view], at)


def _open(target: Target, flags: int, *, exclusive: bool = True) -> int:
    """Open the target past the kernel's cache where that can be, and for us alone if it is a disk.

    O_EXCL on a disk fails where the kernel itself uses it or a partition of it, in whatever
    namespace that was mounted (open(2)).
    """
    flags |= os.O_CLOEXEC | os.O_NOCTTY
    if target.kind == "disk" and exclusive:
        flags |= os.O_EXCL
    try:
        descriptor = os.open(target.path, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        descriptor = os.open(target.path, flags)
    expected = stat.S_ISBLK if target.kind == "disk" else stat.S_ISREG
    if not expected(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENODEV, "it is not what it was a moment ago")
    return descriptor


def _direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def _indirect(descriptor: int) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)


def _forget(descriptor: int, target: Target) -> None:
    """Drop what the kernel has cached of the target, so that reading asks the medium."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if target.kind == "disk":
        with contextlib.suppress(OSError):  # for administrators only
            fcntl.ioctl(descriptor, _BLKFLSBUF)


def _failed(target: Target, error: OSError, what: str, *, unusable: bool) -> InfrastructureError:
    remedies = {
        errno.EACCES: "run it as root, or let your user write to the device",
        errno.EPERM: "run it as root, or let your user write to the device",
        errno.EBUSY: "something uses it, perhaps in another mount namespace: unmount it there",
        errno.ENOSPC: "make room, or take a larger stick",
    }
    remedy = remedies.get(error.errno or 0, "is it still plugged in? Try another port or stick")
    if unusable:
        remedy = f"{remedy}. {UNUSABLE}"
    return InfrastructureError(
        f"the stick {what}: {error.strerror or error}", subject=str(target.path), remedy=remedy
    )


UNUSABLE = "what was on the stick is gone, and the image is not on it: write it again to use it"
