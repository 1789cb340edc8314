"""Headers of ELF files: what no content of a section explains, what moves with it, and the rest.

Source: System V ABI, "Object Files": ELF header, section header, program header.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import unlike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.diagnosis.formats.elf import File, Section
    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair

    Files = tuple[File, File]

# Fields of the ELF header behind the identity, and whether they move with the sections' sizes.
_FIELDS = (
    ("type", False), ("machine", False), ("version", False), ("entry point", True),
    ("place of the program headers", True), ("place of the section headers", True),
    ("flags", False), ("size of this header", False), ("size of a program header", False),
    ("number of program headers", False), ("size of a section header", False),
    ("number of sections", True), ("section with the names", True),
)  # fmt: skip
_PROGRAMS, _SECTIONS, _PROGRAM_SIZE, _PROGRAM_COUNT, _SECTION_SIZE = 4, 5, 8, 9, 10
_IDENTITY = slice(4, 16)
_HEADER_SIZES = {False: 52, True: 64}
# Fields of a section header by 64 bits or not: (name, number in `Section.fields`, byte, bytes).
_OF_SECTION = {
    False: (("type", 0, 4, 4), ("flags", 1, 8, 4), ("size of an entry", 8, 36, 4)),
    True: (("type", 0, 4, 4), ("flags", 1, 8, 8), ("size of an entry", 8, 56, 8)),
}
# And of a program header: (name, byte); each has four bytes.
_OF_PROGRAM = {
    False: (("type", 0), ("flags", 24)),
    True: (("type", 0), ("flags", 4)),
}
_MOST_PROGRAMS = 10_000
_PIECE = 1 << 20

_OTHER = Judgement(
    Cause.INPUT, Sureness.POSSIBLE,
    "it does not follow from what the sections hold: other options or tools, or changed afterwards",
)  # fmt: skip
_FOLLOWS = replace(UNKNOWN, reason="it follows from what the sections hold")


def explain(
    pair: Pair, to: Collector, files: Files, common: Sequence[tuple[Section, Section]]
) -> None:
    """Add what differs in headers and follows from no content: kinds, rights, sizes of entries.

    `common`: the sections that both have.
    """
    first, second = files
    identities = pair.first.read(0, 16)[_IDENTITY], pair.second.read(0, 16)[_IDENTITY]
    if identities[0] != identities[1]:
        to.say(pair.path, "the ELF header, identity", _OTHER,
               (identities[0].hex(), identities[1].hex()), offset=_IDENTITY.start)  # fmt: skip
    _fields(pair, to, files, moving=False)
    for one, other in common:
        for name, number, at, _ in _OF_SECTION[first.wide]:
            values = one.fields[number], other.fields[number]
            if values[0] != values[1]:
                place = first.header[_SECTIONS] + one.number * first.header[_SECTION_SIZE] + at
                to.say(pair.path, f"the header of section {one.name}, {name}", _OTHER,
                       (hex(values[0]), hex(values[1])), offset=place, kind="section header",
                )  # fmt: skip
    programs = zip(_programs(pair.first.read, first), _programs(pair.second.read, second),
                   strict=False)  # fmt: skip
    for number, ((place, mine), (_, theirs)) in enumerate(programs):
        for name, at in _OF_PROGRAM[first.wide]:
            if mine[name] != theirs[name]:
                to.say(pair.path, f"program header {number}, {name}", _OTHER,
                       (hex(mine[name]), hex(theirs[name])), offset=place + at,
                       kind="program header")  # fmt: skip


def explain_moved(pair: Pair, to: Collector, files: Files) -> None:
    """Add fields of the ELF header that move with the sections' sizes."""
    _fields(pair, to, files, moving=True)


def _fields(pair: Pair, to: Collector, files: Files, *, moving: bool) -> None:
    judged = _FOLLOWS if moving else _OTHER
    for (name, moves), a, b in zip(_FIELDS, files[0].header, files[1].header, strict=True):
        if a != b and moves is moving:
            to.say(pair.path, f"the ELF header, {name}", judged, (a, b), follows=moving,
                   kind=f"header {moving}")  # fmt: skip


def _programs(
    read: Callable[[int, int], bytes], file: File
) -> Iterator[tuple[int, dict[str, int]]]:
    """Yield the place and the compared fields of each program header that is there."""
    size = file.header[_PROGRAM_SIZE]
    for number in range(min(file.header[_PROGRAM_COUNT], _MOST_PROGRAMS)):
        place = file.header[_PROGRAMS] + number * size
        data = read(place, size)
        fields = _OF_PROGRAM[file.wide]
        if len(data) < fields[-1][1] + 4:
            return
        yield (
            place,
            {name: struct.unpack_from(f"{file.order}I", data, at)[0] for name, at in fields},
        )


def left(whole: tuple[bytes, bytes], files: Files) -> tuple[int, int] | None:
    """The first byte that differs outside of all that is compared, and how many there are.

    None where none does, or where the sections do not lie at the same places: then there is nothing
    that such bytes could be compared with.
    """
    layouts = [
        (len(data), file.wide, file.header[_SECTIONS],
         [(one.name, one.place, len(one.content)) for one in file.sections])
        for data, file in zip(whole, files, strict=True)
    ]  # fmt: skip
    if layouts[0] != layouts[1]:
        return None
    place, count = -1, 0
    for start, end in _outside(sorted(_compared(whole[0], files[0])), len(whole[0])):
        for at in range(start, end, _PIECE):
            one, other = (data[at : min(end, at + _PIECE)] for data in whole)
            if one == other:
                continue
            differing = unlike(one, other)
            count += len(differing) - differing.count(0)
            if place < 0:
                place = at + len(differing) - len(differing.lstrip(b"\0"))
    return (place, count) if count else None


def _compared(data: bytes, file: File) -> Iterator[tuple[int, int]]:
    """Yield the beginning and the end of all that is compared by a name."""
    yield 0, _HEADER_SIZES[file.wide]
    for one in file.sections:
        yield one.place, one.place + len(one.content)
        row = file.header[_SECTIONS] + one.number * file.header[_SECTION_SIZE]
        for _, _, at, size in _OF_SECTION[file.wide]:
            yield row + at, row + at + size
    for place, _ in _programs(lambda at, size: data[at : at + size], file):
        for _, at in _OF_PROGRAM[file.wide]:
            yield place + at, place + at + 4


def _outside(ranges: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield what lies between ranges that are sorted."""
    at = 0
    for start, end in ranges:
        if start > at:
            yield at, min(start, size)
        at = max(at, end)
    if at < size:
        yield at, size


def say_left(
    pair: Pair, to: Collector, found: tuple[int, int], where: Callable[[int], str]
) -> None:
    """Add that bytes differ which nothing else tells of. `found`: of `left`."""
    at, count = found
    reason = f"{count} bytes differ that belong to no section and to no header that is compared"
    values = pair.first.read(at, 16), pair.second.read(at, 16)
    to.say(pair.path, where(at), replace(UNKNOWN, reason=reason), values, offset=at)
