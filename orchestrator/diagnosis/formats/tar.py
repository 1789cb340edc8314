"""Tar archives: order, owners, times, permissions, members by content."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orchestrator.diagnosis import moments
from orchestrator.diagnosis.formats import members, tar_headers
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness, shown
from orchestrator.diagnosis.source import Parts, differing

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.formats.tar_headers import Member, Value
    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

_MAGIC_AT = 257


def is_tar(source: Source) -> bool:
    """Tell whether bytes begin as a tar archive does (POSIX or GNU)."""
    return source.read(_MAGIC_AT, 5) == b"ustar"


def explain(pair: Pair, to: Collector, inner: Callable[[Pair], None]) -> None:
    """Add how two tar archives differ.

    Raises:
        InputError: one is damaged, or has more members than are looked at.
    """
    first, second = (
        list(tar_headers.members(side, pair.path)) for side in (pair.first, pair.second)
    )
    names = [one.name for one in first], [one.name for one in second]
    members.explain(pair, to, "tar", names, [one.place for one in first])
    others: dict[str, list[Member]] = {}
    for one in second:
        others.setdefault(one.name, []).append(one)
    both = [(one, others[one.name].pop(0)) for one in first if others.get(one.name)]
    for pair_of in both:
        _header(pair, to, pair_of)
    contents = [_content(pair, one, other) for one, other in both if one.regular and other.regular]
    for content in members.looked_into(pair, to, [one for one in contents if _differ(one)]):
        inner(content)


def _header(pair: Pair, to: Collector, both: tuple[Member, Member]) -> None:
    one, other = both
    for number, (name, field, at) in enumerate(tar_headers.FIELDS):
        values = one.values[number], other.values[number]
        if values[0] == values[1]:
            continue
        told = tuple(oct(value) for value in values) if field == "mode" else values  # type: ignore[arg-type]
        to.say(
            pair.path, f"tar header of {one.name}, {name}", _judged(field, *values),
            told,  # type: ignore[arg-type]
            offset=None if field in one.extended else one.header + at, kind=name,
        )  # fmt: skip


def _differ(content: Pair) -> bool:
    first, second = content.first, content.second
    return first.size != second.size or any(True for _ in differing(first, second))


def _content(pair: Pair, one: Member, other: Member) -> Pair:
    sources = [
        Parts(side, [(member.data, member.size)], member.size)
        for side, member in ((pair.first, one), (pair.second, other))
    ]
    return pair.within(one.name, *sources)


def _judged(field: str, one: Value, other: Value) -> Judgement:
    if field == "mtime":
        words = " and ".join(map(_words, (one, other)))
        apart = math.inf  # of what is no moment
        if isinstance(one, int | float) and isinstance(other, int | float):
            apart = abs(one - other)
        return moments.gap(apart, words, sure=Sureness.CERTAIN, local=False)
    if field in {"uid", "gid", "uname", "gname"}:
        return Judgement(Cause.USER, Sureness.CERTAIN, "who owned the files")
    if field == "mode":
        return Judgement(Cause.USER, Sureness.POSSIBLE, "permissions, as the umask gives them")
    return UNKNOWN


def _words(value: Value) -> str:
    known = moments.unix(int(value)) if isinstance(value, int | float) else None
    return known or shown(str(value))
