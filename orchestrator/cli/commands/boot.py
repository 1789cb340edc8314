"""Arguments and options of `orchestrate boot`, for typer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.options import FLAG, OUT, Json, Out, Quiet, Verbose, place
from orchestrator.cli.session import Call, Manner

# The names of orchestrator.qemu.platforms (a test compares them), here because importing that
# would slow every `--help` down.
Disk = Literal["virtio", "ahci", "nvme", "usb", "sd"]
Accelerator = Literal["tcg", "kvm"]


class Platform(StrEnum):
    """Names of platforms; typer reads lists of enumerations only."""

    PC_BIOS = "pc-bios"
    PC_UEFI = "pc-uefi"
    ARM64_UBOOT = "arm64-uboot"
    ARM64_UEFI = "arm64-uefi"
    RISCV64_UBOOT = "riscv64-uboot"
    INITRAMFS = "initramfs"
    INITRAMFS_ARM64 = "initramfs-arm64"
    INITRAMFS_RISCV64 = "initramfs-riscv64"
    ALL = "all"


EXAMPLES = (
    ("Prove that the image boots and compiles everywhere", "orchestrate boot"),
    ("Look at it yourself; Ctrl-] leaves", "orchestrate boot --platform pc-uefi --interactive"),
    (
        "What a command says on a RISC-V machine",
        "orchestrate boot --platform riscv64-uboot --run 'uname -a'",
    ),
    ("From a USB stick, with little memory", "orchestrate boot --disk usb --memory '512 MiB'"),
)


def boot(
    *,
    platform: Annotated[
        list[Platform] | None,
        typer.Option(
            "--platform",
            "-p",
            metavar="NAME",
            help="pc-bios, pc-uefi, arm64-uboot, arm64-uefi, riscv64-uboot, initramfs (the archive "
            "on a PC, without a stick) or all; also initramfs-arm64, initramfs-riscv64. May be "
            "given several times. [dim]\\[default: all that the image is for][/dim]",
        ),
    ] = None,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive",
            "-i",
            metavar=FLAG,
            help="Connect this terminal to the machine's serial console; Ctrl-] leaves.",
        ),
    ] = False,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="COMMAND",
            help="Run this and power off; may be given several times.",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Size of the machine's memory, in MiB or GiB. [dim]\\[default: 1 GiB; for the "
            "archive 1280 MiB, on ARM and RISC-V 1536 MiB][/dim]",
        ),
    ] = None,
    disk: Annotated[
        Disk | None,
        typer.Option(
            help="Bus that the stick is attached to. [dim]\\[default: virtio][/dim]",
        ),
    ] = None,
    accel: Annotated[
        Accelerator,
        typer.Option(help="Accelerator: QEMU's own CPU emulation (tcg), or the kernel's (kvm)."),
    ] = "tcg",
    timeout: Annotated[
        int,
        typer.Option(metavar="SECONDS", min=1, help="Time limit of the boot, and of each command."),
    ] = 600,
    image: Annotated[
        Path | None,
        typer.Option(
            parser=place("--image"),
            metavar="FILE",
            help="Image to boot instead of that of the last build.",
            rich_help_panel="Files and folders",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            parser=place("--log"),
            metavar="FOLDER",
            help="Folder for transcripts, recordings and boot.json. [dim]\\[default: boot/ beside "
            "the image][/dim]",
            rich_help_panel="Files and folders",
        ),
    ] = None,
    out: Out = OUT,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Boot the image in QEMU on six kinds of machines, and test each on its serial console.

    Five boot from a stick, one from the archive. By default a session proves on each that it works:
    it lists the root, runs a pipe, compiles a command once, writes a program, builds and runs it,
    and powers off. The machine has no network and no graphics; what it writes to the stick is
    thrown away, and the image's BLAKE3 is compared afterwards. Exit status 0: every check passed;
    1: one failed, or the image changed; 3: a machine did not boot or power off; with --run
    otherwise that of the first command that failed.
    """
    from orchestrator.cli.views import boot as view

    asked = view.Asked(
        platforms=tuple(one.value for one in platform or ()),
        interactive=interactive,
        commands=tuple(run or ()),
        memory=memory,
        disk=disk,
        accelerator=accel,
        seconds=timeout,
        image=image,
        log=log,
        out=out,
    )
    return Call(lambda session: view.boot(asked, session), Manner(json, verbose, quiet))
