"""What reads the archive back sees everything that is not as the tree says."""

from __future__ import annotations

import ast
import os
import random
import tempfile
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings

from orchestrator.image.cpio import witness as archive
from orchestrator.image.cpio import writer as cpio
from reproducibility.manifest import Tree, directory
from tests.conftest import examples
from tests.unit.orchestrator.image.samples import EPOCH, SMALL, Blobs, Content, contents, data

if TYPE_CHECKING:
    from collections.abc import Callable

_FLIPS = 800


@dataclass
class Packed:
    """An archive that is right, and what it must hold."""

    path: Path
    tree: Tree

    @property
    def plain(self) -> bytes:
        with self.path.open("rb") as stream:
            return zstandard.ZstdDecompressor().stream_reader(stream).read()

    def pack(self, plain: bytes) -> None:
        """Write another archive in the same frame."""
        compressor = zstandard.ZstdCompressor(
            level=cpio.LEVEL, threads=1, write_checksum=True, write_content_size=True
        )
        with (
            self.path.open("wb") as stream,
            compressor.stream_writer(stream, size=len(plain), closefd=False) as packed,
        ):
            packed.write(plain)

    def findings(self) -> list[str]:
        return archive.findings(self.path, self.tree, EPOCH)


def _made(blobs: Blobs, path: Path, content: Content) -> Packed:
    tree = blobs.tree(content).overlaid(blobs.tree({"run": b"\x7fELF"}, executable=True))
    cpio.write(tree, blobs.path, path, epoch=EPOCH)
    return Packed(path, tree)


@pytest.fixture
def packed(blobs: Blobs, tmp_path: Path) -> Packed:
    return _made(blobs, tmp_path / "a.cpio.zst", {**SMALL, "odd": b"x"})


@pytest.fixture
def large(blobs: Blobs, tmp_path: Path) -> Packed:
    """Larger than a segment of 512 KiB, so that the frame is like that of a whole root."""
    content = b"".join(data(900, number) for number in range(700))
    return _made(blobs, tmp_path / "a.cpio.zst", {**SMALL, "large": content})


@pytest.mark.parametrize("which", ["packed", "large"])
def test_what_is_right_has_no_findings(which: str, request: pytest.FixtureRequest) -> None:
    packed: Packed = request.getfixturevalue(which)
    assert packed.findings() == []
    before = packed.path.read_bytes()
    packed.pack(packed.plain)
    assert packed.path.read_bytes() == before


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(content=contents())
def test_any_tree(content: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Path(folder, "blobs"))
        tree = blobs.tree(content)
        path = Path(folder, "archive")
        cpio.write(tree, blobs.path, path, epoch=EPOCH)
        assert archive.findings(path, tree, EPOCH) == []


@pytest.mark.once
@pytest.mark.parametrize("which", ["packed", "large"])
def test_every_changed_bit_that_means_something_is_seen(
    which: str, request: pytest.FixtureRequest
) -> None:
    packed: Packed = request.getfixturevalue(which)
    whole = bytearray(packed.path.read_bytes())
    plain = packed.plain
    draw = random.Random(1)  # noqa: S311 - the same places each time
    ends = [*range(8 * 12), *range(8 * (len(whole) - 12), 8 * len(whole))]
    unseen = []
    for number in [*ends, *draw.sample(range(8 * len(whole)), min(_FLIPS, 8 * len(whole)))]:
        at, bit = divmod(number, 8)
        whole[at] ^= 1 << bit
        packed.path.write_bytes(whole)
        # Compressed data can say the same in more than one way (a table that no symbol uses).
        if not packed.findings():
            assert packed.plain == plain, (at, bit)
            unseen.append((at, bit))
        whole[at] ^= 1 << bit
    assert len(unseen) <= _FLIPS // 100


@pytest.mark.once
def test_every_changed_bit_of_a_header_is_seen(packed: Packed) -> None:
    plain = bytearray(packed.plain)
    end = plain.index(b"070701", 1)
    trailer = plain.rindex(b"070701")
    for at in (*range(end + 40), *range(trailer, len(plain))):
        plain[at] ^= 1 << at % 8
        packed.pack(bytes(plain))
        assert packed.findings(), at
        plain[at] ^= 1 << at % 8


@pytest.mark.parametrize("left", [0, 1, 4, 5, 9, 12, 100, -1, -4, -5, -1000])
def test_one_that_was_cut(packed: Packed, left: int) -> None:
    packed.path.write_bytes(packed.path.read_bytes()[:left])
    assert len(packed.findings()) == 1


EXTRA = {
    "a byte": b"x",
    "zeros": bytes(512),
    "a second frame": zstandard.ZstdCompressor().compress(b"more"),
    "an empty frame": zstandard.ZstdCompressor().compress(b""),
    "a skippable frame": b"\x50\x2a\x4d\x18\4\0\0\0more",
}


@pytest.mark.parametrize("extra", EXTRA)
def test_something_behind_the_frame(packed: Packed, extra: str) -> None:
    with packed.path.open("ab") as stream:
        stream.write(EXTRA[extra])
    [said] = packed.findings()
    assert said == f"{len(EXTRA[extra])} bytes follow the frame's end"


def _header(path: str, mode: int, inode: int, size: int = 0, links: int = 1) -> bytes:
    fields = (inode, mode, 0, 0, links, EPOCH, size, 0, 0, 0, 0, len(path) + 1, 0)
    made = b"070701" + b"".join(b"%08X" % value for value in fields) + path.encode() + b"\0"
    return made + bytes(-len(made) % 4)


def _before_trailer(plain: bytes) -> bytes:
    at = plain.rindex(b"070701")
    more = plain[:at] + _header("zz", 0o100644, 99, 4) + b"more" + plain[at : at + 124]
    return more + bytes(-len(more) % 512)


CHANGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a member more": (_before_trailer, "the trailer"),
    "a folder more": (lambda plain: _header("aa", 0o040755, 1, links=2) + plain, "README"),
    "no trailer": (lambda plain: plain[: plain.rindex(b"070701")], "ends too early"),
    "a member less": (
        lambda plain: plain[: plain.index(b"070701")] + plain[plain.index(b"070701", 1) :],
        "README",
    ),
    "zeros at the end": (lambda plain: plain + bytes(512), "something follows the trailer"),
    "a second archive": (lambda plain: plain + plain, "something follows the trailer"),
    "another owner": (lambda plain: plain[:29] + b"1" + plain[30:], "owner"),
    "another mode": (lambda plain: plain.replace(b"000081A4", b"000081ED", 1), "mode"),
    "another time": (lambda plain: plain.replace(b"6553F100", b"6553F101", 1), "time"),
    "another name": (lambda plain: plain.replace(b"main.go", b"main.og", 1), "name"),
    "another content": (lambda plain: plain.replace(b"package", b"Package", 1), "blake3"),
    "small letters": (lambda plain: plain.replace(b"6553F100", b"6553f100", 1), "time"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_archive(packed: Packed, change: str) -> None:
    function, said = CHANGES[change]
    packed.pack(function(packed.plain))
    [found] = packed.findings()
    assert said in found


def test_another_tree_or_time(packed: Packed) -> None:
    assert archive.findings(packed.path, packed.tree, EPOCH + 1)
    other = packed.tree.overlaid(Tree([directory("more")]))
    assert archive.findings(packed.path, other, EPOCH)


def test_a_frame_without_a_checksum(packed: Packed) -> None:
    packed.path.write_bytes(zstandard.ZstdCompressor(level=1).compress(packed.plain))
    [said] = packed.findings()
    assert "with size and checksum" in said


def test_memory_is_bounded(blobs: Blobs, tmp_path: Path) -> None:
    tree = blobs.tree({"zeros": bytes(64 << 20)})
    path = tmp_path / "a"
    cpio.write(tree, blobs.path, path, epoch=EPOCH)
    tracemalloc.start()
    try:
        assert archive.findings(path, tree, EPOCH) == []
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 << 20


def test_it_shares_no_code_with_the_writer() -> None:
    for node in ast.walk(ast.parse(Path(archive.__file__).read_text("utf-8"))):
        name = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        assert not name.startswith(("orchestrator", "containers"))
        assert not isinstance(node, ast.Import) or "orchestrator" not in node.names[0].name


def test_it_cannot_be_read(packed: Packed) -> None:
    packed.path.unlink()
    with pytest.raises(OSError, match="No such file"):
        packed.findings()
    assert not os.path.lexists(packed.path)
