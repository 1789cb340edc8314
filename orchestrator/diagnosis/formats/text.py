"""Text: the lines that differ, the same lines in another order, JSON with its keys in another."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.diagnosis import evidence
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import first_difference

if TYPE_CHECKING:
    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair

_CONTROLS = frozenset(range(32)) - {9, 10, 12, 13, 27}
_SAMPLE = 4096
_LARGEST = 32 << 20
_LARGEST_JSON = 4 << 20
# Lines whose cause is looked for: a judgement takes up to a millisecond.
_JUDGED = 2000


def is_text(sample: bytes) -> bool:
    """Tell whether bytes are text in UTF-8, without control characters."""
    if not _CONTROLS.isdisjoint(sample):
        return False
    try:
        # The sample may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def explain(pair: Pair, to: Collector) -> None:
    """Add the lines that differ; nothing where it is no text."""
    if not all(is_text(side.read(0, _SAMPLE)) for side in (pair.first, pair.second)):
        return
    whole = pair.whole(_LARGEST)
    at = first_difference(pair.first, pair.second)
    if whole is None or at is None:
        return
    first, second = (data.decode(errors="replace").split("\n") for data in whole)
    number = whole[0].count(b"\n", 0, at)
    where = f"line {number + 1}"
    lines = _line(first, number), _line(second, number)
    for one in (_ordered(first, second), _json(*whole)):
        if one is not None:
            to.say(pair.path, where, one, lines, offset=at)
            return
    if whole[0].replace(b"\r\n", b"\n") == whole[1].replace(b"\r\n", b"\n"):
        judged = Judgement(
            Cause.UNKNOWN, Sureness.POSSIBLE, "only the line ends differ (CR LF and LF)"
        )
        to.say(pair.path, where, judged, lines, offset=at)
        return
    _lines(pair, to, (first, second), at, number)


def _lines(
    pair: Pair, to: Collector, sides: tuple[list[str], list[str]], at: int, number: int
) -> None:
    """One finding for each kind of cause and line."""
    pairs = _paired(*sides)
    place: int | None = at
    if len(pairs) > _JUDGED:
        to.note(
            f"{pair.path}: of {len(pairs)} lines that differ the first {_JUDGED} were looked into"
        )
    for line, one, other in pairs[:_JUDGED]:
        judged = evidence.judge(one, other, to.known) if one and other else UNKNOWN
        where = f"line {line + 1}"
        if line != number:
            place = None
        to.say(pair.path, where, judged, (one, other), offset=place, kind=f"line {judged.cause}")
    if not pairs or pairs[0][0] != number:
        one, other = _line(sides[0], number), _line(sides[1], number)
        judged = evidence.judge(one, other, to.known) if one and other else UNKNOWN
        to.say(pair.path, f"line {number + 1}", judged, (one, other), offset=at)


def _paired(first: list[str], second: list[str]) -> list[tuple[int, str, str]]:
    """Lines that stand for each other: (number in the first, line, line)."""
    if len(first) == len(second):
        both = zip(first, second, strict=True)
        return [(n, one, other) for n, (one, other) in enumerate(both) if one != other]
    counted = Counter(first), Counter(second)
    only, others = counted[0] - counted[1], counted[1] - counted[0]
    numbered = [(n, line) for n, line in enumerate(first) if line in only]
    rest = [line for line in second if line in others]
    if len(numbered) != len(rest):
        return []
    return [(n, line, other) for (n, line), other in zip(numbered, rest, strict=True)]


def _ordered(first: list[str], second: list[str]) -> Judgement | None:
    # What stands behind the last line feed is no line.
    sides = [lines[:-1] if not lines[-1] else lines for lines in (first, second)]
    return evidence.order(*sides)


def _json(first: bytes, second: bytes) -> Judgement | None:
    """Judge whether both are the same JSON value but for the order of keys or of lists.

    Numbers count as they are written, and every key counts, also one that comes twice.
    """
    if max(len(first), len(second)) > _LARGEST_JSON or first[:1] not in {b"{", b"["}:
        return None
    try:
        one, other = _parsed(first), _parsed(second)
        if one == other:
            return None  # white space, or how a text is escaped
        if _sorted(one, lists=False) == _sorted(other, lists=False):
            return Judgement(
                Cause.ORDER, Sureness.CERTAIN, "the same JSON value, its keys in another order"
            )
        if _sorted(one, lists=True) == _sorted(other, lists=True):
            return Judgement(
                Cause.ORDER, Sureness.CERTAIN, "the same JSON value, its lists in another order"
            )
    except (ValueError, RecursionError):
        return None
    return None


def _parsed(data: bytes) -> object:
    value: object = json.loads(
        data,
        object_pairs_hook=lambda pairs: ("object", *pairs),
        parse_int=lambda text: ("number", text),
        parse_float=lambda text: ("number", text),
        parse_constant=lambda text: ("number", text),
    )
    return value


def _sorted(value: object, *, lists: bool) -> object:
    """The value with keys, and lists too if asked, in one order; `repr` tells true from 1."""
    if isinstance(value, tuple) and value[0] == "object":
        return ("object", *sorted(((k, _sorted(v, lists=lists)) for k, v in value[1:]), key=repr))
    if isinstance(value, list):
        inner = [_sorted(one, lists=lists) for one in value]
        return sorted(inner, key=repr) if lists else inner
    return value


def _line(lines: list[str], number: int) -> str:
    return lines[number] if number < len(lines) else ""
