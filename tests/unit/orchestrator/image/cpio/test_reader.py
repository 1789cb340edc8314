"""The archive of a build, unpacked: what was written comes back, everything else is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.image.cpio import reader as unpacking
from orchestrator.image.cpio import writer as cpio
from orchestrator.store import Store
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, directory, file, scan

if TYPE_CHECKING:
    from pathlib import Path

_EPOCH = 1_767_225_600


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, Tree]:
    store = Store(tmp_path / "store")
    content = {"bin/ls": b"#!/x\n", "empty": b"", "src/deep/file.go": b"package x\n" * 5000}
    entries = [
        file(name, store.put_bytes(data), len(data), executable=name.startswith("bin/"))
        for name, data in content.items()
    ]
    tree = Tree([*entries, directory("mnt")])
    path = tmp_path / "a.cpio.zst"
    cpio.write(tree, store.path, path, epoch=_EPOCH)
    store.close()
    return path, tree


def test_what_was_written_comes_back(archive: tuple[Path, Tree], tmp_path: Path) -> None:
    path, tree = archive
    into = tmp_path / "into"
    into.mkdir()
    unpacking.unpack(path, into)
    assert scan(into).digest == tree.digest
    assert unpacking.epoch(path) == _EPOCH


def header(name: bytes, mode: int = 0o100644, size: int = 0, magic: bytes = b"070701") -> bytes:
    fields = (1, mode, 0, 0, 1, _EPOCH, size, 0, 0, 0, 0, len(name) + 1, 0)
    made = magic + b"".join(b"%08X" % value for value in fields) + name + b"\0"
    return made + bytes(-len(made) % 4)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        header(b"a")[:50],
        header(b"../a"),
        header(b"/a"),
        header(b"a/./b"),
        header(b"a\0b"),
        header(b"link", 0o120777),
        header(b"null", 0o020666),
        header(b"a", size=100),
        header(b"a/b"),
        header(b"a") + header(b"a"),
        header(b"a") + header(b"a/b"),
        header(b"x" * 256),
        header(b"\xff"),
        header(b"a", magic=b"070702"),
        b"070701" + b"zz" * 52,
        header(b"a"),
    ],
)
def test_what_is_no_archive_of_a_build(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "archive"
    path.write_bytes(zstandard.compress(data))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(InputError, match="not an archive of a build"):
        unpacking.unpack(path, into)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "into"]


@given(st.binary(max_size=400))
def test_no_bytes_are_another_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "archive"
    path.write_bytes(data)
    with pytest.raises(InputError):
        unpacking.epoch(path)


def test_an_empty_archive_has_no_time(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(zstandard.compress(header(b"TRAILER!!!")))
    with pytest.raises(InputError, match="empty"):
        unpacking.epoch(path)
