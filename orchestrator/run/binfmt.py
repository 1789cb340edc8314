"""Finds how binfmt_misc runs programs of another architecture on this machine (qemu-user).

The kernel's binfmt_misc hands a program to an emulator by the first bytes of its file (Linux,
Documentation/admin-guide/binfmt-misc.rst). Inside a root there is no emulator, so one counts only
where it was opened when it was registered (flag F). Where none is registered for the machine, one
can be registered for a user namespace alone (Linux 6.7 and later); nothing of the machine changes.
"""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import emulator
from orchestrator.architecture import FACTS
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

REGISTERED = Path("/proc/sys/fs/binfmt_misc")
# Kernel, commit 21ca59b365c0 "binfmt_misc: enable sandboxed mounts".
_PRIVATE_SINCE = (6, 7)
_EXECUTABLE = 2
# 64 bits, little endian, version 1, any ABI; executable or shared object; the machine.
_IDENTITY = b"\x7fELF\x02\x01\x01\x00" + bytes(8)
_MASK = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Emulator that binfmt_misc hands foreign programs to, in its own word an interpreter.

    `by`: in words. `registration`: what is to be written to `register` of a private binfmt_misc;
    empty where the machine has one registered.
    """

    by: str
    registration: str


def find(
    architecture: str,
    *,
    registered: Path = REGISTERED,
    which: Callable[[str], str | None] = shutil.which,
    kernel: str | None = None,
) -> Interpreter:
    """Return how programs of another architecture run here. `kernel`: the release of `uname -r`.

    Raises:
        InfrastructureError: there is no emulator, or none can be asked for; says how to get it.
    """
    found = _registered(header(architecture), registered)
    if found is not None:
        return Interpreter(f"{found}, registered on this machine", "")
    program = emulator.find(architecture, which)
    if program is None:
        raise InfrastructureError(
            f"programs for {architecture} do not run on this machine, and no static emulator for "
            "them is installed",
            subject=architecture,
            remedy="install one: `apt install qemu-user-static` (it is registered for the whole "
            "machine if binfmt-support or systemd is there, else for the run alone)",
        )
    registration = _registration(architecture, str(program))
    kernel = kernel or os.uname().release
    if _version(kernel) < _PRIVATE_SINCE:
        raise InfrastructureError(
            f"programs for {architecture} do not run on this machine: {program} is there but not "
            f"registered with flag F, and Linux {kernel} registers for the whole machine only",
            subject=str(registered),
            remedy="register it, as root: `apt install qemu-user-static binfmt-support`, or write "
            f"{registration!r} to {registered}/register; or use Linux 6.7",
        )
    return Interpreter(f"{program}, registered for this run alone", registration)


def header(architecture: str) -> bytes:
    """The first 20 bytes of an executable."""
    return _IDENTITY + struct.pack("<HH", _EXECUTABLE, FACTS[architecture].elf)


def _registration(architecture: str, program: str) -> str:
    def escaped(data: bytes) -> str:
        return "".join(f"\\x{byte:02x}" for byte in data)

    # F: open the emulator now. P: hand over argv[0] as it is.
    magic, mask = escaped(header(architecture)), escaped(_MASK)
    return f":sourcery-{architecture}:M::{magic}:{mask}:{program}:PF"


def _registered(wanted: bytes, folder: Path) -> str | None:
    """The interpreter of an entry that takes a header and is open already."""
    try:
        entries = sorted(path for path in folder.iterdir() if path.name != "register")
        if (folder / "status").read_text("ascii").strip() != "enabled":
            return None
    except OSError:
        return None
    for path in entries:
        try:
            entry = _parsed(path.read_text("utf-8", "replace"))
        except OSError:
            continue
        if entry is not None and entry.takes(wanted):
            return entry.interpreter
    return None


@dataclass(frozen=True, slots=True)
class _Entry:
    interpreter: str
    magic: bytes
    mask: bytes
    offset: int

    def takes(self, wanted: bytes) -> bool:
        if self.offset or len(self.magic) > len(wanted):
            return False
        mask = self.mask or b"\xff" * len(self.magic)
        triples = zip(wanted, self.magic, mask, strict=False)
        return all(byte & bits == magic & bits for byte, magic, bits in triples)


def _parsed(text: str) -> _Entry | None:
    """An entry as the kernel shows it; None for one that is off, or not opened already."""
    lines = text.splitlines()
    words = dict(line.split(" ", 1) for line in lines if " " in line)
    flags = words.get("flags:", "")
    if lines[:1] != ["enabled"] or "F" not in flags or "magic" not in words:
        return None
    try:
        return _Entry(
            words.get("interpreter", ""),
            bytes.fromhex(words["magic"]),
            bytes.fromhex(words.get("mask", "")),
            int(words.get("offset", "0")),
        )
    except ValueError:
        return None


def _version(release: str) -> tuple[int, int]:
    parts = release.replace("-", ".").split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        return 0, 0
