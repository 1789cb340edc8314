"""Retention: which nights keep their details, and for how long. Pure.

The details of a night are its steps, checks, inputs and consequences, and the folder of its
evidence; what is left of it for ever is a row. Nights are put in order by their numbers alone: the
machine's clock only says which month a night belongs to, so that one that is wrong costs no more
than the place of one month.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orchestrator.history.words import Word

_PART = re.compile(r"([0-9]{1,9})\s*([a-z]+)", re.ASCII)
_UNITS = {"night": "nights", "nights": "nights", "month": "months", "months": "months"}
_MONTH = len("2026-01")


@dataclass(frozen=True, slots=True)
class Keep:
    """Rule of retention, such as `30 nights, 12 months`.

    The details of the last `nights` nights are kept, at least 1, and those of the last night of
    each of the last `months` months.
    """

    nights: int
    months: int = 0

    @classmethod
    def parse(cls, text: str, subject: str = "keep") -> Keep:
        """Read the form that `str` gives; the months may be left out.

        `subject`: what the text was given as.

        Raises:
            InputError: it says something else, or keeps no night.
        """
        found: dict[str, int] = {}
        for part in text.split(","):
            match = _PART.fullmatch(part.strip())
            unit = _UNITS.get(match[2]) if match is not None else None
            if match is None or unit is None:
                raise _refusal(f"{part.strip()!r} is no number of nights or months", subject)
            if unit in found:
                raise _refusal(f"{unit} are named twice", subject)
            found[unit] = int(match[1])
        if not found.get("nights"):
            raise _refusal("at least one night has to be kept", subject)
        return cls(found["nights"], found.get("months", 0))

    def __str__(self) -> str:
        parts = [(self.nights, "night"), (self.months, "month")]
        return ", ".join(f"{n} {what}" if n == 1 else f"{n} {what}s" for n, what in parts if n)


@dataclass(frozen=True, slots=True)
class Brief:
    """As much of a night as retention goes by. `built`: whether it made an image."""

    number: int
    date: str
    word: Word
    built: bool


def kept(nights: Sequence[Brief], keep: Keep, besides: Collection[int] = ()) -> frozenset[int]:
    """Return the numbers of the nights whose details are kept.

    Those that `keep` names; the last good night, and the first of the bad ones after it; the first
    of the present row of nights with one word; the last night that made an image, which the next
    one is compared with; and those of `besides`.

    `nights`: all that there are, in the order of their numbers.
    """
    if not nights:
        return frozenset()
    last_of_months = {night.date[:_MONTH]: night.number for night in nights}
    months = sorted(last_of_months.values(), reverse=True)[: keep.months]
    good = [night.number for night in nights if night.word.good]
    built = [night.number for night in nights if night.built]
    bad = first_bad(nights)
    return frozenset(
        {
            *(night.number for night in nights[-keep.nights :]),
            *months,
            *good[-1:],
            *built[-1:],
            *([bad] if bad is not None else []),
            _first_of_word(nights),
            *({*besides} & {night.number for night in nights}),
        }
    )


def first_bad(nights: Sequence[Brief]) -> int | None:
    """Return the first night of the present row of bad ones; None where the last one is good."""
    found = None
    for night in reversed(nights):
        if night.word.good:
            break
        found = night.number
    return found


def _first_of_word(nights: Sequence[Brief]) -> int:
    found = nights[-1]
    for night in reversed(nights):
        if night.word is not found.word:
            break
        found = night
    return found.number


def _refusal(summary: str, subject: str) -> InputError:
    return InputError(
        summary, subject=subject, remedy='write it as in "30 nights, 12 months", the months if any'
    )
