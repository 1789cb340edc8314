"""The boot files as a whole: each where its firmware looks for it, the same every time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import zstandard

from orchestrator.boot import files, syslinux
from orchestrator.image import folders
from orchestrator.image.fat import lint
from reproducibility.errors import InputError
from reproducibility.manifest import merge
from tests.unit.orchestrator.boot import made
from tests.unit.orchestrator.boot.made import RELEASE, Memory

if TYPE_CHECKING:
    from reproducibility.manifest import Tree

_KERNELS = {
    f"boot/{architecture}/{name}"
    for architecture in ("amd64", "arm64", "riscv64")
    for name in ("initramfs.zst", "vmlinuz")
}
_LICENCES = {
    f"boot/licences/{package}"
    for package in (f"linux-image-{RELEASE}", "syslinux", "syslinux-common", "systemd-boot-efi")
}
_SYSLINUX = {f"syslinux/{name}" for name in ("ldlinux.c32", "ldlinux.sys", "syslinux.cfg")}
_UEFI = {
    "EFI/BOOT/BOOTAA64.EFI",
    "EFI/BOOT/BOOTRISCV64.EFI",
    "EFI/BOOT/BOOTX64.EFI",
    "loader/entries.srel",
    "loader/entries/amd64.conf",
    "loader/entries/arm64.conf",
    "loader/entries/riscv64.conf",
    "loader/loader.conf",
}
_U_BOOT = {"extlinux/extlinux.conf"}


def _paths(tree: Tree) -> set[str]:
    return {entry.path for entry in tree}


def _modules(memory: Memory, tree: Tree, architecture: str) -> bytes:
    packed = memory.content(tree, f"boot/{architecture}/initramfs.zst")
    return zstandard.ZstdDecompressor().decompress(packed)


def test_everything(memory: Memory) -> None:
    tree = files.files(made.boot(memory), memory.read, memory.put)
    assert _paths(tree) == _KERNELS | _LICENCES | _SYSLINUX | _UEFI | _U_BOOT
    assert not list(lint.find(folders.of(tree)))
    assert not any(entry.executable for entry in tree)
    for architecture, name in made.EFI_NAMES.items():
        image = memory.content(tree, f"boot/{architecture}/vmlinuz")
        assert image == made.kernel_image(architecture)
        loader = memory.content(tree, f"EFI/BOOT/BOOT{name.upper()}.EFI")
        assert loader == b"MZ loader " + name.encode()
        archive = _modules(memory, tree, architecture)
        assert b"init of " + architecture.encode() in archive
        for module in (b"fat.ko", b"vfat.ko", b"xhci-hcd.ko", b"xhci-pci.ko"):
            assert b"modules/" + module + b"\0" in archive
        assert b"snd.ko" not in archive
    for path in (
        "syslinux/syslinux.cfg",
        "extlinux/extlinux.conf",
        "loader/entries/arm64.conf",
    ):
        assert b"sourcery.volume=5A1D-B007 sourcery.missing=shell\n" in memory.content(tree, path)
    assert memory.content(tree, "loader/loader.conf").endswith(b"timeout 3\nconsole-mode keep\n")
    found = files.loader(made.boot(memory), memory.read)
    assert found is not None
    assert memory.content(tree, syslinux.LDLINUX) == found.unpatched


def test_every_path_in_a_menu_is_on_the_stick(memory: Memory) -> None:
    one = made.machine(memory, "arm64", device_trees=("vendor/*",))
    others = (made.machine(memory, "amd64"), made.machine(memory, "riscv64"))
    tree = files.files(made.boot(memory, one, *others), memory.read, memory.put)
    named = set()
    for path in (*_U_BOOT, "syslinux/syslinux.cfg", *(p for p in _UEFI if p.endswith(".conf"))):
        for line in memory.content(tree, path).decode().splitlines():
            key, _, value = line.strip().partition(" ")
            if key.lower() in {"linux", "initrd", "fdtdir"}:
                assert value.startswith("/")
                named.add(value[1:])
    assert named == _KERNELS | {"boot/arm64/dtb"}
    assert _paths(tree.under("boot/arm64/dtb")) == {"vendor/board.dtb", "vendor/other.dtb"}
    assert all(len(tree.under(path)) or tree.get(path) for path in named)


def test_twice_the_same_and_in_parts_too(memory: Memory) -> None:
    boot = made.boot(memory)
    tree = files.files(boot, memory.read, memory.put)
    assert files.files(boot, memory.read, memory.put) == tree
    parts = [
        (one.architecture, files.machine(one, memory.read, memory.put)) for one in boot.machines
    ]
    shared = files.shared(boot, memory.read, memory.put)
    assert merge([*parts, ("the rest", shared)]) == tree


def test_what_is_remembered_of_a_machine_names_no_volume(memory: Memory) -> None:
    one = made.machine(memory, "amd64")
    before = files.machine(one, memory.read, memory.put)
    assert files.machine(replace(one, command_line="quiet"), memory.read, memory.put) == before
    boot = made.boot(memory, one)
    changed = replace(boot, volume_id=1, timeout=9, missing="reboot")
    first, second = (files.files(each, memory.read, memory.put) for each in (boot, changed))
    differing = {entry.path for entry in second if first.get(entry.path) != entry}
    assert differing == {
        "loader/entries/amd64.conf",
        "loader/loader.conf",
        "syslinux/syslinux.cfg",
    }


def test_without_a_bios_and_without_uefi(memory: Memory) -> None:
    boards = made.boot(memory, made.machine(memory, "riscv64", uefi=None))
    tree = files.files(boards, memory.read, memory.put)
    assert files.loader(boards, memory.read) is None
    assert _paths(tree) == _U_BOOT | {
        "boot/riscv64/initramfs.zst",
        "boot/riscv64/vmlinuz",
        f"boot/licences/linux-image-{RELEASE}",
    }
    personal = made.boot(memory, made.machine(memory, "amd64"), with_syslinux=False)
    tree = files.files(personal, memory.read, memory.put)
    assert not _paths(tree) & (_SYSLINUX | _U_BOOT)


def test_a_kernel_that_does_not_unpack_zstandard(memory: Memory) -> None:
    config = made.CONFIG.replace(b"CONFIG_RD_ZSTD=y\n", b"")
    package = memory.tree(made.kernel("amd64", {f"boot/config-{RELEASE}": config}))
    boot = made.boot(memory, made.machine(memory, "amd64", kernel=package))
    tree = files.files(boot, memory.read, memory.put)
    assert memory.content(tree, "boot/amd64/initramfs.cpio").startswith(b"070701")
    assert b"INITRD /boot/amd64/initramfs.cpio\n" in memory.content(tree, "syslinux/syslinux.cfg")


def test_further_modules(memory: Memory) -> None:
    one = made.machine(memory, "amd64", modules=("snd",))
    assert b"modules/snd.ko\0" in _modules(
        memory, files.machine(one, memory.read, memory.put), "amd64"
    )
    wrong = replace(one, modules=("snt",))
    with pytest.raises(InputError, match="no module snt; nearest: snd") as caught:
        files.machine(wrong, memory.read, memory.put)
    assert caught.value.subject == f"the kernel for amd64, {RELEASE}"


def test_licences_that_differ_are_both_kept(memory: Memory) -> None:
    other = memory.tree(
        made.systemd_boot("arm64") | {"usr/share/doc/systemd-boot-efi/copyright": b"another"}
    )
    boot = made.boot(
        memory, made.machine(memory, "amd64"), made.machine(memory, "arm64", uefi=other)
    )
    tree = files.files(boot, memory.read, memory.put)
    assert memory.content(tree, "boot/licences/systemd-boot-efi-amd64") == b"LGPL"
    assert memory.content(tree, "boot/licences/systemd-boot-efi-arm64") == b"another"
    assert tree.get("boot/licences/systemd-boot-efi") is None


def test_a_boot_loader_for_another_architecture(memory: Memory) -> None:
    wrong = memory.tree(made.systemd_boot("arm64"))
    one = made.machine(memory, "amd64", uefi=wrong)
    with pytest.raises(InputError, match=r"has no usr/lib/.*/systemd-bootx64\.efi") as caught:
        files.machine(one, memory.read, memory.put)
    assert caught.value.subject == "package systemd-boot-efi, amd64"
