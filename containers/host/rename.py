"""Renames that Python has no function for: two paths exchanged in one step, by renameat2(2)."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The numbers are those of include/uapi/linux/{fcntl,fs}.h.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(first: Path, second: Path) -> None:
    """Let two paths of one file system change places: whoever looks sees both, before or after.

    Raises:
        OSError: EINVAL or ENOSYS where the file system cannot; its `filename` is `second`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    status = libc.renameat2(
        _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE
    )
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(second))
