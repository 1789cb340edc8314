"""Builds QEMU's command line for a platform, an image and options. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.architecture import FACTS
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.qemu.archive import Part
    from orchestrator.qemu.platforms import Disk, Platform

_MEBIBYTE = 1 << 20
# QEMU names the file of a drive within a list that commas part.
_PARTED, _COMMA = ",", ",,"
_DEVICES: dict[str, tuple[str, ...]] = {
    "virtio": ("virtio-blk-pci,drive={drive}",),
    "ahci": ("ahci,id=ahci{number}", "ide-hd,bus=ahci{number}.0,drive={drive}"),
    "nvme": ("nvme,serial=stick{number},drive={drive}",),
    "usb": ("qemu-xhci,id=usb{number}", "usb-storage,bus=usb{number}.0,drive={drive}"),
    "sd": ("sdhci-pci", "sd-card,drive={drive}"),
}
_NO_BOOT_INDEX = {"sd"}
_SOUND_THREADS = (8, 1)


@dataclass(frozen=True, slots=True)
class Machine:
    """Machine settings that may differ between two boots of one platform.

    `memory`: bytes; None means as much as the platform usually has. `accelerator`: QEMU's word for
    it; `tcg` is its own software. `disk`: how the sticks are attached; None means the platform's
    usual way. `threads`: whether that software may emulate the processors at the same time; not
    chosen by anyone, but by `has_sound_threads`.
    """

    memory: int | None = None
    accelerator: str = "tcg"
    disk: Disk | None = None
    threads: bool = True

    def document(self) -> dict[str, object]:
        """The settings as a JSON object."""
        return {
            "memory": self.memory,
            "accelerator": self.accelerator,
        }


def has_sound_threads(version: str) -> bool:
    """Whether a QEMU may emulate the CPUs of a PC at the same time.

    Before 8.1 a CPU could go on with code that another one had just changed: Linux, which changes
    its own code as it starts, then ended with "Oops: int3" (QEMU's commit deba78709ae8,
    "accel/tcg: Always lock pages before translation"; figures: docs/boot.md). Linux for ARM and
    RISC-V does so without an interrupt.

    `version`: the first line that the program says of itself; one without a number is not trusted.
    """
    found = re.search(r"version (\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= _SOUND_THREADS


def chosen_disk(platform: Platform, machine: Machine) -> Disk | None:
    """Return how the stick is attached; None where there is none.

    Raises:
        InputError: the platform's firmware cannot boot from it.
    """
    if platform.from_archive and machine.disk is None:
        return None
    if platform.from_archive:
        raise InputError(
            f"{platform.name} starts the archive, and has no stick",
            subject="--disk",
            remedy="leave it out, or name other platforms",
        )
    disk = machine.disk or platform.disks[0]
    if disk not in platform.disks:
        raise InputError(
            f"the firmware of {platform.name} cannot boot from a disk on {disk}",
            subject="--disk",
            remedy=f"give one of {', '.join(platform.disks)}",
        )
    return disk


def chosen_memory(platform: Platform, machine: Machine, part: Part | None = None) -> int:
    """Bytes of memory.

    `part`: what is unpacked there, which must be there twice for a moment, packed and unpacked.

    Raises:
        InputError: it is no whole number of MiB, or there is certainly no room for `part`.
    """
    memory = platform.memory if machine.memory is None else machine.memory
    if memory < _MEBIBYTE or memory % _MEBIBYTE:
        raise InputError(
            "a machine's memory is a whole number of MiB",
            subject=str(memory),
            remedy='give it as in --memory "1 GiB"',
        )
    if part is not None and memory < part.size + part.unpacked:
        least = -(-(part.size + part.unpacked) // _MEBIBYTE)
        raise InputError(
            f"the archive for {part.architecture} does not fit into {memory // _MEBIBYTE} MiB of "
            f"memory: packed and unpacked it has {least} MiB",
            subject=platform.name,
            remedy=f'give it more, as in --memory "{-(-least // 512) * 512 + 512} MiB"',
        )
    return memory


def command(
    platform: Platform,
    machine: Machine,
    program: str,
    images: Sequence[Path],
    part: Part | None = None,
) -> list[str]:
    """QEMU's command line: serial line on standard input and output, no network, no graphics.

    What the machine writes to `images` is thrown away at its end (snapshot=on). `part`: what a
    platform starts that has no stick.

    Raises:
        InputError: the memory is not as it must be, or the disk does not suit the platform.
    """
    disk = chosen_disk(platform, machine)
    memory = chosen_memory(platform, machine, part)
    line = [program, "-machine", platform.machine, "-accel"]
    line += [_accelerator(platform, machine)]
    # Only the CPU that is there can be used at full speed.
    line += ["-cpu", platform.cpu if machine.accelerator == "tcg" else "host"]
    line += ["-smp", str(platform.processors), "-m", f"{memory // _MEBIBYTE}M"]
    for firmware in platform.firmware:
        line += [firmware.option, firmware.path]
    # With signal=off a Ctrl-C goes to the machine.
    line += ["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]
    line += ["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]
    if part is not None:
        line += ["-kernel", str(part.kernel), "-initrd", str(part.archive)]
        line += ["-append", command_line(platform)]
    elif disk is not None:
        for number, image in enumerate(images):
            line += _drive(disk, number, image)
    return line


def _accelerator(platform: Platform, machine: Machine) -> str:
    is_pc = FACTS[platform.architecture].bios
    if machine.accelerator == "tcg" and not machine.threads and is_pc:
        return "tcg,thread=single"
    return machine.accelerator


def command_line(platform: Platform) -> str:
    """Return what the kernel is told where it starts the archive.

    By default the kernel unpacks into a tmpfs, which takes no more than half of the memory; a ramfs
    takes what there is (Linux, init/do_mounts.c, init_rootfs).
    """
    own = f"/linux_{platform.architecture}/bin/init"
    return f"console={platform.console} rootfstype=ramfs rdinit={own}"


def _drive(disk: Disk, number: int, image: Path) -> list[str]:
    drive = f"stick{number}"
    file = str(image).replace(_PARTED, _COMMA)
    line = ["-drive", f"if=none,id={drive},format=raw,snapshot=on,file={file}"]
    *buses, last = (text.format(number=number, drive=drive) for text in _DEVICES[disk])
    if disk not in _NO_BOOT_INDEX:
        last += f",bootindex={number + 1}"
    for device in (*buses, last):
        line += ["-device", device]
    return line
