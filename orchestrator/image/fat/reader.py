"""Reads a FAT32 image back with `pyfatfs`: the witness that shares no code with the writer.

`pyfatfs` makes sense of the boot sector, the FAT, the folders and the names, and says where each
cluster lies; what lies there is hashed. Only its `PyFat` is used: `PyFatFS` needs a part of
setuptools that is gone. Damage that `pyfatfs` would follow without end (a cluster in two places)
or pass over (clusters that belong to nothing) is an error here, and so are its warnings.
"""

from __future__ import annotations

import calendar
import os
import struct
import warnings
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from blake3 import blake3
from cryptography.hazmat.primitives import hashes
from pyfatfs._exceptions import NotAnLFNEntryException, PyFATException
from pyfatfs.PyFat import PyFat

from reproducibility import regular
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, SourceryError
from reproducibility.manifest import LONGEST_PATH, MOST_PARTS, Entry, Tree, directory, file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

_BUFFER = 1 << 20
_DAY = 86_400
_FIRST_DATA_CLUSTER = 2

# The partition table's first entry, in sector 0: status, address, type, address, start, count.
_TABLE = struct.Struct("<446xB3xB3xII48xH")
_ACTIVE_FAT32 = (0x80, 0x0C)
_SIGNATURE = 0xAA55
_SECTOR = 512
# In the volume's boot sector: bytes a sector, reserved sectors, FATs, sectors of one (16, 32 bits).
_BOOT_SECTOR = struct.Struct("<11xHxHB5xH12xI")
# Bytes of a directory: 65,536 records of 32 (fatgen103, "FAT Directory Structure").
_LARGEST_FOLDER = 65_536 * 32
_FAT_ENTRY = 4


@dataclass(frozen=True)
class Reading:
    """Content of an image as it was read.

    `tree`: no file is executable, VFAT has no such thing. `moments`: every creation and write time,
    `days`: every access date, both in seconds since 1970-01-01 UTC. `used`: clusters. `sha256`: of
    the files that were asked for, by path, in hexadecimal digits.
    """

    tree: Tree
    label: str
    volume_id: int
    moments: frozenset[int]
    days: frozenset[int]
    used: int
    sha256: Mapping[str, str] = field(default_factory=dict, compare=False)

    def stray_times(self, epoch: int) -> list[int]:
        """The times that are not `epoch` (for access: its day); empty is how it must be."""
        return sorted((self.moments - {epoch}) | (self.days - {epoch - epoch % _DAY}))


def expected(tree: Tree) -> Tree:
    """The tree as VFAT can carry it: no file is executable."""
    return Tree(
        Entry(entry.path, entry.kind, executable=False, size=entry.size, digest=entry.digest)
        for entry in tree.entries
    )


def partition(image: Path) -> int:
    """Byte of a disk image at which its first partition starts.

    Raises:
        ComparisonError: the image does not start with a partition table whose first entry is an
            active FAT32 partition inside the image.
    """
    with regular.opened(image) as stream:
        sector = stream.read(_SECTOR)
        size = os.fstat(stream.fileno()).st_size
    if len(sector) == _SECTOR:
        status, kind, start, count, signature = _TABLE.unpack(sector)
        inside = start > 0 and (start + count) * _SECTOR <= size
        if signature == _SIGNATURE and (status, kind) == _ACTIVE_FAT32 and inside:
            return int(start * _SECTOR)
    raise ComparisonError(
        "not a disk image whose first partition is active and FAT32", subject=str(image)
    )


def _none(_: str) -> bool:
    return False


def read(
    image: Path,
    *,
    offset: int | None = None,
    sha256: Callable[[str], bool] = _none,
    most_clusters: int | None = None,
    most_entries: int | None = None,
) -> Reading:
    """Read a whole image. `offset`: byte at which the volume starts; else the table says it.

    `sha256`: says of a path whether its SHA-256 is wanted too. `most_clusters`: refuse an image
    whose tables have entries for more; each takes 40 bytes of memory for a moment. `most_entries`:
    the same of one with more files and folders; each takes some 400 bytes.

    Raises:
        ComparisonError: the image is damaged or no FAT32 volume; says what is wrong.
        OSError: the image cannot be read.
    """
    start = partition(image) if offset is None else offset
    with _judged(image), regular.opened(image) as stream:
        _check_tables(stream, start, most_clusters)
        volume = _Volume(offset=start)
        volume.set_fp(stream)
        # As a list of numbers it takes ten times the memory.
        volume.fat = array("I", volume.fat)
        return _Walk(volume, stream.fileno(), start, sha256, most_entries).reading()


@contextmanager
def _judged(image: Path) -> Iterator[None]:
    """Context that turns errors and warnings of `pyfatfs` into errors about the image."""
    warnings.filterwarnings("error", module=r"pyfatfs\.")
    try:
        yield
    except (
        PyFATException,
        SourceryError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
        Warning,
        struct.error,
    ) as error:
        reason = error.summary if isinstance(error, SourceryError) else str(error)
        raise ComparisonError(f"the image is damaged: {reason}", subject=str(image)) from error


def _check_tables(stream: BinaryIO, start: int, most_clusters: int | None) -> None:
    """Compare what the boot sector says of the FATs with the file, before they are read."""
    stream.seek(start)
    sector = stream.read(_SECTOR)
    if len(sector) < _SECTOR:
        raise ComparisonError("it ends before its boot sector does")
    bytes_, reserved, count, small, large = _BOOT_SECTOR.unpack_from(sector)
    size = (small or large) * bytes_
    end = start + reserved * bytes_ + count * size
    if most_clusters is not None and size > most_clusters * _FAT_ENTRY:
        raise ComparisonError(f"a table for more than {most_clusters} clusters")
    if end > os.fstat(stream.fileno()).st_size:
        raise ComparisonError("its tables reach beyond the end of the image")


class _Volume(PyFat):  # type: ignore[misc]
    """A volume in which each cluster may be used once."""

    def __init__(self, *, offset: int) -> None:
        super().__init__(offset=offset)
        self._seen = bytearray()

    @property
    def met(self) -> int:
        """Number of clusters that were met."""
        return sum(self._seen)

    def get_cluster_chain(
        self, first_cluster: int, most: int | None = _LARGEST_FOLDER
    ) -> Iterator[int]:
        """The clusters of a chain. `most`: bytes that it may have, by default those of a directory.

        Raises:
            ComparisonError: one of them was met before, in this chain or another; or it is longer.
        """
        left = -1 if most is None else max(1, most // self.bytes_per_cluster)
        if not self._seen:
            self._seen = bytearray(len(self.fat))
        seen = self._seen
        for cluster in super().get_cluster_chain(first_cluster):
            if seen[cluster]:
                raise ComparisonError(f"cluster {cluster} is used twice")
            if not left:
                raise ComparisonError(f"the directory at cluster {first_cluster} is too large")
            left -= 1
            seen[cluster] = 1
            yield cluster


class _Walk:
    """One pass over all folders and files."""

    def __init__(
        self,
        volume: _Volume,
        descriptor: int,
        offset: int,
        sha256: Callable[[str], bool],
        most_entries: int | None,
    ) -> None:
        self._volume = volume
        self._most_entries = most_entries
        self._met = 0
        self._descriptor = descriptor
        self._offset = offset
        self._header: dict[str, Any] = volume.bpb_header
        self._buffer = memoryview(bytearray(_BUFFER))
        self._times: dict[tuple[int, ...], Any] = {}
        self._labels: list[str] = []
        self._wanted = sha256
        self._sha256: dict[str, str] = {}

    def reading(self) -> Reading:
        """Walk, check that nothing is left over, and sum up."""
        tree = Tree(self._entries())
        self._check_leftovers()
        return Reading(
            tree,
            self._label(),
            self._header["BS_VolID"],
            frozenset(self._moments()),
            frozenset(_seconds(entry.get_atime()) for entry in self._times.values()),
            self._volume.met,
            self._sha256,
        )

    def _entries(self) -> Iterator[Entry]:
        # A folder is remembered by its cluster: its object would keep all that is read below it.
        pending: list[tuple[str, int, int]] = []
        root = [child for kind in self._volume.root_dir.get_entries() for child in kind]
        special = yield from self._children("", 0, root, pending)
        self._labels = [name for name, _ in special]
        while pending:
            path, cluster, above = pending.pop()
            children = self._volume.parse_dir_entries_in_cluster_chain(cluster)
            special = yield from self._children(path, cluster, children, pending)
            if special != [(".", cluster), ("..", above)]:
                raise ComparisonError(f"{path} does not start with itself and the folder above")
            if len(children) == len(special):
                yield directory(path)

    def _children(
        self, path: str, cluster: int, children: list[Any], pending: list[tuple[str, int, int]]
    ) -> Generator[Entry, None, list[tuple[str, int]]]:
        """The files among the children; folders go to `pending`, what is special is returned."""
        prefix = f"{path}/" if path else ""
        if len(path) > LONGEST_PATH or prefix.count("/") > MOST_PARTS:
            # A tree refuses them, too, but only when the paths of all have filled the memory.
            raise ComparisonError("folders in folders, deeper than a tree can have them")
        special = []
        self._met += len(children)
        if self._most_entries is not None and self._met > self._most_entries:
            raise ComparisonError(f"more than {self._most_entries} files and folders")
        for child in children:
            self._note_times(child)
            if child.is_special() or child.is_volume_id():
                special.append((str(child.get_short_name()), int(child.get_cluster())))
            elif child.is_directory():
                pending.append((prefix + _name(child), child.get_cluster(), cluster))
            else:
                yield self._file(prefix + _name(child), child)
        return special

    def _file(self, path: str, found: Any) -> Entry:  # noqa: ANN401 - pyfatfs has no types
        hasher = blake3()
        other = hashes.Hash(hashes.SHA256()) if self._wanted(path) else None
        left = found.filesize
        first = found.get_cluster()
        if left == 0 and first:
            raise ComparisonError(f"{path} is empty, but has the cluster {first}")
        for start, length in self._runs(first) if left else ():
            at, end = start, start + min(length, left)
            left -= end - start
            while at < end:
                count = os.preadv(self._descriptor, [self._buffer[: end - at]], at)
                if not count:
                    raise ComparisonError(f"{path} reaches beyond the end of the image")
                hasher.update(self._buffer[:count])
                if other is not None:
                    other.update(self._buffer[:count])
                at += count
            if not left and length - (end - start) >= self._volume.bytes_per_cluster:
                raise ComparisonError(f"{path} has more clusters than its size needs")
        if left:
            raise ComparisonError(f"{path} has fewer clusters than its size needs")
        if other is not None:
            self._sha256[path] = other.finalize().hex()
        return file(path, Digest("blake3", hasher.hexdigest()), found.filesize)

    def _runs(self, first: int) -> Iterator[tuple[int, int]]:
        """The chain's pieces: (byte in the image, bytes). As they are met: a chain may be long."""
        begin = end = first
        for cluster in self._volume.get_cluster_chain(first, most=None):
            if cluster != end:
                yield self._piece(begin, end)
                begin = cluster
            end = cluster + 1
        yield self._piece(begin, end)

    def _piece(self, begin: int, end: int) -> tuple[int, int]:
        address = self._volume.get_data_cluster_address(begin)
        return self._offset + address, (end - begin) * self._volume.bytes_per_cluster

    def _note_times(self, found: Any) -> None:  # noqa: ANN401 - pyfatfs has no types
        raw = (found.crtdate, found.crttime, found.crttimetenth, found.lstaccessdate, found.wrtdate)
        self._times.setdefault((*raw, found.wrttime), found)

    def _moments(self) -> Iterator[int]:
        for entry in self._times.values():
            yield _seconds(entry.get_mtime())
            # "Tenths" are units of 10 ms, up to 2 s: any at all make the time another one.
            yield _seconds(entry.get_ctime()) - (-entry.crttimetenth // 100)

    def _label(self) -> str:
        written = bytes(self._header["BS_VolLab"]).decode("ascii", "replace").rstrip()
        if self._labels != [written]:
            raise ComparisonError(
                f"the boot sector names the volume {written!r}, the root folder {self._labels}"
            )
        return written

    def _check_leftovers(self) -> None:
        """Every cluster that is in use belongs to something."""
        used = sum(map(bool, self._volume.fat[_FIRST_DATA_CLUSTER:]))
        if used != self._volume.met:
            raise ComparisonError(
                f"{used} clusters are in use, but {self._volume.met} belong to a file or folder"
            )


def _seconds(moment: datetime) -> int:
    return calendar.timegm(moment.timetuple())


def _name(found: Any) -> str:  # noqa: ANN401 - pyfatfs has no types
    try:
        return str(found.get_long_name())
    except NotAnLFNEntryException:
        return str(found.get_short_name())
