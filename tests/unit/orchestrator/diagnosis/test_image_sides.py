"""Images made by hand: volumes that lie elsewhere, and folders in which every name differs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.diagnosis.formats import image, image_causes
from orchestrator.diagnosis.formats.image_aligned import Aligned
from orchestrator.diagnosis.model import Cause, Collector, Limits
from orchestrator.diagnosis.source import Memory, Pair
from tests.unit.orchestrator.image.fat.volumes import RESERVED, SECTOR, Volume, disk, long, short

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from orchestrator.diagnosis.model import Diagnosis

_FILES = {image.__file__, image_causes.__file__}


def told(first: bytes, second: bytes) -> Diagnosis:
    to = Collector(Limits())
    image.explain(Pair("i", Memory(first), Memory(second)), to, lambda _: None)
    return to.diagnosis()


def wheres(found: Diagnosis) -> list[str]:
    return [one.where for one in found.findings]


# -- work that grows with the number of files ------------------------------------------------------


def steps(first: bytes, second: bytes) -> int:
    """Instructions of the interpreter that the comparison takes in the modules of images."""
    count = 0

    def within(_: FrameType, event: str, __: object) -> Any:  # noqa: ANN401 - a trace function
        nonlocal count
        count += event == "opcode"
        return within

    def trace(frame: FrameType, _: str, __: object) -> Any:  # noqa: ANN401 - a trace function
        if frame.f_code.co_filename not in _FILES:
            return None
        frame.f_trace_opcodes = True
        return within

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        told(first, second)
    finally:
        sys.settrace(before)
    return count


def folder(count: int, record: Callable[[int], bytes]) -> bytes:
    volume = Volume(count * 2 // 5 + 3)
    volume.put(2, b"".join(map(record, range(count))))
    return volume.written()


def checked(number: int) -> bytes:
    """A long name whose record has another checksum."""
    records = bytearray(long(f"name{number:04}"))
    records[13] = 1
    return bytes(records) + short(f"A{number:07}TXT")


KINDS: dict[str, tuple[Callable[[int], bytes], Callable[[int], bytes]]] = {
    "aliases": (
        lambda number: long(f"name{number:04}") + short(f"A{number:07}TXT"),
        lambda number: long(f"name{number:04}") + short(f"B{number:07}TXT"),
    ),
    "names": (
        lambda number: short(f"A{number:07}TXT"),
        lambda number: short(f"B{number:07}TXT"),
    ),
    "records of long names": (
        lambda number: long(f"name{number:04}") + short(f"A{number:07}TXT"),
        checked,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_work_grows_with_the_number_of_files_and_not_with_its_square(kind: str) -> None:
    one, other = KINDS[kind]
    # Since Python 3.12 code is watched from the second time on that tracing is set up.
    counted = [steps(folder(count, one), folder(count, other)) for count in (9, 100, 100, 400)]
    few, many = counted[-2:]
    assert few > 100
    assert many < 5 * few


def test_the_same_aliases_given_otherwise_are_an_order() -> None:
    names = ("first name", "second name")
    sides = []
    for aliases in (("A~1", "B~1"), ("B~1", "A~1")):
        volume = Volume(9)
        records = (long(name) + short(alias) for name, alias in zip(names, aliases, strict=True))
        volume.put(2, b"".join(records))
        sides.append(volume.written())
    main = told(*sides).main
    assert main is not None
    assert (main.cause, main.where) == (Cause.ORDER, "directory entry of /first name, alias")


def test_a_name_that_begins_with_a_dot_is_no_other_one() -> None:
    """An entry that only one side has is told of by its name, and its bytes not again."""
    sides = []
    for name in (".profile", "xprofile"):
        volume = Volume(9)
        volume.put(2, long(name) + short("P") + long("profile") + short("Q"))
        sides.append(volume.written())
    assert wheres(told(*sides)) == [
        "/.profile, only in the first", "/xprofile, only in the second",
    ]  # fmt: skip


# -- volumes that lie elsewhere --------------------------------------------------------------------


def volume(content: bytes = b"hello", hidden: int = 0, info: int = 1) -> bytes:
    made = Volume(200, info=info)
    made.put(2, short("X       TXT", 3, 5) + short("Y", 4, 700))
    made.put(3, content)
    made.put(4, b"y" * 700)
    data = bytearray(made.written())
    data[28:32] = hidden.to_bytes(4, "little")
    return bytes(data)


SIZE = (64 + 300) * SECTOR


@pytest.mark.parametrize("starts", [(32, 48), (48, 32)])
def test_another_start_of_the_partition_is_the_cause_and_nothing_else(
    starts: tuple[int, int],
) -> None:
    found = told(*(disk(volume(), start, SIZE) for start in starts))
    assert [(one.where, one.first, one.second, one.offset) for one in found.findings] == [
        ("master boot record, partition entry 1, first sector", *map(str, starts), 454)
    ]
    main = found.main
    assert main is not None
    assert (main.cause, main.follows) == (Cause.ALLOCATION, False)
    assert "starts at another sector" in main.reason


def test_what_names_the_start_follows_from_it() -> None:
    found = told(*(disk(volume(hidden=start), start) for start in (32, 48)))
    assert {one.where: one.follows for one in found.findings} == {
        "the size of the image": True,
        "master boot record, partition entry 1, first sector": False,
        "boot sector, hidden sectors": True,
    }
    assert not any("another name or size" in one.reason for one in found.findings)


@pytest.mark.parametrize("starts", [(32, 48), (48, 32)])
def test_another_start_hides_no_difference_of_a_file(starts: tuple[int, int]) -> None:
    first, second = disk(volume(), starts[0], SIZE), disk(volume(b"hallo"), starts[1], SIZE)
    found = told(first, second)
    assert wheres(found) == [
        "master boot record, partition entry 1, first sector", "file /X.TXT, byte 1 of it",
    ]  # fmt: skip
    assert first[found.findings[1].offset or 0] == ord("e")


def test_another_start_is_the_cause_where_files_differ_in_size_too() -> None:
    other = Volume(200)
    other.put(2, short("X       TXT", 3, 6))
    other.put(3, b"hello!")
    found = told(disk(volume(), 32, SIZE), disk(other.written(), 48, SIZE))
    assert found.findings[0].where == "master boot record, partition entry 1, first sector"
    assert not found.findings[0].follows


@pytest.mark.parametrize("first_has_one", [True, False])
def test_a_partition_table_of_one_side_is_named(*, first_has_one: bool) -> None:
    sides = [disk(volume(), 32), volume()]
    found = told(*(sides if first_has_one else reversed(sides)))
    assert wheres(found) == ["the size of the image", "the start of the volume"]
    assert found.main is found.findings[1]


def test_tables_are_read_where_each_side_has_them() -> None:
    """FSInfo at another sector is the same FSInfo; the field that says where it is differs."""
    found = told(volume(), volume(info=5))
    assert wheres(found) == ["boot sector, sector of FSInfo"]
    assert volume()[SECTOR : SECTOR + 4] == volume(info=5)[5 * SECTOR : 5 * SECTOR + 4]
    assert RESERVED > 5


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 40), st.integers(0, 50))
def test_every_byte_of_an_aligned_image_is_where_it_must_be(
    own: int, start: int, at: int, length: int
) -> None:
    under, other = bytes(range(own + 20)), bytes(range(100, 100 + start + 20))
    both = min(own, start)
    wanted = under[:both] + other[both:start] + under[own:]
    side = Aligned(Memory(under), Memory(other), own, start)
    assert side.size == len(wanted)
    assert side.read(at, length) == wanted[at : at + length]
