"""What the boot files are made from: values that the spec, the lock and the build give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.architecture import Architecture
    from reproducibility.manifest import Entry, Tree

# What the initramfs does when it finds no stick, or two.
Missing = Literal["shell", "reboot"]


@dataclass(frozen=True)
class Machine:
    """One architecture's part.

    `kernel`: an unpacked Debian linux-image package, or a folder of that shape: `boot/vmlinuz-*` or
    `boot/vmlinux-*`, `boot/config-*`, `lib/modules/<release>` or `usr/lib/modules/<release>`,
    `usr/lib/linux-image-<release>` with device trees, `usr/share/doc/*/copyright`.
    `command_line`: the kernel's, without what the build adds. `init`: the static program that is
    /init of the initramfs. `uefi`: the unpacked package systemd-boot-efi, None for no UEFI.
    `modules`: names of kernel modules beside the default ones. `device_trees`: patterns of files
    below `usr/lib/linux-image-<release>`, as in `broadcom/bcm2711-*.dtb`.
    """

    architecture: Architecture
    kernel: Tree
    command_line: str
    init: Entry
    uefi: Tree | None
    modules: tuple[str, ...] = ()
    device_trees: tuple[str, ...] = ()


@dataclass(frozen=True)
class Boot:
    """All of it.

    `syslinux`: the unpacked packages syslinux and syslinux-common in one tree; None, or no
    machine that a BIOS starts, is no BIOS boot. `volume_id`: 32 bits. `timeout`: seconds that a
    menu waits, 0 for not at all.
    """

    machines: tuple[Machine, ...]
    syslinux: Tree | None
    volume_id: int
    timeout: int
    missing: Missing
