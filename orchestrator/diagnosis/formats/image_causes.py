"""Judges what differs in an image's tables: by the field that it is, and by its values. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.diagnosis import evidence, moments
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.image.fat.regions import Item

    Values = tuple[str | int | bytes | None, str | int | bytes | None]

FOLLOWS = Judgement(
    Cause.ALLOCATION, Sureness.LIKELY,
    "it follows from files that have another name or size, or that only one side has",
)  # fmt: skip
START = Judgement(
    Cause.ALLOCATION, Sureness.CERTAIN,
    "the partition starts at another sector, so the whole volume lies elsewhere",
)  # fmt: skip
FOLLOWS_START = Judgement(
    Cause.ALLOCATION, Sureness.LIKELY, "it follows from where the partition starts"
)
FOLLOWING = FOLLOWS, FOLLOWS_START
_ALLOCATED = "every name and size is the same, so the clusters were given out otherwise"
_NUMBERS = frozenset({"disk signature", "volume ID"})
_OF_SIZE = frozenset({"sectors", "sectors of a FAT", "reserved sectors", "sectors of a cluster"})
# Of a partition entry, after its number: what other files have to do with, and what the start has.
_ENTRY_OF_SIZE = ("number of sectors", "last address (CHS)")
_ENTRY_OF_START = ("first address (CHS)", "last address (CHS)")
_TEXTS = frozenset({"system name", "label", "file system's name"})


def in_table(  # noqa: PLR0913 - a field of two tables
    name: str,
    one: bytes,
    other: bytes,
    *,
    known: Mapping[str, tuple[str, str]],
    same: bool,
    moved: bool = False,
) -> tuple[Judgement, Values]:
    """Judge a field of the master boot record, the boot sector or FSInfo.

    `same`: both images hold the same names with the same sizes. `moved`: their volumes start at
    different sectors.
    """
    numbers = int.from_bytes(one[:8], "little"), int.from_bytes(other[:8], "little")
    if name in _NUMBERS:
        return _identifier(*numbers), tuple(f"{number:#010x}" for number in numbers)  # type: ignore[return-value]
    if name in {"number of free clusters", "hint of the next free cluster"}:
        judged = Judgement(
            Cause.ALLOCATION, Sureness.CERTAIN, f"FSInfo's {name} says how clusters were given out"
        )
        return (judged if same else FOLLOWS), numbers
    if name == "boot code":
        judged = Judgement(Cause.CODE, Sureness.LIKELY, "the instructions that start are others")
        at = next((n for n in range(len(one)) if one[n] != other[n]), 0)
        return judged, (one[at : at + 16], other[at : at + 16])
    if name in _TEXTS:
        texts = [value.decode("latin-1").strip() for value in (one, other)]
        return evidence.judge(texts[0], texts[1], known), (texts[0], texts[1])
    return _of_geometry(name, same=same, moved=moved), numbers


def _of_geometry(name: str, *, same: bool, moved: bool) -> Judgement:
    """Judge a field that says where something is, or how large. Arguments as `in_table`."""
    in_entry = name.partition(", ")[2] if name.startswith("partition entry") else ""
    if in_entry == "first sector":
        return START if moved else UNKNOWN
    if moved and (name == "hidden sectors" or in_entry in _ENTRY_OF_START):
        return FOLLOWS_START
    if not same and (name in _OF_SIZE or in_entry in _ENTRY_OF_SIZE):
        return FOLLOWS
    return UNKNOWN


def _identifier(one: int, other: int) -> Judgement:
    """Volume IDs and disk signatures are made from the clock, or are random, or are given."""
    words = moments.unix(one), moments.unix(other)
    if moments.of_a_build(one) and moments.of_a_build(other):
        told = f"{words[0]} and {words[1]}"
        found = moments.gap(abs(one - other), told, sure=Sureness.LIKELY, local=False)
        if found.sure is Sureness.LIKELY:
            return found
    return Judgement(
        Cause.UNKNOWN, Sureness.POSSIBLE, "such numbers are made from the clock, or at random"
    )


def in_record(
    name: str, one: Item, other: Item, *, same_aliases: Callable[[str], bool], same: bool
) -> tuple[Judgement, Values]:
    """Judge a field of a directory entry.

    `same_aliases`: tells whether a folder has the same aliases on both sides.
    """
    if name.startswith(("time", "date")):
        words = _when(name, one.raw), _when(name, other.raw)
        return _moments(name, one.raw, other.raw, words), words
    if name == "alias":
        return _alias(one, same_aliases), (one.alias, other.alias)
    if name.startswith("first cluster"):
        judged = Judgement(Cause.ALLOCATION, Sureness.CERTAIN, _ALLOCATED)
        return (judged if same else FOLLOWS), (one.cluster, other.cluster)
    if name == "size":
        return UNKNOWN, (one.size, other.size)
    at = 11 if name == "attributes" else 12
    return UNKNOWN, (f"{one.raw[at]:#04x}", f"{other.raw[at]:#04x}")


def _alias(one: Item, same_aliases: Callable[[str], bool]) -> Judgement:
    """Tell whether the same aliases went to other names of the folder."""
    if same_aliases(one.path.rpartition("/")[0]):
        reason = "the folder has the same aliases, given to the names in another order"
        return Judgement(Cause.ORDER, Sureness.CERTAIN, reason)
    return UNKNOWN


def in_region(region: str, one: bytes, other: bytes, *, same: bool) -> Judgement:
    """Judge bytes in a region without fields."""
    if region in {"first FAT", "second FAT"} or region.startswith("FAT "):
        judged = Judgement(Cause.ALLOCATION, Sureness.LIKELY, _ALLOCATED)
        return judged if same else FOLLOWS
    if region in UNUSED:
        return Judgement(
            Cause.ALLOCATION, Sureness.LIKELY,
            f"nothing belongs there; what was there before, on the disk or in memory, is left: "
            f"{shown(one)} and {shown(other)}",
        )  # fmt: skip
    return UNKNOWN


UNUSED = frozenset({"slack", "free space", "gap before the partition", "reserved sectors",
                     "behind the last cluster", "behind the partition"})  # fmt: skip


# -- FAT's times -----------------------------------------------------------------------------------


def _when(name: str, raw: bytes) -> str:
    return _read(name, raw)[0]


def _read(name: str, raw: bytes) -> tuple[str, datetime | None]:
    """A time field in words, and with its date as a moment where there is one."""
    if name.endswith("hundredths"):
        return f"{raw[13]} hundredths", None
    day_at = {"made": 16, "accessed": 18, "written": 24}[name.rpartition(" ")[2]]
    clock_at = {16: 14, 24: 22}.get(day_at)
    day = _day(int.from_bytes(raw[day_at : day_at + 2], "little"))
    clock = _clock(int.from_bytes(raw[clock_at : clock_at + 2], "little")) if clock_at else ""
    words = f"{day or 'no date'} {clock}".strip()
    if not day or not clock:
        return words, None
    return words, datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - local


def _moments(name: str, one: bytes, other: bytes, words: tuple[str, str]) -> Judgement:
    moment, second = _read(name, one)[1], _read(name, other)[1]
    told = f"{words[0]} and {words[1]}"
    if moment is None or second is None:
        return Judgement(Cause.TIME, Sureness.CERTAIN, f"a time field ({name}): {told}")
    seconds = abs((moment - second).total_seconds())
    return moments.gap(seconds, told, sure=Sureness.CERTAIN)


def _day(value: int) -> str:
    year, month, day = 1980 + (value >> 9), value >> 5 & 15, value & 31
    try:
        return datetime(year, month, day).strftime("%Y-%m-%d")  # noqa: DTZ001 - local time
    except ValueError:
        return ""


def _clock(value: int) -> str:
    hour, minute, second = value >> 11, value >> 5 & 63, (value & 31) * 2
    return f"{hour:02}:{minute:02}:{second:02}" if hour < 24 and max(minute, second) < 60 else ""  # noqa: PLR2004
