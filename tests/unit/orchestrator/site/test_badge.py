"""The badge: the word in letters and in a colour that can be read, the same bytes each time."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from orchestrator.history.words import Word
from orchestrator.site import badge
from orchestrator.site.pages import pages
from tests.unit.orchestrator.site.sites import MONTH, TITLE

SVG = "{http://www.w3.org/2000/svg}"


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("word", [*Word, None])
def test_it_says_its_word_in_letters_that_can_be_read(word: Word | None) -> None:
    data = badge.badge(word)
    assert data == badge.badge(word)
    assert len(data) < 1000
    root = ET.fromstring(data)  # noqa: S314 - made by this program
    said = word.value if word else "no night yet"
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == f"nightly: {said}"
    assert [one.text for one in root.iter(f"{SVG}text")] == ["nightly", said]
    assert {element.tag for element in root.iter()} == {
        f"{SVG}{name}" for name in ("svg", "title", "rect", "text")
    }
    grounds = [str(one.get("fill")) for one in root.iter(f"{SVG}rect")]
    assert all(1.05 / (luminance(one) + 0.05) >= 4.5 for one in grounds)
    widths = [int(str(one.get("width"))) for one in root.iter(f"{SVG}rect")]
    assert sum(widths) == int(str(root.get("width")))


def test_every_word_has_a_colour_of_its_own() -> None:
    assert list(badge.COLOURS) == list(Word)
    assert len(set(badge.COLOURS.values())) == len(Word)


def test_the_badge_is_that_of_the_last_night() -> None:
    assert pages(MONTH[:14], kept={}, title=TITLE)["badge.svg"] == badge.badge(
        Word.NOT_DETERMINISTIC
    )
    assert pages([], kept={}, title=TITLE)["badge.svg"] == badge.badge(None)
