"""The menus: the words that each loader reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.boot import menus
from reproducibility.errors import InputError
from tests.unit.orchestrator.boot import made

if TYPE_CHECKING:
    from tests.unit.orchestrator.boot.made import Memory

_AMD64 = menus.Choice(
    "amd64",
    "6.12",
    "boot/amd64/vmlinuz",
    "boot/amd64/initramfs.zst",
    "console=tty0 console=ttyS1,57600 sourcery.volume=0000-0001",
    None,
)
_ARM64 = menus.Choice(
    "arm64", "6.12", "boot/arm64/vmlinuz", "boot/arm64/initramfs.zst", "quiet", "boot/arm64/dtb"
)


def test_syslinux() -> None:
    assert menus.syslinux(_AMD64, 5) == (
        "SERIAL 1 57600\n"
        "# Written by the build; sourcery.toml, [boot], decides what stands here.\n"
        "DEFAULT amd64\n"
        "PROMPT 1\n"
        "TIMEOUT 50\n"
        "SAY Sourcery (amd64, Linux 6.12): Enter starts it, after 5 s it starts by itself; amd64 "
        "and further words are added to the kernel command line.\n"
        "LABEL amd64\n"
        "  LINUX /boot/amd64/vmlinuz\n"
        "  INITRD /boot/amd64/initramfs.zst\n"
        "  APPEND console=tty0 console=ttyS1,57600 sourcery.volume=0000-0001\n"
    )


def test_syslinux_without_a_wait_and_without_a_serial_line() -> None:
    text = menus.syslinux(replace(_AMD64, command_line="console=tty0 xconsole=ttyS1"), 0)
    assert "SERIAL" not in text
    assert "TIMEOUT" not in text
    assert "PROMPT 0\n" in text
    text = menus.syslinux(replace(_AMD64, command_line="console=ttyS0 quiet"), 0)
    assert text.startswith("SERIAL 0 9600\n")


def test_extlinux() -> None:
    riscv64 = replace(_ARM64, architecture="riscv64", device_trees=None)
    assert menus.extlinux([_ARM64, riscv64], 2) == (
        "# Written by the build; sourcery.toml, [boot], decides what stands here.\n"
        "MENU TITLE Sourcery\n"
        "DEFAULT arm64\n"
        "TIMEOUT 20\n"
        "PROMPT 0\n"
        "LABEL arm64\n"
        "  MENU LABEL Sourcery (arm64, Linux 6.12)\n"
        "  LINUX /boot/arm64/vmlinuz\n"
        "  INITRD /boot/arm64/initramfs.zst\n"
        "  FDTDIR /boot/arm64/dtb\n"
        "  APPEND quiet\n"
        "LABEL riscv64\n"
        "  MENU LABEL Sourcery (riscv64, Linux 6.12)\n"
        "  LINUX /boot/arm64/vmlinuz\n"
        "  INITRD /boot/arm64/initramfs.zst\n"
        "  APPEND quiet\n"
    )


def test_u_boot_never_waits_for_ever() -> None:
    assert "TIMEOUT 1\n" in menus.extlinux([_ARM64], 0)


def test_systemd_boot() -> None:
    assert menus.loader(3).endswith("timeout 3\nconsole-mode keep\n")
    assert menus.entry(_ARM64) == (
        "title Sourcery (arm64, Linux 6.12)\n"
        "version 6.12\n"
        "architecture aa64\n"
        "linux /boot/arm64/vmlinuz\n"
        "initrd /boot/arm64/initramfs.zst\n"
        "options quiet\n"
    )


@given(volume_id=st.integers(0, 0xFFFFFFFF))
def test_the_volume_id_as_tools_show_it(volume_id: int) -> None:
    name = menus.volume_name(volume_id)
    assert len(name) == 9
    assert name[4] == "-"
    assert name == name.upper()
    assert int(name.replace("-", ""), 16) == volume_id


def test_the_command_line(memory: Memory) -> None:
    one = made.machine(memory, "arm64")
    boot = replace(made.boot(memory, one), missing="reboot", volume_id=0x1B)
    assert menus.command_line(boot, one) == (
        "console=ttyS0,115200 sourcery.volume=0000-001B sourcery.missing=reboot"
    )
    bare = replace(one, command_line="")
    assert menus.command_line(boot, bare).startswith("sourcery.volume=0000-001B ")


@pytest.mark.parametrize("line", ["a\nAPPEND b", "a\0b", "grün", "tab\tbed"])
def test_a_command_line_that_no_loader_could_hold(memory: Memory, line: str) -> None:
    one = made.machine(memory, "amd64", command_line=line)
    with pytest.raises(InputError, match="is one line of ASCII") as caught:
        menus.command_line(made.boot(memory, one), one)
    assert caught.value.subject == "the kernel command line for amd64"


def test_a_command_line_that_the_kernel_would_cut(memory: Memory) -> None:
    own = len(" sourcery.volume=5A1D-B007 sourcery.missing=shell")
    fits = made.machine(memory, "riscv64", command_line="x" * (1023 - own))
    assert len(menus.command_line(made.boot(memory, fits), fits)) == 1023
    longer = replace(fits, command_line=fits.command_line + "x")
    with pytest.raises(InputError, match="has 1024 characters; the kernel reads 1023"):
        menus.command_line(made.boot(memory, longer), longer)
    # The same on another architecture fits.
    other = replace(longer, architecture="arm64")
    assert len(menus.command_line(made.boot(memory, other), other)) == 1024
