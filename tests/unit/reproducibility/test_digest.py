"""Digests: right for any size, never mixed up between algorithms, strict in their text form."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import digest
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# BLAKE3's test vectors for the empty input; FIPS 180-4's for "abc".
EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
SHA256_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_known_values(tmp_path: Path) -> None:
    assert digest.of_bytes(b"") == Digest("blake3", EMPTY)
    assert digest.sha256_of_bytes(b"abc") == Digest("sha256", SHA256_ABC)
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest.sha256_of_file(tmp_path / "abc").hex == SHA256_ABC


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (4 << 20) - 1, 4 << 20, (4 << 20) + 1])
def test_every_way_of_reading_gives_the_same(tmp_path: Path, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = digest.of_bytes(data)
    assert digest.of_file(path) == expected
    assert digest.of_stream(io.BytesIO(data)) == expected
    assert digest.sha256_of_file(path) == digest.sha256_of_bytes(data)


def test_a_large_file_is_hashed_across_the_pieces_it_is_read_in(tmp_path: Path) -> None:
    piece: int = digest._CHUNK
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.seek(5 * piece - 2)
        stream.write(b"over the edge")
        stream.truncate(6 * piece + 5)
    with path.open("rb") as stream:
        assert digest.of_file(path) == digest.of_stream(stream)


def test_of_stream_reads_the_rest_only() -> None:
    stream = io.BytesIO(b"headrest")
    stream.read(4)
    assert digest.of_stream(stream) == digest.of_bytes(b"rest")


@given(st.binary(max_size=100), st.integers(1, 10))
def test_chunks_are_the_whole_stream_in_pieces(data: bytes, size: int) -> None:
    pieces = list(digest.chunks(io.BytesIO(data), size))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= size for piece in pieces)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest.of_file(tmp_path / "none")


def test_two_algorithms_never_compare_equal() -> None:
    assert Digest("blake3", EMPTY) != Digest("sha256", EMPTY)


def test_text_form_is_read_back() -> None:
    for found in (digest.of_bytes(b"a"), digest.sha256_of_bytes(b"a")):
        assert Digest.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY,
        f"blake3:{EMPTY.upper()}",
        f"blake3:{EMPTY[:-1]}",
        f"blake3:{EMPTY}\n",
        f"blake3: {EMPTY}",
        f"md5:{EMPTY}",
        f"BLAKE3:{EMPTY}",
        f"blake3:{'g' * 64}",
        "blake3:" + "٣" * 64,
    ],
)
def test_refuses_another_form(text: str) -> None:
    with pytest.raises(InputError, match="not a digest"):
        Digest.parse(text)


def test_a_digest_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        digest.of_bytes(b"").hex = "0" * 64  # type: ignore[misc]
