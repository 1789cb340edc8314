"""Opens the target of a write exclusively (O_EXCL, flock), and checks that it is what was examined.

Sources: open(2) and flock(2); linux/fs.h; systemd, docs/BLOCK_DEVICE_LOCKING.md (whoever has locked
a disk is left alone by udev, so that nothing on it is probed or mounted meanwhile).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.stick.disks import numbered
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.stick.disks import Target

# linux/fs.h
_BLKRRPART, _BLKFLSBUF = 0x125F, 0x1261
_BLKGETSIZE64, _BLKGETDISKSEQ = 0x80081272, 0x80081280
# udev holds its lock while it probes what has just been plugged in.
_PATIENCE = 10.0

NOTHING = "nothing was written"
SPOILT = "what was on the stick is gone, and the image is not on it: write it again to use it"
UNREAD = "the image was written whole, but not all of it was read back: do not trust it"
WHOLE = "the image was written whole and read back"


@dataclass
class Medium:
    """A target that is open. `state`: what is true of it now, in words for a person."""

    target: Target
    descriptor: int
    state: str = NOTHING

    @property
    def direct(self) -> bool:
        """True where reading and writing go past the kernel's page cache."""
        return bool(fcntl.fcntl(self.descriptor, fcntl.F_GETFL) & os.O_DIRECT)

    def indirect(self) -> None:
        """Go through the kernel's cache from now on."""
        flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)

    def forget(self) -> None:
        """Have what is read next come from the medium, not from what the kernel has cached."""
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        with contextlib.suppress(OSError):  # not every file system can
            flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
            fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
        if self.target.kind == "disk":
            with contextlib.suppress(OSError):  # for administrators only
                fcntl.ioctl(self.descriptor, _BLKFLSBUF)

    def announce(self) -> None:
        """Have the kernel read the new partition table; who has udev may get the stick mounted."""
        if self.target.kind == "disk":
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.descriptor, _BLKRRPART)

    def failed(self, error: OSError, what: str) -> InfrastructureError:
        """The error in words, and what is true of the stick now."""
        found = failed(self.target, error, what)
        return InfrastructureError(
            found.summary, subject=found.subject, remedy=f"{found.remedy}. {self.state}"
        )


@contextmanager
def held(target: Target, *, patience: float = _PATIENCE) -> Iterator[Medium]:
    """Open the target for us alone, past the kernel's cache where that can be.

    O_EXCL on a disk fails where the kernel itself uses it or a partition of it, in whatever
    namespace that was mounted. `patience`: seconds to wait for another's lock.

    Raises:
        InfrastructureError: it cannot be opened, or it is not the target that was looked at.
    """
    exclusive = os.O_EXCL if target.kind == "disk" else 0
    try:
        descriptor = _open(target, os.O_RDWR | exclusive, direct=True)
    except OSError as error:
        raise failed(target, error, "cannot be opened", remark=NOTHING) from error
    try:
        try:
            _lock(descriptor, patience)
            # Only now: what is held cannot become another any more.
            _same(descriptor, target)
        except OSError as error:
            raise failed(target, error, "cannot be opened", remark=NOTHING) from error
        yield Medium(target, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def looked_at(target: Target) -> Iterator[int]:
    """Open the target to read what is on it; see `held`."""
    try:
        descriptor = _open(target, os.O_RDONLY, direct=False)
        try:
            _same(descriptor, target)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise failed(target, error, "cannot be read") from error


def failed(target: Target, error: OSError, what: str, *, remark: str = "") -> InfrastructureError:
    """An error of the kernel in words. `remark`: what else is to be said."""
    remedies = {
        errno.EACCES: "run it as root, or let your user write to the device",
        errno.EPERM: "run it as root, or let your user write to the device",
        errno.EBUSY: "something uses it, perhaps in another mount namespace: unmount it there",
        errno.EWOULDBLOCK: "another program has locked it: wait until that is done with it",
        errno.ENOSPC: "make room, or take a larger stick",
        errno.ESTALE: "`lsblk` shows the disks of this machine as they are now: begin again",
    }
    remedy = remedies.get(error.errno or 0, "is it still plugged in? Try another port or stick")
    return InfrastructureError(
        f"the stick {what}: {error.strerror or error}",
        subject=str(target.path),
        remedy=f"{remedy}. {remark}" if remark else remedy,
    )


def _open(target: Target, flags: int, *, direct: bool) -> int:
    flags |= os.O_CLOEXEC | os.O_NOCTTY
    if direct:
        try:
            return os.open(target.path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    return os.open(target.path, flags)


def _lock(descriptor: int, patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)
        else:
            return


def _same(descriptor: int, target: Target) -> None:
    """Make sure that what is open is what was looked at, not what has taken its name since.

    A number of the kernel's is given again to the next stick; its sequence number (Linux 5.15)
    never is.
    """
    found = os.fstat(descriptor)
    if target.kind != "disk":
        same = stat.S_ISREG(found.st_mode) and f"{found.st_dev}:{found.st_ino}" == target.number
    else:
        same = (
            stat.S_ISBLK(found.st_mode)
            and numbered(found.st_rdev) == target.number
            and _asked(descriptor, _BLKGETSIZE64) == target.size
            and (not target.sequence or _asked(descriptor, _BLKGETDISKSEQ) == int(target.sequence))
        )
    if not same:
        raise OSError(errno.ESTALE, "it is not what it was when it was looked at")


def _asked(descriptor: int, what: int) -> int:
    (found,) = struct.unpack("=Q", fcntl.ioctl(descriptor, what, bytes(8)))
    return int(found)
