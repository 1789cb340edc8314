from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import sums
from reproducibility.errors import InputError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.dictionaries(NAMES, st.text("0123456789abcdef", min_size=64, max_size=64), max_size=5))
def test_what_is_written_reads_back(digests: dict[str, str]) -> None:
    assert sums.parse(sums.dumps(digests), "") == digests


def test_lines_are_sorted_and_in_the_form_of_coreutils() -> None:
    found = sums.dumps({"b": "1" * 64, "a\\\n": "0" * 64})
    assert found == b"\\" + b"0" * 64 + b"  a\\\\\\n\n" + b"1" * 64 + b"  b\n"


@pytest.mark.parametrize(
    "data",
    [b"x", b"x\n", b"0" * 64 + b" a\n", b"0" * 64 + b"  a", (b"0" * 64 + b"  a\n") * 2, b"\xff\n"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="not the sums"):
        sums.parse(data, "SHA256SUMS")


@given(st.binary(max_size=200))
def test_bytes_never_crash_the_reader(data: bytes) -> None:
    try:
        sums.parse(data, "")
    except InputError as error:
        assert error.remedy
