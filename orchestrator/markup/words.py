"""Words and small pieces that all pages use: marks, sizes, times, digests. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.markup.html import LINE, Child, Html, element, join
from reproducibility import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Word = Literal["PASS", "SKIP", "FAIL"]
# From the best to the worst.
VERDICTS: tuple[Word, ...] = ("PASS", "SKIP", "FAIL")
# A sign beside the word and the colour, for who does not see the colour.
SIGNS: Mapping[str, str] = {"PASS": "✓", "SKIP": "○", "FAIL": "✕"}
# Characters of one text that are shown at once; a longer one is folded.
_AT_ONCE = 260
_BEGINNING = 160
_DIGITS = 12
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_MINUTE, _HOUR = 60, 3600


def worst(words: Iterable[Word]) -> Word:
    """The worst verdict; FAIL where there is none, since nothing was checked then."""
    return max(words, key=VERDICTS.index, default="FAIL")


def mark(word: Word, said: str = "") -> Html:
    """A verdict: its sign and its word. `said`: another word, for what is as good but no check."""
    sign = element("span", SIGNS[word], aria_hidden="true")
    return element("span", sign, f" {said or word}", class_=f"mark {word.lower()}")


def said(words: str, kind: str = "long") -> Html:
    """Foreign text, in a direction of its own; a long one can be unfolded. `kind`: its class."""
    if len(words) <= _AT_ONCE:
        return element("bdi", words)
    beginning = element("bdi", words[:_BEGINNING], "…")
    whole = element("p", element("bdi", words))
    return element(
        "details", element("summary", beginning, element("span", "all of it")), whole, class_=kind
    )


def code(words: str) -> Html:
    """A name, a path or a value, in the type of code."""
    if len(words) <= _AT_ONCE:
        return element("code", element("bdi", words))
    return said(words, "long code")


def lines(those: Iterable[str]) -> Html:
    """Lines of words, one below the other."""
    return element("pre", join(those, LINE))


def short(digest: object) -> str:
    """The first digits of a digest."""
    return str(digest).rpartition(":")[2][:_DIGITS]


def cut(words: str, most: int) -> str:
    """Words of at most so many characters, the middle left out: what ends a name tells most."""
    if len(words) <= most:
        return words
    ahead = (most - 1) // 2
    return f"{words[:ahead]}…{words[ahead + 1 - most :]}"


def size(count: int) -> str:
    """A number of bytes, as in 1.67 GiB."""
    if count < _STEP:
        return many(count, "byte")
    amount, unit = float(count), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:,.{1 if amount >= 100 else 2}f} {_UNITS[unit]}"  # noqa: PLR2004 - 3 digits


def duration(seconds: float) -> str:
    """A time span, as in 2.3 s or 4 min 19 s."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR:,} h {whole % _HOUR // _MINUTE} min"


def many(number: int, what: str, plural: str = "") -> str:
    """A number and its noun, as in 1 step or 24 steps."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def moment(when: str) -> datetime | None:
    """A time as `2026-01-01T00:00:00Z`; None for anything else."""
    try:
        return utc.read(when)
    except ValueError:
        return None


def began(ended: datetime, seconds: float) -> datetime:
    """When something began; as early as times go where it is said to have taken longer."""
    try:
        return ended - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def of_conditions(conditions: Mapping[str, Any]) -> Html:
    """Conditions by name; nothing where all are as usual."""
    those = (
        element("li", name, " ", code(str(value))) for name, value in sorted(conditions.items())
    )
    return element("ul", *those, class_="inline") if conditions else join(())


def facts(those: Iterable[tuple[Child, Child]]) -> Html:
    """Names and what they are, as a description list."""
    pairs = (element("div", element("dt", name), element("dd", what)) for name, what in those)
    return element("dl", *pairs, class_="facts")
