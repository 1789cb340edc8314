"""Tar archives: order, owners, times, permissions, members by content."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from orchestrator.diagnosis import moments
from orchestrator.diagnosis.formats import members
from orchestrator.diagnosis.formats.stream import opened, refusing
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Parts
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

_MAGIC_AT = 257
_MOST = 200_000
# Names of a header's fields, those of `tarfile.TarInfo`, and the byte in the header.
_FIELDS = (
    ("mode", "mode", 100), ("owner's number", "uid", 108), ("group's number", "gid", 116),
    ("modification time", "mtime", 136), ("type", "type", 156), ("link's target", "linkname", 157),
    ("owner's name", "uname", 265), ("group's name", "gname", 297),
    ("device's major number", "devmajor", 329), ("device's minor number", "devminor", 337),
)  # fmt: skip


def is_tar(source: Source) -> bool:
    """Tell whether bytes begin as a tar archive does (POSIX or GNU)."""
    return source.read(_MAGIC_AT, 5) == b"ustar"


def explain(pair: Pair, to: Collector, inner: Callable[[Pair], None]) -> None:
    """Add how two tar archives differ.

    Raises:
        InputError: one is damaged, or has more members than are looked at.
    """
    first, second = (_members(side, pair.path) for side in (pair.first, pair.second))
    names = [one.name for one in first], [one.name for one in second]
    members.explain(pair, to, "tar", names, [one.offset for one in first])
    others: dict[str, list[tarfile.TarInfo]] = {}
    for one in second:
        others.setdefault(one.name, []).append(one)
    for one in first:
        if others.get(one.name):
            _member(pair, to, inner, (one, others[one.name].pop(0)))


def _members(source: Source, subject: str) -> list[tarfile.TarInfo]:
    found: list[tarfile.TarInfo] = []
    with (
        refusing("a damaged tar archive", subject),
        tarfile.open(fileobj=opened(source), mode="r:") as archive,
    ):
        for one in archive:
            found.append(one)
            if len(found) > _MOST:
                raise InputError("more members than are looked at", subject=subject)
    return found


def _member(
    pair: Pair, to: Collector, inner: Callable[[Pair], None],
    both: tuple[tarfile.TarInfo, tarfile.TarInfo],
) -> None:  # fmt: skip
    one, other = both
    for name, attribute, at in _FIELDS:
        values = getattr(one, attribute), getattr(other, attribute)
        if values[0] == values[1]:
            continue
        shown = tuple(oct(value) for value in values) if attribute == "mode" else values
        to.say(
            pair.path, f"tar header of {one.name}, {name}", _judged(attribute, *values),
            shown,  # type: ignore[arg-type]
            offset=one.offset + at, kind=name,
        )  # fmt: skip
    if not (one.isreg() and other.isreg()):
        return
    sources = [
        Parts(side, [(info.offset_data, info.size)], max(0, info.size))
        for side, info in ((pair.first, one), (pair.second, other))
    ]
    inner(pair.within(one.name, *sources))


def _judged(attribute: str, one: float | str, other: float | str) -> Judgement:
    if attribute == "mtime" and not isinstance(one, str) and not isinstance(other, str):
        words = " and ".join(moments.unix(int(value)) or str(value) for value in (one, other))
        return moments.gap(abs(one - other), words, sure=Sureness.CERTAIN, local=False)
    if attribute in {"uid", "gid", "uname", "gname"}:
        return Judgement(Cause.USER, Sureness.CERTAIN, "who owned the files")
    if attribute == "mode":
        return Judgement(Cause.USER, Sureness.POSSIBLE, "permissions, as the umask gives them")
    return UNKNOWN
