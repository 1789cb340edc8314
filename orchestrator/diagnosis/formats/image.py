"""FAT32 images: every byte that differs, by what lies there, and why it may.

Files and folders are compared by their paths, so that one that is longer does not make all behind
it differ; everything else by its place, that of a volume's parts from where the volume starts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.diagnosis.formats import image_causes as causes
from orchestrator.diagnosis.formats import seed
from orchestrator.diagnosis.formats.image_aligned import aligned
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Parts, differing, first_difference
from orchestrator.golang import seed_index
from orchestrator.image.fat import fields, regions
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source
    from orchestrator.image.fat.regions import Item, Location, Map

# Bytes that are placed one by one; of more it is only said how many blocks differ.
_MOST_PLACED = 200_000
_SHOWN = 16


def is_image(source: Source) -> bool:
    """Tell whether bytes begin as a FAT32 image does."""
    return regions.looks_like(source.read, source.size)


@dataclass
class _Images:
    """Two images, the volume of the second where that of the first starts. `mark`: before both."""

    pair: Pair
    to: Collector
    inner: Callable[[Pair], None]
    first: Map
    second: Map
    mark: int
    # Whether the volumes start at different places of the images; whether both have a partition
    # table.
    moved: bool
    partitioned: bool
    # Region, field and path -> the first byte that differs there, and how many.
    places: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    # Files of the first side in whose place something differs; `everything`: any may be one.
    touched: set[str] = field(default_factory=set)
    everything: bool = False
    # Folder -> whether both sides gave its names the same aliases, for those that were asked about.
    _reused: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def by_path(self) -> tuple[dict[str, Item], dict[str, Item]]:
        """The items of each side; of those with one path the first."""
        first, second = (
            {item.path: item for item in reversed(side.items)} for side in (self.first, self.second)
        )
        return first, second

    @cached_property
    def folders(self) -> tuple[dict[str, list[Item]], dict[str, list[Item]]]:
        """What each folder of each side holds, in its order."""
        held: tuple[dict[str, list[Item]], dict[str, list[Item]]] = ({}, {})
        for side, found in zip(held, (self.first, self.second), strict=True):
            for item in found.items[1:]:
                side.setdefault(item.path.rpartition("/")[0], []).append(item)
        return held

    def same_aliases(self, folder: str) -> bool:
        """Tell whether a folder has the same aliases on both sides, whatever names have them."""
        if folder not in self._reused:
            one, other = (sorted(i.alias for i in side.get(folder, ())) for side in self.folders)
            self._reused[folder] = one == other
        return self._reused[folder]


def explain(pair: Pair, to: Collector, inner: Callable[[Pair], None]) -> None:
    """Add how two images differ.

    Raises:
        InputError: one is no FAT32 image.
    """
    first, second = (regions.read(side.read, side.size) for side in (pair.first, pair.second))
    moved = first.start != second.start
    same = _shape(first) == _shape(second)
    mark = to.mark()
    if pair.first.size != pair.second.size:
        sizes = f"{pair.first.size} bytes", f"{pair.second.size} bytes"
        judged = causes.FOLLOWS_START if moved and same else causes.FOLLOWS
        to.say(pair.path, "the size of the image", judged, sizes, follows=True)
    partitioned = bool(first.start and second.start)
    if moved and not partitioned:
        starts = f"byte {first.start}", f"byte {second.start}"
        to.say(pair.path, "the start of the volume", causes.START, starts, offset=first.start)
    both, second = aligned(pair, first, second)
    images = _Images(both, to, inner, first, second, mark, moved, partitioned)
    _place(images)
    _tables(images, same=same)
    _items(images, same=same)
    _rest(images, same=same)


def _shape(found: Map) -> tuple[object, ...]:
    """Return what first clusters, FATs and FSInfo follow from: all names and sizes."""
    names = sorted((item.path, item.is_folder, item.size) for item in found.items)
    return found.cluster, found.reserved, found.table, names


def _place(images: _Images) -> None:
    """Give every differing byte its place; files are only marked, to be compared by their paths."""
    placed = 0
    for start, length in differing(images.pair.first, images.pair.second):
        whole = _within_a_file(images.first, start, length)
        if whole is not None:
            images.touched.add(whole)
            continue
        one = images.pair.first.read(start, length)
        other = images.pair.second.read(start, length)
        for at in range(length):
            if one[at] == other[at]:
                continue
            placed += 1
            where = images.first.at(start + at)
            if where.region == "file data":
                images.touched.add(where.path)
                continue
            if where.region in causes.UNUSED and not _unused(images.second, start + at):
                continue  # the other side has put something there, which is told of itself
            key = where.region, where.field, where.path
            images.places.setdefault(key, [start + at, 0])[1] += 1
        if placed > _MOST_PLACED:
            images.to.note(f"{images.pair.path}: behind byte {start} only files were compared")
            images.everything = True
            return


def _within_a_file(found: Map, start: int, length: int) -> str | None:
    """The file that a block lies in with all its bytes; None where it lies in none."""
    first, last = found.at(start), found.at(start + length - 1)
    same = first.region == last.region == "file data" and first.path == last.path
    return first.path if same and last.offset - first.offset == length - 1 else None


def _unused(found: Map, byte: int) -> bool:
    return byte >= found.size or found.at(byte).region in causes.UNUSED


# -- tables with fields ----------------------------------------------------------------------------


def _tables(images: _Images, *, same: bool) -> None:
    """The fields of master boot record, boot sector, FSInfo and the copies, with their values."""
    first, second = images.first, images.second
    told: set[str] = set()
    if images.partitioned:
        _table(images, (0, 0), fields.MASTER, told, same=same)
    sectors = [((0, 0), fields.BOOT)]
    if first.info and second.info:
        sectors.append(((first.info, second.info), fields.INFORMATION))
    copies = [(0, 0)]
    if first.backup and second.backup:
        copies.append((first.backup, second.backup))
    for copy in copies:
        for sector, names in sectors:
            one, other = (
                side.start + (start + at) * regions.SECTOR
                for side, start, at in zip((first, second), copy, sector, strict=True)
            )
            _table(images, (one, other), names, told, same=same)


def _table(
    images: _Images, at: tuple[int, int], names: fields.Fields, told: set[str], *, same: bool
) -> None:
    """Compare a sector of fields. `at`: its byte on each side. `told`: fields that differed."""
    pair = images.pair
    one, other = pair.first.read(at[0], regions.SECTOR), pair.second.read(at[1], regions.SECTOR)
    for start, end, name in fields.spans(names, regions.SECTOR):
        a, b = one[start:end], other[start:end]
        where = images.first.at(at[0] + start)
        images.places.pop((where.region, name, ""), None)
        if a == b:
            continue
        byte = start + next(
            (n for n, two in enumerate(zip(a, b, strict=False)) if two[0] != two[1]), 0
        )
        judged, values = causes.in_table(
            name, a, b, known=images.to.known, same=same, moved=images.moved
        )
        # What differs in a backup follows from the same field of the original.
        copied = where.region.startswith("backup") and (name in told or not same)
        told.add(name)
        images.to.say(
            pair.path, f"{where.region}, {name}", judged, values, offset=at[0] + byte,
            follows=judged in causes.FOLLOWING or copied,
        )  # fmt: skip


# -- files and folders -----------------------------------------------------------------------------


def _items(images: _Images, *, same: bool) -> None:
    by_path = images.by_path[1]
    _order(images)
    renamed = _renamed(images, by_path)
    for one in images.first.items:
        other = by_path.get(one.path)
        if other is None or one.is_folder != other.is_folder:
            if one.path in renamed:
                _content(images, one, by_path[renamed[one.path]])
            else:
                _alone(images, one, "first")
            continue
        if one.record >= 0:
            _record(images, one, other, same=same)
        if not one.is_folder:
            _content(images, one, other)
    paths = {item.path for item in images.first.items} | set(renamed.values())
    for other in images.second.items:
        if other.path not in paths:
            _alone(images, other, "second")


def _renamed(images: _Images, others: dict[str, Item]) -> dict[str, str]:
    """The outputs of the same compilation: a package cache names them by what they hold."""
    found: dict[str, str] = {}
    firsts = images.by_path[0]
    for path, one in firsts.items():
        other = others.get(path)
        if not path.endswith(f"/{seed_index.INDEX}") or other is None:
            continue
        sides = [_of(images.pair.first, one), _of(images.pair.second, other)]
        sizes = max(side.size for side in sides)
        if sizes > images.to.limits.whole or not all(map(seed.is_index, sides)):
            continue
        with suppress(InputError):
            indexes = [side.read(0, side.size) for side in sides]
            folder = path.rpartition("/")[0]
            found |= {
                f"{folder}/{first}": f"{folder}/{second}"
                for first, second in seed.renamed(*indexes)
                if f"{folder}/{first}" in firsts and f"{folder}/{second}" in others
            }
    return found


def _of(side: Source, item: Item) -> Parts:
    """A file's content."""
    return Parts(side, item.runs, min(item.size, sum(length for _, length in item.runs)))


def _alone(images: _Images, item: Item, side: str) -> None:
    kind = "folder" if item.is_folder else "file"
    values = (kind, None) if side == "first" else (None, kind)
    images.to.say(
        images.pair.path, f"/{item.path}, only in the {side}", UNKNOWN, values,
        offset=item.record, kind=f"only in the {side}",
    )  # fmt: skip


def _order(images: _Images) -> None:
    """Folders that hold the same names in another order."""
    held = images.folders
    for folder in sorted(held[0].keys() & held[1].keys()):
        first, second = held[0][folder], held[1][folder]
        names = [[item.path for item in side] for side in (first, second)]
        if names[0] == names[1] or sorted(names[0]) != sorted(names[1]):
            continue
        number = next(n for n, (a, b) in enumerate(zip(*names, strict=True)) if a != b)
        reason = "the same directory entries in another order"
        images.to.say(
            images.pair.path, f"the order of the folder /{folder}, entry {number + 1}",
            Judgement(Cause.ORDER, Sureness.CERTAIN, reason),
            (names[0][number], names[1][number]), offset=first[number].record, kind="order",
        )  # fmt: skip


def _record(images: _Images, one: Item, other: Item, *, same: bool) -> None:
    """The fields of a directory entry, and of the records of its long name."""
    pair = images.pair
    for start, end, name in fields.spans(fields.SHORT, regions.RECORD):
        a, b = one.raw[start:end], other.raw[start:end]
        if a == b:
            continue
        images.places.pop(("directory entry", name, one.path), None)
        byte = start + next(n for n in range(end - start) if a[n] != b[n])
        judged, values = causes.in_record(
            name, one, other, same_aliases=images.same_aliases, same=same
        )
        images.to.say(
            pair.path, f"directory entry of /{one.path}, {name}", judged, values,
            offset=one.record + byte,
            follows=judged in causes.FOLLOWING or name == "size", kind=name,
        )  # fmt: skip
    if one.long != other.long:
        length = min(len(one.long), len(other.long))
        byte = next((n for n in range(length) if one.long[n] != other.long[n]), length)
        name = fields.name(fields.LONG, byte % regions.RECORD)
        for _, field_name in fields.SHORT + fields.LONG:
            images.places.pop(("directory entry", field_name, one.path), None)
        judged, follows = UNKNOWN, False
        if name.startswith("checksum") and one.alias != other.alias:
            judged, follows = causes.FOLLOWS, True
        images.to.say(
            pair.path, f"directory entry of /{one.path}, {name}", judged,
            (one.long[byte : byte + _SHOWN], other.long[byte : byte + _SHOWN]),
            offset=one.record - len(one.long) + byte, follows=follows, kind=name,
        )  # fmt: skip


def _content(images: _Images, one: Item, other: Item) -> None:
    pair = images.pair
    if one.runs == other.runs and one.size == other.size and not images.everything:
        if one.path not in images.touched:
            return
    elif one.runs != other.runs:
        _slack(images, one, other)
    sources = [_of(pair.first, one), _of(pair.second, other)]
    at = first_difference(*sources)
    if at is None:
        return
    to = images.to
    mark = to.mark()
    images.inner(pair.within(one.path, *sources))
    place = _place_of(one, at)
    found = to.since(mark)
    if not found:
        to.say(pair.path, f"file /{one.path}, byte {at} of it", UNKNOWN, (None, None), offset=place)
    elif place is not None:
        words = f"{found[0].where} (byte {place} of the image)"
        to.revise(mark, lambda said: replace(said, where=words) if said is found[0] else said)


def _slack(images: _Images, one: Item, other: Item) -> None:
    """Return what lies behind the end of a file that lies elsewhere on the other side."""
    found = []
    for side, item in ((images.pair.first, one), (images.pair.second, other)):
        length = sum(count for _, count in item.runs)
        behind = Parts(side, item.runs, length).read(item.size, length - item.size)
        found.append(behind.rstrip(b"\0"))
    if found[0] != found[1]:
        judged = causes.in_region("slack", found[0], found[1], same=False)
        values = found[0][:_SHOWN], found[1][:_SHOWN]
        place = _place_of(one, one.size)
        images.to.say(
            images.pair.path, f"slack of /{one.path}", judged, values, offset=place, kind="slack"
        )


def _place_of(item: Item, at: int) -> int | None:
    for start, length in item.runs:
        if at < length:
            return start + at
        at -= length
    return None


# -- the rest --------------------------------------------------------------------------------------


def _rest(images: _Images, *, same: bool) -> None:
    """Return what differs and is in no field that has a value of its own."""
    said = images.to.since(images.mark)
    moved = any(
        one.cause in {Cause.ALLOCATION, Cause.ORDER} and one.reason != causes.START.reason
        for one in said
    )
    for (region, _, path), (byte, count) in sorted(images.places.items(), key=lambda one: one[1]):
        where: Location = images.first.at(byte)
        length = min(_SHOWN, count)
        values = images.pair.first.read(byte, length), images.pair.second.read(byte, length)
        if region in {"directory entry", "directory"} and not _stays(images, path):
            continue
        judged = causes.in_region(region, *values, same=same)
        follows = judged in causes.FOLLOWING or (region.endswith("FAT") and moved)
        more = f", and {count - 1} more bytes of it" if count > 1 else ""
        images.to.say(
            images.pair.path, f"{where}{more}", judged, values, offset=byte, follows=follows,
            kind=region,
        )  # fmt: skip


def _stays(images: _Images, path: str) -> bool:
    """Tell whether a folder lies where it lies on both sides, so that its bytes can be compared."""
    one, other = (side.get("" if path == "." else path) for side in images.by_path)
    return bool(one and other and one.record == other.record and one.runs[:1] == other.runs[:1])
