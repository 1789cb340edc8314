"""Finds the Linux kernel in its unpacked package, and checks that the boot loaders can start it.

Sources: Debian's linux-image packages; Linux Documentation/arch/x86/boot.rst,
Documentation/arch/arm64/booting.rst, Documentation/arch/riscv/boot-image-header.rst and
Documentation/admin-guide/efi-stub.rst; drivers/firmware/efi/libstub/zboot-header.S.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from orchestrator.architecture import FACTS
from orchestrator.files import decompression
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry

_IMAGE = re.compile(r"boot/vmlinu[xz]-([^/]+)")
_RELEASES = re.compile(r"(?:usr/)?lib/modules/([^/]+)/")
_OPTION = re.compile(r"^(CONFIG_[A-Za-z0-9_]+)=(.*)$", re.MULTILINE)
# Bytes of a kernel image: Debian's have 10 to 40 MB, one with everything built in some 200.
_LARGEST = 512 << 20
_GZIP = b"\x1f\x8b"
_EFI = b"MZ"
_COMPRESSED_EFI = (4, b"zimg")
# What a kernel cannot do without, and why.
_NEEDED = {
    "CONFIG_BLK_DEV_INITRD": "the kernel could not unpack the initramfs",
    "CONFIG_DEVTMPFS": "the initramfs could not see any device",
}


@dataclass(frozen=True)
class Kernel:
    """A kernel. `modules`: `lib/modules/<release>`; `device_trees`: all of them.

    `config`: the options that are set, empty where the package does not hold them.
    """

    release: str
    image: Entry
    modules: Tree
    device_trees: Tree
    config: Mapping[str, str]
    subject: str

    @property
    def unpacks_zstandard(self) -> bool:
        """Support for an initramfs that is compressed with Zstandard."""
        return self.config.get("CONFIG_RD_ZSTD") == "y"

    def chosen_device_trees(self, patterns: Sequence[str]) -> Tree:
        """The device trees that match a pattern, in which `*` stands for anything.

        Raises:
            InputError: a pattern matches none; names it and the nearest.
        """
        paths = [entry.path for entry in self.device_trees.files()]
        for pattern in patterns:
            if not any(fnmatchcase(path, pattern) for path in paths):
                near = get_close_matches(pattern, paths, 1, 0.4)
                raise InputError(
                    f"the kernel has no device tree {pattern}"
                    + (f"; nearest: {near[0]}" if near else ""),
                    subject=self.subject,
                    remedy="correct the pattern in the spec, or remove it",
                )
        return self.device_trees.where(
            lambda entry: any(fnmatchcase(entry.path, pattern) for pattern in patterns)
        )


def find(package: Tree, subject: str, read: Callable[[Digest], bytes]) -> Kernel:
    """The one kernel of an unpacked package. `subject`: the package, for messages.

    Raises:
        InputError: there is none, or more than one; its modules are missing; or it was configured
            without something that is needed.
    """
    found = {
        match[1]: entry for entry in package.files() if (match := _IMAGE.fullmatch(entry.path))
    }
    if len(found) != 1:
        kernels = ", ".join(sorted(found)) or "none"
        raise InputError(
            "one kernel, boot/vmlinuz-<release> or boot/vmlinux-<release>, is needed; "
            f"found {kernels}",
            subject=subject,
            remedy="name a linux-image package, or a folder of that shape with one kernel",
        )
    ((release, image),) = found.items()
    modules = _first(package, f"lib/modules/{release}", f"usr/lib/modules/{release}")
    if not modules:
        others = {match[1] for entry in package if (match := _RELEASES.match(entry.path))}
        raise InputError(
            f"the kernel {release} has no lib/modules/{release}; found "
            + (", ".join(sorted(others)) or "none"),
            subject=subject,
            remedy="install the modules beside the kernel: "
            "`make modules_install INSTALL_MOD_PATH=<folder>`",
        )
    trees = _first(package, f"usr/lib/linux-image-{release}", f"boot/dtbs/{release}")
    config = _config(package.get(f"boot/config-{release}"), read)
    for option, reason in _NEEDED.items():
        if config and config.get(option) != "y":
            raise InputError(
                f"{option} is not set: {reason}",
                subject=f"{subject}, boot/config-{release}",
                remedy="name a kernel that has it",
            )
    return Kernel(release, image, modules, trees, config, subject)


def startable(data: bytes, architecture: str, subject: str, *, uefi: bool) -> bytes:
    """A kernel image in the form that the boot loaders take: gzip around it is removed.

    Neither U-Boot's booti (without room set aside for unpacking) nor systemd-boot takes gzip.
    `uefi`: whether UEFI is to start it.

    Raises:
        InputError: not a kernel image of that architecture, or one that no UEFI can start.
    """
    if data.startswith(_GZIP):
        try:
            data = decompression.unpacked(
                data, ".gz", decompression.limit(len(data), _LARGEST, decompression.PROGRAM)
            )
        except (OSError, *decompression.DAMAGED) as error:
            raise InputError(f"the kernel cannot be unpacked: {error}", subject=subject) from error
    at, mark = _COMPRESSED_EFI
    if data.startswith(_EFI) and data[at : at + len(mark)] == mark:
        raise InputError(
            "the kernel is an EFI program that unpacks itself, which U-Boot cannot start",
            subject=subject,
            remedy="configure it without CONFIG_EFI_ZBOOT, or take arch/*/boot/Image",
        )
    at, mark = FACTS[architecture].kernel_mark
    if data[at : at + len(mark)] != mark:
        raise InputError(
            f"not a Linux kernel for {architecture}",
            subject=subject,
            remedy=f"name a kernel for {architecture}",
        )
    if uefi and not data.startswith(_EFI):
        raise InputError(
            "the kernel has no EFI stub, so that no UEFI firmware could start it",
            subject=subject,
            remedy="configure it with CONFIG_EFI_STUB",
        )
    return data


def _first(package: Tree, *folders: str) -> Tree:
    """Return what lies in the first of the folders that holds anything."""
    found = (package.under(folder) for folder in folders)
    return next((tree for tree in found if len(tree)), Tree())


def _config(entry: Entry | None, read: Callable[[Digest], bytes]) -> dict[str, str]:
    if entry is None:
        return {}
    return dict(_OPTION.findall(read(entry.content).decode("utf-8", "replace")))
