"""Tar archives: order, owners, times, permissions, members by content."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from orchestrator.diagnosis import moments
from orchestrator.diagnosis.formats import members
from orchestrator.diagnosis.formats.stream import opened, refusing
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Parts, differing
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
    both = [(one, others[one.name].pop(0)) for one in first if others.get(one.name)]
    for pair_of in both:
        _header(pair, to, pair_of)
    contents = [_content(pair, *pair_of) for pair_of in both if all(map(_is_file, pair_of))]
    for content in members.looked_into(pair, to, [one for one in contents if _differ(one)]):
        inner(content)


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


def _header(pair: Pair, to: Collector, both: tuple[tarfile.TarInfo, tarfile.TarInfo]) -> None:
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


def _is_file(info: tarfile.TarInfo) -> bool:
    return info.isreg()


def _differ(content: Pair) -> bool:
    first, second = content.first, content.second
    return first.size != second.size or any(True for _ in differing(first, second))


def _content(pair: Pair, one: tarfile.TarInfo, other: tarfile.TarInfo) -> Pair:
    sources = [
        # No more than there is, whatever the header of one with holes says.
        Parts(side, [(info.offset_data, size)], size)
        for side, info in ((pair.first, one), (pair.second, other))
        for size in [max(0, min(info.size, side.size - info.offset_data))]
    ]
    return pair.within(one.name, *sources)


def _judged(attribute: str, one: float | str, other: float | str) -> Judgement:
    if attribute == "mtime" and not isinstance(one, str) and not isinstance(other, str):
        words = " and ".join(moments.unix(int(value)) or str(value) for value in (one, other))
        return moments.gap(abs(one - other), words, sure=Sureness.CERTAIN, local=False)
    if attribute in {"uid", "gid", "uname", "gname"}:
        return Judgement(Cause.USER, Sureness.CERTAIN, "who owned the files")
    if attribute == "mode":
        return Judgement(Cause.USER, Sureness.POSSIBLE, "permissions, as the umask gives them")
    return UNKNOWN
