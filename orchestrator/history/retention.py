"""Retention: which nights keep their details, and for how long. Pure.

The details of a night are its steps, checks, inputs and consequences, and the folder of its
evidence; what is left of it for ever is a row. Nights are put in order by their numbers alone: the
machine's clock only says which month a night belongs to, so that one that is wrong costs no more
than the place of one month.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orchestrator.history.words import Word

_PART = re.compile(r"([0-9]{1,9})\s*([a-z]+)", re.ASCII)
_UNITS = {"night": "nights", "nights": "nights", "month": "months", "months": "months"}
_MONTH = len("2026-01")
_SHOWN = 60


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
                raise _refusal(
                    f"{part.strip()[:_SHOWN]!r} is no number of nights or months", subject
                )
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

    Those that `keep` names; the last good night, and of the present row of bad nights the first one
    and the first one with the present word; the last night that made an image, which the next one
    is compared with; and those of `besides`.

    `nights`: all that there are, in the order of their numbers.
    """
    last_of_months = {night.date[:_MONTH]: night.number for night in nights}
    months = sorted(last_of_months.values(), reverse=True)[: keep.months]
    good = [night.number for night in nights if night.word.good]
    built = [night.number for night in nights if night.built]
    bad = present_row_of_bad(nights)
    first_of_word = [*takewhile(lambda night: night.word is nights[-1].word, reversed(bad))][-1:]
    return frozenset(
        {
            *(night.number for night in nights[-keep.nights :]),
            *months,
            *good[-1:],
            *built[-1:],
            *(night.number for night in [*bad[:1], *first_of_word]),
            *({*besides} & {night.number for night in nights}),
        }
    )


def present_row_of_bad(nights: Sequence[Brief]) -> Sequence[Brief]:
    """Return the bad nights since the last good one, in order; none where that is the last."""
    row = takewhile(lambda night: not night.word.good, reversed(nights))
    return [*row][::-1]


def _refusal(summary: str, subject: str) -> InputError:
    return InputError(
        summary, subject=subject, remedy='write it as in "30 nights, 12 months", the months if any'
    )
