"""The partition table around a volume."""

from __future__ import annotations

import struct

import pytest

from orchestrator.image.fat.disk import Disk
from orchestrator.image.fat.layout import lay_out
from orchestrator.image.fat.volume import BootCode, Volume
from reproducibility.errors import InputError
from tests.unit.orchestrator.image.samples import EPOCH, SIGNATURE, VOLUME, disk, listed

_TREE = listed("boot/ldlinux.sys", "z", size=5000)


def _record(made: Disk) -> bytes:
    position, data = made.metadata()[0]
    assert position == 0
    assert len(data) == 512
    return data


def test_one_active_partition() -> None:
    made = disk(_TREE)
    record = _record(made)
    assert record[440:446] == struct.pack("<IH", SIGNATURE, 0)
    count = made.size // 512 - 2048
    # Sector 2048 is cylinder 0, head 32, sector 33.
    assert record[446:450] == b"\x80\x20\x21\x00"
    assert record[450] == 0x0C
    assert struct.unpack("<II", record[454:462]) == (2048, count)
    cylinder, rest = divmod(2048 + count - 1, 255 * 63)
    head, sector = divmod(rest, 63)
    assert record[451:454] == bytes([head, sector + 1, cylinder])
    assert record[462:] == bytes(48) + b"\x55\xaa"


def test_beyond_cylinder_1023_only_the_sector_numbers_count() -> None:
    record = _record(disk(listed("large", size=3 << 30).overlaid(listed("b", size=(3 << 30)))))
    # 3 GiB lie before cylinder 1024 (8.4 GB): the high bits of the cylinder are in use.
    assert record[452] >> 6
    large = disk(listed("a", "b", "c", size=3 << 30))
    assert _record(large)[451:454] == b"\xfe\xff\xff"


def test_boot_code_of_the_disk() -> None:
    code = bytes(range(200)) * 2
    record = _record(Disk(lay_out(_TREE, VOLUME), 0, code=code))
    assert record[:400] == code
    assert record[400:444] == bytes(44)


def test_what_does_not_fit() -> None:
    layout = lay_out(_TREE, VOLUME)
    with pytest.raises(InputError, match="441 bytes does not fit"):
        Disk(layout, 0, code=bytes(441))
    for signature in (-1, 1 << 32):
        with pytest.raises(InputError, match="32 bits"):
            Disk(layout, signature)


def test_boot_code_of_the_volume_stands_in_both_boot_sectors() -> None:
    boot = BootCode(b"\xeb\x58\x90SYSLINUX", bytes(range(1, 211)) * 2)
    layout = lay_out(_TREE, VOLUME)
    plain = Disk(layout, SIGNATURE).metadata()
    made = Disk(layout, SIGNATURE, volume_boot=boot).metadata()
    area = made[1][1]
    for start in (0, 6 * 512):
        assert area[start : start + 11] == boot.head
        assert area[start + 90 : start + 510] == boot.code
        assert area[start + 510 : start + 512] == b"\x55\xaa"
        assert area[start + 11 : start + 90] == plain[1][1][start + 11 : start + 90]
    # Nothing else depends on it: where the files lie is known before the code is made.
    assert (made[0], made[2:]) == (plain[0], plain[2:])


def test_where_a_file_lies() -> None:
    made = disk(_TREE)
    extent = made.layout.extent("boot/ldlinux.sys")
    assert len(extent) == 5000
    sectors = made.sectors("boot/ldlinux.sys")
    assert len(sectors) == 10
    assert sectors.start * 512 == made.offset + extent.start
    # The root's own files come before those of its folders.
    assert made.sectors("z").stop == sectors.start
    assert len(disk(listed("empty", size=0)).sectors("empty")) == 0
    with pytest.raises(KeyError):
        made.sectors("boot")


def test_files_that_must_not_be_moved() -> None:
    volume = Volume(1, "A", EPOCH, fixed=frozenset({"boot/ldlinux.sys"}))
    fixed, plain = lay_out(_TREE, volume).folders, lay_out(_TREE, Volume(1, "A", EPOCH)).folders
    different = [i for i, (a, b) in enumerate(zip(fixed, plain, strict=True)) if a != b]
    assert [(fixed[i], plain[i]) for i in different] == [(0x27, 0x20)]
    for missing in ("boot", "boot/other"):
        with pytest.raises(InputError, match="must not be moved"):
            lay_out(_TREE, Volume(1, "A", EPOCH, fixed=frozenset({missing})))
