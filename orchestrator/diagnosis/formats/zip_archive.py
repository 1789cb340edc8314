"""Zip archives: order, times, methods, permissions, members by content."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, cast

from orchestrator.diagnosis import moments
from orchestrator.diagnosis.formats import members
from orchestrator.diagnosis.formats.stream import opened, refusing
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Memory
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

    Values = tuple[str | int | None, str | int | None]

_LARGEST_DIRECTORY = 16 << 20
_END = b"PK\5\6"
_TAIL = 22 + 0xFFFF
_TIMES, _OWNERS = b"UT", (b"ux", b"Ux")
_MOST_EXTRA = 100
_PIECE = 1 << 20
# `zipfile` bounds what it unpacks of these only; of others a few bytes become many in memory.
_UNPACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def is_zip(source: Source) -> bool:
    """Tell whether bytes begin as a zip archive does."""
    return source.read(0, 4) in {b"PK\3\4", _END}


def explain(pair: Pair, to: Collector, inner: Callable[[Pair], None]) -> None:
    """Add how two zip archives differ.

    Raises:
        InputError: one is damaged, or has a larger directory than is looked at.
    """
    for side in (pair.first, pair.second):
        _check(side)
    with (
        refusing("a damaged zip archive", pair.path),
        zipfile.ZipFile(_opened(pair.first)) as first,
        zipfile.ZipFile(_opened(pair.second)) as second,
    ):
        _archives(pair, to, inner, (first, second))


class _Limited(io.BufferedReader):
    """A stream that gives no more at once than the largest directory.

    `zipfile` reads a directory in one go, and takes its size from one of several places.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most so many bytes.

        Raises:
            InputError: that is more than a directory has.
        """
        if size is None or size < 0:
            size = _LARGEST_DIRECTORY
        elif size > _LARGEST_DIRECTORY:
            raise InputError("a larger directory than is looked at")
        return super().read(size)


def _opened(source: Source) -> BinaryIO:
    return cast("BinaryIO", _Limited(cast("io.RawIOBase", opened(source)), 1 << 16))


def _check(source: Source) -> None:
    tail = source.read(max(0, source.size - _TAIL), _TAIL)
    at = tail.rfind(_END)
    if at < 0 or int.from_bytes(tail[at + 12 : at + 16], "little") > _LARGEST_DIRECTORY:
        raise InputError("no zip archive, or one with a larger directory than is looked at")


def _archives(
    pair: Pair, to: Collector, inner: Callable[[Pair], None],
    sides: tuple[zipfile.ZipFile, zipfile.ZipFile],
) -> None:  # fmt: skip
    infos = [side.infolist() for side in sides]
    names = [one.filename for one in infos[0]], [one.filename for one in infos[1]]
    members.explain(pair, to, "zip", names, [one.header_offset for one in infos[0]])
    others = {one.filename: one for one in infos[1]}
    both = [(one, others[one.filename]) for one in infos[0] if one.filename in others]
    for pair_of in both:
        _member(pair, to, pair_of)
    differing = [
        (one, other)
        for one, other in both
        if (one.CRC, one.file_size) != (other.CRC, other.file_size)
    ]
    for pair_of in members.looked_into(pair, to, differing):
        _content(pair, to, inner, sides, pair_of)
    if sides[0].comment != sides[1].comment:
        to.say(pair.path, "the archive's comment", UNKNOWN, (sides[0].comment, sides[1].comment))


def _member(pair: Pair, to: Collector, both: tuple[zipfile.ZipInfo, zipfile.ZipInfo]) -> None:
    one, other = both
    at = one.header_offset

    def say(name: str, judged: Judgement, values: Values, byte: int = 0) -> None:
        where = f"zip header of {one.filename}, {name}"
        to.say(pair.path, where, judged, values, offset=at + byte, kind=name)

    if one.date_time != other.date_time:
        words = [_words(side.date_time) for side in both]
        seconds = _apart(one.date_time, other.date_time)
        judged = moments.gap(seconds, " and ".join(words), sure=Sureness.CERTAIN)
        say("modification time", judged, (words[0], words[1]), 10)
    if one.compress_type != other.compress_type:
        judged = Judgement(Cause.INPUT, Sureness.LIKELY, "another method of compression")
        say("method", judged, (one.compress_type, other.compress_type), 8)
    if one.external_attr != other.external_attr:
        judged = Judgement(Cause.USER, Sureness.POSSIBLE, "permissions, as the umask gives them")
        say("permissions", judged, (oct(one.external_attr >> 16), oct(other.external_attr >> 16)))
    if one.create_system != other.create_system:
        judged = Judgement(Cause.INPUT, Sureness.LIKELY, "made on another system")
        say("system", judged, (one.create_system, other.create_system))
    if one.extra != other.extra:
        say("extra fields", _extra(one.extra, other.extra), (one.extra.hex(), other.extra.hex()))
    if one.CRC == other.CRC and one.compress_size != other.compress_size:
        judged = Judgement(
            Cause.UNKNOWN, Sureness.POSSIBLE,
            "the content is the same: another compressor, version or level",
        )  # fmt: skip
        say("compressed bytes", judged, (one.compress_size, other.compress_size))


def _extra(first: bytes, second: bytes) -> Judgement:
    """Return what differs in extra fields: times (UT), or user and group (ux)."""
    one, other = _fields(first), _fields(second)
    kinds = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    if kinds == {_TIMES}:
        return Judgement(Cause.TIME, Sureness.CERTAIN, "times in the extra field UT")
    if kinds and kinds <= set(_OWNERS):
        return Judgement(Cause.USER, Sureness.CERTAIN, "user and group in the extra field ux")
    return UNKNOWN


def _fields(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 0
    while at + 4 <= len(data) and len(found) < _MOST_EXTRA:
        size = int.from_bytes(data[at + 2 : at + 4], "little")
        found[data[at : at + 2]] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _content(
    pair: Pair, to: Collector, inner: Callable[[Pair], None],
    sides: tuple[zipfile.ZipFile, zipfile.ZipFile], both: tuple[zipfile.ZipInfo, zipfile.ZipInfo],
) -> None:  # fmt: skip
    largest = to.limits.unpacked // 2
    name = both[0].filename
    sizes = both[0].file_size, both[1].file_size
    others = [one.compress_type for one in both if one.compress_type not in _UNPACKED]
    if others:
        to.note(
            f"{pair.path}: {name} was not looked into: of zip members those are that are stored or "
            f"deflated (methods 0 and 8), and this is of method {others[0]}"
        )
    contents = [] if others else [
        _unpacked(side, info, largest) for side, info in zip(sides, both, strict=True)
    ]  # fmt: skip
    if others or max(map(len, contents)) > largest:
        to.say(pair.path, f"the content of {name}", UNKNOWN, sizes)
        return
    inner(pair.within(name, Memory(contents[0]), Memory(contents[1])))


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int) -> bytes:
    """The content of a member; of a larger one, one byte more than `largest`."""
    found = bytearray()
    with archive.open(info) as stream:
        while len(found) <= largest and (
            piece := stream.read(min(_PIECE, largest + 1 - len(found)))
        ):
            found += piece
    return bytes(found)


def _words(when: tuple[int, int, int, int, int, int]) -> str:
    year, month, day, hour, minute, second = when
    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"


def _apart(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    try:
        one, other = (datetime(*when) for when in (first, second))  # type: ignore[arg-type] # noqa: DTZ001 - a zip's times have no zone
    except ValueError:
        return 1
    return abs((one - other).total_seconds())
