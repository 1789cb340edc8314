"""Map of a FAT32 image: what lies at each byte, by what the image itself says.

It is made for images that are damaged or not ours: what cannot be understood is skipped, nothing is
followed twice. Only what the tables say is read; no file's content. Sources: fatgen103, "Boot
Sector and BPB Structure", "FAT Data Structure", "Directory Structure"; the master boot record as
fdisk writes it.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from orchestrator.image.fat import fields
from reproducibility import manifest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # The bytes at a place of the image; fewer at its end.
    Read = Callable[[int, int], bytes]

SECTOR: Final = 512
RECORD: Final = 32
_SIGNATURE = b"\x55\xaa"
_FAT32 = {0x0B, 0x0C}
_FIRST_CLUSTER = 2
# What is held in memory takes 8 bytes a cluster; a volume of 4 KiB clusters and 64 GiB has as many.
_MOST_CLUSTERS = 16 << 20
_MOST_ITEMS = 1_000_000
_MOST_RECORDS = 65_536
# Records of a long name (fatgen103, "FAT Long Directory Entries": 255 signs, 13 in each).
_MOST_OF_A_NAME = 20
_MASK = 0x0FFFFFFF
_LAST = 0x0FFFFFF8
_LABEL, _FOLDER, _LONG = 0x08, 0x10, 0x0F
_DELETED = 0xE5
_LARGEST_CLUSTER = 128
_COPIES = 2


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder. `record`: the byte of the image at which its short record starts.

    `raw`: that record of 32 bytes. `long`: the records of its long name before it. `size`: bytes of
    a file, those of the clusters of a folder. `runs`: where its clusters lie: (byte, bytes).
    """

    path: str
    is_folder: bool
    record: int
    raw: bytes
    long: bytes
    cluster: int
    size: int
    runs: tuple[tuple[int, int], ...]

    @property
    def alias(self) -> str:
        """Its 8.3 name as it is shown, such as `LONGNA~1.TXT`."""
        base, extension = (
            self.raw[start:end].decode("latin-1").rstrip() for start, end in ((0, 8), (8, 11))
        )
        return f"{base}.{extension}" if extension else base


@dataclass(frozen=True, slots=True)
class Location:
    """Place of a byte. `region`: as in `file data`; `field`: which field or entry of it.

    `path`: of the file or folder that it belongs to; empty where it belongs to none. `offset`: the
    byte within that file, or within the region.
    """

    region: str
    field: str = ""
    path: str = ""
    offset: int = 0

    def __str__(self) -> str:
        whose = f" of /{self.path}" if self.path else ""
        which = f", {self.field}" if self.field else ""
        return f"{self.region}{whose}{which}, byte {self.offset} of it"


@dataclass(frozen=True)
class Map:
    """Map of an image: where everything lies.

    `start`: the byte at which the volume starts, 0 where there is no partition table. Sizes are
    bytes. `items`: in the order in which the folders hold them, each folder's before those below
    it. `fat`: the first FAT. `owners`: cluster -> index in `items` and 1, or 0.
    """

    size: int
    start: int
    volume: int
    cluster: int
    reserved: int
    copies: int
    table: int
    info: int
    backup: int
    root: int
    fat: array[int]
    items: list[Item] = field(default_factory=list)
    owners: array[int] = field(default_factory=lambda: array("I"))
    # Of items that were asked about: (byte, bytes, bytes of the item before it), sorted.
    _runs: dict[int, list[tuple[int, int, int]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def data(self) -> int:
        """Byte of the image at which the clusters start."""
        return self.start + self.reserved + self.copies * self.table

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.owners) - _FIRST_CLUSTER

    def at(self, byte: int) -> Location:
        """Return what lies at a byte of the image."""
        if byte < self.start:
            return _before(byte)
        within = byte - self.start
        if within < self.reserved:
            return self._reserved(within)
        if byte < self.data:
            return self._table(within - self.reserved)
        number, rest = divmod(byte - self.data, self.cluster)
        if byte >= self.start + self.volume:
            return Location("behind the partition", offset=byte - self.start - self.volume)
        if number >= self.clusters:
            return Location("behind the last cluster", offset=rest)
        return self._cluster(number + _FIRST_CLUSTER, rest)

    def path_of(self, cluster: int) -> str | None:
        """Whose a cluster is: a path, "" for the root folder; None for nobody's."""
        if not _FIRST_CLUSTER <= cluster < len(self.owners) or not self.owners[cluster]:
            return None
        return self.items[self.owners[cluster] - 1].path

    def _reserved(self, within: int) -> Location:
        sector, byte = divmod(within, SECTOR)
        copy = self.backup and self.backup <= sector < self.backup + 3
        number = sector - self.backup if copy else sector
        prefix = "backup of the " if copy else ""
        if number == 0:
            return Location(f"{prefix}boot sector", fields.name(fields.BOOT, byte), offset=byte)
        if number == self.info:
            return Location(f"{prefix}FSInfo", fields.name(fields.INFORMATION, byte), offset=byte)
        if number == _FIRST_CLUSTER:
            return Location(f"{prefix}third boot sector", offset=byte)
        return Location("reserved sectors", f"sector {sector}", offset=byte)

    def _table(self, within: int) -> Location:
        number, byte = divmod(within, self.table)
        name = ("first FAT", "second FAT")[number] if number < _COPIES else f"FAT {number + 1}"
        entry = byte // 4
        if entry < _FIRST_CLUSTER:
            return Location(name, f"reserved entry {entry}", offset=byte)
        path = self.path_of(entry)
        if path is not None:
            return Location(name, f"entry of cluster {entry}", path or ".", offset=byte)
        words = "free" if entry < len(self.owners) else "without a cluster"
        return Location(name, f"entry of cluster {entry}, {words}", offset=byte)

    def _cluster(self, cluster: int, rest: int) -> Location:
        owner = self.owners[cluster]
        if not owner:
            return Location("free space", f"cluster {cluster}", offset=rest)
        item = self.items[owner - 1]
        byte = rest + self.data + (cluster - _FIRST_CLUSTER) * self.cluster
        inner = self._within(owner, byte)
        if item.is_folder:
            return self._record(item, byte, inner)
        if inner >= item.size:
            return Location("slack", "behind the end", item.path, inner - item.size)
        return Location("file data", "", item.path, inner)

    def _within(self, owner: int, byte: int) -> int:
        """Return where a byte of the image lies within the clusters of an item."""
        runs = self._runs.get(owner)
        if runs is None:
            runs, before = [], 0
            for start, count in self.items[owner - 1].runs:
                runs.append((start, count, before))
                before += count
            runs.sort()
            self._runs[owner] = runs
        index = bisect_right(runs, byte, key=lambda run: run[0]) - 1
        start, _, before = runs[index]
        return before + byte - start

    def _record(self, folder: Item, byte: int, inner: int) -> Location:
        index = bisect_right(self._places, (byte, 1 << 62))
        for place, number in self._places[max(0, index - 1) : index]:
            item = self.items[number]
            if place <= byte < item.record + RECORD:
                at = (byte - item.record) % RECORD
                is_long = byte < item.record
                name = fields.name(fields.LONG if is_long else fields.SHORT, at)
                return Location("directory entry", name, item.path, at)
        where = f"record {inner // RECORD}, {fields.name(fields.SHORT, inner % RECORD)}"
        return Location("directory", where, folder.path or ".", inner)

    @property
    def _places(self) -> list[tuple[int, int]]:
        """Return where each item's records start, sorted: (byte, number)."""
        found = self.__dict__.get("_sorted")
        if found is None:
            found = sorted(
                (item.record - len(item.long), number) for number, item in enumerate(self.items)
                if item.record >= 0
            )  # fmt: skip
            self.__dict__["_sorted"] = found
        return found


def _before(byte: int) -> Location:
    if byte >= SECTOR:
        return Location("gap before the partition", offset=byte)
    return Location("master boot record", fields.name(fields.MASTER, byte), offset=byte)


def read(source: Read, size: int) -> Map:
    """Make the map of an image of `size` bytes, with a partition table or without.

    Raises:
        InputError: it is no FAT32 image, or has more clusters, files or names than are looked at.
        OSError: it cannot be read.
    """
    found = _geometry(source, size)
    _Walk(source, found).walk()
    return found


def looks_like(source: Read, size: int) -> bool:
    """Tell whether bytes begin as a FAT32 image does."""
    try:
        _boot_sector(source, size)
    except InputError:
        return False
    return True


def _boot_sector(source: Read, size: int) -> tuple[int, bytes]:
    """Return where the volume starts, and its boot sector, or the backup where that is damaged."""
    first = source(0, SECTOR)
    if len(first) < SECTOR or first[510:] != _SIGNATURE:
        raise InputError("no boot sector")
    if _is_fat32(first):
        return 0, first
    for at in range(446, 510, 16):
        start = int.from_bytes(first[at + 8 : at + 12], "little") * SECTOR
        if first[at + 4] not in _FAT32 or not 0 < start < size:
            continue
        for sector in (0, 6):
            found = source(start + sector * SECTOR, SECTOR)
            if len(found) == SECTOR and _is_fat32(found):
                return start, found
    raise InputError("no FAT32 volume")


def _is_fat32(sector: bytes) -> bool:
    bytes_, per_cluster, reserved, copies = struct.unpack_from("<HBHB", sector, 11)
    small, root = struct.unpack_from("<H", sector, 22)[0], struct.unpack_from("<I", sector, 44)[0]
    return bool(
        sector[0] in {0xEB, 0xE9}
        and bytes_ == SECTOR
        and 0 < per_cluster <= _LARGEST_CLUSTER
        and per_cluster & (per_cluster - 1) == 0
        and reserved
        and 0 < copies <= _COPIES
        and not small
        and root >= _FIRST_CLUSTER
        and struct.unpack_from("<I", sector, 36)[0]
    )


def _geometry(source: Read, size: int) -> Map:
    start, sector = _boot_sector(source, size)
    per_cluster, reserved, copies = struct.unpack_from("<BHB", sector, 13)
    sectors, table = struct.unpack_from("<II", sector, 32)
    root, info, backup = struct.unpack_from("<IHH", sector, 44)
    volume = min(sectors * SECTOR, size - start)
    data = (reserved + copies * table) * SECTOR
    clusters = min((volume - data) // (per_cluster * SECTOR), table * SECTOR // 4 - _FIRST_CLUSTER)
    if clusters < 1 or clusters > _MOST_CLUSTERS:
        raise InputError(f"{max(clusters, 0)} clusters are none that are looked at")
    count = clusters + _FIRST_CLUSTER
    raw = source(start + reserved * SECTOR, count * 4)
    fat = array("I", raw[: len(raw) // 4 * 4])
    if sys.byteorder == "big":
        fat.byteswap()
    fat.extend([0] * (count - len(fat)))
    owners = array("I", bytes(4 * count))
    return Map(
        size, start, volume, per_cluster * SECTOR, reserved * SECTOR, copies, table * SECTOR, info,
        backup, root, fat, [], owners,
    )  # fmt: skip


class _Walk:
    """One pass over all folders. A cluster belongs to who comes first."""

    def __init__(self, source: Read, found: Map) -> None:
        self._read = source
        self._map = found
        # Signs of all paths: those of nested folders grow with the square of the image's size.
        self._signs = 0

    def walk(self) -> None:
        """Fill the map's items and owners."""
        found = self._map
        root = Item("", True, -1, bytes(RECORD), b"", found.root, 0, ())  # noqa: FBT003 - a folder
        pending = deque([self._claim(root)])
        while pending:
            folder = pending.popleft()
            for item in self._records(folder):
                if len(found.items) >= _MOST_ITEMS:
                    raise InputError("more files than are looked at")
                claimed = self._claim(item)
                if claimed.is_folder and claimed.runs:
                    pending.append(claimed)

    def _claim(self, item: Item) -> Item:
        """Add an item, its clusters with it."""
        found = self._map
        number = len(found.items) + 1
        runs: list[tuple[int, int]] = []
        cluster = item.cluster
        count = 0
        most = found.clusters if item.is_folder else -(-item.size // found.cluster)
        while _FIRST_CLUSTER <= cluster < len(found.owners) and not found.owners[cluster]:
            if count >= most:
                break
            found.owners[cluster] = number
            count += 1
            at = found.data + (cluster - _FIRST_CLUSTER) * found.cluster
            if runs and sum(runs[-1]) == at:
                runs[-1] = runs[-1][0], runs[-1][1] + found.cluster
            else:
                runs.append((at, found.cluster))
            cluster = found.fat[cluster] & _MASK
            if cluster >= _LAST:
                break
        size = count * found.cluster if item.is_folder else item.size
        claimed = Item(item.path, item.is_folder, item.record, item.raw, item.long, item.cluster,
                       size, tuple(runs))  # fmt: skip
        found.items.append(claimed)
        return claimed

    def _records(self, folder: Item) -> Iterator[Item]:
        prefix = f"{folder.path}/" if folder.path else ""
        long: list[bytes] = []
        for at, raw in self._each(folder):
            if raw[0] == 0:
                return
            if raw[11] & 0x3F == _LONG and raw[0] != _DELETED:
                if len(long) <= _MOST_OF_A_NAME:
                    long.append(raw)
                continue
            # More than a name can have are damage: the file has its short name only.
            before, long = long if len(long) <= _MOST_OF_A_NAME else [], []
            if raw[0] in {_DELETED, ord(".")} or raw[11] & _LABEL:
                continue
            name = _long_name(before) or _short_name(raw)
            cluster = int.from_bytes(raw[20:22] + b"", "little") << 16
            cluster |= int.from_bytes(raw[26:28], "little")
            is_folder = bool(raw[11] & _FOLDER)
            size = 0 if is_folder else int.from_bytes(raw[28:32], "little")
            path = prefix + name
            self._limit(path)
            yield Item(path, is_folder, at, raw, b"".join(before), cluster, size, ())

    def _limit(self, path: str) -> None:
        """Refuse paths that only damage, or somebody who means harm, makes."""
        self._signs += len(path)
        if len(path) > manifest.LONGEST_PATH:
            raise InputError("a longer path than is looked at")
        if path.count("/") >= manifest.MOST_PARTS:
            raise InputError("deeper folders than are looked at")
        if self._signs > manifest.MOST_NAMES:
            raise InputError("more names than are looked at")

    def _each(self, folder: Item) -> Iterator[tuple[int, bytes]]:
        count = 0
        for start, length in folder.runs:
            for piece in range(0, length, 1 << 16):
                data = self._read(start + piece, min(1 << 16, length - piece))
                for at in range(0, len(data) - RECORD + 1, RECORD):
                    count += 1
                    if count > _MOST_RECORDS:
                        return
                    yield start + piece + at, data[at : at + RECORD]


def _short_name(raw: bytes) -> str:
    base, extension = (raw[a:b].decode("latin-1").rstrip() for a, b in ((0, 8), (8, 11)))
    return f"{base}.{extension}" if extension else base


def _long_name(records: list[bytes]) -> str:
    units = b"".join(raw[1:11] + raw[14:26] + raw[28:32] for raw in reversed(records))
    return units.decode("utf-16-le", "replace").split("\0")[0]
