"""What VFAT makes of one name."""

from __future__ import annotations

import pytest

from orchestrator.image.fat import names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Makefile", "MAKEFILE"),
        ("größe", "GRÖßE"),  # "ß" has no capital of one character
        ("ǆ", "Ǆ"),
        ("ᾳ", "ᾼ"),  # its capital of one character is the title letter
        ("ﬀ", "ﬀ"),
        ("жЖ", "ЖЖ"),
        ("漢字", "漢字"),
    ],
)
def test_folding_is_one_for_one(name: str, expected: str) -> None:
    assert names.folded(name) == expected
    assert len(names.folded(name)) == len(name)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("README", True),
        ("README.MD", True),
        ("A-B_C~1.{}!", True),
        ("Readme", False),
        ("NINECHARS", False),
        ("A.LONG", False),
        ("A.B.C", False),
        (".GIT", False),
        ("A B", False),
        ("A+B", False),
        ("Ä", False),
        ("A.", False),
    ],
)
def test_which_names_need_no_long_form(name: str, *, short: bool) -> None:
    assert names.is_short(name) is short


@pytest.mark.parametrize(
    ("name", "slots"),
    [("README", 1), ("readme", 2), ("n" * 13, 2), ("n" * 14, 3), ("ж" * 13, 2), ("n" * 255, 21)],
)
def test_room_in_a_directory(name: str, slots: int) -> None:
    assert names.slots(name) == slots


@pytest.mark.parametrize("character", list('"*/:<>?\\|\x00\x01\x1f\x7f'))
def test_forbidden_characters(character: str) -> None:
    assert "forbidden" in names.complaint(f"a{character}b")


@pytest.mark.parametrize("name", ["a.", "a ", "a. ", "...", " "])
def test_no_dot_or_space_at_the_end(name: str) -> None:
    assert "cannot end in" in names.complaint(name)


@pytest.mark.parametrize(
    "name",
    ["CON", "prn", "Aux.go", "NUL.tar.gz", "COM1", "lpt9.txt", "com²", "nul .txt", "CONIN$"],
)
def test_names_of_devices(name: str) -> None:
    assert "device" in names.complaint(name)


@pytest.mark.parametrize(
    "name",
    ["cons", "auxiliary.go", "com", "COM0", "com10", "nul_.txt", "xcon", "lpt", "a.con", "con-1"],
)
def test_names_that_only_look_like_devices(name: str) -> None:
    assert not names.complaint(name)


@pytest.mark.parametrize(
    "name",
    ["a", ".gitignore", "a b", "+,;=[]", "größe", "漢字.go", "n" * 255, "e\u0301", " a", "~"],
)
def test_names_that_vfat_holds(name: str) -> None:
    assert not names.complaint(name)


@pytest.mark.parametrize("sign", ["\x1b", "\x7f", "\x9b", "\x85", "\u202e", "\u2066", "\u2028"])
def test_names_that_steer_how_they_are_shown(sign: str) -> None:
    told = names.complaint(f"a{sign}b")
    assert told
    assert told.isprintable()


def test_length_counts_units_of_16_bits() -> None:
    assert "256 UTF-16 units" in names.complaint("n" * 256)
    assert "256 UTF-16 units" in names.complaint("ж" * 256)
    assert names.units("😀a") == 3


def test_characters_that_16_bits_cannot_hold() -> None:
    assert "U+FFFF" in names.complaint("smile😀")
    assert "no characters" in names.complaint("a\uffffb")
    assert "no characters" in names.complaint("\ufffe")
