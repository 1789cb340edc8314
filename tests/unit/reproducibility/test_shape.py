from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import canonical, shape
from reproducibility.errors import InputError


def nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_depth_and_size_and_integers_are_bounded() -> None:
    assert shape.excess(nested(shape.DEEPEST)) is None
    key, words = shape.excess(nested(shape.DEEPEST + 1)) or ((), "")
    assert len(key) == shape.DEEPEST
    assert words == "nested more than 64 deep"
    assert shape.excess({"a": [0, 1 << 63]}) == (("a", 1), "a number of more than 64 bits")
    assert shape.excess({"a": [0, -(1 << 63) + 1, True, 1.5]}) is None
    assert shape.excess([1] * 9, 10) is None
    assert shape.excess([1] * 10, 10) == ((), "holds more than 10 values")


@pytest.mark.parametrize("depth", [65, 900, 100_000])
@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_json_that_is_too_deep_is_refused(depth: int, pair: str) -> None:
    start, end = pair[:-1], pair[-1]
    with pytest.raises(InputError, match="deep"):
        canonical.loads(start * depth + ("1" if ":" in start else "") + end * depth)


def test_json_that_is_as_deep_as_it_may_be() -> None:
    assert canonical.loads("[" * 64 + "]" * 64)
    assert canonical.loads('"' + "[" * 1000 + '"') == "[" * 1000


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = 1\n" + ".".join("a" * 100_000) + " = 1", 2, "a key of more than 16 parts"),
        ("[" + " . ".join(['"a.b"'] * 40) + "]", 1, "a key of more than 16 parts"),
        ("x = '''\n\n'''\na = " + "1" * 5000, 4, "a number of more than 100 digits"),
        ("a = 1_" + "1_" * 5000 + "1", 1, "a number of more than 100 digits"),
    ],
)
def test_toml_that_takes_too_long_to_read_is_seen_before(text: str, line: int, words: str) -> None:
    assert shape.too_much_toml(text) == (line, words)


@pytest.mark.parametrize(
    "text",
    [
        'a = "' + "x." * 100 + '"',
        'a = "' + "1" * 200 + '"',
        "a = '''\n" + "x." * 100 + "\n" + "1" * 200 + "'''",
        'a = """\\"""' + "x." * 100 + '"""',
        "# " + "x." * 100,
        "a.b.c.d = 1.5\nb = 2026-01-01T00:00:00.123456Z\n[a.x]\n[[q.r]]",
    ],
)
def test_other_toml_is_left_to_the_reader(text: str) -> None:
    tomllib.loads(text)
    assert shape.too_much_toml(text) is None


@pytest.mark.parametrize(
    "text",
    ['"\\' * 200_000, '"""\\"' * 100_000, "'''" * 100_000 + "'", "a " * 200_000, "a" * 400_000,
     "a" + " " * 400_000, "a." * 15 + "a" * 400_000, "1_" * 200_000, '"' + '\\"' * 200_000],
)  # fmt: skip
def test_no_text_takes_long_to_look_at(text: str) -> None:
    # With the square of its length it would not come to an end here.
    shape.too_much_toml(text)


@given(st.text("abc.='\"#\n[]{} 1\\"))
def test_any_text_can_be_looked_at(text: str) -> None:
    assert shape.too_much_toml(text) is None or len(text) > 16


def test_places() -> None:
    assert shape.spelled(("inputs", 3, "digest")) == "inputs[3].digest"
    document = {"inputs": [{"kind": "gem", "digest": 1}]}
    assert shape.within(("inputs", 0, "go-module", "digest"), document) == ("inputs", 0, "digest")
    missing = shape.within(("inputs", 0, "go-module", "h1"), document, missing=True)
    assert missing == ("inputs", 0, "h1")
    assert shape.within(("toolchain",), document, missing=True) == ("toolchain",)
    assert shape.within(("inputs", 0, "kind", "str"), document) == ("inputs", 0, "kind")
