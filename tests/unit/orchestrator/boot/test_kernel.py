"""A kernel: found in its package, and refused where nothing could start it."""

from __future__ import annotations

import gzip

import pytest

from orchestrator.boot import kernel
from reproducibility.errors import InputError
from tests.unit.orchestrator.boot import made
from tests.unit.orchestrator.boot.made import RELEASE, Memory

_ARCHITECTURES = ["amd64", "arm64", "riscv64"]


def _find(memory: Memory, changes: dict[str, bytes | None] | None = None) -> kernel.Kernel:
    return kernel.find(memory.tree(made.kernel("amd64", changes)), "the package", memory.read)


def test_a_debian_package(memory: Memory) -> None:
    found = _find(memory)
    assert (found.release, found.image.path) == (RELEASE, f"boot/vmlinuz-{RELEASE}")
    assert found.unpacks_zstandard
    assert found.modules.get("kernel/fs/fat/vfat.ko.xz") is not None
    assert len(found.chosen_device_trees(["vendor/*.dtb"])) == 2
    assert len(found.chosen_device_trees(["vendor/board.dtb", "*board*"])) == 1
    assert not found.chosen_device_trees([]).entries


def test_a_folder_of_ones_own(memory: Memory) -> None:
    content = made.kernel("riscv64")
    moved = {path.replace("usr/lib/modules", "lib/modules"): data for path, data in content.items()}
    moved = {path.replace("vmlinuz-", "vmlinux-"): data for path, data in moved.items()}
    moved = {
        path.replace("usr/lib/linux-image-", "boot/dtbs/"): data for path, data in moved.items()
    }
    del moved[f"boot/config-{RELEASE}"]
    found = kernel.find(memory.tree(moved), "my kernel", memory.read)
    assert found.image.path == f"boot/vmlinux-{RELEASE}"
    assert len(found.modules) == 6
    assert len(found.device_trees) == 2
    # What a kernel without its configuration unpacks is not known.
    assert not found.unpacks_zstandard


def test_none_and_two(memory: Memory) -> None:
    with pytest.raises(InputError, match=r"is needed; found none") as caught:
        _find(memory, {f"boot/vmlinuz-{RELEASE}": None})
    assert caught.value.subject == "the package"
    with pytest.raises(InputError, match=rf"found {RELEASE}, 6.13"):
        _find(memory, {"boot/vmlinuz-6.13": b""})


def test_modules_of_another_release(memory: Memory) -> None:
    content = {
        path.replace(f"modules/{RELEASE}", "modules/6.1"): data
        for path, data in made.kernel("amd64").items()
    }
    with pytest.raises(InputError, match=rf"{RELEASE} has no lib/modules/{RELEASE}; found 6.1"):
        kernel.find(memory.tree(content), "the package", memory.read)


def test_a_kernel_that_could_not_use_the_initramfs(memory: Memory) -> None:
    config = made.CONFIG.replace(b"CONFIG_DEVTMPFS=y", b"# CONFIG_DEVTMPFS is not set")
    with pytest.raises(InputError, match="CONFIG_DEVTMPFS is not set") as caught:
        _find(memory, {f"boot/config-{RELEASE}": config})
    assert caught.value.subject == f"the package, boot/config-{RELEASE}"


def test_zstandard_is_the_kernels_own_word(memory: Memory) -> None:
    config = made.CONFIG.replace(b"CONFIG_RD_ZSTD=y", b"# CONFIG_RD_ZSTD is not set")
    assert not _find(memory, {f"boot/config-{RELEASE}": config}).unpacks_zstandard


def test_a_device_tree_that_is_not_there(memory: Memory) -> None:
    with pytest.raises(InputError, match=r"no device tree vendor/bord\.dtb; nearest: vendor/board"):
        _find(memory).chosen_device_trees(["vendor/*.dtb", "vendor/bord.dtb"])


@pytest.mark.parametrize("architecture", _ARCHITECTURES)
def test_startable(architecture: str) -> None:
    image = made.kernel_image(architecture)
    assert kernel.startable(image, architecture, "it", uefi=True) is image
    assert kernel.startable(gzip.compress(image), architecture, "it", uefi=True) == image
    without_stub = b"\0\0" + image[2:]
    assert kernel.startable(without_stub, architecture, "it", uefi=False) == without_stub
    with pytest.raises(InputError, match="no EFI stub"):
        kernel.startable(without_stub, architecture, "it", uefi=True)
    for other in set(_ARCHITECTURES) - {architecture}:
        with pytest.raises(InputError, match=f"not a Linux kernel for {other}") as caught:
            kernel.startable(image, other, "it", uefi=True)
        assert caught.value.subject == "it"


def test_what_unpacks_itself_and_what_is_damaged() -> None:
    image = bytearray(made.kernel_image("arm64"))
    image[4:8] = b"zimg"
    with pytest.raises(InputError, match="unpacks itself") as caught:
        kernel.startable(bytes(image), "arm64", "it", uefi=True)
    assert "CONFIG_EFI_ZBOOT" in caught.value.remedy
    with pytest.raises(InputError, match="cannot be unpacked"):
        kernel.startable(gzip.compress(b"kernel")[:-3], "arm64", "it", uefi=True)
    with pytest.raises(InputError, match="not a Linux kernel"):
        kernel.startable(b"", "arm64", "it", uefi=True)
