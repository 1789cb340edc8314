"""The compile seed's index: sorted, without doubt, and refused where compiling was not the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.golang import seed_index
from reproducibility.errors import InfrastructureError, InputError

ACTIONS = st.binary(min_size=32, max_size=32)
OUTPUTS = st.binary(min_size=40, max_size=40)
RECORDS = st.dictionaries(ACTIONS, OUTPUTS, max_size=6)


def index(records: dict[bytes, bytes]) -> bytes:
    return seed_index.MAGIC + b"".join(action + records[action] for action in sorted(records))


def record(action: int, output: int) -> tuple[bytes, bytes]:
    return bytes([action]) * 32, bytes([output]) * 32 + (7).to_bytes(8, "big")


@given(RECORDS)
def test_reads_what_is_in_it(records: dict[bytes, bytes]) -> None:
    assert seed_index.records(index(records)) == records


@given(RECORDS, st.lists(st.sets(st.integers(0, 5)), max_size=4))
def test_merging_gives_every_record_once_in_any_order(
    records: dict[bytes, bytes], choices: list[set[int]]
) -> None:
    listed = list(records.items())
    parts = [dict(listed[n] for n in choice if n < len(listed)) for choice in choices]
    indexes = [index(part) for part in parts]
    merged = seed_index.merge(indexes)
    expected = {action: output for part in parts for action, output in part.items()}
    assert seed_index.records(merged) == expected
    assert merged == index(expected)
    assert seed_index.merge(reversed(indexes)) == merged
    assert seed_index.merge([merged, *indexes]) == merged


@given(RECORDS)
def test_outputs_are_named_by_their_id(records: dict[bytes, bytes]) -> None:
    names = {output[:32].hex() for output in records.values()}
    assert set(seed_index.outputs(index(records))) == {f"{name[:2]}/{name[2:]}" for name in names}


def test_nothing_merged_is_an_empty_index() -> None:
    assert seed_index.merge([]) == seed_index.MAGIC
    assert seed_index.records(seed_index.MAGIC) == {}


@given(ACTIONS, OUTPUTS, OUTPUTS)
def test_one_compilation_with_two_outputs_is_an_error(
    action: bytes, first: bytes, second: bytes
) -> None:
    if first == second:
        return
    with pytest.raises(InfrastructureError, match="two different outputs") as caught:
        seed_index.merge([index({action: first}), index({action: second})])
    assert action.hex() in caught.value.subject
    assert "--rebuild" in caught.value.remedy


def test_another_size_is_another_output() -> None:
    (action, output), longer = record(1, 1), bytes([1]) * 32 + (8).to_bytes(8, "big")
    with pytest.raises(InfrastructureError):
        seed_index.merge([index({action: output}), index({action: longer})])


ONE, TWO = b"".join(record(1, 9)), b"".join(record(2, 8))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        seed_index.MAGIC[:-1],
        ONE,
        b"SRCSEED2" + ONE,
        seed_index.MAGIC + ONE[:-1],
        seed_index.MAGIC + ONE + b"\n",
        seed_index.MAGIC + TWO + ONE,
        seed_index.MAGIC + ONE + ONE,
        seed_index.MAGIC + ONE + TWO + ONE,
    ],
)
def test_refuses_what_is_no_index(data: bytes) -> None:
    with pytest.raises(InputError, match="index"):
        seed_index.records(data)
    with pytest.raises(InputError, match="index"):
        seed_index.merge([data])


@given(st.binary(max_size=300))
def test_reading_anything_gives_records_or_an_input_error(data: bytes) -> None:
    for text in (data, seed_index.MAGIC + data):
        try:
            found = seed_index.records(text)
        except InputError:
            continue
        assert index(found) == text
