"""Canonical JSON: one value, one byte sequence; what is not such JSON is refused with reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import canonical
from reproducibility.errors import InputError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES)
def test_reads_back_what_it_wrote(value: object) -> None:
    assert canonical.loads(canonical.dumps(value)) == value
    assert canonical.loads(canonical.pretty(value)) == value


@given(st.dictionaries(TEXT, st.integers()))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical.dumps(value) == canonical.dumps(backwards)
    assert canonical.pretty(value) == canonical.pretty(backwards)


def test_the_bytes_are_fixed() -> None:
    value = {"b": [1, True, None], "a": "é\n", "c": {}}
    assert canonical.dumps(value) == '{"a":"é\\n","b":[1,true,null],"c":{}}'.encode()
    assert canonical.pretty({"b": 1, "a": 2}) == b'{\n  "a": 2,\n  "b": 1\n}\n'


@pytest.mark.parametrize(
    "value",
    [1.0, [0.5], {"a": {"b": (1, 2.5)}}, float("nan"), {"a": b"bytes"}, {"a": {1, 2}}],
)
def test_refuses_to_write_what_has_no_single_form(value: object) -> None:
    with pytest.raises(TypeError):
        canonical.dumps(value)


@pytest.mark.parametrize("key", [1, None, True, 1.5])
def test_refuses_keys_that_are_no_strings(key: object) -> None:
    # Python's writer would turn 1 and "1" into the same key.
    with pytest.raises(TypeError, match="key"):
        canonical.dumps([{key: "a"}])


def test_refuses_to_write_half_a_character() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        canonical.dumps("\ud800")


def test_pretty_refuses_what_loads_refuses() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical.pretty({"a": float("inf")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        ('[{"b": {"c": 1, "c": 1}}]', "'c' appears twice"),
        ("NaN", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("1e999", "1e999"),
        ("[1,]", "line 1, column"),
        ('{"a":\n  tru}', "line 2, column"),
        ("", "line 1, column 1"),
        ("[" * 100_000, "recursion"),
        ('"\\ud800"', "surrogates"),
        (b"\xff\xfe[\x00]\x00", "utf-8"),
        (b"\xef\xbb\xbf[]", "BOM"),
        ("1" * 5000, "digits"),
    ],
)
def test_refuses_what_is_not_json(text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match="not valid JSON") as caught:
        canonical.loads(text, subject="the lock")
    assert said in str(caught.value)
    assert "the lock" in caught.value.subject


def test_takes_escaped_characters_that_are_whole() -> None:
    assert canonical.loads('"\\ud83d\\ude00"') == "😀"


@given(st.binary() | st.text())
def test_reading_anything_gives_a_value_or_an_input_error(data: bytes | str) -> None:
    try:
        canonical.loads(data)
    except InputError:
        return


@given(VALUES)
def test_agrees_with_the_ordinary_reader(value: Any) -> None:  # noqa: ANN401 - JSON is any value
    text = json.dumps(value)
    assert canonical.loads(text) == json.loads(text)
