"""The store: blobs by BLAKE3, trees as manifests, action results by key.

Layout below the store's folder, with two levels of folders by the first digits of a digest:

    blobs/ab/cd/<64 hex>     a file's bytes; a tree's manifest is a blob too, named by its digest
    results/<kind>/ab/<64 hex>.json
    checkouts/<64 hex>-<epoch>/   a tree as a folder, made when an action needs it
    damaged/                 blobs whose bytes did not match their name, moved aside
    scratch/                 work in progress of live processes
    lock                     held shared by every user of the store, exclusively by gc

Writes are atomic (rename) and durable in this order: blobs, one `syncfs`, then the result that
refers to them. A blob that a power failure cut short is noticed when it is used, since every use
compares its bytes with its name.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from blake3 import blake3

from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError, SourceryError
from reproducibility.manifest import Entry, Tree
from reproducibility.manifest import scan as scan_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Modification time of every blob: 2020-01-01 00:00:00 UTC. A checkout for this time is made of
# hard links, for any other of copies.
BLOB_TIME = 1_577_836_800
_SCHEMA = "sourcery-store 1\n"


class DamagedBlob(InfrastructureError):
    """A blob is missing, or its bytes are not what its name says; it was moved aside."""

    def __init__(self, digest: Digest, found: str) -> None:
        super().__init__(
            f"a blob of the store is damaged: expected {digest}, found {found}",
            subject=str(digest),
            remedy="it was moved aside; the step that makes it runs again",
        )
        self.digest = digest


class Store:
    """A content-addressed folder, safe for several processes and threads at once."""

    def __init__(self, root: Path) -> None:
        """Open or make a store.

        Raises:
            InfrastructureError: the folder cannot be made, or holds a store of another version.
        """
        self.root = root
        try:
            for name in ("blobs", "results", "checkouts", "damaged", "scratch"):
                (root / name).mkdir(parents=True, exist_ok=True, mode=0o755)
            version = root / "version"
            if not version.exists():
                _write_atomically(version, _SCHEMA.encode())
            self._lock = (root / "lock").open("a+b")
            found = version.read_text()
        except OSError as error:
            raise InfrastructureError(
                f"cannot use the store: {error.strerror}",
                subject=str(root),
                remedy="give another folder with --store, or mend its permissions",
            ) from error
        if found != _SCHEMA:
            raise InfrastructureError(
                f"the store was made by another version ({found.strip()!r})",
                subject=str(root),
                remedy="remove the folder, or give another one with --store",
            )
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._verified: dict[str, tuple[int, int, int]] = {}
        self._ready: dict[str, Path] = {}
        self._checkout_lock = threading.Lock()
        self._remove_stale_scratch()

    def close(self) -> None:
        """Give the shared lock back; the store must not be used afterwards."""
        self._lock.close()

    # -- blobs ---------------------------------------------------------------------------------

    def has(self, digest: Digest) -> bool:
        """Whether a blob of this name is there (its bytes are not looked at)."""
        return self._place(digest.hex).exists()

    def holds(self, tree: Tree) -> bool:
        """Whether every file of a tree is there with the right size (bytes not looked at)."""
        blobs = f"{self.root}/blobs"
        for entry in tree.files():
            name = entry.digest
            try:
                status = os.stat(f"{blobs}/{name[:2]}/{name[2:4]}/{name}")  # noqa: PTH116 - 3x faster, 20,000 files
            except OSError:
                return False
            if status.st_size != entry.size:
                return False
        return True

    def blob(self, digest: Digest) -> Path:
        """The file that holds a blob, its bytes compared with its name; read-only.

        Raises:
            DamagedBlob: it is missing or its bytes differ.
        """
        place = self._place(digest.hex)
        try:
            status = place.stat()
            identity = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._verified.get(digest.hex) == identity:
                return place
            found = digests.of_file(place)
        except OSError as error:
            raise DamagedBlob(digest, error.strerror or "nothing") from error
        if found != digest:
            self._move_aside(place)
            raise DamagedBlob(digest, str(found))
        self._verified[digest.hex] = identity
        return place

    def path(self, entry: Entry) -> Path:
        """The verified blob of a tree's entry."""
        return self.blob(entry.content)

    def read(self, digest: Digest) -> bytes:
        """A blob's bytes, for small ones.

        Raises:
            DamagedBlob: it is missing or its bytes differ.
        """
        return self.blob(digest).read_bytes()

    def put_bytes(self, data: bytes) -> Digest:
        """Keep bytes; gives their digest."""
        digest = digests.of_bytes(data)
        if not self.has(digest):
            with self._fresh_file() as (descriptor, name):
                _write_all(descriptor, data)
                self._admit(name, digest)
        return digest

    def put_stream(self, stream: BinaryIO, *, limit: int) -> tuple[Digest, int]:
        """Keep what is left in a stream; gives digest and size in bytes.

        Raises:
            InfrastructureError: more than `limit` bytes came.
        """
        hasher = blake3()
        size = 0
        with self._fresh_file() as (descriptor, name):
            for chunk in digests.chunks(stream):
                size += len(chunk)
                if size > limit:
                    raise InfrastructureError(f"more than the allowed {limit} bytes came")
                hasher.update(chunk)
                _write_all(descriptor, chunk)
            digest = Digest("blake3", hasher.hexdigest())
            self._admit(name, digest)
        return digest, size

    def put_file(self, path: Path, *, move: bool = False) -> Digest:
        """Keep a file's bytes; with `move` the file itself goes into the store if it can."""
        digest = digests.of_file(path)
        self._put_known(path, digest, move=move)
        return digest

    def put_tree(self, folder: Path, *, move: bool = False) -> Tree:
        """Keep everything below a folder and the tree's manifest; gives the tree.

        Raises:
            InputError: the folder holds something that a tree cannot.
        """
        tree = scan_folder(folder)
        for entry in tree.files():
            self._put_known(folder / entry.path, entry.content, move=move)
        self.save_tree(tree)
        return tree

    def save_tree(self, tree: Tree) -> Digest:
        """Keep a tree's manifest; gives its digest."""
        return self.put_bytes(tree.serialize())

    def load_tree(self, digest: Digest) -> Tree:
        """A tree by its digest.

        Raises:
            DamagedBlob: the manifest is missing or damaged.
        """
        return Tree.parse(self.read(digest))

    # -- results -------------------------------------------------------------------------------

    def remember(self, kind: str, key: Digest, document: dict[str, Any]) -> None:
        """Write down what came of a key, after everything it refers to is on the disk."""
        self._sync()
        _write_atomically(self._result(kind, key), canonical.pretty(document))

    def recall(self, kind: str, key: Digest) -> dict[str, Any] | None:
        """What came of a key, or None; an unreadable result is forgotten."""
        place = self._result(kind, key)
        try:
            data = place.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(InputError):
            found = canonical.loads(data, subject=str(place))
            if isinstance(found, dict):
                with contextlib.suppress(OSError):
                    os.utime(place)  # gc keeps what was used lately
                return found
        self._move_aside(place)
        return None

    def forget(self, kind: str, key: Digest) -> None:
        """Drop what is remembered of a key."""
        self._result(kind, key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def only_one(self, key: Digest) -> Iterator[None]:
        """Hold a lock on a key, so that of two builds at once one does the work.

        The lock is the kernel's (flock): it ends with the process, however that ends.
        """
        place = self.root / "scratch" / f"{key.hex}.lock"
        while True:
            with place.open("ab") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                # The file may have been removed by its last holder while this one waited.
                with contextlib.suppress(FileNotFoundError):
                    if os.fstat(handle.fileno()).st_ino == place.stat().st_ino:
                        try:
                            yield
                        finally:
                            place.unlink(missing_ok=True)
                        return

    # -- folders -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """An empty folder on the store's file system, removed at the end.

        One that a killed process left behind is removed by the next process that opens the store.
        """
        folder = Path(tempfile.mkdtemp(dir=self.root / "scratch", prefix="work-"))
        with (folder / ".lock").open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            inner = folder / "it"
            inner.mkdir()
            try:
                yield inner
            finally:
                remove_folder(folder)

    def checkout(self, tree: Tree, epoch: int) -> Path:
        """A read-only folder that holds a tree, every modification time `epoch` (seconds).

        Files are hard links to the blobs where time and mode allow, else copies. What lies in an
        existing checkout is compared with the tree once in the life of this object.

        Raises:
            DamagedBlob: a blob is missing or damaged.
        """
        name = f"{tree.digest.hex}-{epoch}"
        with self._checkout_lock:
            if name in self._ready:
                return self._ready[name]
            place = self.root / "checkouts" / name
            if place.exists() and not self._intact(place, tree):
                # Another process may be using it: take it out of the way, do not empty it in place.
                with self.temporary() as aside, contextlib.suppress(OSError):
                    place.rename(aside / "old")
            if not place.exists():
                with self.temporary() as folder:
                    made = folder / "tree"
                    self._lay_out(tree, made, epoch)
                    # Another process made it meanwhile: its tree is this one too.
                    with contextlib.suppress(OSError):
                        made.rename(place)
            self._ready[name] = place
            return place

    def export(self, tree: Tree, folder: Path, epoch: int) -> None:
        """Copy a tree into a folder that does not exist yet; writable, nothing shared.

        Raises:
            DamagedBlob: a blob is missing or damaged.
        """
        self._lay_out(tree, folder, epoch, link=False)

    def _lay_out(self, tree: Tree, folder: Path, epoch: int, *, link: bool = True) -> None:
        folder.mkdir(mode=0o755)
        folders = {""}
        for entry in tree:
            parent = entry.path if entry.kind == "directory" else entry.path.rpartition("/")[0]
            if parent not in folders:
                (folder / parent).mkdir(parents=True, exist_ok=True)
                folders.update(_ancestors(parent))
        link = link and epoch == BLOB_TIME
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda entry: self._place_file(entry, folder, epoch, link=link), tree.files()):
                pass
        for name in sorted(folders, reverse=True):
            os.utime(folder / name, (epoch, epoch))
            (folder / name).chmod(0o755)

    def _place_file(self, entry: Entry, folder: Path, epoch: int, *, link: bool) -> None:
        source = self.path(entry)
        target = folder / entry.path
        if link and not entry.executable:
            try:
                os.link(source, target)
            except OSError as error:
                if error.errno not in {errno.EMLINK, errno.EPERM, errno.EXDEV}:
                    raise
            else:
                return
        shutil.copyfile(source, target)
        target.chmod(0o555 if entry.executable else 0o444)
        os.utime(target, (epoch, epoch))

    def _intact(self, folder: Path, tree: Tree) -> bool:
        """Whether a folder holds a tree's files (other files in it are not looked for)."""

        def same(entry: Entry) -> bool:
            try:
                place = folder / entry.path
                status = place.stat()
                if status.st_size != entry.size:
                    return False
                blob = self._verified.get(entry.digest)
                if blob == (status.st_ino, status.st_mtime_ns, status.st_size):
                    return True
                return digests.of_file(place).hex == entry.digest
            except OSError:
                return False

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return all(pool.map(same, tree.files()))

    # -- upkeep --------------------------------------------------------------------------------

    def size(self) -> dict[str, int]:
        """Bytes on the disk by part; hard links counted once, for the blobs."""
        seen: set[int] = set()
        sizes = {}
        for part in ("blobs", "results", "checkouts", "damaged", "scratch"):
            total = 0
            for path in _files(self.root / part):
                status = path.stat(follow_symlinks=False)
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
            sizes[part] = total
        return sizes

    def verify(self) -> tuple[int, list[Digest]]:
        """Compare every blob with its name; damaged ones are moved aside.

        Returns: how many blobs were read, and the digests of the damaged ones.
        """
        damaged = []
        count = 0
        for path in _files(self.root / "blobs"):
            count += 1
            if digests.of_file(path).hex != path.name:
                self._move_aside(path)
                damaged.append(Digest("blake3", path.name))
        return count, damaged

    def collect(self, *, unused_since: float) -> tuple[int, int]:
        """Remove results not used since a time (seconds since 1970), and what only they refer to.

        Returns: how many files went, and their bytes.

        Raises:
            InfrastructureError: a build is using the store.
        """
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InfrastructureError(
                "a build is using the store", subject=str(self.root), remedy="run gc when it is done"
            ) from error
        try:
            kept = self._referenced(unused_since)
            gone = [path for path in _files(self.root / "blobs") if path.name not in kept]
            gone += list(_files(self.root / "damaged"))
            gone += (self.root / "scratch").glob("blob-*")
            freed = sum(path.stat().st_size for path in gone)
            for path in gone:
                path.unlink()
            for folder in (self.root / "checkouts").iterdir():
                remove_folder(folder)
            self._ready.clear()
            return len(gone), freed
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _referenced(self, unused_since: float) -> set[str]:
        """Digests that the results in use mention, and what the trees among them hold."""
        kept: set[str] = set()
        for path in list(_files(self.root / "results")):
            if path.stat().st_mtime < unused_since:
                path.unlink()
                continue
            with contextlib.suppress(InputError):
                kept.update(_mentioned(canonical.loads(path.read_bytes())))
        for name in list(kept):
            place = self._place(name)
            with contextlib.suppress(SourceryError, OSError):
                with place.open("rb") as stream:
                    if not stream.read(14).startswith(b"sourcery-tree"):
                        continue
                kept.update(entry.digest for entry in Tree.parse(place.read_bytes()).files())
        return kept

    # -- within --------------------------------------------------------------------------------

    def _place(self, name: str) -> Path:
        return self.root / "blobs" / name[:2] / name[2:4] / name

    def _result(self, kind: str, key: Digest) -> Path:
        return self.root / "results" / kind / key.hex[:2] / f"{key.hex}.json"

    def _put_known(self, path: Path, digest: Digest, *, move: bool) -> None:
        if self.has(digest):
            return
        if move:
            with contextlib.suppress(OSError):
                self._admit(path, digest)
                return
        with self._fresh_file() as (descriptor, name), path.open("rb") as stream:
            while os.sendfile(descriptor, stream.fileno(), None, 1 << 30):  # type: ignore[arg-type]
                pass
            self._admit(name, digest)

    @contextlib.contextmanager
    def _fresh_file(self) -> Iterator[tuple[int, Path]]:
        descriptor, name = tempfile.mkstemp(dir=self.root / "scratch", prefix="blob-")
        try:
            yield descriptor, Path(name)
        finally:
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)

    def _admit(self, path: Path, digest: Digest) -> None:
        """Give a finished file its place."""
        place = self._place(digest.hex)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.utime(path, (BLOB_TIME, BLOB_TIME))
        path.chmod(0o444)
        path.rename(place)

    def _move_aside(self, place: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            place.rename(self.root / "damaged" / place.name)

    def _sync(self) -> None:
        with contextlib.closing(_Descriptor(self.root)) as folder:
            if ctypes.CDLL(None, use_errno=True).syncfs(folder.number) != 0:
                os.sync()

    def _remove_stale_scratch(self) -> None:
        for path in (self.root / "scratch").iterdir():
            if path.name.startswith("work-") and path.is_dir():
                with contextlib.suppress(OSError), (path / ".lock").open("ab") as handle:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_folder(path)


class _Descriptor:
    """An open folder."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self.number)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it, write-protected parts too; one that is gone is fine."""

    def unprotect(function: Any, path: str, _: object) -> None:  # noqa: ANN401 - shutil's callback
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)
            function(path)

    shutil.rmtree(folder, onerror=unprotect)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def _ancestors(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        for name in names:
            yield Path(where) / name


def _mentioned(value: object) -> Iterator[str]:
    """Every BLAKE3 digest that a JSON document mentions."""
    if isinstance(value, str) and value.startswith("blake3:"):
        yield value.removeprefix("blake3:")
    elif isinstance(value, dict):
        for item in value.values():
            yield from _mentioned(item)
    elif isinstance(value, list):
        for item in value:
            yield from _mentioned(item)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _write_atomically(path: Path, data: bytes) -> None:
    """Put a file in place whole and on the disk, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        try:
            _write_all(descriptor, data)
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    with contextlib.closing(_Descriptor(path.parent)) as folder:
        os.fsync(folder.number)
