"""Unpacking within bounds: what real packers make comes out whole, damage and bombs do not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.files import decompression

if TYPE_CHECKING:
    from collections.abc import Callable

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.compress,
    ".lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    ".bz2": bz2.compress,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "": bytes,
}
SAMPLE = bytes(range(256)) * 3000
packings = pytest.mark.parametrize("suffix", PACKERS)
compressed = pytest.mark.parametrize("suffix", [suffix for suffix in PACKERS if suffix])


@packings
def test_what_was_packed_comes_out(suffix: str) -> None:
    for data in (b"", b"x", SAMPLE):
        assert decompression.unpacked(PACKERS[suffix](data), suffix, len(data)) == data


@given(st.sampled_from([".xz", ".bz2", ".gz", ".zst"]), st.lists(st.binary(max_size=50)))
def test_streams_one_after_the_other_are_one(suffix: str, parts: list[bytes]) -> None:
    packed = b"".join(map(PACKERS[suffix], parts))
    if packed:
        assert decompression.unpacked(packed, suffix, 1 << 20) == b"".join(parts)


def test_zeros_behind_a_stream_are_padding() -> None:
    assert decompression.unpacked(lzma.compress(SAMPLE) + bytes(8), ".xz", 1 << 20) == SAMPLE


@compressed
def test_one_byte_too_many_is_refused(suffix: str) -> None:
    with pytest.raises(decompression.LargeContentError, match=f"more than {len(SAMPLE) - 1} bytes"):
        decompression.unpacked(PACKERS[suffix](SAMPLE), suffix, len(SAMPLE) - 1)


@compressed
@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_stream_that_is_cut_short_is_refused(suffix: str, cut: int) -> None:
    with pytest.raises((OSError, *decompression.DAMAGED)):
        decompression.unpacked(PACKERS[suffix](SAMPLE)[:-cut], suffix, 1 << 20)


@compressed
def test_what_is_no_stream_is_refused(suffix: str) -> None:
    with pytest.raises((OSError, *decompression.DAMAGED)):
        decompression.unpacked(b"something else" * 10, suffix, 1 << 20)


def test_a_packing_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="no packing that is known"):
        decompression.reader(io.BytesIO(), ".rar", 1)


def test_a_dictionary_that_no_packer_asks_for_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    packed = lzma.compress(b"x", filters=filters)
    with pytest.raises(lzma.LZMAError, match="Memory usage limit"):
        decompression.unpacked(packed, ".xz", 1)
    strongest = lzma.compress(SAMPLE, preset=9)
    assert decompression.unpacked(strongest, ".xz", 1 << 20) == SAMPLE


def test_what_is_mostly_empty_may_unpack_to_a_thousand_times() -> None:
    assert decompression.limit(1, 1 << 30) == 4 << 20
    assert decompression.limit(1 << 20, 1 << 40) == 1000 << 20
    assert decompression.limit(1 << 20, 1 << 28) == 1 << 28
    assert decompression.limit(1 << 20, 1 << 40, decompression.PROGRAM) == 100 << 20
