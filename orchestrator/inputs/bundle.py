"""Bundle: one tar file that carries a lock's inputs to a machine without network.

A tar archive in one zstd frame, the same bytes for the same lock and machine: `bundle.json` (which
lock, which machine, and whether a second root is in it), then blobs named by their BLAKE3: the
artifacts as they were published, the manifests of the sources with their dependencies, and those
trees' files. A person's own files (`[[file]]`, local sources) travel with the spec, not here.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from containers.host import durable
from orchestrator.inputs import bundle_header, tar_members, unpack
from orchestrator.inputs.ensure import needed
from orchestrator.inputs.transport import LARGEST
from orchestrator.lock.file import GCC, GoModule, LocalPath, SecondRoot, WorkerTools
from reproducibility import canonical, manifest, regular
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError, SourceryError

if TYPE_CHECKING:
    from typing import BinaryIO

    from orchestrator.architecture import Architecture
    from orchestrator.inputs.transport import Store
    from orchestrator.lock.file import Lock
    from reproducibility.manifest import Tree

_SCHEMA = 1
_HEADER = bundle_header.NAME
_LARGEST_HEADER = 1 << 16
_ROOT, _WORKERS = bundle_header.ROOT, bundle_header.WORKERS
# The level is a matter of taste, but it and the threads (0, not 1) are part of the bytes.
_LEVEL = 3
_AGAIN = "copy it again, or make it again with `orchestrate fetch --bundle`"
_WHERE = "give a file in a folder that is there and can be written, on a disk with room"
_WHICH = "give a file that can be read, as `orchestrate fetch --bundle` makes it"
# A window of 2 MiB is what this level takes.
_WINDOW = 8 << 20


def write(  # noqa: PLR0913 - what goes into it, by keyword
    lock: Lock,
    store: Store,
    path: Path,
    host: Architecture,
    *,
    root: SecondRoot | None = None,
    workers: bool = False,
) -> int:
    """Write the bundle for a machine of an architecture; returns its size in bytes.

    What it is to hold must be in the store: `ensure(..., artifacts=True)` sees to that. `root`: a
    second root that it is to hold too. `workers`: whether it is to hold what isolates on a build
    farm's workers, whatever their architecture.

    Raises:
        InfrastructureError: something is not in the store, or the file cannot be written.
    """
    wanted = _Wanted(lock, host)
    if root is not None:
        wanted.add_root(root)
    if workers:
        wanted.add_workers()
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as out:
            try:
                compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=0)
                with (
                    compressor.stream_writer(out, closefd=False) as stream,
                    tarfile.open(mode="w|", fileobj=stream, format=tarfile.USTAR_FORMAT) as tar,
                ):
                    _write_members(wanted, store, tar)
                out.flush()
                size = out.tell()
                Path(out.name).chmod(0o644)
                # It is carried away next: what is reported as written is on the medium.
                os.fsync(out.fileno())
                Path(out.name).replace(path)
            except BaseException:
                Path(out.name).unlink(missing_ok=True)
                raise
        durable.sync(path.parent)
    except OSError as error:
        raise InfrastructureError(
            f"cannot write the bundle: {error.strerror}", subject=str(path), remedy=_WHERE
        ) from error
    return size


def read(path: Path, lock: Lock, store: Store, host: Architecture) -> None:
    """Put a bundle's contents into the store, each compared with what the lock pins.

    A second root that is not the one that the lock pins now is passed over: no build needs it. So
    is what isolates on a farm's workers.

    Raises:
        InputError: not a bundle, damaged, cut short, for another lock or another machine.
    """
    wanted = _Wanted(lock, host)
    try:
        file = regular.opened(path)
    except OSError as error:
        raise InputError(
            f"cannot read the bundle: {error.strerror}", subject=str(path), remedy=_WHICH
        ) from error
    with (
        file,
        unpack.refusing_damage("the bundle is damaged or cut short", str(path), _AGAIN),
        zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file) as stream,
        tarfile.open(mode="r|", fileobj=stream, tarinfo=tar_members.PlainMember) as tar,
    ):
        members = tar_members.each(tar)
        _check_header(tar, next(members, None), wanted, path)
        for member in members:
            _take(tar, member, wanted, store, path)
    missing = wanted.missing()
    if missing:
        raise InputError(
            f"the bundle is incomplete: it lacks {missing}",
            subject=str(path),
            remedy=_AGAIN,
        )


class _Wanted:
    """Blobs that belong into a bundle, with the bytes that each may have at most."""

    def __init__(self, lock: Lock, host: Architecture) -> None:
        self.header = {"schema": _SCHEMA, "lock": str(lock.digest), "host": host}
        self.artifacts: dict[Digest, tuple[str, int]] = {}
        self.manifests: dict[Digest, str] = {}
        self.files: dict[Digest, int] = {}
        # How many bytes may come that the lock does not pin, and that are not kept.
        self._spare = 0
        self._seen: set[Digest] = set()
        self._lock = lock
        self._host = host
        for found in needed(lock, host):
            if not isinstance(found, LocalPath):
                self.artifacts[found.blake3] = (found.label, found.size)
            if isinstance(found, GoModule | LocalPath) and found.vendored is not None:
                self.manifests[found.vendored] = f"{found.label} with its dependencies"

    def add_root(self, root: SecondRoot) -> None:
        """The artifacts of a second root belong into the bundle too."""
        self.header[_ROOT] = _identity(root)
        for package in root.packages:
            self.artifacts[package.blake3] = (package.label, package.size)
        for release in root.releases:
            self.artifacts[release.blake3] = (release.label, release.size)

    def expect_root(self, identity: object) -> None:
        """Take it that a second root comes too, and that it is no use if it is not the pinned."""
        root = self._lock.roots.get(GCC, {}).get(self._host)
        if isinstance(root, SecondRoot) and _identity(root) == identity:
            self.add_root(root)
        else:
            self._spare += LARGEST

    def add_workers(self) -> None:
        """The packages for a farm's workers belong into the bundle too."""
        self.header[_WORKERS] = _identity(*self._workers())
        for tools in self._workers():
            for package in tools.packages:
                self.artifacts[package.blake3] = (package.label, package.size)

    def expect_workers(self, identity: object) -> None:
        """Take it that they come too, and that they are no use if they are not the pinned."""
        if _identity(*self._workers()) == identity:
            self.add_workers()
        else:
            self._spare += LARGEST

    def _workers(self) -> list[WorkerTools]:
        return [found for found in self._lock.workers.values() if isinstance(found, WorkerTools)]

    def passes_over(self, size: int) -> bool:
        """Return whether a blob that the lock does not pin may come all the same; `size`: bytes."""
        self._spare -= size
        return self._spare >= 0

    def add_files(self, tree: Tree) -> None:
        """The files of a manifest belong into the bundle too."""
        self.files.update((entry.content, entry.size) for entry in tree.files())

    def limit(self, digest: Digest) -> int | None:
        """The bytes that a blob may have; None if it does not belong there."""
        if digest in self.artifacts:
            return self.artifacts[digest][1]
        if digest in self.manifests:
            return manifest.LARGEST
        return self.files.get(digest)

    def seen(self, digest: Digest) -> None:
        """A blob has come."""
        self._seen.add(digest)

    def missing(self) -> str:
        """Return what has not come, in words; empty if nothing."""
        for digest, (label, _) in sorted(self.artifacts.items()):
            if digest not in self._seen:
                return label
        for digest, label in sorted(self.manifests.items()):
            if digest not in self._seen:
                return label
        count = len(self.files.keys() - self._seen)
        return f"{count} files of the sources" if count else ""


def _identity(*pinned: SecondRoot | WorkerTools) -> str:
    """Digest of everything that comes with a second root, or with what isolates on workers."""
    everything = {str(digest) for one in pinned for digest in one.digests}
    return str(digests.of_bytes(canonical.dumps(sorted(everything))))


def _write_members(wanted: _Wanted, store: Store, tar: tarfile.TarFile) -> None:
    header = canonical.pretty(wanted.header)
    _add(tar, _HEADER, io.BytesIO(header), len(header))
    for digest in [*sorted(wanted.artifacts), *sorted(wanted.manifests)]:
        label = wanted.manifests.get(digest) or wanted.artifacts[digest][0]
        if not store.has(digest):
            raise InfrastructureError(
                f"{label} is not in the store", subject=str(digest), remedy="fetch it first"
            )
        if digest in wanted.manifests:
            wanted.add_files(store.load_tree(digest))
        _add_blob(tar, digest, store)
    for digest in sorted(wanted.files.keys() - wanted.artifacts.keys() - wanted.manifests.keys()):
        _add_blob(tar, digest, store)


def _add_blob(tar: tarfile.TarFile, digest: Digest, store: Store) -> None:
    path = store.blob(digest)
    with path.open("rb") as stream:
        _add(tar, _blob_name(digest), stream, path.stat().st_size)


def _add(tar: tarfile.TarFile, name: str, stream: BinaryIO, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, stream)


def _check_header(
    tar: tarfile.TarFile, member: tarfile.TarInfo | None, wanted: _Wanted, path: Path
) -> None:
    stream = None
    if member is not None and member.name == _HEADER and member.size <= _LARGEST_HEADER:
        stream = tar.extractfile(member)
    if stream is None:
        raise InputError(f"not a bundle: it does not start with {_HEADER}", subject=str(path))
    header = canonical.loads(stream.read(), subject=f"{path}, {_HEADER}")
    if not isinstance(header, dict) or header.get("schema") != _SCHEMA:
        raise InputError("not a bundle, or one of another version", subject=str(path))
    for key, remedy in (
        ("lock", "build with the lock it was made for, or make it again"),
        ("host", "make it again: `orchestrate fetch --bundle` on a machine of that architecture"),
    ):
        if header.get(key) != wanted.header[key]:
            raise InputError(
                f"the bundle was made for another {key}: expected {wanted.header[key]}, "
                f"found {header.get(key)}",
                subject=str(path),
                remedy=remedy,
            )
    if _ROOT in header:
        wanted.expect_root(header[_ROOT])
    if _WORKERS in header:
        wanted.expect_workers(header[_WORKERS])


def _take(
    tar: tarfile.TarFile, member: tarfile.TarInfo, wanted: _Wanted, store: Store, path: Path
) -> None:
    where = f"{path}, {member.name}"
    digest = _digest_of_name(member.name)
    stream = tar.extractfile(member) if member.isreg() else None
    if digest is None or stream is None:
        raise InputError("a name in the bundle is not that of a blob", subject=where)
    limit = wanted.limit(digest)
    if limit is None and wanted.passes_over(member.size):
        return
    if limit is None:
        raise InputError("the bundle holds something that the lock does not pin", subject=where)
    if member.size > limit:
        raise InputError(
            f"a blob of the bundle has {member.size} bytes, expected {limit}", subject=where
        )
    found, _ = store.put_stream(stream, limit=limit)  # type: ignore[arg-type]
    if found != digest:
        raise InputError(
            f"a blob of the bundle is damaged: expected {digest}, found {found}",
            subject=where,
            remedy="copy the bundle again",
        )
    wanted.seen(digest)
    if digest in wanted.manifests:
        wanted.add_files(store.load_tree(digest))


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.hex}"


def _digest_of_name(name: str) -> Digest | None:
    with contextlib.suppress(SourceryError):
        if name.startswith("blobs/"):
            return Digest("blake3", name.removeprefix("blobs/"))
    return None
