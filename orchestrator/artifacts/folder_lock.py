"""Lock of an output directory (flock), for who changes files in it or puts another in its place.

The lock is the kernel's, on the folder itself, so it leaves no file and ends with its process.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.store import locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

# File systems that know no locks of folders; NFS has EBADF for one that is open for reading.
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def take(out: Path, stop: Event | None = None) -> int:
    """Return a descriptor that holds the lock on the folder that lies there; waits for who has it.

    Where the file system knows no locks, nobody is waited for.

    Raises:
        OSError: there is no folder, or it cannot be opened.
        Stopped: `stop` was set while somebody else had it.
    """
    while True:
        handle = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(handle, stop)
            # A build exchanges the folder for another one.
            if os.path.lexists(out) and os.path.samestat(os.fstat(handle), out.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


@contextmanager
def against_changes(out: Path, stop: Event | None = None) -> Iterator[None]:
    """Hold the folder where there is one, so that nobody else changes files in it meanwhile.

    One that cannot be opened holds nobody up: who changes files in it could open it.

    Raises:
        Stopped: as `take`.
    """
    try:
        handle = take(out, stop)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.close(handle)


def _lock(handle: int, stop: Event | None) -> None:
    try:
        locks.hold(handle, stop)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
