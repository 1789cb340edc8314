"""Checkouts of trees as folders, read-only and shared by all actions that read them.

A build tool would take up a file that does not belong there, and the go command hashes times; so an
existing checkout is compared with its tree, names, modes, times and bytes, before it is used again.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.store.blobs import BlobFolder, DamagedBlob
from reproducibility import digest as digests
from reproducibility.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from threading import Event

    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry, Tree

_NANOSECONDS = 1_000_000_000
_FOLDER_MODE = 0o755
_NO_LINK = frozenset(
    {errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV}
)


class Checkouts:
    """Folders named `<digest of the tree>-<epoch>`.

    `folder`: where they lie. `aside`: where one goes that is not what it should be; it may be in
    use, so it is not removed at once. `temporary`, `only_one`: those of the store.
    """

    def __init__(
        self,
        folder: Path,
        aside: Path,
        blobs: BlobFolder,
        *,
        temporary: Callable[[], AbstractContextManager[Path]],
        only_one: Callable[[Digest, Event | None], AbstractContextManager[None]],
    ) -> None:
        self._folder = folder
        self._aside = aside
        self._blobs = blobs
        self._temporary = temporary
        self._only_one = only_one
        # Name -> how many damaged blobs were known when it was found to be intact.
        self._ready: dict[str, int] = {}

    def checkout(self, tree: Tree, epoch: int, stop: Event | None = None) -> Path:
        """The folder of a tree; see `Store.checkout`."""
        name = f"{tree.digest.hex}-{epoch}"
        place = self._folder / name
        if self._is_ready(place):
            return place
        with self._only_one(digests.of_bytes(name.encode()), stop):
            damages = self._blobs.damages
            if self._is_ready(place):
                return place
            if os.path.lexists(place) and not self._intact(place, tree, epoch, stop):
                place.rename(self._aside / f"{name}-{secrets.token_hex(4)}")
            if not place.exists():
                with self._temporary() as scratch:
                    made = scratch / "tree"
                    self.lay_out(tree, made, epoch, share=True, stop=stop)
                    made.rename(place)
            self._ready[name] = damages
        return place

    def _is_ready(self, place: Path) -> bool:
        # Another process may have found it damaged and moved it aside.
        return self._ready.get(place.name) == self._blobs.damages and place.exists()

    def forget(self) -> None:
        """Look at every checkout again before it is used again."""
        self._ready.clear()

    def lay_out(
        self, tree: Tree, folder: Path, epoch: int, *, share: bool, stop: Event | None = None
    ) -> None:
        """Make a folder of a tree; `share` gives read-only files, hard links where that can be.

        Raises:
            DamagedBlob: a blob is missing or damaged; all such blobs were moved aside.
            Stopped: `stop` was set.
        """
        folder.mkdir(mode=_FOLDER_MODE)
        folders = _folders(tree)
        for name in sorted(folders):
            (folder / name).mkdir(exist_ok=True)

        def place(entry: Entry) -> DamagedBlob | None:
            _go_on(stop)
            try:
                self._place(entry, folder / entry.path, epoch, share=share)
            except DamagedBlob as error:
                return error
            return None

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            damaged = [error for error in pool.map(place, tree.files()) if error]
        if damaged:
            raise damaged[0]
        for name in sorted(folders, reverse=True):
            (folder / name).chmod(_FOLDER_MODE)
            os.utime(folder / name, (epoch, epoch))

    def _place(self, entry: Entry, target: Path, epoch: int, *, share: bool) -> None:
        source = self._blobs.path(entry)
        status = source.stat()
        # A link has the blob's own time, which is BLOB_TIME unless another version put it there.
        fits = status.st_mtime_ns == epoch * _NANOSECONDS
        if share and fits and status.st_mode == stat.S_IFREG | _mode(entry):
            try:
                os.link(source, target)
            except OSError as error:
                # Too many links to one blob; a file system without links.
                if error.errno not in _NO_LINK:
                    raise
            else:
                return
        shutil.copyfile(source, target)
        target.chmod(_mode(entry) if share else _mode(entry) | stat.S_IWUSR)
        os.utime(target, (epoch, epoch))

    def _intact(self, place: Path, tree: Tree, epoch: int, stop: Event | None) -> bool:
        """Return whether a folder is what `lay_out` makes of a tree, with nothing else in it."""
        folders = _folders(tree)
        found: list[tuple[Path, os.stat_result, Entry]] = []
        seen = 0

        def matches(one: tuple[Path, os.stat_result, Entry]) -> bool:
            _go_on(stop)
            return self._blobs.matches(*one)

        try:
            for path, status in _walk(place):
                entry = tree.get(path)
                if status.st_mtime_ns != epoch * _NANOSECONDS:
                    return False
                if entry is None or entry.kind == "directory":
                    if path not in folders or status.st_mode != stat.S_IFDIR | _FOLDER_MODE:
                        return False
                    seen += 1
                elif status.st_mode == stat.S_IFREG | _mode(entry):
                    found.append((place / path, status, entry))
                else:
                    return False
            if seen != len(folders) or len(found) != sum(1 for _ in tree.files()):
                return False
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return all(pool.map(matches, found))
        except OSError:
            return False


def _go_on(stop: Event | None) -> None:
    if stop is not None and stop.is_set():
        raise Stopped("stopped")


def _mode(entry: Entry) -> int:
    return 0o555 if entry.executable else 0o444


def _folders(tree: Tree) -> set[str]:
    """The path of every folder of a tree, that of the tree itself (empty) too."""
    found = {""}
    for entry in tree:
        path = entry.path if entry.kind == "directory" else entry.path.rpartition("/")[0]
        while path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _walk(place: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything in a folder, and the folder itself as the empty path, in no order."""
    yield "", place.lstat()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(place / folder) as listing:
            for child in listing:
                path = f"{folder}/{child.name}" if folder else child.name
                yield path, child.stat(follow_symlinks=False)
                if child.is_dir(follow_symlinks=False):
                    waiting.append(path)
