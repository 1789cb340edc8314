"""Content-addressed store: blobs by BLAKE3, trees as manifests, results by key, in one folder.

Layout below the store's folder, with two levels of folders by the first digits of a digest:

    blobs/ab/cd/<64 hex>     a file's bytes; a tree's manifest is a blob too, named by its digest
    results/<kind>/ab/<64 hex>.json   with the BLAKE3 of its own content
    checkouts/<64 hex>-<epoch>/   a tree as a folder, made when an action needs it
    damaged/                 what did not match its name, moved aside
    failures/                logs of actions that failed
    scratch/                 work in progress of live processes, and locks on keys
    lock                     held shared by every user of the store, exclusively by gc

Writes are atomic (rename) and durable in this order: blobs, one `syncfs`, then the result that
refers to them. A blob that a power failure cut short is noticed when it is used, since every use
compares its bytes with its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers.host import durable
from containers.host.durable import remove_folder
from containers.host.scratch import Scratch
from orchestrator.store import records, upkeep
from orchestrator.store.blobs import BLOB_TIME, BlobFolder, DamagedBlob
from orchestrator.store.checkouts import Checkouts
from orchestrator.store.locks import acquired, acquired_at_once, hold
from reproducibility import regular
from reproducibility.errors import InfrastructureError, InputError, Stopped
from reproducibility.manifest import Tree
from reproducibility.manifest import scan as scan_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from reproducibility.digest import Digest

__all__ = ["BLOB_TIME", "DamagedBlob", "Store", "remove_folder"]

_KIND = "sourcery-store "
_SCHEMA = f"{_KIND}1\n"
_SCRATCH = "store"
_LARGEST_VERSION = 1 << 10


class Store(BlobFolder):
    """A content-addressed folder, safe for several processes and threads at once."""

    def __init__(self, root: Path, stop: Event | None = None) -> None:
        """Open or make a store; what killed processes left in its scratch folder goes.

        Raises:
            InfrastructureError: the folder cannot be made, or holds a store of another version.
            Stopped: `stop` was set while `collect` worked in another process.
        """
        self.root = root
        try:
            for part in upkeep.PARTS:
                (root / part).mkdir(parents=True, exist_ok=True)
            version = root / "version"
            if not os.path.lexists(version):
                durable.write(version, _SCHEMA.encode())
            found = regular.read(version, follow=False, limit=_LARGEST_VERSION).decode(
                errors="replace"
            )
        except OSError as error:
            raise _unusable(root, error) from error
        if found != _SCHEMA:
            raise InfrastructureError(
                f"the store was made by another version ({found.strip()!r})",
                subject=str(root),
                remedy="remove the folder, or give another one with --store",
            )
        try:
            self._lock = regular.descriptor(
                root / "lock", follow=False, flags=os.O_RDWR | os.O_CREAT
            )
        except OSError as error:
            raise _unusable(root, error) from error
        try:
            hold(self._lock, stop, fcntl.LOCK_SH)
        except OSError as error:
            os.close(self._lock)
            raise _unusable(root, error) from error
        except BaseException:
            os.close(self._lock)
            raise
        self._scratch = Scratch(root / "scratch", _SCRATCH)
        super().__init__(root / "blobs", root / "damaged", self._scratch.folder)
        self._checkouts = Checkouts(
            root / "checkouts",
            root / "damaged",
            self,
            temporary=self.temporary,
            only_one=self.only_one,
        )
        self._open = True

    def close(self) -> None:
        """Give the shared lock back; the store must not be used afterwards."""
        if self._open:
            self._open = False
            try:
                with contextlib.suppress(OSError):
                    self._scratch.close()
            finally:
                os.close(self._lock)

    # -- trees ---------------------------------------------------------------------------------

    def put_tree(self, folder: Path, *, move: bool = False, stop: Event | None = None) -> Tree:
        """Keep everything below a folder and the tree's manifest; returns the tree.

        Raises:
            InputError: the folder holds something that a tree cannot.
            Stopped: `stop` was set meanwhile.
        """

        def go_on() -> None:
            if stop is not None and stop.is_set():
                raise Stopped("stopped")

        tree = scan_folder(folder, go_on)
        for entry in tree.files():
            go_on()
            self._put_known(folder / entry.path, entry.content, entry.size, move=move)
        self.save_tree(tree)
        return tree

    def save_tree(self, tree: Tree) -> Digest:
        """Keep a tree's manifest; returns its digest."""
        return self.put_bytes(tree.serialize())

    def load_tree(self, digest: Digest) -> Tree:
        """A tree by its digest.

        Raises:
            DamagedBlob: the manifest is missing or damaged.
            InputError: the blob is no manifest.
        """
        return Tree.parse(self.read(digest))

    def checkout(self, tree: Tree, epoch: int, stop: Event | None = None) -> Path:
        """A read-only folder that holds a tree, every modification time `epoch` (seconds).

        Files are hard links to the blobs where time and mode allow, else copies. An existing
        checkout is compared with the tree once in the life of this object, and again after a
        damaged blob was found; one that differs is moved aside and made again.

        Raises:
            DamagedBlob: a blob is missing or damaged; all such blobs were moved aside.
            Stopped: `stop` was set while it was made or compared, here or by another process.
        """
        return self._checkouts.checkout(tree, epoch, stop)

    def existing(self, digest: Digest, epoch: int) -> Path | None:
        """A checkout that is there already, as it is: for uses that no result depends on."""
        place = self.root / "checkouts" / f"{digest.hex}-{epoch}"
        return place if place.is_dir() and not place.is_symlink() else None

    def export(self, tree: Tree, folder: Path, epoch: int, stop: Event | None = None) -> None:
        """Copy a tree into a folder that does not exist yet; writable, nothing shared.

        Raises:
            DamagedBlob: a blob is missing or damaged; all such blobs were moved aside.
            Stopped: `stop` was set meanwhile; the folder is not whole.
        """
        self._checkouts.lay_out(tree, folder, epoch, share=False, stop=stop)

    # -- results -------------------------------------------------------------------------------

    def remember(self, kind: str, key: Digest, document: dict[str, Any]) -> None:
        """Write down what came of a key, after everything it refers to is on the disk.

        What is no file, and stands where the record or its folders must be, is moved aside.
        """
        durable.sync_disk(self.root)
        place = self._result(kind, key)
        durable.make_way(place, self.root, self.root / "damaged")
        durable.write(place, records.sealed(document))

    def recall(self, kind: str, key: Digest) -> dict[str, Any] | None:
        """Return what came of a key, or None; or what is written is no whole record.

        Raises:
            InfrastructureError: there is one, and it cannot be read.
        """
        place = self._result(kind, key)
        try:
            data = regular.read(place, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (regular.IrregularFileError, regular.LargeFileError):
            return None  # no record; it stays, as below
        except OSError as error:
            raise _unreadable(place, error) from error
        with contextlib.suppress(InputError):
            found = records.opened(data, subject=str(place))
            with contextlib.suppress(OSError):
                os.utime(place)  # gc keeps what was used lately
            return found
        # It stays, and keeps `gc` from taking what it named for unneeded, until it is made again.
        return None

    def remembers(self, kind: str, key: Digest) -> bool:
        """Return whether anything is written down of a key, readable or not.

        Raises:
            InfrastructureError: the folder cannot be looked into.
        """
        place = self._result(kind, key)
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unreadable(place, error) from error
        return True

    def kinds(self) -> list[str]:
        """The kinds of results that there are, sorted.

        Raises:
            InfrastructureError: the folder cannot be looked into.
        """
        folder = self.root / "results"
        try:
            return sorted(path.name for path in folder.iterdir())
        except OSError as error:
            raise _unreadable(folder, error) from error

    def forget(self, kind: str, key: Digest) -> None:
        """Drop what is remembered of a key."""
        self._result(kind, key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def only_one(self, key: Digest, stop: Event | None = None) -> Iterator[None]:
        """Hold a lock on a key, so that of two builds at once one does the work.

        The lock is the kernel's (flock): it ends with the process, however that ends.

        Raises:
            Stopped: `stop` was set while another one held the lock.
        """
        place = self._lock_of(key)
        with _held(acquired(place, stop), place):
            yield

    @contextlib.contextmanager
    def alone(self, key: Digest) -> Iterator[None]:
        """Hold a lock as `only_one` does, but do not wait for it.

        Raises:
            HeldError: another process holds it, or another thread of this one.
        """
        place = self._lock_of(key)
        with _held(acquired_at_once(place), place):
            yield

    def _lock_of(self, key: Digest) -> Path:
        place = self.root / "scratch" / f"{key.hex}.lock"
        # Its holder may be removing it just now.
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(place.lstat().st_mode):
                durable.move_aside(place, self.root / "damaged")
        return place

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """An empty folder on the store's file system, removed at the end.

        One that a killed process left behind is removed by the next process that opens the store.
        """
        folder = Path(tempfile.mkdtemp(dir=self._scratch.folder, prefix="work-"))
        try:
            yield folder
        finally:
            remove_folder(folder)

    # -- upkeep --------------------------------------------------------------------------------

    def size(self) -> dict[str, int]:
        """Bytes on the disk by part; hard links counted once, for the blobs."""
        return upkeep.size(self.root)

    def verify(self) -> tuple[int, list[Digest]]:
        """Compare every blob with its name; damaged ones are moved aside.

        Returns: how many blobs were read, and the digests of the damaged ones.

        Raises:
            InfrastructureError: something cannot be read, so nothing is known of it.
        """
        return upkeep.verify(self.root / "blobs", self.move_aside)

    def damaged_records(self) -> list[Path]:
        """Return what the store remembers and cannot be read back; it is left where it lies.

        Raises:
            InfrastructureError: something cannot be read, so nothing is known of it.
        """
        return upkeep.damaged_records(self.root / "results")

    def collect(self, *, unused_since: float) -> tuple[int, int]:
        """Remove results not used since a time (seconds since 1970), and what only they refer to.

        Returns: how many results, blobs and logs went, and how many bytes that freed.

        Raises:
            InfrastructureError: a build is using the store, or something in it that says what is
                needed cannot be read; then nothing was removed.
        """
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            # The kernel has let go of the shared lock while it tried.
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            raise InfrastructureError(
                "a build is using the store",
                subject=str(self.root),
                remedy="run gc when it is done",
            ) from error
        try:
            done = upkeep.collect(self.root, unused_since=unused_since)
            for path in (self.root / "scratch").glob(f"{'[0-9a-f]' * 64}.lock"):
                durable.remove(path)
            return done
        finally:
            self._checkouts.forget()
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _result(self, kind: str, key: Digest) -> Path:
        return self.root / "results" / kind / key.hex[:2] / f"{key.hex}.json"


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store, of whatever version."""
    try:
        with regular.opened(folder / "version", follow=False) as stream:
            return stream.read(len(_KIND)) == _KIND.encode()
    except OSError:
        return False


@contextlib.contextmanager
def _held(handle: int, place: Path) -> Iterator[None]:
    """Let go of a lock at the end, also where its file cannot be removed."""
    try:
        try:
            yield
        finally:
            place.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _unusable(root: Path, error: OSError) -> InfrastructureError:
    irregular = isinstance(error, regular.IrregularFileError)
    return InfrastructureError(
        f"cannot use the store: {error.strerror}",
        subject=str(error.filename if irregular else root),
        remedy="give another folder with --store, or "
        + ("remove that" if irregular else "mend its permissions"),
    )


def _unreadable(place: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"cannot read what the store remembers: {error.strerror}",
        subject=str(place),
        remedy="mend its permissions or the disk; or remove it, and the step that made it runs "
        "again",
    )
