"""Scratch folders for temporary files, removed even where their process was killed.

Each live engine holds a lock that the kernel releases when its process ends, however it ends; the
next engine to start in the same place removes what is left of those that are gone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from reproducibility import regular
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCK = ".lock"


class Scratch:
    """A folder of its own below `parent`, locked for as long as this object is open.

    `folder`: the folder, with a name that no other one ever has. `swept`: the names of those that
    were removed because their processes are gone.
    """

    def __init__(
        self, parent: Path, prefix: str, first: Callable[[str], object] | None = None
    ) -> None:
        """Make the folder, after removing those of processes that are gone (see `sweep`).

        Raises:
            InfrastructureError: `parent` cannot be written.
        """
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self.swept = sweep(parent, prefix, first)
            self._lock, self._descriptor = _claim(parent, prefix)
            self.folder = self._lock.with_suffix("")
            try:
                self.folder.mkdir(mode=0o700)
            except OSError:
                self.close()
                raise
        except OSError as error:
            raise InfrastructureError(
                f"cannot make a scratch folder: {error.strerror}",
                subject=str(parent),
                remedy="give a folder on a disk with room that you may write",
            ) from error

    def close(self, *, clean: bool = True) -> None:
        """Remove the folder and let go of the lock; what cannot be removed is left to a sweep.

        `clean`: False where something else of this name is left, for a sweep to find.

        Raises:
            OSError: something could not be removed.
        """
        try:
            remove(self.folder)
            if clean:
                self._lock.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)


def sweep(parent: Path, prefix: str, first: Callable[[str], object] | None = None) -> list[str]:
    """Remove the scratch folders below `parent` whose processes are gone; their names.

    Only this user's: `parent` may be a folder that everybody can write to. `first`: removes what
    else a process of that name left; where it raises an error, the lock stays for a later sweep.
    """
    swept = []
    for lock in sorted(parent.glob(f"{prefix}-*{_LOCK}")):
        try:
            descriptor = regular.descriptor(lock, follow=False, flags=os.O_RDWR)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if first is not None:
                    first(lock.stem)
                remove(lock.with_suffix(""))
                lock.unlink(missing_ok=True)
                swept.append(lock.stem)
        except OSError:  # in use, or holding what only somebody else can remove
            continue
        finally:
            os.close(descriptor)
    return swept


def living(parent: Path, prefix: str) -> bool:
    """Return whether a process lives that has a scratch folder below `parent`, by its lock.

    A lock that this user may not try counts as held.
    """
    for lock in parent.glob(f"{prefix}-*{_LOCK}"):
        try:
            descriptor = regular.descriptor(lock, follow=False, flags=os.O_RDWR)
        except PermissionError:
            return True
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return False


def remove(folder: Path) -> None:
    """Remove a folder and everything in it, whatever modes or depth an action gave it.

    Folders found inside are moved up beside the first one before they are emptied, so that neither
    the recursion limit nor the longest possible path matters. A symbolic link is not followed.
    """
    if folder.is_symlink():
        folder.unlink()
        return
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            here.chmod(stat.S_IRWXU)
            with os.scandir(here) as listing:
                entries = list(listing)
        except FileNotFoundError:
            continue
        for entry in entries:
            inner = Path(entry.path)
            if not entry.is_dir(follow_symlinks=False):
                inner.unlink()
                continue
            if here != folder:
                inner.chmod(stat.S_IRWXU)
                inner = inner.rename(folder / f".removed-{secrets.token_hex(8)}")
            waiting.append(inner)
        if here != folder:
            here.rmdir()
    if folder.exists():
        folder.rmdir()


def _claim(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new lock file, locked by us, that nobody has swept away between making and locking it."""
    while True:
        lock = parent / f"{prefix}-{secrets.token_hex(8)}{_LOCK}"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(lock.stat(), os.fstat(descriptor)):
                return lock, descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
