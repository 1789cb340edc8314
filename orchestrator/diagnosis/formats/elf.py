"""ELF: sections by name, notes with build IDs, instructions told from data.

Source: System V ABI, "Object Files": ELF header, section headers, notes, compressed sections.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.diagnosis import blob
from orchestrator.diagnosis.formats import elf_headers, golang, records
from orchestrator.diagnosis.formats.elf_inflating import Inflating
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
_EXECUTABLE = 0x4
_LONGEST_ID = 4096
# Width (by class 1, 2) -> formats behind the identity: header, section header.
_FORMS = {
    1: ("HHIIIIIHHHHHH", "IIIIIIIIII"),
    2: ("HHIQQQIHHHHHH", "IIQQQQIIQQ"),
}


@dataclass(frozen=True, slots=True)
class Section:
    """A section. `fields`: its header's, after the name. `content`: empty where it has no bytes.

    `number`: of its header in their table.
    """

    name: str
    number: int
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
    for number, row in enumerate(rows):
        content = _content(data, row)
        # Sections may lie over each other; those of real files do not.
        taken += len(content)
        if taken > 2 * len(data):
            raise ValueError("sections that lie over each other")
        sections.append(Section(_name(names, row[0]), number, row[1:], content))
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
    begin = to.mark()
    common = _common(first, second)
    elf_headers.explain(pair, to, (first, second), common)
    left = elf_headers.left(whole, (first, second))
    mark = to.mark()
    _list(pair, to, first, second)
    inflating = [Inflating(one, to, side.size)
                 for one, side in ((first, pair.first), (second, pair.second))]  # fmt: skip
    ids: list[tuple[Section, Section]] = []
    for one, other in common:
        if one.content == other.content:
            continue
        if one.name.startswith(".note") and "build" in one.name:
            ids.append((one, other))
        else:
            _section(pair, to, (one, other), inflating)
    same = left is None and first.header == second.header
    _build_ids(pair, to, ids, first.order, alone=same and not to.since(begin))
    if not to.since(begin):
        blob.explain(pair, to, first.at)
        return
    elf_headers.explain_moved(pair, to, (first, second))
    _weigh(to, mark)
    if left is not None:
        elf_headers.say_left(pair, to, left, first.at)


def _common(first: File, second: File) -> list[tuple[Section, Section]]:
    """The sections of the same name, in the order of the first."""
    left: dict[str, list[Section]] = {}
    for one in second.sections:
        left.setdefault(one.name, []).append(one)
    return [(one, left[one.name].pop(0)) for one in first.sections if left.get(one.name)]


def _list(pair: Pair, to: Collector, first: File, second: File) -> None:
    """Add that the sections are others, or in another order."""
    names = [[one.name for one in side.sections] for side in (first, second)]
    if names[0] != names[1]:
        same = sorted(names[0]) == sorted(names[1])
        if same:
            judged = Judgement(Cause.ORDER, Sureness.CERTAIN, "the same sections in another order")
        else:
            judged = Judgement(
                Cause.INPUT, Sureness.POSSIBLE, "other sections, as other options or tools make"
            )
        sets = [set(side) for side in names]
        only = [name for name in names[0] if name not in sets[1]]
        others = [name for name in names[1] if name not in sets[0]]
        values = ", ".join(names[0] if same else only), ", ".join(names[1] if same else others)
        to.say(pair.path, "the list of sections", judged, values)


def _section(
    pair: Pair, to: Collector, both: tuple[Section, Section], inflating: list[Inflating]
) -> None:
    one, other = both
    within = pair.within(f"section {one.name}", Memory(one.content), Memory(other.content))
    unpacked = _unpacked(within, both, inflating)
    if unpacked is not None:
        contents = unpacked.first, unpacked.second
        if first_difference(*contents) is None:
            at = first_difference(within.first, within.second)
            to.say(within.path, "the compressed bytes", _PACKED, (None, None), offset=at)
            return
        within = unpacked
    if one.name == ".go.buildinfo" and golang.explain_build_information(within, to):
        return
    if one.entry and records.explain(within, to, one.entry):
        return

    def where(at: int) -> str:
        # Of what is unpacked no byte is one of the file.
        return f"byte {one.place + at} of the file" if unpacked is None else "bytes of the section"

    if one.flags & _EXECUTABLE:
        _instructions(within, to, where)
        return
    # DWARF holds addresses, lengths and line numbers; times stand in it as texts at most.
    blob.explain(within, to, where, numbers=not one.name.startswith(_DEBUG))


def _unpacked(
    within: Pair, both: tuple[Section, Section], inflating: list[Inflating]
) -> Pair | None:
    """What two sections unpack to; None where none is compressed, or one cannot be unpacked."""
    if not any(side.compressed(one) for side, one in zip(inflating, both, strict=True)):
        return None
    found = []
    for side, one in zip(inflating, both, strict=True):
        content = side.content(one, within.path) if side.compressed(one) else one.content
        if content is None:
            return None
        found.append(Memory(content))
    return within.within("unpacked", *found)


def _instructions(within: Pair, to: Collector, where: Callable[[int], str]) -> None:
    at = first_difference(within.first, within.second)
    start = at or 0
    judged = Judgement(Cause.CODE, Sureness.LIKELY, "the instructions are others")
    sizes = within.first.size, within.second.size
    if sizes[0] != sizes[1]:
        judged = replace(judged, reason=f"{judged.reason}: {sizes[0]} bytes and {sizes[1]} bytes")
    values = within.first.read(start, 16), within.second.read(start, 16)
    to.say(within.path, where(start), judged, values, offset=at)


def _build_ids(
    pair: Pair, to: Collector, ids: list[tuple[Section, Section]], order: str, *, alone: bool
) -> None:
    for one, other in ids:
        pairs = zip(notes(one, order), notes(other, order), strict=False)
        values = next(((a[2], b[2]) for a, b in pairs if a != b), (one.content, other.content))
        judged = golang.judge_build_id(*values, alone=alone)
        at = first_difference(Memory(one.content), Memory(other.content)) or 0
        values = values[0][:_LONGEST_ID], values[1][:_LONGEST_ID]
        shown = [value.decode() if value.isascii() else value.hex() for value in values]
        name = pair.within(f"section {one.name}", Memory(b""), Memory(b"")).path
        to.say(
            name, f"build ID, byte {one.place + at} of the file", judged, (shown[0], shown[1]),
            offset=at, follows=not alone,
        )  # fmt: skip


def _weigh(to: Collector, mark: int) -> None:
    """Instructions and unclear bytes follow from a clear cause in the same file."""
    blob.weigh(to, mark)
    found = to.since(mark)
    clear = [one for one in found if one.cause not in {Cause.CODE, Cause.UNKNOWN}]
    if clear and not all(one.follows for one in clear):
        weak = {Cause.CODE, Cause.UNKNOWN}
        to.revise(mark, lambda one: replace(one, follows=True) if one.cause in weak else one)


_PACKED = replace(
    UNKNOWN, reason="what the section unpacks to is the same: another compressor or level"
)
