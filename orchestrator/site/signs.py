"""How a night's word is shown: never by its colour alone. Foreign texts within bounds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.history.words import Word
from orchestrator.markup import words
from orchestrator.markup.html import Html, element, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SIGNS: Final[Mapping[Word, str]] = {
    Word.NOT_DETERMINISTIC: "≠",
    Word.CHECK_FAILED: "✕",
    Word.BUILD_FAILED: "B",
    Word.BOOT_FAILED: "S",
    Word.INFRASTRUCTURE: "?",
    Word.INPUTS_CHANGED: "Δ",
    Word.TOOL_CHANGED: "T",
    Word.UNCHANGED: "✓",
}
# Characters of one text of a night that a page shows, in a list and where it is told at length.
_IN_A_LIST = 200
_AT_LENGTH = 1000
_LINES = 200


def mark(word: Word) -> Html:
    """A word with its sign and its colour."""
    sign = element("span", SIGNS[word], aria_hidden="true")
    return element("span", sign, f" {word.value}", class_=f"mark {word.value}")


def brief(text: str) -> Html:
    """Foreign text in a list: cut where it is long, in a direction of its own."""
    return element("bdi", words.cut(text, _IN_A_LIST))


def told(text: str) -> Html:
    """Foreign text at length: a long one is folded, a very long one cut."""
    return words.said(words.cut(text, _AT_LENGTH))


def name(text: str) -> Html:
    """A foreign name: cut where it is long."""
    return element("code", brief(text))


def code(text: str) -> Html:
    """A foreign value at length: a long one is folded, a very long one cut."""
    return words.code(words.cut(text, _AT_LENGTH))


def lines(those: Sequence[str]) -> Html:
    """Foreign lines, one below the other; not more than can be read."""
    shown = [words.cut(line, _IN_A_LIST * 2) for line in those[:_LINES]]
    return words.lines((*shown, *_left(len(those) - _LINES, "line")))


def more(left: int, what: str) -> Html:
    """How many more there are than are shown; nothing where all are."""
    return join(element("p", line, class_="dim") for line in _left(left, what))


def _left(left: int, what: str) -> Iterable[str]:
    return (f"and {words.many(left, f'more {what}', f'more {what}s')} in night.json",) * (left > 0)
