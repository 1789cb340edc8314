"""Looks at a difference in bytes of no known format: at the text around it, or at numbers in it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.diagnosis import evidence, moments
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import first_difference, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair

_BEFORE, _AFTER = 256, 1024
_STRING = re.compile(rb"[\t\x20-\x7e]{6,}")
_MOST_STRINGS = 3000
_LARGEST_STRINGS = 32 << 20
_TIME = 8
# How a judgement of bytes that may be no number at all begins.
_GUESS = "8 bytes that could be a time: "


def explain(
    pair: Pair,
    to: Collector,
    where: Callable[[int], str] = lambda _: "bytes of the file",
    *,
    numbers: bool = True,
) -> None:
    """Add a finding for each place in which two pieces differ.

    `where`: what lies at a byte. `numbers`: whether bytes may be a time since 1970 as a number.
    """
    at = first_difference(pair.first, pair.second)
    if at is None:
        return
    if pair.first.size == pair.second.size:
        whole = pair.whole(to.limits.whole)
        if whole is not None:
            mark = to.mark()
            _places(pair, whole, to, where, numbers=numbers)
            weigh(to, mark)
            return
    start = max(0, at - _BEFORE)
    length = at - start + _AFTER
    one, other = pair.first.read(start, length), pair.second.read(start, length)
    judged = judge_at(one, other, at - start, to.known, numbers=numbers)
    told: tuple[bytes, bytes] | tuple[str, str] = values(one, other, at - start)
    if judged.cause is Cause.UNKNOWN:
        found = strings(pair, to)
        if found is not None:
            judged, told = found
    sizes = pair.first.size, pair.second.size
    place = where(at)
    if sizes[0] != sizes[1]:
        place += f"; the sizes are {sizes[0]} and {sizes[1]} bytes"
    to.say(pair.path, place, judged, told, offset=at)


def weigh(to: Collector, mark: int) -> None:
    """Mark guesses as what follows, where another finding of the file after `mark` tells more.

    Eight bytes that could be a time are something else where a path or other instructions differ.
    """
    found = to.since(mark)
    clear = [one for one in found if one.sure is not Sureness.POSSIBLE and not one.follows]
    if any(one.cause is not Cause.UNKNOWN for one in clear):
        to.revise(
            mark,
            lambda one: replace(one, follows=True) if one.reason.startswith(_GUESS) else one,
        )


def _places(
    pair: Pair,
    whole: tuple[bytes, bytes],
    to: Collector,
    where: Callable[[int], str],
    *,
    numbers: bool,
) -> None:
    first, second = whole
    found = runs(first, second, most=to.limits.each + 1)
    told = [judge_at(first, second, start, to.known, numbers=numbers) for start, _ in found]
    if all(one.cause is Cause.UNKNOWN for one in told):
        other = strings(pair, to)
        told = [other[0] if other else one for one in told]
    for (start, _), judged in zip(found, told, strict=True):
        to.say(
            pair.path, where(start), judged, values(first, second, start), offset=start,
            kind=f"bytes {judged.cause}",
        )  # fmt: skip


def values(first: bytes, second: bytes, at: int) -> tuple[bytes, bytes] | tuple[str, str]:
    """The text or the bytes at a place on both sides, for people."""
    texts = _text(first, at), _text(second, at)
    if texts[0] and texts[1]:
        return texts
    return first[at : at + 16], second[at : at + 16]


def judge_at(
    first: bytes,
    second: bytes,
    at: int,
    known: Mapping[str, tuple[str, str]],
    *,
    numbers: bool = True,
) -> Judgement:
    """Judge the first place in which two pieces differ; before it they are the same.

    `numbers`: as in `explain`.
    """
    found = _known_at(first, second, at, known)
    if found is not None:
        return found
    one, other = _text(first, at), _text(second, at)
    if one and other:
        judged = evidence.judge(one, other, known)
        if judged.cause is Cause.UNKNOWN:
            words = _word(first, at), _word(second, at)
            if words != (one, other):
                judged = evidence.judge(*words, known)
        return judged
    return (_number(first, second, at) if numbers else None) or UNKNOWN


def _known_at(
    first: bytes, second: bytes, at: int, known: Mapping[str, tuple[str, str]]
) -> Judgement | None:
    """Tell whether each side has its own value of a condition over the place."""
    for name, (one, other) in sorted(known.items(), key=lambda item: -len(item[1][0])):
        a, b = one.encode(), other.encode()
        if min(len(a), len(b)) < 4 or a == b:  # noqa: PLR2004 - shorter ones are met by chance
            continue
        places = [
            data.find(value, max(0, at - len(value) + 1), at + len(value))
            for data, value in ((first, a), (second, b))
        ]
        if min(places) >= 0 and max(places) <= at:
            reason = f"each side holds its own {name}: {one!r} and {other!r}"
            return Judgement(evidence.condition(name), Sureness.CERTAIN, reason)
    return None


def _text(data: bytes, at: int) -> str:
    """The readable text around a place; empty where there is none."""
    start = end = at = min(at, len(data))
    while start > max(0, at - _BEFORE) and _readable(data[start - 1]):
        start -= 1
    while end < min(len(data), at + _AFTER) and _readable(data[end]):
        end += 1
    text = data[start:end].decode("latin-1")
    return text if len(text) >= 4 and (end > at or start < at) else ""  # noqa: PLR2004


def _word(data: bytes, at: int) -> str:
    text = _text(data, at)
    before = data[max(0, at - _BEFORE) : at].decode("latin-1")
    head = re.split(r"[^!-~]", before)[-1]
    tail = re.split(r"\s", text[len(text) - len(text.lstrip()) :])
    after = re.match(r"[!-~]*", data[at : at + _AFTER].decode("latin-1"))
    return head + (after[0] if after else "") if tail else ""


def _readable(byte: int) -> bool:
    return 0x20 <= byte < 0x7F or byte == 9  # noqa: PLR2004 - ASCII


def _number(first: bytes, second: bytes, at: int) -> Judgement | None:
    """Times since 1970 as numbers of 64 bits, whose upper half is zero."""
    start = at - at % _TIME
    for order in ("little", "big"):
        numbers = [int.from_bytes(data[start : start + _TIME], order) for data in (first, second)]
        words = [moments.unix(number) for number in numbers]
        if all(map(moments.of_a_build, numbers)) and numbers[0] != numbers[1]:
            shown = f"{words[0]} and {words[1]}"
            return Judgement(Cause.TIME, Sureness.POSSIBLE, f"{_GUESS}{shown}")
    return None


def strings(pair: Pair, to: Collector) -> tuple[Judgement, tuple[str, str]] | None:
    """Judge the readable strings that only one side has, with a pair of them.

    None where they tell nothing.
    """
    whole = pair.whole(_LARGEST_STRINGS)
    if whole is None:
        return None
    one, other = (set(_STRING.findall(data)) for data in whole)
    only, others = sorted(one - other), sorted(other - one)
    if not only or len(only) != len(others) or len(only) > _MOST_STRINGS:
        return None
    told: Counter[Judgement] = Counter()
    met: dict[Judgement, tuple[str, str]] = {}
    for a, b in zip(only, others, strict=True):
        texts = a.decode("latin-1"), b.decode("latin-1")
        judged = evidence.judge(*texts, to.known)
        if judged.cause is not Cause.UNKNOWN:
            told[judged] += 1
            met.setdefault(judged, texts)
    if not told or 2 * sum(told.values()) < len(only):
        return None
    best, count = told.most_common(1)[0]
    sure = best.sure if best.sure is not Sureness.CERTAIN else Sureness.LIKELY
    return Judgement(best.cause, sure, f"{best.reason}, in {count} of its strings"), met[best]
