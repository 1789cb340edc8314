"""Headers of tar archives: ustar, GNU's long names, and pax (extended headers), within bounds.

`tarfile` reads a long name or an extended header of whatever length a header gives, and copies all
of a global one into each member; a few bytes become many there. Here a member is a small record.

Source: POSIX.1-2017, pax ("ustar Interchange Format", "pax Header Block"); GNU tar, "Basic Format".
"""

from __future__ import annotations

import math
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.diagnosis.formats.stream import refusing
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.diagnosis.source import Source

    Value = str | bytes | int | float

# Names of a header's fields, those of `tarfile.TarInfo`, and the byte in the header.
FIELDS = (
    ("mode", "mode", 100), ("owner's number", "uid", 108), ("group's number", "gid", 116),
    ("modification time", "mtime", 136), ("type", "type", 156), ("link's target", "linkname", 157),
    ("owner's name", "uname", 265), ("group's name", "gname", 297),
    ("device's major number", "devmajor", 329), ("device's minor number", "devminor", 337),
)  # fmt: skip

_BLOCK = 512
MOST_MEMBERS = 200_000
# Of names, and of what is in extended headers.
MOST_BYTES = 64 << 20
MOST_RECORDS = 2_000_000
LARGEST_HEADER = 1 << 20
# Headers before a member that are no member.
_MOST_BEFORE = 16
# Blocks with the parts of one file with holes, of 21 parts each.
_MOST_PARTS = 10_000
_MORE_PARTS_AT = (482, 504)
_LONGEST_LENGTH = 8
# Keyword of an extended header -> field.
_KEYWORDS = {
    b"path": "name", b"GNU.sparse.name": "name", b"linkpath": "linkname", b"size": "size",
    b"mtime": "mtime", b"uid": "uid", b"gid": "gid", b"uname": "uname", b"gname": "gname",
}  # fmt: skip
_NUMBERS = {"size", "uid", "gid"}
_NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_LONG = {tarfile.GNUTYPE_LONGNAME: "name", tarfile.GNUTYPE_LONGLINK: "linkname"}
_EXTENDED = {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE}
_NO_CONTENT = set(tarfile.SUPPORTED_TYPES) - set(tarfile.REGULAR_TYPES)


@dataclass(frozen=True, slots=True)
class Member:
    """A member. `values`: of `FIELDS`, in their order.

    `place`: the byte of the first of its headers; `header`: that of its own. `extended`: the fields
    whose values do not lie there, for an extended header or a long name gives them. `data`, `size`:
    where its bytes lie, in pax with the list of its parts before them where it has holes.
    """

    name: str
    values: tuple[Value, ...]
    place: int
    header: int
    extended: frozenset[str]
    data: int
    size: int
    regular: bool


def members(source: Source, subject: str = "") -> Iterator[Member]:
    """Yield every member of an archive, up to the block of zeros at its end.

    Raises:
        InputError: it is damaged, or has more than is looked at.
    """
    with refusing("a damaged tar archive", subject):
        yield from _Headers(source).each()


class _Headers:
    """The headers of an archive, one after the other, and how much of the bounds they took."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0
        self._global: dict[str, Value] = {}
        self._bytes = self._records = 0

    def each(self) -> Iterator[Member]:
        for _ in range(MOST_MEMBERS):
            member = self._member()
            if member is None:
                return
            yield member
        if self._header() is not None:
            raise InputError(f"more than {MOST_MEMBERS} members, which is more than is looked at")

    def _member(self) -> Member | None:
        place = self._at
        given: dict[str, Value] = {}
        for _ in range(_MOST_BEFORE):
            at = self._at
            info = self._header()
            if info is None:
                return None
            if info.type in _LONG:
                text = self._content(info).split(b"\0", 1)[0]
                given[_LONG[info.type]] = text.decode("utf-8", "backslashreplace")
            elif info.type in _EXTENDED:
                given |= self._extended(self._content(info))
            elif info.type == tarfile.XGLTYPE:
                self._global |= self._extended(self._content(info))
            else:
                return self._made(info, place, at, self._global | given)
        raise InputError(f"more than {_MOST_BEFORE} headers before a member, at byte {place}")

    def _header(self) -> tarfile.TarInfo | None:
        """The next header; None at the end. Behind it comes its content."""
        block = self._source.read(self._at, _BLOCK)
        if not block.strip(b"\0"):
            return None
        info = tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
        self._at += _BLOCK
        if info.type == tarfile.GNUTYPE_SPARSE:
            self._skip_parts(block)
        return info

    def _skip_parts(self, block: bytes) -> None:
        more = block[_MORE_PARTS_AT[0]]
        for _ in range(_MOST_PARTS):
            if not more:
                return
            more = self._source.read(self._at, _BLOCK)[_MORE_PARTS_AT[1]]
            self._at += _BLOCK
        raise InputError("a file of more parts than are looked at")

    def _content(self, info: tarfile.TarInfo) -> bytes:
        """The content of a header that says something of a member."""
        if not 0 <= info.size <= min(LARGEST_HEADER, self._source.size - self._at):
            raise InputError(
                f"the header at byte {self._at - _BLOCK} says that it goes on for {info.size} "
                "bytes, which is more than is looked at, or than there are"
            )
        self._take(info.size)
        data = self._source.read(self._at, info.size)
        self._at += _padded(info.size)
        return data

    def _take(self, count: int) -> None:
        self._bytes += count
        if self._bytes > MOST_BYTES:
            raise InputError(f"more than {MOST_BYTES} bytes of names and extended headers")

    def _extended(self, data: bytes) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for keyword, value in _records(data):
            self._records += 1
            if self._records > MOST_RECORDS:
                raise InputError(f"more than {MOST_RECORDS} records in extended headers")
            field = _KEYWORDS.get(keyword)
            if field is not None:
                found[field] = _value(field, value.decode("utf-8", "backslashreplace"))
        return found

    def _made(
        self, info: tarfile.TarInfo, place: int, header: int, given: dict[str, Value]
    ) -> Member:
        name = str(given.get("name", info.name))
        name = name.rstrip("/") if info.isdir() else name
        size = given.get("size", info.size)
        data = self._at
        if info.type in _NO_CONTENT:
            size = 0
        if not isinstance(size, int) or not 0 <= size <= self._source.size - data:
            raise InputError(f"the member {name} is cut short, or has no right size")
        self._take(len(name))
        self._at += _padded(size)
        values = tuple(given.get(field, getattr(info, field)) for _, field, _ in FIELDS)
        return Member(
            name, values, place, header, frozenset(given), data, size,
            info.type in tarfile.REGULAR_TYPES,
        )  # fmt: skip


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of an extended header, `length keyword=value` and a line's end each."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + _LONGEST_LENGTH)
        digits = data[at : max(at, space)]
        end = at + int(digits) if digits.isdigit() else 0
        if not space < end <= len(data):
            raise InputError("an extended header that is none")
        keyword, _, value = data[space + 1 : end - 1].partition(b"=")
        yield keyword, value
        at = end


def _value(field: str, text: str) -> Value:
    """The value of a field; a text that is no number stays one."""
    if field in _NUMBERS and _NUMBER.fullmatch(text):
        return int(text)
    if field == "mtime":
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text
    return text


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
