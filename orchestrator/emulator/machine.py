"""The command line of QEMU for a platform, an image and a person's wishes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.emulator.platforms import Disk, Platform

MEMORY = 1 << 30
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


@dataclass(frozen=True, slots=True)
class Machine:
    """What may differ between two boots of one platform.

    `memory`: bytes. `accelerator`: QEMU's word for it; `tcg` is its own software. `disk`: how the
    sticks are attached; empty means the platform's usual way.
    """

    memory: int = MEMORY
    processors: int = 2
    accelerator: str = "tcg"
    disk: Disk | None = None

    def document(self) -> dict[str, object]:
        """The settings as a JSON object."""
        return {
            "memory": self.memory,
            "processors": self.processors,
            "accelerator": self.accelerator,
        }


def chosen_disk(platform: Platform, machine: Machine) -> Disk:
    """How the stick is attached.

    Raises:
        InputError: the platform's firmware cannot boot from it.
    """
    disk = machine.disk or platform.disks[0]
    if disk not in platform.disks:
        raise InputError(
            f"the firmware of {platform.name} cannot boot from a disk on {disk}",
            subject="--disk",
            remedy=f"give one of {', '.join(platform.disks)}",
        )
    return disk


def command(
    platform: Platform, machine: Machine, program: str, images: Sequence[Path]
) -> list[str]:
    """QEMU's command line: serial line on standard input and output, no network, no graphics.

    What the machine writes to `images` is thrown away at its end (snapshot=on).

    Raises:
        InputError: the memory is no whole number of MiB, or the disk does not suit the platform.
    """
    disk = chosen_disk(platform, machine)
    if machine.memory < _MEBIBYTE or machine.memory % _MEBIBYTE:
        raise InputError(
            "a machine's memory is a whole number of MiB",
            subject=str(machine.memory),
            remedy='give it as in --memory "1 GiB"',
        )
    line = [program, "-machine", platform.machine, "-accel", machine.accelerator]
    # Only the processor that is there can be used at full speed.
    line += ["-cpu", platform.cpu if machine.accelerator == "tcg" else "host"]
    line += ["-smp", str(machine.processors), "-m", f"{machine.memory // _MEBIBYTE}M"]
    for firmware in platform.firmware:
        line += [firmware.option, firmware.path]
    # With signal=off a Ctrl-C goes to the machine.
    line += ["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]
    line += ["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]
    for number, image in enumerate(images):
        line += _drive(disk, number, image)
    return line


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
