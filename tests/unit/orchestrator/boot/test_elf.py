"""ELF: a section is found, an end is found, and damage is said."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.boot import elf
from reproducibility.errors import InputError
from tests.unit.orchestrator.boot import made

_FILE = made.elf_64({".text": b"code", ".modinfo": b"license=GPL\0"})


def test_a_section() -> None:
    assert elf.section(_FILE, ".modinfo", "a.ko") == b"license=GPL\0"
    assert elf.section(_FILE, ".text", "a.ko") == b"code"
    assert elf.section(_FILE, ".data", "a.ko") is None
    # A name that is the start of another one's is not that one.
    assert elf.section(_FILE, ".mod", "a.ko") is None


@pytest.mark.parametrize(
    "damaged",
    [b"", b"MZ", _FILE[:20], _FILE[:-1], made.elf_32(b"x"), _FILE[:60] + b"\0\0" + _FILE[62:]],
)
def test_what_is_no_whole_file(damaged: bytes) -> None:
    with pytest.raises(InputError, match="not a whole 64-bit little-endian ELF file") as caught:
        elf.section(damaged, ".modinfo", "kernel/a.ko")
    assert caught.value.subject == "kernel/a.ko"


@given(at=st.integers(0, len(_FILE) - 1), value=st.integers(0, 255))
def test_any_byte_changed_gives_an_answer_or_an_input_error(at: int, value: int) -> None:
    damaged = _FILE[:at] + bytes([value]) + _FILE[at + 1 :]
    with contextlib.suppress(InputError):
        elf.section(damaged, ".modinfo", "a.ko")


def test_where_a_file_of_32_bits_ends() -> None:
    file = made.elf_32(b"content")
    assert elf.length_32(b"before" + file + b"after", 6) == len(file)
    assert elf.length_32(b"before" + file, 5) is None
    assert elf.length_32(file[:-1], 0) is None
    assert elf.length_32(_FILE, 0) is None


@given(data=st.binary(max_size=200))
def test_what_only_starts_like_one_is_none(data: bytes) -> None:
    file = b"\x7fELF\x01\x01\x01" + data
    length = elf.length_32(file, 0)
    assert length is None or length <= len(file)
