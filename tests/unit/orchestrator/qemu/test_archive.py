"""One architecture's part of the archive: what is in it, the same bytes twice, what is refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from orchestrator.image.cpio import reader as unpacking
from orchestrator.image.cpio import writer as cpio
from orchestrator.qemu import archive
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError
from reproducibility.manifest import Tree, directory, file, scan

if TYPE_CHECKING:
    from pathlib import Path

_EPOCH = 1_767_225_600
NEEDED = {
    "etc/motd": b"a file of the spec's",
    "go/VERSION": b"go1.27",
    "go/pkg/tool/linux_amd64/compile": b"\x7fELF" + b"c" * 5000,
    "go/src/fmt/print.go": b"package fmt\n",
    "go/src/runtime/asm_arm64.s": b"source of all architectures",
    "linux_amd64/bin/init": b"\x7fELF init",
    "linux_amd64/bin/ls": b"#!/linux_amd64/bin/installcommand",
    "linux_amd64/seed/00": b"s" * 70_000,
    "src/one/embeds/embeds.go": b"package embeds\n//go:embed all:testdata\nvar x string\n",
    "src/one/embeds/testdata/file": b"embedded",
    "src/one/embeds/deep/testdata/file": b"may be embedded from above",
    "src/one/main.go": b"package main\n",
    "src/one/testdata.go": b"package main\n",
}
OTHERS = {
    "EFI/BOOT/BOOTX64.EFI": b"MZ",
    "boot/amd64/initramfs.zst": b"i" * 1000,
    "boot/arm64/vmlinuz": b"another kernel",
    "extlinux/extlinux.conf": b"menu",
    "go/pkg/tool/linux_arm64/compile": b"\x7fELF" + b"a" * 9000,
    "linux_arm64/seed/00": b"t" * 70_000,
    "linux_riscv64/bin/init": b"\x7fELF",
    "loader/loader.conf": b"timeout",
    "src/one/testdata/large": b"l" * 100_000,
    "src/one/embeds_test.go": b"package main\n//go:embed testdata/large\nvar y string\n",
    "syslinux/ldlinux.sys": b"\x00",
}
KERNEL = b"MZ a kernel"
# Of those, what stays: a test's source is a file of its package, at which the go command looks.
KEPT = {*NEEDED, "src/one/embeds_test.go"}


def packed(folder: Path, content: dict[str, bytes]) -> Path:
    store = Store(folder / "store")
    entries = [
        file(name, store.put_bytes(data), len(data), executable="bin/" in name)
        for name, data in content.items()
    ]
    path = folder / "sourcery.cpio.zst"
    cpio.write(Tree([*entries, directory("proc")]), store.path, path, epoch=_EPOCH)
    store.close()
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return packed(tmp_path, {**NEEDED, **OTHERS, "boot/amd64/vmlinuz": KERNEL})


def test_what_one_architecture_needs(whole: Path, tmp_path: Path) -> None:
    part = archive.take(whole, "amd64", tmp_path / "log", digest.of_file(whole))
    assert part.kernel.read_bytes() == KERNEL
    into = tmp_path / "into"
    into.mkdir()
    unpacking.unpack(part.archive, into)
    tree = scan(into)
    assert {entry.path for entry in tree.files()} == KEPT
    for path, data in NEEDED.items():
        assert (into / path).read_bytes() == data
    assert (into / "linux_amd64/bin/init").stat().st_mode & 0o111
    assert not (into / "etc/motd").stat().st_mode & 0o111
    assert (into / "proc").is_dir(), "what is mounted on"
    assert not (into / "boot").exists()
    assert unpacking.epoch(part.archive) == _EPOCH
    assert part.size == part.archive.stat().st_size
    assert part.unpacked > sum(map(len, NEEDED.values()))
    assert part.digest == digest.of_file(part.archive)
    assert part.whole == digest.of_file(whole)


@pytest.mark.needs_tools("cpio", "zstd")
def test_other_programs_read_it(whole: Path, tmp_path: Path) -> None:
    part = archive.take(whole, "amd64", tmp_path / "log")
    plain = subprocess.run(["zstd", "-dcq", part.archive], capture_output=True, check=True).stdout  # noqa: S607 - found on PATH
    listed = subprocess.run(["cpio", "-t"], input=plain, capture_output=True, check=True).stdout  # noqa: S607 - found on PATH
    names = listed.decode().splitlines()
    assert names == sorted(names)
    assert set(names) >= KEPT


def test_the_same_bytes_twice(whole: Path, tmp_path: Path) -> None:
    one, two = (archive.take(whole, "arm64", tmp_path / name) for name in ("one", "two"))
    assert one.archive.read_bytes() == two.archive.read_bytes()
    assert one.digest == two.digest
    other = archive.take(whole, "amd64", tmp_path / "one")
    assert other.digest != one.digest, "what was there is replaced"


def test_another_archive_than_was_built(whole: Path, tmp_path: Path) -> None:
    """A bit of it that nothing else would see: behind its end."""
    expected = digest.of_file(whole)
    with whole.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(ComparisonError, match="not the one that was built"):
        archive.take(whole, "amd64", tmp_path / "log", expected)
    assert list((tmp_path / "log").iterdir()) == []


def test_without_a_kernel(tmp_path: Path) -> None:
    path = packed(tmp_path, NEEDED)
    with pytest.raises(InputError, match="no kernel for amd64") as refused:
        archive.take(path, "amd64", tmp_path / "log")
    assert "[boot]" in refused.value.remedy
    assert list((tmp_path / "log").iterdir()) == []


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"words")
    with pytest.raises(InputError, match="not an archive of a build"):
        archive.take(path, "amd64", tmp_path / "log")


def test_where_it_cannot_be_written(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"in the way")
    with pytest.raises(InfrastructureError, match="cannot be made") as refused:
        archive.take(whole, "amd64", tmp_path / "log")
    assert "--log" in refused.value.remedy
