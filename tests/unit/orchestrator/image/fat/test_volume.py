"""What a caller may decide about a volume, and how FAT writes times."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.image.fat import records
from orchestrator.image.fat.volume import NO_BOOT_CODE, BootCode, Volume
from reproducibility.errors import InputError

_FIRST = 315_532_800
_LAST = 4_354_819_198


def _volume(label: str = "SOURCERY", volume_id: int = 1, epoch: int = _FIRST) -> Volume:
    return Volume(volume_id=volume_id, label=label, epoch=epoch)


def test_the_first_and_the_last_moment() -> None:
    assert records.stamp(_FIRST) == (0x0021, 0)
    assert records.stamp(_LAST) == (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29)


@pytest.mark.parametrize("epoch", [0, _FIRST - 2, _LAST + 2, 1_700_000_001, -2])
def test_times_that_fat_cannot_hold(epoch: int) -> None:
    with pytest.raises(InputError, match=f"FAT cannot hold the time {epoch}"):
        _volume(epoch=epoch)


@given(st.integers(_FIRST // 2, _LAST // 2))
def test_every_other_time_is_written_in_utc(half: int) -> None:
    date, clock = records.stamp(half * 2)
    moment = dt.datetime.fromtimestamp(half * 2, dt.UTC)
    assert moment == dt.datetime(
        (date >> 9) + 1980,
        date >> 5 & 15,
        date & 31,
        clock >> 11,
        clock >> 5 & 63,
        (clock & 31) * 2,
        tzinfo=dt.UTC,
    )


@pytest.mark.parametrize("label", ["A", "SOURCERY", "ELEVEN CHAR", "A-B_C~1!"])
def test_labels(label: str) -> None:
    assert _volume(label).label == label


@pytest.mark.parametrize(
    "label",
    ["", "lower", "TWELVE CHARS", " A", "A ", "A.B", "A+B", "A+", "Ä", "NO NAME", "A\n", "A/B"],
)
def test_labels_that_fat_cannot_hold(label: str) -> None:
    with pytest.raises(InputError, match="volume label") as caught:
        _volume(label)
    assert caught.value.remedy


@pytest.mark.parametrize("volume_id", [-1, 1 << 32])
def test_a_volume_id_has_32_bits(volume_id: int) -> None:
    with pytest.raises(InputError, match="32 bits"):
        _volume(volume_id=volume_id)


def test_free_space_is_not_negative() -> None:
    with pytest.raises(InputError, match="negative"):
        Volume(1, "A", _FIRST, free_bytes=-1)
    with pytest.raises(InputError, match="negative"):
        Volume(1, "A", _FIRST, free_percent=-1)


def test_boot_code_from_a_ready_made_sector() -> None:
    sector = bytearray(range(256)) * 2
    sector[:3] = b"\xeb\x58\x90"
    code = BootCode.from_sector(bytes(sector))
    assert code.head == bytes(sector[:11])
    assert code.code == bytes(sector[90:510])


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"\xeb\x58\x90MSWIN4.", b""),
        (b"\xeb\x58\x91MSWIN4.1", b""),
        (b"\x00\x58\x90MSWIN4.1", b""),
        (NO_BOOT_CODE.head, bytes(421)),
    ],
)
def test_boot_code_that_does_not_fit(head: bytes, code: bytes) -> None:
    with pytest.raises(InputError, match="boot"):
        BootCode(head, code)


def test_a_boot_sector_of_another_size() -> None:
    with pytest.raises(InputError, match="512 bytes, not 511"):
        BootCode.from_sector(bytes(511))
