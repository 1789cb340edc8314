"""The compile seed's index: sorted, without doubt, and refused where compiling was not the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import seed
from reproducibility.errors import InfrastructureError, InputError

ACTIONS = st.binary(min_size=32, max_size=32)
OUTPUTS = st.binary(min_size=40, max_size=40)
RECORDS = st.dictionaries(ACTIONS, OUTPUTS, max_size=6)


def index(records: dict[bytes, bytes]) -> bytes:
    return seed.MAGIC + b"".join(action + records[action] for action in sorted(records))


def record(action: int, output: int) -> tuple[bytes, bytes]:
    return bytes([action]) * 32, bytes([output]) * 32 + (7).to_bytes(8, "big")


@given(RECORDS)
def test_reads_what_is_in_it(records: dict[bytes, bytes]) -> None:
    assert seed.records(index(records)) == records


@given(RECORDS, st.lists(st.sets(st.integers(0, 5)), max_size=4))
def test_merging_gives_every_record_once_in_any_order(
    records: dict[bytes, bytes], choices: list[set[int]]
) -> None:
    listed = list(records.items())
    parts = [dict(listed[n] for n in choice if n < len(listed)) for choice in choices]
    indexes = [index(part) for part in parts]
    merged = seed.merge(indexes)
    expected = {action: output for part in parts for action, output in part.items()}
    assert seed.records(merged) == expected
    assert merged == index(expected)
    assert seed.merge(reversed(indexes)) == merged
    assert seed.merge([merged, *indexes]) == merged


@given(RECORDS)
def test_outputs_are_named_by_their_id(records: dict[bytes, bytes]) -> None:
    names = {output[:32].hex() for output in records.values()}
    assert set(seed.outputs(index(records))) == {f"{name[:2]}/{name[2:]}" for name in names}


def test_nothing_merged_is_an_empty_index() -> None:
    assert seed.merge([]) == seed.MAGIC
    assert seed.records(seed.MAGIC) == {}


@given(ACTIONS, OUTPUTS, OUTPUTS)
def test_one_compilation_with_two_outputs_is_an_error(
    action: bytes, first: bytes, second: bytes
) -> None:
    if first == second:
        return
    with pytest.raises(InfrastructureError, match="two different outputs") as caught:
        seed.merge([index({action: first}), index({action: second})])
    assert action.hex() in caught.value.subject
    assert "--rebuild" in caught.value.remedy


def test_another_size_is_another_output() -> None:
    (action, output), longer = record(1, 1), bytes([1]) * 32 + (8).to_bytes(8, "big")
    with pytest.raises(InfrastructureError):
        seed.merge([index({action: output}), index({action: longer})])


ONE, TWO = b"".join(record(1, 9)), b"".join(record(2, 8))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        seed.MAGIC[:-1],
        ONE,
        b"SRCSEED2" + ONE,
        seed.MAGIC + ONE[:-1],
        seed.MAGIC + ONE + b"\n",
        seed.MAGIC + TWO + ONE,
        seed.MAGIC + ONE + ONE,
        seed.MAGIC + ONE + TWO + ONE,
    ],
)
def test_refuses_what_is_no_index(data: bytes) -> None:
    with pytest.raises(InputError, match="index"):
        seed.records(data)
    with pytest.raises(InputError, match="index"):
        seed.merge([data])


@given(st.binary(max_size=300))
def test_reading_anything_gives_records_or_an_input_error(data: bytes) -> None:
    for text in (data, seed.MAGIC + data):
        try:
            found = seed.records(text)
        except InputError:
            continue
        assert index(found) == text
