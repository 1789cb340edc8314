"""Locks on files, by the kernel (flock): they end with their process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from reproducibility import regular
from reproducibility.errors import InfrastructureError, Stopped

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

_POLL = 0.1
_LONGEST_ID = 32


class HeldError(InfrastructureError):
    """A lock is held by somebody else. `process`: who, in words; `another process` if unknown."""

    def __init__(self, process: str) -> None:
        self.process = f"process {process}" if process else "another process"
        super().__init__(f"{self.process} is doing the same", remedy="wait until it is done")


def hold(handle: int, stop: Event | None, how: int = fcntl.LOCK_EX) -> None:
    """Take the lock of an open file; waits for its holder, until `stop` is set.

    `how`: `LOCK_EX`, alone, or `LOCK_SH`, together with others who take it so.

    Raises:
        Stopped: `stop` was set while another one held it.
        OSError: the file system knows no locks.
    """
    if stop is None:
        fcntl.flock(handle, how)
        return
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if stop.wait(_POLL):
                raise Stopped("stopped") from None
        else:
            return


def acquired(place: Path, stop: Event | None) -> int:
    """Return a descriptor that holds the lock on a file, which is made; waits for its holder.

    Raises:
        Stopped: `stop` was set while another one held it.
    """
    while True:
        handle = regular.descriptor(place, follow=False, flags=os.O_RDWR | os.O_CREAT)
        try:
            hold(handle, stop)
            if _is_still(handle, place):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def acquired_at_once(place: Path) -> int:
    """Return a descriptor that holds the lock on a file, in which this process's id is written.

    Raises:
        HeldError: another one holds it.
    """
    while True:
        handle = regular.descriptor(place, follow=False, flags=os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(handle, place):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode(), 0)
                return handle
        except BlockingIOError:
            os.close(handle)
            raise HeldError(_holder(place)) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_still(handle: int, place: Path) -> bool:
    """Return whether a file still lies there: its last holder may just have removed it."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), place.stat())
    return False


def _holder(place: Path) -> str:
    """Return which process wrote its id into a lock; empty where that cannot be read."""
    with contextlib.suppress(OSError):
        said = regular.read(place, follow=False, limit=_LONGEST_ID).decode(errors="replace")
        return said if said.isdecimal() else ""
    return ""
