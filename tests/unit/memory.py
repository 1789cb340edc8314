"""Folder in memory (tmpfs) that unit tests write into, held by a lock as long as it is in use.

A session that was killed leaves its folder, and the kernel lets go of its lock; the next session
removes it, or the machine's memory would fill up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from containers.host.durable import remove_folder

FOLDER = Path("/dev/shm")  # noqa: S108 - the folder inside has a name of its own
_PREFIX = "unit-"
_LOCK = "in-use"
# Bytes: more than three sessions at once have ever taken.
ROOM = 4 << 30
# Seconds after which a folder without a lock is one that was left.
_OLD = 24 * 3600
_AVAILABLE = "MemAvailable:"


def claim(parent: Path = FOLDER) -> tuple[Path, int] | None:
    """Return a new folder, and the descriptor that holds it; None where there is not enough room.

    Programs may run from it.
    """
    sweep(parent)
    try:
        if min(shutil.disk_usage(parent).free, available()) < ROOM:
            return None
        found = _made(parent)
    except OSError:
        return None
    program = found[0] / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    try:
        subprocess.run([program], check=True)
    except (OSError, subprocess.CalledProcessError):
        release(*found)
        return None
    program.unlink()
    return found


def release(folder: Path, descriptor: int) -> None:
    """Give the memory back."""
    try:
        remove_folder(folder)
    finally:
        os.close(descriptor)


def sweep(parent: Path) -> None:
    """Remove this user's folders that nobody holds; what cannot be removed stays."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            try:
                descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            except FileNotFoundError:
                # It is being made just now, or somebody else's.
                if time.time() - found.st_mtime > _OLD:
                    remove_folder(folder)
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_folder(folder)
            finally:
                os.close(descriptor)


def available(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of memory that can be had without swapping (proc_meminfo(5)); 0 if it does not say."""
    for line in meminfo.read_text().splitlines():
        if line.startswith(_AVAILABLE):
            return int(line.split()[1]) << 10
    return 0


def _made(parent: Path) -> tuple[Path, int]:
    """A new folder, held before anybody could sweep it away."""
    while True:
        # Short: tests lay sockets below it, whose paths have at most 107 bytes (unix(7)).
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=_PREFIX))
        try:
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), (folder / _LOCK).stat()):
                return folder, descriptor
        os.close(descriptor)
