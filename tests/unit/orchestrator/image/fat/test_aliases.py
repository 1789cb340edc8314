"""The 8.3 aliases of a directory."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.image.fat import aliases, names
from reproducibility.errors import InputError
from tests.unit.orchestrator.image.samples import name_strategy

_FIELD = re.compile(rb"[A-Z0-9!#$%&'()\-@^_`{}~]{1,8} {0,7}[A-Z0-9!#$%&'()\-@^_`{}~]{0,3} {0,3}")


def _plain(field: bytes) -> str:
    base, extension = field[:8].decode().rstrip(), field[8:].decode().rstrip()
    return f"{base}.{extension}" if extension else base


def _assigned(*ordered: str, reserved: tuple[str, ...] = ()) -> list[str]:
    return [_plain(field) for field in aliases.assign(ordered, reserved)]


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("README", "README"),
        ("main.go", "MAIN.GO"),
        ("longer-name.go", "LONGER~1.GO"),
        ("archive.tar.gz", "ARCHIV~1.GZ"),
        (".gitignore", "GITIGN~1"),
        (".a.b", "A~1.B"),
        ("a b", "AB~1"),
        ("a+b.c", "A_B~1.C"),
        ("größe", "GR__E~1"),
        ("漢字.go", "__~1.GO"),
        ("x.html", "X~1.HTM"),
        (" lead", "LEAD~1"),
        ("a..b", "A~1.B"),
        ("x. y", "X~1.Y"),
        ("longname~1", "LONGNA~1"),
    ],
)
def test_forms(name: str, alias: str) -> None:
    assert _assigned(name) == [alias]


def test_numbers_follow_the_order() -> None:
    ordered = [f"longname{number:02}" for number in range(12)]
    expected = [f"LONGNA~{number}" for number in range(1, 10)]
    assert _assigned(*ordered) == [*expected, "LONGN~10", "LONGN~11", "LONGN~12"]


def test_extensions_are_numbered_apart() -> None:
    assert _assigned("longname1.a", "longname1.b") == ["LONGNA~1.A", "LONGNA~1.B"]


def test_the_name_of_another_file_is_no_alias() -> None:
    # The file that is named so in the first place keeps its name, wherever it stands in the order.
    assert _assigned("LONGNA~1", "longname1") == ["LONGNA~1", "LONGNA~2"]
    assert _assigned("longname1", "lonGna~1", "longna~2") == ["LONGNA~3", "LONGNA~1", "LONGNA~2"]


def test_the_label_is_no_alias() -> None:
    assert _assigned("longname1", reserved=("LONGNA~1",)) == ["LONGNA~2"]


def test_starts_that_meet_when_numbers_grow() -> None:
    # "abcde" is the start of all once the number has two digits.
    ordered = [f"abcde{letter}_{number:02}" for letter in "fgh" for number in range(30)]
    assigned = _assigned(*ordered)
    assert len(set(assigned)) == len(ordered)
    assert assigned[:10] == [*(f"ABCDEF~{number}" for number in range(1, 10)), "ABCDE~10"]
    assert assigned[30] == "ABCDEG~1"


def test_a_full_directory_of_similar_names() -> None:
    # As many as the directory holds: 65,536 entries, three for each name.
    ordered = [f"a-similar-name-{number:06}" for number in range(65_534 // 3)]
    assigned = _assigned(*ordered)
    assert len(set(assigned)) == len(ordered)
    assert assigned[-1] == f"A-~{len(ordered)}"


def test_no_alias_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "_MOST_DIGITS", 1)
    with pytest.raises(InputError, match="alias is left") as caught:
        _assigned(*(f"longname{number:02}" for number in range(10)))
    assert caught.value.subject == "longname09"


@given(st.lists(name_strategy(), unique_by=names.folded, max_size=60))
def test_valid_unique_and_nobody_elses_name(found: list[str]) -> None:
    ordered = sorted(found)
    fields = aliases.assign(ordered)
    assert all(_FIELD.fullmatch(field) and len(field) == 11 for field in fields)
    assert len(set(fields)) == len(ordered)
    folded = {names.folded(name): name for name in ordered}
    for name, field in zip(ordered, fields, strict=True):
        assert folded.get(_plain(field), name) == name
        assert names.is_short(name) <= (_plain(field) == name)
