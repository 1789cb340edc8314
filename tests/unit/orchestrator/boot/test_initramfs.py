"""The initramfs: fixed bytes that a kernel unpacks."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import zstandard

from orchestrator.boot import initramfs
from orchestrator.boot.modules import Module
from reproducibility import digest

if TYPE_CHECKING:
    from pathlib import Path

_MODULES = [Module("vfat", "vfat.ko", b"file system"), Module("xhci_pci", "xhci-pci.ko", b"usb")]
# Seen to be right by cpio and booted; a change of these bytes is a change of every stick.
_PLAIN = "f235f856905241f27fc46668ecffa81b3705a5bcd758df3f404bacf4efc5c7f8"
_COMPRESSED = "1bf84a1feab758c5d582b93f1cc6951ddfa006ab64bf1ee178b1ed4bd55d84e6"


def test_golden_bytes() -> None:
    plain = initramfs.packed(b"program", _MODULES, compressed=False)
    compressed = initramfs.packed(b"program", _MODULES, compressed=True)
    assert digest.of_bytes(plain).hex == _PLAIN
    assert digest.of_bytes(compressed).hex == _COMPRESSED
    assert zstandard.ZstdDecompressor().decompress(compressed) == plain


def test_the_order_of_the_modules_changes_nothing() -> None:
    assert initramfs.packed(b"", _MODULES, compressed=True) == initramfs.packed(
        b"", reversed(_MODULES), compressed=True
    )


def _cpio(archive: bytes, folder: Path, *arguments: str) -> list[list[str]]:
    """The words of the lines that cpio writes."""
    program = shutil.which("cpio")
    assert program is not None
    done = subprocess.run(
        [program, "--quiet", *arguments],
        input=archive,
        env={"LC_ALL": "C", "TZ": "UTC"},
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return [line.split() for line in done.stdout.decode().splitlines()]


@pytest.mark.needs_tools("cpio")
def test_cpio_reads_it(tmp_path: Path) -> None:
    archive = initramfs.packed(b"program", _MODULES, compressed=False)
    lines = _cpio(archive, tmp_path, "-tv", "--numeric-uid-gid")
    assert [(line[0], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "dev"),
        ("crw-------", "dev/console"),
        ("crw-rw-rw-", "dev/null"),
        ("-rwxr-xr-x", "init"),
        ("drwxr-xr-x", "modules"),
        ("-rw-r--r--", "modules/vfat.ko"),
        ("-rw-r--r--", "modules/xhci-pci.ko"),
        ("drwxr-xr-x", "proc"),
        ("drwxr-xr-x", "stick"),
        ("drwxr-xr-x", "sys"),
    ]
    assert all(line[2:4] == ["0", "0"] for line in lines)
    assert [line[4:6] for line in lines[1:3]] == [["5,", "1"], ["1,", "3"]]
    _cpio(archive, tmp_path, "-id", "init", "modules/*")
    assert (tmp_path / "init").read_bytes() == b"program"
    assert (tmp_path / "modules" / "xhci-pci.ko").read_bytes() == b"usb"
