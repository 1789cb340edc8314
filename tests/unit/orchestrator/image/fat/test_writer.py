"""The image's bytes: fixed, right by a strict reader, and nothing left behind on failure."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.image import gather
from orchestrator.image.fat import reader, records, writer
from orchestrator.image.fat.volume import Volume
from reproducibility import digest
from reproducibility.errors import InfrastructureError
from tests.conftest import examples
from tests.unit.orchestrator.image import strict
from tests.unit.orchestrator.image.samples import (
    EPOCH,
    SMALL,
    VOLUME,
    Blobs,
    Content,
    contents,
    data,
    disk,
    listed,
)

if TYPE_CHECKING:
    from orchestrator.image.fat.disk import Disk

# Seen to be right by fsck.fat and pyfatfs; another byte here is another image for everybody.
_BOOT_SECTOR = [
    "eb58904d5357494e342e3100020120000200000000f800003f00ff0000080000",
    "0008010010020000000000000200000001000600000000000000000000000000",
    "80002934121057534f5552434552592020204641543332202020cd18f4ebfd00",
]
_FAT = [
    "f8ffff0fffffff0fffffff0fffffff0fffffff0fffffff0fffffff0fffffff0f",
    "ffffff0fffffff0fffffff0fffffff0fffffff0f0e000000ffffff0f10000000",
    "1100000012000000ffffff0f0000000000000000000000000000000000000000",
]
_ROOT = [
    "534f555243455259202020080000aab16e576e570000aab16e57000000000000",
    "524541444d452020202020200000aab16e576e570000aab16e570a0006000000",
    "41620069006e000000ffff0f007fffffffffffffffffffffffff0000ffffffff",
    "42494e2020202020202020100000aab16e576e570000aab16e57030000000000",
    "4165006d007000740079000f00900000ffffffffffffffffffff0000ffffffff",
    "454d505459202020202020200000aab16e576e570000aab16e57000000000000",
    "4167006f000000ffffffff0f0079ffffffffffffffffffffffff0000ffffffff",
    "474f202020202020202020100000aab16e576e570000aab16e57040000000000",
    "416c0069006e00750078000f00465f0061006d0064003600340000000000ffff",
    "4c494e55585f7e31202020100000aab16e576e570000aab16e57080000000000",
]
_IMAGE = "8f40755c90cae59fe5fe6e1606502489e16926572e255cad5e6a098fe9356d78"


def _lines(piece: bytes) -> list[str]:
    return [piece[at : at + 32].hex() for at in range(0, len(piece), 32)]


def _write(made: Disk, blobs: Blobs, target: Path) -> bytes:
    writer.write(made, blobs.path, target)
    return target.read_bytes()


def _strictly(image: bytes, volume: Volume = VOLUME) -> strict.Found:
    return strict.read(
        image,
        label=volume.label.encode(),
        volume_id=volume.volume_id,
        stamp=records.stamp(volume.epoch),
    )


def test_golden_bytes(blobs: Blobs, tmp_path: Path) -> None:
    image = _write(disk(blobs.tree(SMALL)), blobs, tmp_path / "image")
    volume = image[1 << 20 :]
    assert _lines(volume[:96]) == _BOOT_SECTOR
    assert _lines(volume[32 * 512 : 32 * 512 + 96]) == _FAT
    root = (32 + 2 * 528) * 512
    assert _lines(volume[root : root + 320]) == _ROOT
    assert volume[root + 320 : root + 512] == bytes(192)
    assert digest.of_bytes(image).hex == _IMAGE
    assert _strictly(image).files == SMALL


def test_files_larger_than_the_buffer(blobs: Blobs, tmp_path: Path) -> None:
    content = SMALL | {"large": data(3 * gather.BUFFER + 17), "exact": data(gather.BUFFER)}
    image = _write(disk(blobs.tree(content)), blobs, tmp_path / "image")
    assert _strictly(image).files == content


def test_neither_order_of_entries_nor_modes_change_a_byte(blobs: Blobs, tmp_path: Path) -> None:
    one = blobs.tree(SMALL)
    other = blobs.tree(dict(reversed(SMALL.items())), executable=True)
    assert one != other
    images = [_write(disk(tree), blobs, tmp_path / "image") for tree in (one, other)]
    assert images[0] == images[1]


def test_names_are_sorted_within_a_folder_not_by_whole_paths(blobs: Blobs, tmp_path: Path) -> None:
    # By whole paths "a/x" comes last, since "/" comes after "-" and ".".
    content: Content = {"a-b": b"1", "a.b": b"2", "a/x": b"3", "a/x-y": b"4", "a/x.y/z": b"5"}
    made = disk(blobs.tree(content))
    assert [placed.entry.path for placed in made.layout.files] == [
        "a-b",
        "a.b",
        "a/x",
        "a/x-y",
        "a/x.y/z",
    ]
    order = [made.layout.folders.index(field) for field in (b"A       ", b"A-B     ", b"A       B")]
    assert order == sorted(order)
    assert _strictly(_write(made, blobs, tmp_path / "image")).files == content


def test_what_was_in_the_target_is_gone(blobs: Blobs, tmp_path: Path) -> None:
    target = tmp_path / "image"
    made = disk(blobs.tree(SMALL))
    clean = _write(made, blobs, target)
    target.write_bytes(b"\xff" * (made.size + 1000))
    assert _write(made, blobs, target) == clean
    target.write_bytes(b"\xff" * 2_000_000)
    assert _write(made, blobs, target) == clean


@settings(deadline=None, max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(content=contents())
def test_any_tree(content: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Path(folder, "blobs"))
        tree = blobs.tree(content)
        target = Path(folder, "image")
        image = _write(disk(tree), blobs, target)
        reading = reader.read(target)
    assert _strictly(image).files == content
    assert reading.tree == tree
    assert (reading.label, reading.volume_id) == (VOLUME.label, VOLUME.volume_id)
    assert reading.stray_times(EPOCH) == []


@pytest.mark.once
@pytest.mark.parametrize("count", [4, 5, 7, 8, 900])
def test_folders_of_many_clusters(blobs: Blobs, tmp_path: Path, count: int) -> None:
    # Two records a name and two for the folder: 7 names fill a cluster of 512 bytes exactly.
    content: Content = {
        f"folder/name{number:04}": data(number % 3, number) for number in range(count)
    }
    content |= {f"folder/name0000{'x' * 40}/below": b"1"}
    image = _write(disk(blobs.tree(content)), blobs, tmp_path / "image")
    found = _strictly(image)
    assert found.files == content
    assert found.bytes_per_cluster == 512
    assert reader.read(tmp_path / "image").tree == blobs.tree(content)


def test_a_folder_that_fills_its_cluster_exactly(blobs: Blobs, tmp_path: Path) -> None:
    content: Content = {f"folder/name{number}": b"x" for number in range(7)}
    made = disk(blobs.tree(content))
    # The root takes one cluster, the folder one without a free record, the files seven.
    assert made.layout.used == 9
    assert _strictly(_write(made, blobs, tmp_path / "image")).files == content


@pytest.mark.once
def test_the_largest_folder(blobs: Blobs, tmp_path: Path) -> None:
    names = [f"folder/{number:08X}" for number in range(65_536 - 2)]
    made = disk(blobs.tree(dict.fromkeys(names, b"")))
    writer.write(made, blobs.path, tmp_path / "image")
    # The smallest FAT32 volume has room for its 2 MiB.
    assert len(made.layout.folders) == (2 << 20) + 512
    assert len(_strictly((tmp_path / "image").read_bytes()).files) == len(names)


def test_free_space_is_a_hole(blobs: Blobs, tmp_path: Path) -> None:
    volume = Volume(1, "A", EPOCH, free_bytes=100 << 20)
    target = tmp_path / "image"
    image = _write(disk(blobs.tree(SMALL), volume), blobs, target)
    assert len(image) > 100 << 20
    assert target.stat().st_blocks * 512 < 8 << 20
    found = _strictly(image, volume)
    assert found.files == SMALL
    assert found.clusters * found.bytes_per_cluster > 100 << 20


def test_every_parameter_changes_the_image(blobs: Blobs, tmp_path: Path) -> None:
    tree = blobs.tree(SMALL)
    volumes = [
        VOLUME,
        Volume(VOLUME.volume_id + 1, VOLUME.label, EPOCH),
        Volume(VOLUME.volume_id, "OTHER", EPOCH),
        Volume(VOLUME.volume_id, VOLUME.label, EPOCH + 2),
        Volume(VOLUME.volume_id, VOLUME.label, EPOCH, free_bytes=100 << 20),
        Volume(VOLUME.volume_id, VOLUME.label, EPOCH, fixed=frozenset({"README"})),
    ]
    target = tmp_path / "image"
    images = {digest.of_bytes(_write(disk(tree, volume), blobs, target)) for volume in volumes}
    assert len(images) == len(volumes)


@pytest.mark.parametrize(
    ("real", "said", "blob_has"),
    [(10, 9, "more"), (10, 11, "10"), (0, 5, "0"), (2 << 20, (2 << 20) - 1, "more")],
)
def test_a_blob_of_another_size(
    blobs: Blobs, tmp_path: Path, real: int, said: int, blob_has: str
) -> None:
    wrong = blobs.tree({"a/wrong": data(real)})
    tree = listed("a/wrong", size=said).overlaid(blobs.tree({"b": b"right"}))
    target = tmp_path / "image"
    with pytest.raises(InfrastructureError, match=f"a/wrong must have {said} bytes") as caught:
        writer.write(
            disk(tree),
            lambda entry: blobs.path(wrong.entries[0] if entry.path == "a/wrong" else entry),
            target,
        )
    assert caught.value.summary.endswith(f"has {blob_has}")
    assert wrong.entries[0].digest in caught.value.subject
    assert caught.value.status == 4
    assert not target.exists()


def test_a_blob_that_is_not_there(blobs: Blobs, tmp_path: Path) -> None:
    target = tmp_path / "image"
    with pytest.raises(InfrastructureError, match="content of a/gone cannot be read"):
        writer.write(disk(listed("a/gone")), blobs.path, target)
    assert not target.exists()


def test_a_blob_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot be read"):
        writer.write(disk(listed("a")), lambda _: tmp_path, tmp_path / "image")


def test_a_target_that_cannot_be_made(blobs: Blobs, tmp_path: Path) -> None:
    made = disk(blobs.tree(SMALL))
    with pytest.raises(InfrastructureError, match="image cannot be written"):
        writer.write(made, blobs.path, tmp_path / "missing" / "image")
    with pytest.raises(InfrastructureError, match="image cannot be written"):
        writer.write(made, blobs.path, tmp_path)
    assert tmp_path.is_dir()


@pytest.mark.parametrize("call", ["pwrite", "posix_fallocate", "fdatasync"])
def test_a_full_disk(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    target = tmp_path / "image"
    with pytest.raises(InfrastructureError, match="No space left") as caught:
        writer.write(disk(blobs.tree(SMALL)), blobs.path, target, durable=True)
    assert caught.value.subject == str(target)
    assert not target.exists()


def test_a_file_system_that_cannot_allocate(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    made = disk(blobs.tree(SMALL))
    expected = _write(made, blobs, tmp_path / "expected")
    monkeypatch.setattr(os, "posix_fallocate", unable)
    assert _write(made, blobs, tmp_path / "image") == expected


def test_short_writes_are_continued(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = disk(blobs.tree(SMALL | {"large": data(5000)}))
    expected = _write(made, blobs, tmp_path / "expected")
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, piece, at: real(fd, piece[:1000], at))
    assert _write(made, blobs, tmp_path / "image") == expected


def test_an_interruption_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    def interrupted(_: object) -> Path:
        raise KeyboardInterrupt

    target = tmp_path / "image"
    with pytest.raises(KeyboardInterrupt):
        writer.write(disk(blobs.tree(SMALL)), interrupted, target)
    assert not target.exists()
