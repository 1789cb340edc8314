"""Layout of a FAT32 volume: where each byte goes, as a pure function of a tree and parameters.

The folders come first, sorted by path, then the files, folder by folder and sorted by name; each
takes the next free clusters, so that nothing is in pieces. Names are sorted by code point.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.image import folders
from orchestrator.image.fat import (
    aliases,
    bootsector,
    geometry,
    lint,
    names,
    records,
)
from orchestrator.image.fat.geometry import FIRST_CLUSTER, Geometry
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.image.fat.volume import BootCode, Volume
    from orchestrator.image.folders import Folder
    from reproducibility.manifest import Entry, Tree

# fatgen103: the first two FAT entries hold the media byte and the "clean" and "no error" flags.
_RESERVED_ENTRIES = (0x0FFFFF00 | bootsector.MEDIA, 0x0FFFFFFF)
_END_OF_CHAIN = 0x0FFFFFFF
_FIXED = records.READ_ONLY | records.HIDDEN | records.SYSTEM | records.ARCHIVE


@dataclass(frozen=True, slots=True)
class Placed:
    """A file and its first cluster, 0 where it is empty; the rest follows without a gap."""

    entry: Entry
    cluster: int


@dataclass(frozen=True)
class Layout:
    """A volume that could be written.

    `folders`: the content of all folders, from cluster 2 on. `fat`: the used part of each FAT.
    `files`: in the order of their clusters. `used`: clusters in use.
    """

    volume: Volume
    geometry: Geometry
    folders: bytes
    fat: bytes
    files: tuple[Placed, ...]
    used: int

    def metadata(self, boot: BootCode, *, hidden: int) -> list[tuple[int, bytes]]:
        """Everything but the files: (byte in the volume, bytes), in ascending order.

        `hidden`: sectors of the disk before the volume.
        """
        area = bootsector.reserved_area(
            self.geometry, self.volume, boot, used=self.used, hidden=hidden
        )
        return [
            (0, area),
            (self.geometry.fat_offset(0), self.fat),
            (self.geometry.fat_offset(1), self.fat),
            (self.geometry.offset(FIRST_CLUSTER), self.folders),
        ]

    def extent(self, path: str) -> range:
        """The bytes of the volume in which a file lies; empty for an empty file.

        Raises:
            KeyError: there is no such file.
        """
        placed = self._by_path[path]
        start = self.geometry.offset(placed.cluster) if placed.cluster else 0
        return range(start, start + placed.entry.size)

    @property
    def end(self) -> int:
        """The byte of the volume after the last cluster in use."""
        return self.geometry.offset(FIRST_CLUSTER + self.used)

    @cached_property
    def _by_path(self) -> dict[str, Placed]:
        return {placed.entry.path: placed for placed in self.files}


def lay_out(tree: Tree, volume: Volume, head: Callable[[Entry], bytes] | None = None) -> Layout:
    """Lint the tree and decide where everything goes. `head`: see `lint.check`.

    Raises:
        InputError: the tree has lint findings, does not fit a FAT32 volume, or has no file at a
            path that the volume's `fixed` names.
    """
    found = folders.of(tree)
    lint.refuse([*lint.find(found), *(lint.stubs(tree, head) if head else ())])
    for path in sorted(volume.fixed):
        entry = tree.get(path)
        if entry is None or entry.kind != "file":
            raise InputError("a file that must not be moved is not in the tree", subject=path)
    drafts = [_draft(folder, volume) for folder in found.values()]
    sizes = [draft.size for draft in drafts] + [entry.size for entry in tree.files()]
    chosen = geometry.choose(sizes, volume.free_bytes, volume.free_percent)
    return _place(drafts, chosen, volume)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A folder whose names are encoded; where it and its files lie is open.

    `fields`: the 8.3 names; `longs`: the long names' records, in the order of the children.
    `size`: bytes of the folder.
    """

    folder: Folder
    fields: list[bytes]
    longs: list[bytes]
    size: int


def _draft(folder: Folder, volume: Volume) -> _Draft:
    fields = aliases.assign(list(folder.children), () if folder.path else (volume.label,))
    longs = [
        b"" if names.is_short(name) else records.long(name, field)
        for name, field in zip(folder.children, fields, strict=True)
    ]
    own = 2 if folder.path else 1
    size = sum(map(len, longs)) + records.SIZE * (len(fields) + own)
    return _Draft(folder, fields, longs, size)


def _place(drafts: list[_Draft], chosen: Geometry, volume: Volume) -> Layout:
    when = records.stamp(volume.epoch)
    bytes_per_cluster = chosen.cluster
    starts: dict[str, int] = {}
    ends: list[int] = []
    cluster = FIRST_CLUSTER
    for draft in drafts:
        starts[draft.folder.path] = cluster
        cluster -= -draft.size // bytes_per_cluster
        ends.append(cluster - 1)
    parts: list[bytes | memoryview] = []
    # One for all folders: together they are most of what the folders take.
    padding = memoryview(bytes(bytes_per_cluster))
    files: list[Placed] = []
    for draft in drafts:
        folder = draft.folder
        parts.append(_own_records(folder.path, starts, volume))
        for (name, entry), field, long in zip(
            folder.children.items(), draft.fields, draft.longs, strict=True
        ):
            parts.append(long)
            if entry is None:
                start = starts[folder.at(name)]
                parts.append(records.short(field, records.DIRECTORY, start, 0, when))
                continue
            start = cluster if entry.size else 0
            if entry.size:
                cluster -= -entry.size // bytes_per_cluster
                ends.append(cluster - 1)
            attributes = _FIXED if entry.path in volume.fixed else records.ARCHIVE
            parts.append(records.short(field, attributes, start, entry.size, when))
            files.append(Placed(entry, start))
        parts.append(padding[: -draft.size % bytes_per_cluster])
    return Layout(
        volume,
        chosen,
        b"".join(parts),
        _allocation_table(cluster, ends),
        tuple(files),
        cluster - FIRST_CLUSTER,
    )


def _own_records(path: str, starts: Mapping[str, int], volume: Volume) -> bytes:
    """Return what a folder holds besides its children: the root the label, another `.` and `..`."""
    when = records.stamp(volume.epoch)
    if not path:
        label = volume.label.ljust(11).encode("ascii")
        return records.short(label, records.VOLUME_LABEL, 0, 0, when)
    # fatgen103: `..` says 0 where the parent is the root, wherever the root directory lies.
    parent = path.rpartition("/")[0]
    above = starts[parent] if parent else 0
    return records.short(records.DOT, records.DIRECTORY, starts[path], 0, when) + records.short(
        records.DOT_DOT, records.DIRECTORY, above, 0, when
    )


def _allocation_table(end: int, ends: list[int]) -> bytes:
    """The FAT up to the cluster `end`: each cluster is followed by the next, except `ends`."""
    table = array("I", range(1, end + 1))
    table[0], table[1] = _RESERVED_ENTRIES
    for last in ends:
        table[last] = _END_OF_CHAIN
    if sys.byteorder == "big":
        table.byteswap()
    return table.tobytes()
