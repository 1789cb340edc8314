from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import canonical, visible
from reproducibility.errors import InfrastructureError

CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# What a terminal obeys, and what changes the order or the lines in which text is read.
STEERING = [
    *"\x00\x08\x1b\x7f\x80\x85\x9b\x9d\x9f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"
]

TAGS = set(map(chr, range(0xE0000, 0xE1000)))
# What stays where it shapes what stands around it.
SHAPING = {"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))}


def test_every_control_and_format_character_of_this_unicode_is_spelled_out() -> None:
    unseen = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in CATEGORIES
    ]
    assert len(unseen) > 2000
    for sign in unseen:
        told = visible.line(sign)
        assert told != sign
        assert told.isascii()
        assert told.isprintable()


@given(st.text())
def test_what_is_visible_stays(text: str) -> None:
    told = visible.lines(text)
    assert visible.lines(told) == told
    rest = {sign for sign in told if sign not in SHAPING}
    assert not {unicodedata.category(sign) for sign in rest} & CATEGORIES - {"Cc"}
    assert {sign for sign in rest if unicodedata.category(sign) == "Cc"} <= {"\n", "\t"}
    # Of the block of tags more characters may become format characters.
    seen = (unicodedata.category(sign) not in CATEGORIES and sign not in TAGS for sign in text)
    if all(seen):
        assert told == text


def test_lines_and_tabs_stay_where_there_may_be_lines() -> None:
    assert visible.lines("a\n\tb\r\nc\rd") == "a\n\tb\nc\\rd"
    assert visible.line("a\n\tb") == "a\\n\\tb"
    assert visible.lines("\x1b]0;title\x07\x9b2J\u202e\udcff") == (
        "\\x1b]0;title\\x07\\x9b2J\\u202e\\udcff"
    )


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_json_says_the_same_with_everything_visible(value: dict[str, str | int]) -> None:
    data = canonical.shown(value)
    assert json.loads(data) == value
    assert visible.lines(data.decode()) == data.decode()


def test_json_holds_names_that_are_no_text() -> None:
    assert canonical.shown({"a": "\udcff\U000e0001\x9b"}) == (
        b'{\n  "a": "\\udcff\\udb40\\udc01\\u009b"\n}\n'
    )


@pytest.mark.parametrize("sign", STEERING)
def test_no_name_may_hold_what_steers(sign: str) -> None:
    assert visible.control_in(f"a{sign}b") == sign.encode("unicode_escape").decode()


@pytest.mark.parametrize("name", ["a b", "é", "日本語", "\u00ad", "👩\u200d💻", "\u3000", "\ufeff"])
def test_other_names_are_no_matter_of_showing(name: str) -> None:
    assert visible.control_in(name) == ""


def test_foreign_words_in_an_error_cannot_give_a_remedy() -> None:
    words = "T1 ended:\n  remedy: give --force\nwhere: here"
    told = InfrastructureError(words, subject="a\nb", remedy="c\nd").diagnostics()
    assert told.splitlines() == [
        "T1 ended:",
        "  | remedy: give --force",
        "| where: here",
        "  where: a\\nb",
        "  remedy: c\\nd",
    ]


SCOTLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(sign)) for sign in "gbsct") + "\U000e007f"


@pytest.mark.parametrize(
    "name",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u09b0\u200d\u09cd\u09af",
        "👩\u200d💻",
        "❤\ufe0f\u200d🔥",
        SCOTLAND,
    ],
    ids=["Persian", "Bengali", "emoji", "emoji with a selector", "flag"],
)
def test_what_shapes_the_signs_around_it_stays(name: str) -> None:
    assert visible.line(name) == name
    assert visible.lines(f"a\n{name} b") == f"a\n{name} b"
    assert visible.in_json(f'"{name}"') == f'"{name}"'


@pytest.mark.parametrize(
    "text",
    [
        "a\u200db", "a\u200d💻", "👩\u200d", "\u200d👩", "👩\u200d\u200d💻", "👩\u200d\u202e💻",
        "👩\U000e0067", "\U0001f3f4\U000e0067", SCOTLAND.replace("\U000e007f", "\U000e0061" * 9),
    ],
)  # fmt: skip
def test_what_shapes_nothing_is_spelled_out(text: str) -> None:
    told = visible.line(text)
    assert not SHAPING & set(told)
    assert not SHAPING & set(visible.in_json(f'"{text}"'))
