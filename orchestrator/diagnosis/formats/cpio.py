"""Archives of cpio in the format newc: headers field by field, order, members by content.

They are read as streams: a root of some GiB fits in no memory. Source: Linux
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, cast

from blake3 import blake3

from orchestrator.diagnosis import moments
from orchestrator.diagnosis.formats.members import looked_into
from orchestrator.diagnosis.formats.stream import refusing
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Memory
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

    Inner = Callable[[Pair], None]
    Opening = Callable[[Source, int], object]

_MAGICS = (b"070701", b"070702")
_HEADER = 110
_FIELDS = ("inode", "mode", "owner", "group", "links", "modification time", "size",
           "device's major number", "device's minor number", "node's major number",
           "node's minor number", "length of the name", "sum")  # fmt: skip
_TIME, _SIZE, _LENGTH = 5, 6, 11
_HEX = re.compile(rb"[0-9A-Fa-f]{104}")
_PIECE = 1 << 20
_MOST_MEMBERS = 1_000_000
_MOST_NAMES = 64 << 20
_LONGEST_NAME = 4097
# Bytes without a member that may lie between two.
_MOST_ZEROS = 1 << 20


class Stream(Protocol):
    """Bytes in order."""

    def read(self, size: int, /) -> bytes:
        """Read at most so many; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A member. `place`: the byte at which its header starts. `digest`: BLAKE3 of the content."""

    name: str
    fields: tuple[int, ...]
    place: int
    digest: bytes


def is_archive(pair: Pair, opening: Opening) -> bool:
    """Tell whether both sides unpack to what begins as such an archive does.

    Raises:
        InputError: one is damaged.
    """
    with refusing("cannot unpack it", pair.path):
        return all(
            cast("Stream", opening(side, _PIECE)).read(6) in _MAGICS
            for side in (pair.first, pair.second)
        )


def is_plain(source: Source) -> bool:
    """Tell whether bytes begin as such an archive does."""
    return source.read(0, 6) in _MAGICS


class _Reader:
    """A stream, how much of it was taken, and the BLAKE3 of that."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.at = 0
        self.hasher = blake3()

    def take(self, size: int) -> bytes:
        data = self._stream.read(size)
        while len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
        self.at += len(data)
        self.hasher.update(data)
        return data

    def header(self) -> bytes:
        """The next member's header, behind the zeros that fill a block; empty at the end."""
        for _ in range(_MOST_ZEROS):
            first = self.take(1)
            if first != b"\0":
                return first + self.take(_HEADER - 1) if first else b""
        raise InputError(f"more than {_MOST_ZEROS} zeros between members")

    def content(self, size: int, keep: int) -> tuple[bytes, bytes]:
        """The digest of a member's content, and the content where it has at most `keep` bytes."""
        hasher = blake3()
        kept = bytearray()
        left = size
        while left:
            piece = self.take(min(left, _PIECE))
            if not piece:
                raise InputError(f"it ends within a member, at byte {self.at}")
            hasher.update(piece)
            left -= len(piece)
            if size <= keep:
                kept += piece
        self.take(-size % 4)
        return hasher.digest(8), bytes(kept)


def members(
    reader: _Reader,
    keep: Callable[[Member, bytes], object] | None = None,
    wanted: frozenset[int] = frozenset(),
    largest: int = 0,
) -> Iterator[Member]:
    """Yield every member. `keep`: takes the content of those whose place is `wanted`.

    Raises:
        InputError: it is no whole archive.
    """
    count = names = 0
    while header := reader.header():
        place = reader.at - len(header)
        if header[:6] not in _MAGICS or not _HEX.fullmatch(header[6:]):
            raise InputError(f"no header of a member at byte {place}")
        fields = tuple(int(header[at : at + 8], 16) for at in range(6, _HEADER, 8))
        length, size = fields[_LENGTH], fields[_SIZE]
        count += 1
        names += length
        if length > _LONGEST_NAME or count > _MOST_MEMBERS or names > _MOST_NAMES:
            raise InputError("more or longer names than are looked at")
        name = reader.take(length + -(_HEADER + length) % 4)[: max(0, length - 1)]
        kept = place in wanted and size <= largest
        digest, content = reader.content(size, largest if kept else -1)
        member = Member(name.decode("utf-8", "replace"), fields, place, digest)
        if keep is not None and kept:
            keep(member, content)
        yield member


def opened_members(stream: Stream) -> Iterator[Member]:
    """Yield every member of a stream. Errors as `members`."""
    return members(_Reader(stream))


def explain(pair: Pair, to: Collector, inner: Inner) -> None:
    """Add how two archives differ that are not compressed.

    Raises:
        InputError: one is no whole archive.
    """
    from orchestrator.diagnosis.formats.stream import opened  # noqa: PLC0415

    explain_streams(pair, to, inner, lambda source, _: opened(source))


def explain_streams(pair: Pair, to: Collector, inner: Inner, opening: Opening) -> bool:
    """Add how two archives differ; returns whether the archives are the same, unpacked.

    `opening`: gives a side's bytes as a stream.

    Raises:
        InputError: one is no whole archive.
    """
    sides = [_listed(side, opening, to) for side in (pair.first, pair.second)]
    (first, digest), (second, other_digest) = sides
    if digest == other_digest:
        return True
    if first == second:
        judged = replace(UNKNOWN, reason="every member is the same, and what fills them up is not")
        to.say(pair.path, "bytes between the members", judged, (None, None))
        return False
    names = [[one.name for one in side] for side in (first, second)]
    if names[0] != names[1]:
        _order(pair, to, first, names)
    left: dict[str, list[Member]] = {}
    for one in second:
        left.setdefault(one.name, []).append(one)
    differing = []
    for one in first:
        if left.get(one.name):
            other = left[one.name].pop(0)
            _fields(pair, to, one, other)
            if one.digest != other.digest:
                differing.append((one, other))
    _contents(pair, to, inner, opening, differing)
    return False


def _listed(source: Source, opening: Opening, to: Collector) -> tuple[list[Member], bytes]:
    """Every member, and the digest of the whole, unpacked."""
    with refusing("cannot unpack it"):
        reader = _Reader(cast("Stream", opening(source, to.limits.streamed)))
        return list(members(reader)), reader.hasher.digest()


def _order(pair: Pair, to: Collector, first: list[Member], names: list[list[str]]) -> None:
    number = next(
        (n for n, (a, b) in enumerate(zip(*names, strict=False)) if a != b), min(map(len, names))
    )
    same = sorted(names[0]) == sorted(names[1])
    reason = "the same members in another order"
    judged = Judgement(Cause.ORDER, Sureness.CERTAIN, reason) if same else UNKNOWN
    values = [side[number] if number < len(side) else None for side in names]
    place = first[number].place if number < len(first) else None
    to.say(pair.path, f"cpio member {number + 1}", judged, (values[0], values[1]), offset=place)
    if not same:
        only = set(names[0]), set(names[1])
        to.note(
            f"{pair.path}: {len(only[0] - only[1])} members are only in the first, "
            f"{len(only[1] - only[0])} only in the second"
        )


def _fields(pair: Pair, to: Collector, one: Member, other: Member) -> None:
    for index, name in enumerate(_FIELDS):
        values = one.fields[index], other.fields[index]
        if values[0] == values[1]:
            continue
        judged, follows = UNKNOWN, False
        if index == _TIME:
            words = " and ".join(moments.unix(value) or str(value) for value in values)
            judged = moments.gap(
                abs(values[0] - values[1]), words, sure=Sureness.CERTAIN, local=False
            )
        elif name in {"inode", "device's major number", "device's minor number"}:
            judged = Judgement(
                Cause.ALLOCATION, Sureness.CERTAIN,
                f"the {name} comes from the file system that the files lay on",
            )  # fmt: skip
        elif name in {"owner", "group"}:
            judged = Judgement(Cause.USER, Sureness.CERTAIN, "who owned the files")
        elif name == "mode" and values[0] >> 12 == values[1] >> 12:
            judged = Judgement(
                Cause.USER, Sureness.POSSIBLE, "permissions, as the umask gives them"
            )
        elif name in {"size", "sum"}:
            follows = True
        shown = (oct(values[0]), oct(values[1])) if name == "mode" else values
        to.say(
            pair.path, f"cpio header of {one.name}, {name}", judged, shown,
            offset=one.place + 6 + 8 * index, follows=follows, kind=name,
        )  # fmt: skip


def _contents(
    pair: Pair, to: Collector, inner: Inner, opening: Opening,
    differing: list[tuple[Member, Member]],
) -> None:  # fmt: skip
    looked = looked_into(pair, to, differing)
    if not looked:
        return
    found: list[dict[int, bytes]] = [{}, {}]
    largest = to.limits.unpacked // (2 * len(looked))
    for side, source, kept in ((0, pair.first, found[0]), (1, pair.second, found[1])):
        wanted = frozenset(both[side].place for both in looked)

        def keep(member: Member, data: bytes, kept: dict[int, bytes] = kept) -> None:
            kept[member.place] = data

        reader = _Reader(cast("Stream", opening(source, to.limits.streamed)))
        with refusing("cannot unpack it"):
            for _ in members(reader, keep, wanted, largest):
                if len(kept) == len(wanted):
                    break
    for one, other in looked:
        if one.place in found[0] and other.place in found[1]:
            contents = Memory(found[0][one.place]), Memory(found[1][other.place])
            inner(pair.within(one.name, *contents))
        else:
            values = f"{one.fields[_SIZE]} bytes", f"{other.fields[_SIZE]} bytes"
            to.say(pair.path, f"the content of {one.name}", UNKNOWN, values, offset=one.place)
