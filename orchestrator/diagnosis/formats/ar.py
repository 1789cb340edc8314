"""Archives of `ar`, as of compiled Go packages and Debian packages: headers, order, members.

Source: ar(5); Go, cmd/internal/archive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.diagnosis import moments
from orchestrator.diagnosis.formats import golang
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Parts
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MOST = 100_000
# Where a header's fields lie: (name, start, end).
_FIELDS = (("time", 16, 28), ("user ID", 28, 34), ("group ID", 34, 40), ("mode", 40, 48))
_SIZE = slice(48, 58)
_END = slice(58, 60)


@dataclass(frozen=True, slots=True)
class Member:
    """A member. `place`: the byte of the archive at which its header starts."""

    name: str
    header: bytes
    place: int
    size: int


def is_archive(source: Source) -> bool:
    """Tell whether bytes begin as an archive does."""
    return source.read(0, len(_MAGIC)) == _MAGIC


def members(source: Source, subject: str = "") -> list[Member]:
    """Every member's header, in order.

    Raises:
        InputError: it is no whole archive.
    """
    found: list[Member] = []
    at = len(_MAGIC)
    while at < source.size:
        header = source.read(at, _HEADER)
        digits = header[_SIZE].strip()
        whole = len(header) == _HEADER and header[_END] == b"`\n" and digits.isdigit()
        if not whole or len(found) >= _MOST:
            raise InputError(f"no header of a member at byte {at}", subject=subject)
        name = header[:16].decode("utf-8", "replace").rstrip()
        size = int(digits)
        if at + _HEADER + size > source.size:
            raise InputError(f"the member {name} is cut short", subject=subject)
        found.append(Member(name, header, at, size))
        at += _HEADER + size + size % 2
    return found


def explain(pair: Pair, to: Collector, inner: Callable[[Pair], None]) -> None:
    """Add how two archives differ.

    Raises:
        InputError: one is no whole archive.
    """
    first, second = members(pair.first, pair.path), members(pair.second, pair.path)
    names = [[one.name for one in side] for side in (first, second)]
    if names[0] != names[1]:
        same = sorted(names[0]) == sorted(names[1])
        judged = (
            Judgement(Cause.ORDER, Sureness.CERTAIN, "the same members in another order")
            if same
            else UNKNOWN
        )
        number = next(
            (n for n, (a, b) in enumerate(zip(*names, strict=False)) if a != b),
            min(map(len, names)),
        )
        at = first[number].place if number < len(first) else pair.first.size
        to.say(
            pair.path, f"member {number}", judged,
            (", ".join(names[0][number:]), ", ".join(names[1][number:])), offset=at,
        )  # fmt: skip
    others: dict[str, list[Member]] = {}
    for one in second:
        others.setdefault(one.name, []).append(one)
    for one in first:
        if others.get(one.name):
            _member(pair, to, inner, (one, others[one.name].pop(0)))


def _member(
    pair: Pair, to: Collector, inner: Callable[[Pair], None], both: tuple[Member, Member]
) -> None:
    one, other = both
    for name, start, end in _FIELDS:
        values = one.header[start:end], other.header[start:end]
        if values[0] != values[1]:
            to.say(
                pair.path, f"header of {one.name}, {name}", _judged(name, *values),
                (values[0].strip(), values[1].strip()), offset=one.place + start, kind=name,
            )  # fmt: skip
    sources = [
        Parts(under, [(member.place + _HEADER, member.size)], member.size)
        for under, member in ((pair.first, one), (pair.second, other))
    ]
    within = pair.within(one.name, *sources)
    if all(golang.is_object(source.read(0, 16)) for source in sources):
        golang.explain_object(within, to)
    else:
        inner(within)


def _judged(name: str, one: bytes, other: bytes) -> Judgement:
    if name == "time":
        digits = one.strip(), other.strip()
        if all(value.isdigit() for value in digits):
            numbers = int(digits[0]), int(digits[1])
            words = " and ".join(moments.unix(number) or str(number) for number in numbers)
            return moments.gap(
                abs(numbers[0] - numbers[1]), words, sure=Sureness.CERTAIN, local=False
            )
    if name == "mode":
        return Judgement(Cause.USER, Sureness.POSSIBLE, "permissions, as the umask gives them")
    return Judgement(Cause.USER, Sureness.CERTAIN, "the owner of a member")
