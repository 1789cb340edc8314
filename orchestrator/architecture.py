"""Table of architectures: their names in Go, Debian, UEFI, QEMU, ELF and PyPI, and how they boot.

A further architecture is a row here and a row in `containers/architecture.py`, which has what Linux
calls it; what it is to be booted on is a row of `qemu/platforms.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.architecture import ARCHITECTURES, LINUX, Architecture, host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ARCHITECTURES", "FACTS", "Architecture", "Facts", "bios", "host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One architecture.

    `name`: Go's, GOARCH. `title`: what people call such a machine, with its article. `debian`:
    `dpkg --print-architecture`. `wheel`: how platform tags of Python wheels end (PEP 600). `elf`:
    e_machine (System V ABI, registry of machines). `uefi`: in names of files (UEFI specification,
    section 3.5.1.1) and in the Boot Loader Specification. `qemu`: how names of its programs end;
    `qemu_package`: Debian's, with the emulator of whole machines.

    `bootstrap`: whether the package index has a bootstrap Go for it, so that one can build there.
    `bios`, `u_boot`: whether such machines start by them. `console`: the kernel's name of the
    serial line of what QEMU and most firmware present, with its speed. `command_line`: bytes of the
    longest kernel command line, a final zero included: COMMAND_LINE_SIZE of
    arch/*/include/uapi/asm/setup.h. `kernel_mark`: where the mark of a kernel image stands, and
    what it is (Documentation/arch, see `boot/kernel.py`).
    """

    name: Architecture
    title: str
    debian: str
    wheel: str
    elf: int
    uefi: str
    qemu: str
    qemu_package: str
    bootstrap: bool
    bios: bool
    u_boot: bool
    console: str
    command_line: int
    kernel_mark: tuple[int, bytes]

    @property
    def machine(self) -> str:
        """Machine name that `uname -m` gives."""
        return LINUX[self.name].machine

    @property
    def machine_emulator(self) -> str:
        """The name of QEMU's program that emulates whole machines."""
        return f"qemu-system-{self.qemu}"

    @property
    def user_emulator(self) -> str:
        """The name of QEMU's program that runs single programs."""
        return f"qemu-{self.qemu}"


_ROWS = (
    Facts(
        name="amd64",
        title="a PC",
        debian="amd64",
        wheel="x86_64",
        elf=62,
        uefi="x64",
        qemu="x86_64",
        qemu_package="qemu-system-x86",
        bootstrap=True,
        bios=True,
        # It also runs there, but a PC has a BIOS or UEFI; the label would only cost time elsewhere.
        u_boot=False,
        console="ttyS0,115200",
        command_line=2048,
        kernel_mark=(0x202, b"HdrS"),
    ),
    Facts(
        name="arm64",
        title="an ARM machine",
        debian="arm64",
        wheel="aarch64",
        elf=183,
        uefi="aa64",
        qemu="aarch64",
        qemu_package="qemu-system-arm",
        bootstrap=True,
        bios=False,
        u_boot=True,
        console="ttyAMA0,115200",
        command_line=2048,
        kernel_mark=(0x38, b"ARM\x64"),
    ),
    Facts(
        name="riscv64",
        title="a RISC-V machine",
        debian="riscv64",
        wheel="riscv64",
        elf=243,
        uefi="riscv64",
        qemu="riscv64",
        qemu_package="qemu-system-misc",
        bootstrap=False,
        bios=False,
        u_boot=True,
        console="ttyS0,115200",
        command_line=1024,
        kernel_mark=(0x38, b"RSC\x05"),
    ),
)
# By Go's name.
FACTS: Mapping[str, Facts] = {row.name: row for row in _ROWS}


def bios(architectures: Iterable[str]) -> Architecture | None:
    """Find the architecture that machines with a BIOS start; None where none of these is it."""
    return next((FACTS[name].name for name in architectures if FACTS[name].bios), None)
