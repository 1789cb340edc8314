"""The archive: fixed bytes, the right members, the same whatever the number of threads."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings

from orchestrator.image.cpio import writer as cpio
from orchestrator.image.gather import Gatherer
from reproducibility import digest, manifest
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree
from tests.conftest import examples
from tests.unit.orchestrator.image import tools
from tests.unit.orchestrator.image.samples import EPOCH, Blobs, Content, contents, data, listed

_SMALL: Content = {
    "bin": None,
    "go/src/main.go": b"package main\n",
    "go/src-other": data(700),
    "größe": b"",
}


# Seen to be right by cpio; a change of these bytes is a change of every archive.
_ARCHIVE = "408ea952dadf17e571165c834c743d7784d3fc9e46501e1b3d521f0dd069e137"


def _packed(tree: Tree, blobs: Blobs, target: Path, threads: int | None = None) -> bytes:
    cpio.write(tree, blobs.path, target, epoch=EPOCH, threads=threads)
    return target.read_bytes()


def _unpacked(tree: Tree, blobs: Blobs, target: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompress(_packed(tree, blobs, target))


def _members(archive: bytes) -> list[tuple[str, list[int], bytes]]:
    """Name, fields of the header, content."""
    found = []
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, length = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length]
        assert name.endswith(b"\0")
        start = at + 110 + length
        start += -start % 4
        found.append((name[:-1].decode(), fields, archive[start : start + size]))
        end = start + size
        at = end + -end % 4
        assert not any(archive[end:at])
        if name == b"TRAILER!!!\0":
            assert not any(archive[at:])
            assert len(archive) % 512 == 0
            assert len(archive) - at < 512
            return found


def test_members(blobs: Blobs, tmp_path: Path) -> None:
    tree = blobs.tree(_SMALL).overlaid(blobs.tree({"run": b"\x7fELF"}, executable=True))
    *found, trailer = _members(_unpacked(tree, blobs, tmp_path / "archive"))
    assert [(name, oct(fields[1]), content) for name, fields, content in found] == [
        ("bin", "0o40755", b""),
        ("go", "0o40755", b""),
        ("go/src", "0o40755", b""),
        ("go/src-other", "0o100644", data(700)),
        ("go/src/main.go", "0o100644", b"package main\n"),
        ("größe", "0o100644", b""),
        ("run", "0o100755", b"\x7fELF"),
    ]
    for number, (_, fields, content) in enumerate(found, 1):
        inode, mode, owner, group, links, time, size, *devices, _, check = fields
        assert (inode, owner, group, time, size) == (number, 0, 0, EPOCH, len(content))
        assert links == (2 if mode & 0o040000 else 1)
        assert (devices, check) == ([0, 0, 0, 0], 0)
    assert trailer[0] == "TRAILER!!!"


def test_golden_bytes(blobs: Blobs, tmp_path: Path) -> None:
    archive = _unpacked(blobs.tree(_SMALL), blobs, tmp_path / "archive")
    assert archive[:122] == (
        b"070701" + b"00000001" + b"000041ED" + b"00000000" * 2 + b"00000002" + b"6553F100"
        b"00000000" + b"00000000" * 4 + b"00000004" + b"00000000" + b"bin\0" + b"\0\0" + b"070701"
    )
    assert digest.of_bytes(archive).hex == _ARCHIVE


def test_size_before_compression(blobs: Blobs, tmp_path: Path) -> None:
    for content in ({}, _SMALL, {"a": data(4096)}):
        tree = blobs.tree(content)
        assert len(_unpacked(tree, blobs, tmp_path / "archive")) == cpio.size(tree)


def test_the_number_of_threads_changes_no_byte(blobs: Blobs, tmp_path: Path) -> None:
    # Large enough for several jobs of the compressor, and not all alike.
    content: Content = {
        f"file{number}": b"".join(data(900, number * 1000 + i) for i in range(1500))
        for number in range(8)
    }
    tree = blobs.tree(content)
    images = {_packed(tree, blobs, tmp_path / "archive", threads) for threads in (None, 1, 2, 3, 7)}
    assert len(images) == 1
    # The single-threaded mode would give others: that is why it cannot be chosen.
    single = zstandard.ZstdCompressor(level=cpio.LEVEL, write_checksum=True)
    assert single.compress(_unpacked(tree, blobs, tmp_path / "archive")) not in images
    assert _packed(tree, blobs, tmp_path / "archive", 0) in images


@settings(deadline=None, max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(content=contents())
def test_any_tree(content: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Path(folder, "blobs"))
        archive = _unpacked(blobs.tree(content), blobs, Path(folder, "archive"))
    *found, _ = _members(archive)
    names = [name for name, _, _ in found]
    assert names == sorted(set(names))
    folders = {name for name, fields, _ in found if fields[1] & 0o040000}
    assert {name: content for name, _, content in found if name not in folders} == {
        path: content for path, content in content.items() if content is not None
    }
    above = {path.rpartition("/")[0] for path in names if "/" in path}
    assert folders == above | {path for path, content in content.items() if content is None}


@pytest.mark.needs_tools("cpio")
def test_cpio_unpacks_it(blobs: Blobs, tmp_path: Path) -> None:
    tree = blobs.tree(_SMALL).overlaid(blobs.tree({"run": b"\x7fELF"}, executable=True))
    plain = tmp_path / "plain"
    plain.write_bytes(_unpacked(tree, blobs, tmp_path / "archive"))
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["-i", "-d", "-m", "-D", out, "-F", plain, "--no-preserve-owner"]
    status, text = tools.run("cpio", *arguments)
    assert (status, text) == (0, f"{plain.stat().st_size // 512} blocks\n")
    assert manifest.scan(out) == tree
    assert (out / "run").stat().st_mtime == EPOCH


def test_what_32_bits_cannot_hold(blobs: Blobs, tmp_path: Path) -> None:
    target = tmp_path / "archive"
    with pytest.raises(InputError, match="time"):
        cpio.write(Tree(), blobs.path, target, epoch=1 << 32)
    with pytest.raises(InputError, match="4294967296 bytes") as caught:
        cpio.write(listed("a/large", size=1 << 32), blobs.path, target, epoch=EPOCH)
    assert caught.value.subject == "a/large"
    assert not target.exists()


def test_a_blob_of_another_size(blobs: Blobs, tmp_path: Path) -> None:
    (right,) = blobs.tree({"a": b"12345"}).entries
    target = tmp_path / "archive"
    for size in (4, 6):
        with pytest.raises(InfrastructureError, match=f"a must have {size} bytes"):
            cpio.write(listed("a", size=size), lambda _: blobs.path(right), target, epoch=EPOCH)
        assert not target.exists()


def test_a_target_that_cannot_be_written(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = blobs.tree(_SMALL)
    with pytest.raises(InfrastructureError, match="archive cannot be written"):
        cpio.write(tree, blobs.path, tmp_path, epoch=EPOCH)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Gatherer, "flush", full)
    target = tmp_path / "archive"
    with pytest.raises(InfrastructureError, match="No space left"):
        cpio.write(tree, blobs.path, target, epoch=EPOCH)
    assert not target.exists()
