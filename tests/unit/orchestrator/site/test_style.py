"""The style sheet: whole, its own, and every colour of a word readable on its ground."""

from __future__ import annotations

import re

import pytest

from orchestrator.history.words import Word
from orchestrator.site.style import SHEET
from tests.unit.orchestrator.site.sites import MONTH, month, parsed
from tests.unit.orchestrator.site.test_badge import luminance


def grounds() -> list[tuple[str, str, str]]:
    """Each word with its letters and ground: light, dark, on paper."""
    found = re.findall(r"--([a-z-]+):(#[0-9a-f]+);--\1-back:(#[0-9a-f]+)", SHEET)
    return [one for one in found if one[0] in tuple(Word)]


def full(colour: str) -> str:
    return colour if len(colour) == 7 else "#" + "".join(sign * 2 for sign in colour[1:])


def test_letters_can_be_read_on_their_ground() -> None:
    found = grounds()
    assert [name for name, _, _ in found] == [word.value for word in Word] * 3
    for _, ink, back in found:
        light, dark = sorted((luminance(full(ink)), luminance(full(back))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_nothing_in_it_is_fetched() -> None:
    assert not re.search(r"url\(|@import|image-set|expression", SHEET)
    assert SHEET.count("{") == SHEET.count("}")


@pytest.mark.parametrize("path", ["index.html", "years/2026.html", "nights/000014/index.html"])
def test_every_page_has_it(path: str) -> None:
    assert f"<style>{SHEET}</style>" in month()[path].decode()
    names = {
        name
        for _, attributes in parsed(month()[path]).elements
        for name in str(attributes.get("class", "")).split()
    }
    assert {MONTH[13].word.value, "hero" if path != "years/2026.html" else "sign"} <= names
