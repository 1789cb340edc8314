"""What a disk holds, as told before it is overwritten."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.stick.contents import Contents, Part, examine

_BLOCK = 512


def looked_at(data: bytes | bytearray, block: int = _BLOCK) -> Contents:
    return examine(lambda at, size: bytes(data[at : at + size]), len(data), block)


def mbr(*entries: tuple[int, int, int]) -> bytearray:
    disk = bytearray(1 << 20)
    for number, entry in enumerate(entries):
        struct.pack_into("<4xB3xII", disk, 446 + 16 * number, *entry)
    disk[510:512] = b"\x55\xaa"
    return disk


def fat(disk: bytearray, at: int, label: bytes) -> None:
    disk[at + 71 : at + 82] = label.ljust(11)
    disk[at + 82 : at + 90] = b"FAT32   "
    disk[at + 510 : at + 512] = b"\x55\xaa"


def test_an_empty_disk() -> None:
    assert looked_at(bytes(1 << 20)) == Contents("", ())
    assert looked_at(b"") == Contents("", ())


def test_a_partition_with_a_labelled_file_system() -> None:
    disk = mbr((0x0C, 64, 128), (0x83, 256, 512))
    fat(disk, 64 * 512, b"SOURCERY")
    disk[256 * 512 + 1080 : 256 * 512 + 1082] = b"\x53\xef"
    disk[256 * 512 + 1144 : 256 * 512 + 1149] = b"data\0"
    assert looked_at(disk) == Contents(
        "MBR",
        (
            Part(1, 128 * 512, "FAT32", "SOURCERY", 64 * 512),
            Part(2, 512 * 512, "ext2, ext3 or ext4", "data", 256 * 512),
        ),
    )


def test_a_partition_whose_file_system_is_not_known() -> None:
    disk = mbr((0, 0, 0), (0x8E, 64, 128), (0x77, 256, 128))
    assert looked_at(disk).parts == (
        Part(2, 65536, "Linux LVM", "", 64 * 512),
        Part(3, 65536, "0x77", "", 256 * 512),
    )


@pytest.mark.parametrize("block", [512, 4096])
def test_a_gpt(block: int) -> None:
    disk = mbr((0xEE, 1, 0xFFFF))
    header = struct.pack("<8s24xQ32xQII", b"EFI PART", 0x77, 2, 4, 128)
    disk[block : block + len(header)] = header
    entry = struct.pack("<16s16xQQQ72s", b"k" * 16, 40, 47, 0, "my data".encode("utf-16-le"))
    disk[2 * block + 128 : 2 * block + 256] = entry
    disk[40 * block : 40 * block + 6] = b"LUKS\xba\xbe"
    assert looked_at(disk, block) == Contents(
        "GPT", (Part(2, 8 * block, "LUKS", "my data", 40 * block),), (0x77 * block,)
    )


@pytest.mark.parametrize("block", [512, 4096])
def test_a_gpt_of_which_only_the_copy_is_left(block: int) -> None:
    """Programs such as sgdisk take it."""
    disk = bytearray(1 << 20)
    header = struct.pack("<8s24xQ32xQII", b"EFI PART", 1, 200, 128, 128)
    disk[-block : len(header) - block] = header
    entry = struct.pack("<16s16xQQQ72s", b"k" * 16, 40, 47, 0, "mine".encode("utf-16-le"))
    disk[200 * block : 200 * block + 128] = entry
    assert looked_at(disk, block) == Contents(
        "GPT", (Part(1, 8 * block, "partition", "mine", 40 * block),), ((1 << 20) - block,)
    )


def test_logical_partitions() -> None:
    disk = mbr((0x83, 64, 64), (0x0F, 256, 512))
    for at, entries in (
        (256, ((0x83, 8, 16), (0x05, 100, 128))),
        (356, ((0x82, 8, 24), (0x05, 0, 0))),
    ):
        for number, entry in enumerate(entries):
            struct.pack_into("<4xB3xII", disk, at * 512 + 446 + 16 * number, *entry)
        disk[at * 512 + 510 : at * 512 + 512] = b"\x55\xaa"
    assert looked_at(disk).parts[2:] == (
        Part(5, 16 * 512, "Linux", "", 264 * 512),
        Part(6, 24 * 512, "Linux swap", "", 364 * 512),
    )


def test_logical_partitions_in_a_circle_end() -> None:
    disk = mbr((0x05, 256, 512))
    for number, entry in enumerate(((0x83, 8, 16), (0x05, 10, 128))):
        struct.pack_into("<4xB3xII", disk, 256 * 512 + 446 + 16 * number, *entry)
        struct.pack_into("<4xB3xII", disk, 266 * 512 + 446 + 16 * number, *entry)
    for at in (256, 266):
        disk[at * 512 + 510 : at * 512 + 512] = b"\x55\xaa"
    assert 1 < len(looked_at(disk).parts) < 100


def test_a_file_system_without_a_table() -> None:
    disk = bytearray(1 << 20)
    fat(disk, 0, b"NO NAME")
    assert looked_at(disk) == Contents("", (Part(0, 1 << 20, "FAT32"),))


def test_a_label_cannot_write_on_the_terminal() -> None:
    disk = mbr((0x0C, 64, 128))
    fat(disk, 64 * 512, b"\x1b[2Jevil")
    assert str(looked_at(disk).parts[0]) == "FAT32 '[2Jevil'"


@given(st.binary(max_size=2048), st.sampled_from([512, 4096]))
def test_whatever_is_on_a_disk_is_no_error(data: bytes, block: int) -> None:
    looked_at(data, block)
    signed = bytearray(data.ljust(512, b"\xee"))
    signed[510:512] = b"\x55\xaa"
    looked_at(signed, block)
    looked_at(signed.ljust(block) + b"EFI PART" + data, block)
