"""The badge: a small SVG with the last night's word. The same word, the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from orchestrator.history.words import Word
from orchestrator.site import xml

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH: Final = "badge.svg"
_LABEL = "nightly"
_NONE = "no night yet"
_GREY, _NEUTRAL = "#3d444b", "#5b636b"
# White letters on each have a contrast of 4.5 at least (WCAG 2.2, 1.4.3).
COLOURS: Final[Mapping[Word, str]] = {
    Word.NOT_DETERMINISTIC: "#a01217",
    Word.CHECK_FAILED: "#b3261e",
    Word.BUILD_FAILED: "#a63d00",
    Word.BOOT_FAILED: "#9c1f63",
    Word.INFRASTRUCTURE: "#7a5200",
    Word.INPUTS_CHANGED: "#1f5a9e",
    Word.TOOL_CHANGED: "#5b3f96",
    Word.UNCHANGED: "#14663a",
}
_HEIGHT, _PAD = 20, 6
# Width of a letter. Another font's letters are set to the same width by `textLength`.
_LETTER = 6.5


def badge(word: Word | None) -> bytes:
    """The badge of a word; None where there was no night yet."""
    said = _NONE if word is None else word.value
    colour = _NEUTRAL if word is None else COLOURS[word]
    left, right = (_width(text) for text in (_LABEL, said))
    told = f"{_LABEL}: {said}"
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": str(left + right),
            "height": str(_HEIGHT),
            "role": "img",
            "aria-label": told,
        },
    )
    xml.add(root, "title", told)
    _part(root, 0, left, _GREY, _LABEL)
    _part(root, left, right, colour, said)
    return xml.document(root)


def _width(text: str) -> int:
    return round(len(text) * _LETTER) + 2 * _PAD


def _part(root: ET.Element, x: int, width: int, colour: str, text: str) -> None:
    xml.add(root, "rect", x=f"{x}", width=f"{width}", height=f"{_HEIGHT}", fill=colour)
    xml.add(
        root,
        "text",
        text,
        x=f"{x + _PAD}",
        y="14",
        textLength=f"{width - 2 * _PAD}",
        lengthAdjust="spacingAndGlyphs",
        fill="#fff",
        font_family="Verdana,DejaVu Sans,sans-serif",
        font_size="11",
    )
