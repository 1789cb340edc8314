"""ELF: sections by name, notes with build IDs, instructions told from data.

Source: System V ABI, "Object Files": ELF header, section headers, notes, compressed sections.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.diagnosis import blob
from orchestrator.diagnosis.formats import golang, records
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Memory, first_difference
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

# Names of sections with debug data, compressed or not.
_DEBUG = (".debug_", ".zdebug_")
_MAGIC = b"\x7fELF"
_FORMS_WIDE = 2
_MOST_SECTIONS = 10_000
_MOST_NOTES = 100
_MOST_NAME = 200
_NO_BITS = 8
_EXECUTABLE, _COMPRESSED = 0x4, 0x800
_ZLIB = 1
_INFLATED = 48 << 20
# Width (by class 1, 2) -> formats behind the identity: header, section header, compression header.
_FORMS = {
    1: ("HHIIIIIHHHHHH", "IIIIIIIIII", "III"),
    2: ("HHIQQQIHHHHHH", "IIQQQQIIQQ", "IIQQ"),
}
_FIELDS = (
    "type", "machine", "version", "entry point", "place of the program headers",
    "place of the section headers", "flags", "size of this header", "size of a program header",
    "number of program headers", "size of a section header", "number of sections",
    "section with the names",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """A section. `fields`: its header's, after the name. `content`: empty where it has no bytes."""

    name: str
    fields: tuple[int, ...]
    content: bytes

    @property
    def kind(self) -> int:
        """Type (sh_type)."""
        return self.fields[0]

    @property
    def flags(self) -> int:
        """Flags (sh_flags)."""
        return self.fields[1]

    @property
    def place(self) -> int:
        """Byte of the file at which it starts."""
        return self.fields[3]

    @property
    def entry(self) -> int:
        """Bytes of an entry, for tables; else 0."""
        return self.fields[8]


@dataclass(frozen=True, slots=True)
class File:
    """An ELF file. `order`: `<` or `>`; `wide`: whether it has 64 bits."""

    order: str
    wide: bool
    header: tuple[int, ...]
    sections: tuple[Section, ...]

    def at(self, byte: int) -> str:
        """Return what lies at a byte of the file, in words."""
        for one in self.sections:
            if one.place <= byte < one.place + len(one.content):
                return f"section {one.name}, byte {byte - one.place} of it"
        if byte < (64 if self.wide else 52):
            return "the ELF header"
        start, count, size = self.header[5], self.header[11], self.header[10]
        if start <= byte < start + count * size:
            return f"the header of section {(byte - start) // max(size, 1)}"
        start, count, size = self.header[4], self.header[9], self.header[8]
        if start <= byte < start + count * size:
            return f"program header {(byte - start) // max(size, 1)}"
        return "between the sections"


def is_elf(source: Source) -> bool:
    """Tell whether bytes begin as ELF does."""
    return source.read(0, 4) == _MAGIC


def parse(data: bytes, subject: str = "") -> File:
    """Read the headers and sections of an ELF file of 32 or 64 bits, in either order of bytes.

    Raises:
        InputError: it is not a whole one.
    """
    try:
        return _parse(data)
    except (struct.error, ValueError, LookupError, OverflowError) as error:
        raise InputError(f"not a whole ELF file: {error}", subject=subject) from error


def _parse(data: bytes) -> File:
    if data[:4] != _MAGIC or data[4] not in _FORMS or data[5] not in {1, 2}:
        raise ValueError("another start")
    order = "<" if data[5] == 1 else ">"
    forms = _FORMS[data[4]]
    header = struct.unpack_from(order + forms[0], data, 16)
    table, size, count, names_at = header[5], header[10], header[11], header[12]
    form = struct.Struct(order + forms[1])
    if not count:
        return File(order, data[4] == _FORMS_WIDE, header, ())
    if size != form.size or names_at >= count or count > _MOST_SECTIONS:
        raise ValueError("no table of sections")
    rows = [form.unpack_from(data, table + size * index) for index in range(count)]
    names = _content(data, rows[names_at])
    taken = 0
    sections = []
    for row in rows:
        content = _content(data, row)
        # Sections may lie over each other; those of real files do not.
        taken += len(content)
        if taken > 2 * len(data):
            raise ValueError("sections that lie over each other")
        sections.append(Section(_name(names, row[0]), row[1:], content))
    return File(order, data[4] == _FORMS_WIDE, header, tuple(sections))


def _name(names: bytes, start: int) -> str:
    piece = names[start : start + _MOST_NAME]
    return piece.split(b"\0", 1)[0].decode("ascii", "replace")


def _content(data: bytes, row: tuple[int, ...]) -> bytes:
    kind, start, size = row[1], row[4], row[5]
    if kind in {0, _NO_BITS}:
        return b""
    if start + size > len(data):
        raise ValueError("cut short")
    return data[start : start + size]


def notes(section: Section, order: str) -> list[tuple[str, int, bytes]]:
    """Return the notes of a section: (whose, type, description)."""
    found: list[tuple[str, int, bytes]] = []
    at = 0
    data = section.content
    while at + 12 <= len(data) and len(found) < _MOST_NOTES:
        name, size, kind = struct.unpack_from(f"{order}III", data, at)
        at += 12
        whose = data[at : at + name].rstrip(b"\0").decode("ascii", "replace")
        at += name + -name % 4
        found.append((whose, kind, data[at : at + size]))
        at += size + -size % 4
    return found


def explain(pair: Pair, to: Collector, _: Callable[[Pair], None]) -> None:
    """Add how two ELF files differ, section by section.

    Raises:
        InputError: one is not a whole ELF file.
    """
    whole = pair.whole(to.limits.whole)
    if whole is None:
        to.note(f"{pair.path} is too large for its sections to be looked at")
        return
    first, second = (parse(data, pair.path) for data in whole)
    mark = to.mark()
    ids: list[tuple[Section, Section]] = []
    for one, other in _common(pair, to, first, second):
        if one.content == other.content:
            continue
        if one.name.startswith(".note") and "build" in one.name:
            ids.append((one, other))
        else:
            _section(pair, to, one, other)
    _build_ids(pair, to, ids, first.order, alone=not to.since(mark))
    if not to.since(mark):
        blob.explain(pair, to, first.at)
    elif not ids or len(to.since(mark)) > len(ids):
        _headers(pair, to, first, second)
    _weigh(to, mark)


def _common(pair: Pair, to: Collector, first: File, second: File) -> list[tuple[Section, Section]]:
    """The sections of the same name, in the order of the first; those of one side are said."""
    names = [[one.name for one in side.sections] for side in (first, second)]
    if names[0] != names[1]:
        same = sorted(names[0]) == sorted(names[1])
        if same:
            judged = Judgement(Cause.ORDER, Sureness.CERTAIN, "the same sections in another order")
        else:
            judged = Judgement(
                Cause.INPUT, Sureness.POSSIBLE, "other sections, as other options or tools make"
            )
        only = [name for name in names[0] if name not in names[1]]
        others = [name for name in names[1] if name not in names[0]]
        values = ", ".join(names[0] if same else only), ", ".join(names[1] if same else others)
        to.say(pair.path, "the list of sections", judged, values)
    left: dict[str, list[Section]] = {}
    for one in second.sections:
        left.setdefault(one.name, []).append(one)
    return [(one, left[one.name].pop(0)) for one in first.sections if left.get(one.name)]


def _section(pair: Pair, to: Collector, one: Section, other: Section) -> None:
    contents = [_inflated(side) or side.content for side in (one, other)]
    within = pair.within(f"section {one.name}", Memory(contents[0]), Memory(contents[1]))
    if one.name == ".go.buildinfo" and golang.explain_build_information(within, to):
        return
    if one.entry and records.explain(within, to, one.entry):
        return
    if one.flags & _EXECUTABLE:
        at = first_difference(within.first, within.second)
        judged = Judgement(Cause.CODE, Sureness.LIKELY, "the instructions are others")
        sizes = f"{len(one.content)} bytes", f"{len(other.content)} bytes"
        start = at or 0
        values = contents[0][start : start + 16], contents[1][start : start + 16]
        if len(one.content) != len(other.content):
            judged = replace(judged, reason=f"{judged.reason}: {sizes[0]} and {sizes[1]}")
        to.say(within.path, f"byte {one.place + start} of the file", judged, values, offset=at)
        return
    # DWARF holds addresses, lengths and line numbers; times stand in it as texts at most.
    debugs = one.name.startswith(_DEBUG)
    blob.explain(within, to, lambda at: f"byte {one.place + at} of the file", numbers=not debugs)


def _inflated(section: Section) -> bytes | None:
    """The content of a compressed section (SHF_COMPRESSED); None of another, or damaged, one."""
    if not section.flags & _COMPRESSED:
        return None
    for form in ("<IIQQ", ">IIQQ", "<III", ">III"):
        size = struct.calcsize(form)
        if len(section.content) < size or struct.unpack_from(form, section.content)[0] != _ZLIB:
            continue
        try:
            return zlib.decompressobj().decompress(section.content[size:], _INFLATED)
        except zlib.error:
            continue
    return None


def _build_ids(
    pair: Pair, to: Collector, ids: list[tuple[Section, Section]], order: str, *, alone: bool
) -> None:
    for one, other in ids:
        pairs = zip(notes(one, order), notes(other, order), strict=False)
        values = next(((a[2], b[2]) for a, b in pairs if a != b), (one.content, other.content))
        judged = golang.judge_build_id(*values, alone=alone)
        at = next((n for n, (a, b) in enumerate(zip(one.content, other.content, strict=False))
                   if a != b), 0)  # fmt: skip
        shown = [value.decode() if value.isascii() else value.hex() for value in values]
        name = pair.within(f"section {one.name}", Memory(b""), Memory(b"")).path
        to.say(
            name, f"build ID, byte {one.place + at} of the file", judged, (shown[0], shown[1]),
            offset=at, follows=not alone,
        )  # fmt: skip


def _headers(pair: Pair, to: Collector, first: File, second: File) -> None:
    """Fields of the headers that differ: where sections have other sizes, so have these."""
    for name, a, b in zip(_FIELDS, first.header, second.header, strict=True):
        if a != b:
            to.say(pair.path, f"the ELF header, {name}", _FOLLOWS, (a, b), follows=True, kind="h")


def _weigh(to: Collector, mark: int) -> None:
    """Instructions and unclear bytes follow from a clear cause in the same file."""
    blob.weigh(to, mark)
    found = to.since(mark)
    clear = [one for one in found if one.cause not in {Cause.CODE, Cause.UNKNOWN}]
    if clear and not all(one.follows for one in clear):
        for number in range(mark, len(to.findings)):
            one = to.findings[number]
            if one.cause in {Cause.CODE, Cause.UNKNOWN}:
                to.findings[number] = replace(one, follows=True)


_FOLLOWS = replace(UNKNOWN, reason="it follows from what the sections hold")
