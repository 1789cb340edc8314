"""Expected directories of a FAT32 volume, computed from the tree, and where everything must lie.

Sources: fatgen103, "FAT 32 Byte Directory Entry Structure", "FAT Long Directory Entries", "The
Basis-Name Generation Algorithm", "The Numeric-Tail Generation Algorithm".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reproducibility.manifest import Entry, Tree

RECORD = 32
ROOT_CLUSTER = 2

_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~")
_EIGHT_AND_THREE = re.compile(r"([^.]{1,8})(?:\.([^.]{1,3}))?")
_UNITS = 13

# Attributes of a record.
_LABEL, _FOLDER, _FILE = b"\x08", b"\x10", b"\x20"
# Read-only, hidden, system, archive: a file whose sectors somebody has written down.
_PINNED = b"\x27"
_LONG = 0x0F
_LAST = 0x40

# Where the fields of a record start, from the last one on.
_SHORT_FIELDS = (
    (28, "size"), (26, "first cluster"), (24, "date written"), (22, "time written"),
    (20, "first cluster"), (18, "date accessed"), (16, "date made"), (14, "time made"),
    (13, "time made"), (12, "reserved byte"), (11, "attributes"), (0, "short name"),
)  # fmt: skip
_LONG_FIELDS = (
    (28, "long name"), (26, "first cluster"), (14, "long name"), (13, "checksum"), (12, "type"),
    (11, "attributes"), (1, "long name"), (0, "ordinal"),
)  # fmt: skip


@dataclass(slots=True)
class Folder:
    """One directory. `children`: name -> file, or None for a directory; sorted by name."""

    path: str
    children: dict[str, Entry | None] = field(default_factory=dict)
    cluster: int = 0
    clusters: int = 0
    names: list[bytes] = field(default_factory=list)

    def below(self, name: str) -> str:
        """The path of a child."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(slots=True)
class Plan:
    """Expected places of everything, in clusters of one size.

    `files`: (file, first cluster), in the order of the clusters; an empty file has cluster 0.
    `ends`: the last cluster of each directory and file. `next`: the first free cluster.
    """

    folders: list[Folder]
    files: dict[str, int]
    ends: list[int]
    next: int


def plan(tree: Tree, label: str, cluster_size: int) -> Plan:
    """The directories in the order of their paths, then the files, directory by directory."""
    folders = _turned(tree)
    ends = []
    free = ROOT_CLUSTER
    for folder in folders:
        folder.names = short_names(list(folder.children), () if folder.path else (label,))
        records = sum(map(_records, folder.children)) + (2 if folder.path else 1)
        folder.cluster, folder.clusters = free, -(-records * RECORD // cluster_size)
        free += folder.clusters
        ends.append(free - 1)
    files = {}
    for folder in folders:
        for entry in folder.children.values():
            if entry is None:
                continue
            files[entry.path] = free if entry.size else 0
            if entry.size:
                free += -(-entry.size // cluster_size)
                ends.append(free - 1)
    return Plan(folders, files, ends, free)


def _turned(tree: Tree) -> list[Folder]:
    """Return what lies in each directory; both sorted by code point."""
    found: dict[str, dict[str, Entry | None]] = {"": {}}
    for entry in tree.entries:
        *above, name = entry.path.split("/")
        at = ""
        for part in above:
            found[at][part] = None
            at = f"{at}/{part}" if at else part
            found.setdefault(at, {})
        if entry.kind == "directory":
            found[at][name] = None
            found[entry.path] = {}
        else:
            found[at][name] = entry
    return [
        Folder(path, {name: children[name] for name in sorted(children)})
        for path, children in sorted(found.items())
    ]


def _records(name: str) -> int:
    if _is_plain(name):
        return 1
    return 1 - (-len(name.encode("utf-16-le")) // (2 * _UNITS))


def _is_plain(name: str) -> bool:
    """Return whether a name is an 8.3 name as it stands, and has no long form."""
    return _EIGHT_AND_THREE.fullmatch(name) is not None and _ALLOWED.issuperset(
        name.replace(".", "")
    )


def _upper(name: str) -> str:
    """Upper case, one character for one, as VFAT compares names."""
    if name.isascii():
        return name.upper()
    capitals = ((one, one.upper(), one.title()) for one in name)
    return "".join(
        upper if len(upper) == 1 else title if len(title) == 1 else one
        for one, upper, title in capitals
    )


def short_names(names: Sequence[str], reserved: Sequence[str] = ()) -> list[bytes]:
    """The 11 bytes of each name in a directory; `reserved`: what none of them may be besides."""
    capitals = [_upper(name) for name in names]
    taken = {*capitals, *reserved}
    numbers: dict[tuple[str, str], int] = {}
    found = []
    for upper in capitals:
        if _is_plain(upper):
            stem, _, tail = upper.partition(".")
        else:
            stem, tail = _basis(upper)
            number = numbers.get((stem, tail), 0)
            while True:
                number += 1
                mark = f"~{number}"
                numbered = stem[: 8 - len(mark)] + mark
                whole = f"{numbered}.{tail}" if tail else numbered
                if whole not in taken:
                    break
            taken.add(whole)
            numbers[stem, tail] = number
            stem = numbered
        found.append((stem.ljust(8) + tail.ljust(3)).encode("ascii"))
    return found


def _basis(upper: str) -> tuple[str, str]:
    cut = upper.lstrip(". ")
    at = cut.rfind(".")
    stem, tail = (cut, "") if at < 0 else (cut[:at], cut[at + 1 :])
    return _cleaned(stem.replace(".", ""), 8), _cleaned(tail, 3)


def _cleaned(text: str, most: int) -> str:
    return "".join(one if one in _ALLOWED else "_" for one in text.replace(" ", "")[:most])


class Writing:
    """The records of a volume's directories. `pinned`: paths of files that must not be moved."""

    def __init__(self, where: Plan, label: str, epoch: int, pinned: frozenset[str]) -> None:
        self._label = label.ljust(11).encode("ascii")
        self._starts = {folder.path: folder.cluster for folder in where.folders}
        self._files = where.files
        self._pinned = pinned
        moment = datetime.fromtimestamp(epoch, UTC)
        clock = moment.hour * 2048 + moment.minute * 32 + moment.second // 2
        date = (moment.year - 1980) * 512 + moment.month * 32 + moment.day
        clock_bytes, self._date = clock.to_bytes(2, "little"), date.to_bytes(2, "little")
        # Reserved byte and tenths, made, accessed; the cluster's upper half; written.
        self._before = b"\0\0" + clock_bytes + self._date + self._date
        self._after = clock_bytes + self._date

    def content(self, folder: Folder, size: int) -> bytes:
        """The content of a directory of `size` bytes."""
        return b"".join(record for _, record in self.records(folder)).ljust(size, b"\0")

    def records(self, folder: Folder) -> Iterator[tuple[str, bytes]]:
        """Yield whose record it is, and its bytes."""
        if folder.path:
            parent = folder.path.rpartition("/")[0]
            above = self._starts[parent] if parent else 0
            yield ".", self._short(b".".ljust(11), _FOLDER, folder.cluster, 0)
            yield "..", self._short(b"..".ljust(11), _FOLDER, above, 0)
        else:
            yield "the label", self._short(self._label, _LABEL, 0, 0)
        for (name, entry), short in zip(folder.children.items(), folder.names, strict=True):
            path = folder.below(name)
            if not _is_plain(name):
                for record in _long(name, short):
                    yield path, record
            if entry is None:
                yield path, self._short(short, _FOLDER, self._starts[path], 0)
            else:
                attributes = _PINNED if path in self._pinned else _FILE
                yield path, self._short(short, attributes, self._files[path], entry.size)

    def _short(self, name: bytes, attributes: bytes, cluster: int, size: int) -> bytes:
        number = cluster.to_bytes(4, "little")
        return b"".join(
            (name, attributes, self._before, number[2:], self._after, number[:2],
             size.to_bytes(4, "little"))
        )  # fmt: skip


def _long(name: str, short: bytes) -> Iterator[bytes]:
    """The records of a long name, its end first."""
    total = 0
    for byte in short:
        total = ((total >> 1 | (total & 1) << 7) + byte) % 256
    text = name.encode("utf-16-le")
    count = -(-len(text) // (2 * _UNITS))
    if len(text) < count * 2 * _UNITS:
        text = (text + b"\0\0").ljust(count * 2 * _UNITS, b"\xff")
    for number in range(count, 0, -1):
        units = text[(number - 1) * 2 * _UNITS : number * 2 * _UNITS]
        ordinal = number | _LAST if number == count else number
        yield b"".join(
            (bytes((ordinal,)), units[:10], bytes((_LONG, 0, total)), units[10:22], b"\0\0",
             units[22:])
        )  # fmt: skip


def field_at(record: bytes, byte: int) -> str:
    """The name of the field of a record in which a byte lies. `record`: as it must be."""
    fields = _LONG_FIELDS if record[11] == _LONG else _SHORT_FIELDS
    return next(name for start, name in fields if byte >= start)
