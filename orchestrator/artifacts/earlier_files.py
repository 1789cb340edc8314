"""Files of an earlier build in the output directory, which the next build may take over.

To hash them takes longer than anything else where nothing changed, and needs no Python meanwhile,
so it begins with the build where the earlier one was of the same spec and lock. A digest counts
only for a file that is still the same (device, inode, size, times of writing and of change) when it
is asked for. A symbolic link is not taken over, wherever it leads: what a build puts in place is a
regular file.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from orchestrator import resources
from orchestrator.artifacts.finished import Finished
from reproducibility import digest as digests
from reproducibility import regular
from reproducibility.errors import InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor, Future
    from pathlib import Path
    from threading import Event

    from reproducibility.digest import Digest


class EarlierFiles:
    """Files of an earlier build in an output directory, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashing: dict[str, Future[tuple[os.stat_result, Digest]]] = {}

    def begin(
        self, pool: Executor, names: Iterable[str], *, spec: Digest, lock: Digest, stop: Event
    ) -> None:
        """Hash files in the pool, where the directory is of the same spec, lock and version.

        `stop`: ends that.
        """
        try:
            made = Finished.load(self._folder).result
        except InputError:
            return
        if (made.spec, made.lock, made.tool) == (spec, lock, resources.VERSION):
            self._hashing = {
                name: pool.submit(_hashed, self._folder / name, stop) for name in sorted(names)
            }

    def digest(self, name: str) -> Digest:
        """BLAKE3 of a file as it is now.

        Raises:
            OSError: it cannot be read, is no regular file, or changes meanwhile.
            Stopped: the work was stopped.
        """
        path = self._folder / name
        if name in self._hashing:
            status, found = self._hashing[name].result()
            if _state(status) == _state(path.lstat()):
                return found
        return digests.measured(path, follow=False)[0]

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            OSError: it cannot be looked at, or is no regular file.
        """
        return regular.status(self._folder / name, follow=False).st_size

    def link(self, name: str, target: Path) -> None:
        """Put a file in another place as well, as another name of it where that can be.

        Raises:
            OSError: it is no regular file, or can neither be linked nor copied.
        """
        source = self._folder / name
        # link(2) makes another symbolic link of one.
        regular.status(source, follow=False)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def _hashed(path: Path, stop: Event) -> tuple[os.stat_result, Digest]:
    def go_on() -> None:
        if stop.is_set():
            raise Stopped("stopped")

    status = path.lstat()
    return status, digests.measured(path, follow=False, expected=status, between=go_on)[0]


def _state(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes with every write; the last of it cannot be set by whoever writes."""
    return (
        *(status.st_dev, status.st_ino, status.st_size),
        *(status.st_mtime_ns, status.st_ctime_ns),
    )
