"""Configuration files of SYSLINUX, U-Boot (extlinux) and systemd-boot, for the same kernels.

Sources: SYSLINUX doc/syslinux.txt ("CONFIGURATION FILE"); U-Boot doc/README.pxe and
doc/develop/bootstd/extlinux.rst; the Boot Loader Specification, type 1; loader.conf(5) of systemd.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.architecture import FACTS
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.boot.model import Boot, Machine, Missing

_WRITTEN = "# Written by the build; sourcery.toml, [boot], decides what stands here.\n"
_SERIAL = re.compile(r"(?:^| )console=ttyS([0-9]+)(?:,([0-9]+))?")
# What the kernel assumes where the command line does not say it.
_RATE = "9600"


@dataclass(frozen=True)
class Choice:
    """One kernel as a menu offers it; the files by their path on the stick, without `/` before."""

    architecture: str
    release: str
    kernel: str
    initramfs: str
    command_line: str
    device_trees: str | None

    @property
    def title(self) -> str:
        """Title in the menu."""
        return f"Sourcery ({self.architecture}, Linux {self.release})"


def volume_name(volume_id: int) -> str:
    """The ID of a FAT volume as tools show it."""
    return f"{volume_id >> 16:04X}-{volume_id & 0xFFFF:04X}"


def command_line(boot: Boot, machine: Machine) -> str:
    """The kernel's whole command line. Raises as `whole_line`."""
    return whole_line(machine.command_line, machine.architecture, boot.volume_id, boot.missing)


def whole_line(own: str, architecture: Architecture, volume_id: int, missing: Missing) -> str:
    """The kernel's whole command line: its own one, and what the build adds.

    Raises:
        InputError: it holds something that ends a line, or is longer than the kernel reads.
    """
    added = f"sourcery.volume={volume_name(volume_id)} sourcery.missing={missing}"
    line = f"{own} {added}".strip()
    subject = f"the kernel command line for {architecture}"
    if not (line.isascii() and line.isprintable()):
        raise InputError(
            f"a kernel command line is one line of ASCII: {line!r}",
            subject=subject,
            remedy="correct it in the spec",
        )
    longest = FACTS[architecture].command_line
    if len(line) >= longest:
        raise InputError(
            f"the command line has {len(line)} characters; the kernel reads {longest - 1}",
            subject=subject,
            remedy="shorten it in the spec",
        )
    return line


def syslinux(choice: Choice, timeout: int) -> str:
    """`syslinux/syslinux.cfg`, for a PC with a BIOS. `timeout`: seconds."""
    serial = _SERIAL.search(choice.command_line)
    # SERIAL must come first, so that everything after it is shown there too. Without PROMPT the
    # loader does not wait; times are tenths of a second.
    wait = (
        f"PROMPT 1\nTIMEOUT {timeout * 10}\n"
        f"SAY {choice.title}: Enter starts it, after {timeout} s it starts by itself;"
        f" {choice.architecture} and further words are added to the kernel command line.\n"
    )
    return (
        (f"SERIAL {serial[1]} {serial[2] or _RATE}\n" if serial else "")
        + _WRITTEN
        + f"DEFAULT {choice.architecture}\n"
        + (wait if timeout else "PROMPT 0\n")
        + f"LABEL {choice.architecture}\n"
        f"  LINUX /{choice.kernel}\n"
        f"  INITRD /{choice.initramfs}\n"
        f"  APPEND {choice.command_line}\n"
    )


def extlinux(choices: Sequence[Choice], timeout: int) -> str:
    """`extlinux/extlinux.conf`, for U-Boot on every architecture at once. `timeout`: seconds.

    The file cannot say for which architecture a label is. U-Boot tries the first, sees by the
    kernel's mark that it is not one of its own, and tries the next (boot/pxe_utils.c,
    boot_unattempted_labels). TIMEOUT 0 would not mean that it starts at once but that it waits for
    ever; the shortest is a tenth of a second, which it rounds up to a whole one.
    """
    lines = [
        _WRITTEN,
        "MENU TITLE Sourcery\n",
        f"DEFAULT {choices[0].architecture}\n",
        f"TIMEOUT {timeout * 10 or 1}\n",
        "PROMPT 0\n",
    ]
    for choice in choices:
        lines += [
            f"LABEL {choice.architecture}\n",
            f"  MENU LABEL {choice.title}\n",
            f"  LINUX /{choice.kernel}\n",
            f"  INITRD /{choice.initramfs}\n",
        ]
        if choice.device_trees:
            lines.append(f"  FDTDIR /{choice.device_trees}\n")
        lines.append(f"  APPEND {choice.command_line}\n")
    return "".join(lines)


def loader(timeout: int) -> str:
    """`loader/loader.conf`, for systemd-boot. `timeout`: seconds."""
    return f"{_WRITTEN}timeout {timeout}\nconsole-mode keep\n"


def entry(choice: Choice) -> str:
    """`loader/entries/<arch>.conf`: shown only by a loader of that architecture."""
    return (
        f"title {choice.title}\n"
        f"version {choice.release}\n"
        f"architecture {FACTS[choice.architecture].uefi}\n"
        f"linux /{choice.kernel}\n"
        f"initrd /{choice.initramfs}\n"
        f"options {choice.command_line}\n"
    )
