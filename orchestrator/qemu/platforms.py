"""Platforms in QEMU that an image is to boot on, as data: program, firmware, disks.

Pure. What firmware reads from the stick is told in `docs/boot.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from orchestrator.architecture import FACTS

Disk = Literal["virtio", "ahci", "nvme", "usb", "sd"]


@dataclass(frozen=True, slots=True)
class Firmware:
    """A file that a machine starts from: QEMU's option for it, where Debian's package has it."""

    option: str
    path: str
    package: str


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of machine.

    `program`: QEMU's, from the Debian package `package`. `firmware`: none where QEMU's own is used.
    `disks`: how a stick can be attached so that the firmware boots from it, the usual way first;
    each was tried with the firmware of Debian 12; none where the archive is started, and no stick.
    `memory`: bytes that it usually has. `processors`: how many CPUs it has. `console`: the kernel's
    name of the serial line, where QEMU itself starts the kernel.
    """

    name: str
    title: str
    architecture: str
    program: str
    package: str
    machine: str
    cpu: str
    firmware: tuple[Firmware, ...] = ()
    disks: tuple[Disk, ...] = ()
    memory: int = 1 << 30
    processors: int = 2
    console: str = ""

    @property
    def from_archive(self) -> bool:
        """True where it starts the archive and no stick."""
        return bool(self.console)


# With room to compile: docs/boot.md says how the least was found.
ARCHIVE_MEMORY = 1280 << 20
_FURTHER_MEMORY = 1536 << 20

_OVMF = Firmware("-bios", "/usr/share/ovmf/OVMF.fd", "ovmf")
_AAVMF = Firmware("-bios", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "qemu-efi-aarch64")
_U_BOOT_ARM64 = Firmware("-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "u-boot-qemu")
_OPENSBI = Firmware("-bios", "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.bin", "opensbi")
# U-Boot in the CPU's S-mode, started by OpenSBI in M-mode.
_U_BOOT_RISCV64 = Firmware(
    "-kernel", "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin", "u-boot-qemu"
)

# What all machines of an architecture have in common here.
_AMD64 = partial(
    Platform,
    architecture="amd64",
    program=FACTS["amd64"].machine_emulator,
    package=FACTS["amd64"].qemu_package,
    cpu="max",
)
_ARM64 = partial(
    Platform,
    architecture="arm64",
    program=FACTS["arm64"].machine_emulator,
    package=FACTS["arm64"].qemu_package,
    machine="virt",
    cpu="cortex-a57",
)
_RISCV64 = partial(
    Platform,
    architecture="riscv64",
    program=FACTS["riscv64"].machine_emulator,
    package=FACTS["riscv64"].qemu_package,
    machine="virt",
    cpu="rv64",
    # OpenSBI before 1.3 (Debian 12 has 1.1) says that a further CPU may start before it says where:
    # that one then enters the kernel a second time, where the first one did, and the machine stands
    # still (OpenSBI's commit e8e9ed3790fe; figures: docs/boot.md).
    processors=1,
)

PLATFORMS = (
    _AMD64(
        name="pc-bios",
        title="PC with BIOS (SeaBIOS, SYSLINUX)",
        machine="pc",
        disks=("virtio", "ahci", "nvme", "usb", "sd"),
    ),
    _AMD64(
        name="pc-uefi",
        title="PC with UEFI (OVMF, systemd-boot)",
        machine="q35",
        firmware=(_OVMF,),
        # Debian's OVMF has no driver for SD cards.
        disks=("virtio", "ahci", "nvme", "usb"),
    ),
    _ARM64(
        name="arm64-uboot",
        title="ARM board with U-Boot (extlinux)",
        firmware=(_U_BOOT_ARM64,),
        disks=("virtio", "ahci", "nvme"),
    ),
    _ARM64(
        name="arm64-uefi",
        title="ARM machine with UEFI (AAVMF, systemd-boot)",
        firmware=(_AAVMF,),
        disks=("virtio", "nvme", "usb"),
    ),
    _RISCV64(
        name="riscv64-uboot",
        title="RISC-V board with U-Boot (OpenSBI, extlinux)",
        firmware=(_OPENSBI, _U_BOOT_RISCV64),
        disks=("virtio",),
    ),
    _AMD64(
        name="initramfs",
        title="PC that starts the archive, without a stick",
        machine="pc",
        memory=ARCHIVE_MEMORY,
        console=FACTS["amd64"].console,
    ),
)
# The archive on other machines: booted where they are asked for by name.
FURTHER = (
    _ARM64(
        name="initramfs-arm64",
        title="ARM machine that starts the archive, without a stick",
        memory=_FURTHER_MEMORY,
        console=FACTS["arm64"].console,
    ),
    _RISCV64(
        name="initramfs-riscv64",
        title="RISC-V machine that starts the archive, without a stick",
        memory=_FURTHER_MEMORY,
        console=FACTS["riscv64"].console,
    ),
)
BY_NAME = {platform.name: platform for platform in (*PLATFORMS, *FURTHER)}
