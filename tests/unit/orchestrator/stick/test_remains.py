"""Nothing that other programs go by is found of the old disk behind an image.

The marks are planted as their formats have them, `wipefs` is seen to find each, and it finds none
afterwards.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import subprocess
import zlib
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.main import run
from orchestrator.stick import remains, signatures
from orchestrator.stick.contents import Contents, Part
from orchestrator.stick.signatures import ABSENT, Look, Signature
from reproducibility import digest
from tests import results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Captured = pytest.CaptureFixture[str]
Plant: TypeAlias = "Callable[[bytearray], None]"

_IMAGE = 1 << 20
_MIB = 1 << 20
_GIB = 1 << 30


def _put(disk: bytearray, at: int, data: bytes) -> None:
    at %= len(disk)
    disk[at : at + len(data)] = data


def gpt_copy(disk: bytearray) -> None:
    """Only the copy at the end, with right checksums: what sgdisk prefers to an MBR."""
    last = len(disk) // 512 - 1
    entries = bytearray(128 * 128)
    struct.pack_into("<16s16sQQ", entries, 0, b"k" * 16, b"u" * 16, 64, 4095)
    table = last - len(entries) // 512
    fields = (0x10000, 92, 0, 0, last, 1, 34, table - 1, b"g" * 16, table, 128, 128)
    sums = zlib.crc32(entries)
    header = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", *fields, sums))
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    _put(disk, last * 512, bytes(header))
    _put(disk, table * 512, bytes(entries))


def md_0_90(disk: bytearray) -> None:
    at = (len(disk) & ~0xFFFF) - 0x10000
    _put(disk, at, struct.pack("<III", 0xA92B4EFC, 0, 90))


def md_1_0(disk: bytearray) -> None:
    sector = (len(disk) // 512 - 16) & ~7
    _put(disk, sector * 512, struct.pack("<II136xQ", 0xA92B4EFC, 1, sector))


def second_luks_header(at: int) -> Plant:
    return lambda disk: _put(disk, at, struct.pack(">6sH248xQ", b"SKUL\xba\xbe", 2, at))


def promise(sectors: int) -> Plant:
    at = -512 * sectors
    return lambda disk: _put(disk, at, b"Promise Technology, Inc.")


PLANTS: dict[str, Plant] = {
    "gpt": gpt_copy,
    "linux_raid_member 0.90": md_0_90,
    "linux_raid_member 1.0": md_1_0,
    "ddf_raid_member": lambda disk: _put(
        disk, -512, b"\xde\x11\xde\x11" + bytes(4) + b"g" * 24 + b"01.02.00"
    ),
    "isw_raid_member": lambda disk: _put(disk, -1024, b"Intel Raid ISM Cfg Sig. 1.2.00"),
    "lsi_mega_raid_member": lambda disk: _put(disk, -512, b"$XIDE$"),
    "nvidia_raid_member": lambda disk: _put(disk, -1024, b"NVIDIA  "),
    "hpt45x_raid_member": lambda disk: _put(disk, -11 * 512, struct.pack("<I", 0x5A7816F3)),
    "promise_fasttrack_raid_member near": promise(63),
    "promise_fasttrack_raid_member far": promise(3087),
    "VMFS_volume_member": lambda disk: _put(disk, 1 << 20, b"\x0d\xd0\x01\xc0"),
    "VMFS": lambda disk: _put(disk, 2 << 20, b"\x5e\xf1\xab\x2f"),
    "crypto_LUKS near": second_luks_header(1 << 20),
    "crypto_LUKS far": second_luks_header(4 << 20),
}
# No whole number of blocks, and one that is; the last, where the end is in the beginning.
SIZE = 20 * _MIB - 1536
PLANTED = [
    *((name, SIZE) for name in PLANTS),
    *(("linux_raid_member 1.0", size) for size in (20 * _MIB, 20 * _MIB + 512, 6 * _MIB + 2560)),
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output directory: an image with an MBR and a FAT, and its result."""
    folder = tmp_path / "out"
    folder.mkdir()
    image = bytearray(_IMAGE)
    struct.pack_into("<4xB3xII", image, 446, 0x0C, 64, _IMAGE // 512 - 64)
    image[510:512] = b"\x55\xaa"
    (folder / "sourcery.img").write_bytes(image)
    document = results.document(image={"blake3": digest.of_bytes(bytes(image)).hex})
    (folder / "result.json").write_text(json.dumps(document))
    return folder


def found(path: Path) -> list[str]:
    look = signatures.look(path)
    assert not look.not_looked
    return [one.kind for one in look.found]


@pytest.mark.once
@pytest.mark.needs_tools("wipefs", "blkid")
@pytest.mark.parametrize(("name", "size"), PLANTED)
def test_no_mark_survives(
    out: Path, tmp_path: Path, capsys: Captured, name: str, size: int
) -> None:
    kind = name.partition(" ")[0]
    disk = bytearray(size)
    PLANTS[name](disk)
    stick = tmp_path / "stick"
    stick.write_bytes(disk)
    assert kind in found(stick), "it was planted as it should be"
    assert run(["write", str(stick), "--out", str(out), "--yes", "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert kind in [one["kind"] for one in document["lost"]["signatures"]]
    assert f"wipefs finds {kind} " in told.err
    assert found(stick) == ["dos"]
    probed = subprocess.run(["blkid", "-p", stick], capture_output=True, check=False)  # noqa: S607 - found on PATH
    assert b'PTTYPE="dos"' in probed.stdout
    assert b" TYPE=" not in probed.stdout
    assert stick.stat().st_size == size
    for start, length in document["blanked"]:
        assert stick.read_bytes()[start : start + length] == bytes(length)


@pytest.mark.needs_tools("wipefs")
def test_a_mark_where_nobody_would_think_of_it(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `wipefs` finds before is overwritten, wherever it lies."""
    at = 20 * _MIB + 4096
    stick = tmp_path / "stick"
    stick.write_bytes(b"o" * (40 * _MIB))
    look = signatures.look

    def knowing(path: Path) -> Look:
        """As if `wipefs` knew a mark that lies there."""
        with path.open("rb") as stream:
            stream.seek(at)
            marked = stream.read(4) == b"oooo"
        seen = look(path).found
        return Look((*seen, Signature(at, "newfs")) if marked else seen)

    monkeypatch.setattr(signatures, "look", knowing)
    assert run(["write", str(stick), "--out", str(out), "--yes", "-q"]) == 0
    with stick.open("rb") as stream:
        stream.seek(at - 1)
        assert stream.read(3) == b"o\0\0"


@pytest.mark.needs_tools("wipefs")
def test_what_is_still_found_is_no_success(
    out: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is really there: whoever chooses the places has forgotten the end."""
    disk = bytearray(40 * _MIB)
    md_1_0(disk)
    stick = tmp_path / "stick"
    stick.write_bytes(disk)
    monkeypatch.setattr(remains, "places", lambda *_given: ())
    assert run(["write", str(stick), "--out", str(out), "--yes", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "wipefs still finds linux_raid_member at byte 41,934,848" in error["summary"]


def test_without_wipefs_that_is_said(
    out: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known here is overwritten in any case."""
    monkeypatch.setattr("shutil.which", lambda *_given, **_named: None)
    disk = bytearray(40 * _MIB)
    gpt_copy(disk)
    stick = tmp_path / "stick"
    stick.write_bytes(disk)
    assert run(["write", str(stick), "--out", str(out), "--yes", "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["lost"]["signatures"] is None
    assert document["lost"]["table"] == "GPT", "its copy at the end is seen here too"
    assert document["remains"] is None
    assert ABSENT in told.err
    assert not any(stick.read_bytes()[_IMAGE:])


@pytest.mark.parametrize("answer", ["{}", "[1]", '{"signatures": [{"offset": "x"}]}', "words"])
def test_an_answer_that_is_not_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    program = tmp_path / "wipefs"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not understood" in signatures.look(tmp_path).not_looked
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    assert "broken" in signatures.look(tmp_path).not_looked


def test_a_label_cannot_write_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "wipefs"
    answer = {"signatures": [{"offset": "0x10", "type": "x", "label": "\x1b[2Jevil"}]}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n".replace("\\", "\\\\"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(signatures.look(tmp_path).found[0]) == "x '[2Jevil' at byte 16"


# -- where ---------------------------------------------------------------------------------------


def covered(places: tuple[range, ...], at: int, length: int = 1) -> bool:
    return any(one.start <= at and at + length <= one.stop for one in places)


def test_the_places_of_a_large_disk() -> None:
    size, image = 600 * _GIB, 33 * _MIB
    holds = Contents(
        "GPT",
        (
            Part(1, 100 * _GIB, "ext2, ext3 or ext4", "", 1 * _GIB),
            Part(2, 400 * _GIB, "btrfs", "", 101 * _GIB),
            Part(3, 4096, "partition", "", 550 * _GIB),
        ),
        (599 * _GIB,),
    )
    places = remains.places(image, size, holds, [560 * _GIB + 512])
    assert covered(places, image, _MIB), "right behind the image"
    assert covered(places, size - 4 * _MIB, 4 * _MIB), "the end"
    assert covered(places, 64 * _MIB, 4096), "a btrfs of the whole disk"
    assert covered(places, 256 * _GIB, 4096)
    for start, length in ((1, 100), (101, 400)):
        assert covered(places, start * _GIB, 4 * _MIB + 4096), "a partition's beginning"
        assert covered(places, (start + length) * _GIB - 4 * _MIB, 4 * _MIB), "its end"
    assert covered(places, 101 * _GIB + (256 << 30), 4096), "a btrfs in a partition"
    group = 128 * _MIB
    for number in (1, 3, 5, 7, 9, 25, 27, 49, 81):
        assert covered(places, _GIB + number * group, 4096), "a copy of ext4's superblock"
    assert covered(places, 550 * _GIB, 4096)
    assert not covered(places, 550 * _GIB + 4096), "no more than the partition"
    assert covered(places, 599 * _GIB - 16384, 32768), "where the table says that its copy is"
    assert covered(places, 560 * _GIB + 512, 8192), "where a program found something"
    assert sum(map(len, places)) < 128 * _MIB, "seconds on a slow stick"


@given(
    image=st.integers(1, 1 << 26),
    more=st.integers(-(1 << 20), 1 << 40),
    parts=st.lists(st.tuples(st.integers(0, 1 << 42), st.integers(0, 1 << 42))),
    copies=st.lists(st.integers(0, 1 << 64)),
    marks=st.lists(st.integers(0, 1 << 42)),
)
def test_places_are_in_order_and_behind_the_image(
    image: int,
    more: int,
    parts: list[tuple[int, int]],
    copies: list[int],
    marks: list[int],
) -> None:
    """Whatever a broken table says."""
    size = image + more
    holds = Contents("GPT", tuple(Part(1, n, "ext", "", at) for at, n in parts), tuple(copies))
    places = remains.places(image, size, holds, marks)
    assert all(place for place in places)
    assert all(a.stop < b.start for a, b in itertools.pairwise(places))
    if places:
        assert places[0].start >= image
        assert places[-1].stop <= size
    if more > 0:
        assert covered(places, size - 1)
        assert covered(places, image)
    for at in marks:
        assert not image <= at < size or covered(places, at)


def test_a_small_disk_is_overwritten_whole() -> None:
    assert remains.places(_MIB, 3 * _MIB, Contents("", ())) == (range(_MIB, 3 * _MIB),)
    assert remains.places(_MIB, _MIB, Contents("", ())) == ()
    assert remains.places(_MIB, 0, Contents("", ())) == ()


def test_the_image_s_own_marks_are_none_of_the_old_disk_s(out: Path, tmp_path: Path) -> None:
    """A table of its own is in the image; a stick with it is as it should be."""
    stick = tmp_path / "stick"
    stick.write_bytes(os.urandom(2 * _IMAGE))
    assert run(["write", str(stick), "--out", str(out), "--yes", "-q"]) == 0
