"""Finds QEMU's emulator of single programs of another architecture (qemu-user), a static one.

One that needs no libraries runs wherever its file is: in a root without any (`orchestrate run`), in
a sandbox (`orchestrate audit --native`).
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host import process
from orchestrator.architecture import FACTS
from reproducibility import regular
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

_PT_INTERP = 3  # PT_INTERP
_SECONDS = 10.0
_LONGEST = 200


def find(architecture: str, which: Callable[[str], str | None] = shutil.which) -> Path | None:
    """Return the static emulator for an architecture that PATH leads to; None without."""
    name = FACTS[architecture].user_emulator
    for program in (which(f"{name}-static"), which(name)):
        if program and is_static(Path(program)):
            # A part of PATH may be relative.
            return Path(os.path.abspath(program))  # noqa: PTH100 - without following a link
    return None


def require(architecture: str, which: Callable[[str], str | None] = shutil.which) -> Path:
    """Return the static emulator for an architecture.

    Raises:
        InfrastructureError: there is none; says how to get it.
    """
    found = find(architecture, which)
    if found is None:
        raise InfrastructureError(
            f"programs for {architecture} do not run on this machine, and no static emulator for "
            "them is installed",
            subject=f"{FACTS[architecture].user_emulator}-static",
            remedy="install one: `apt install qemu-user-static`; it need not be registered",
        )
    return found


def version(program: Path) -> str:
    """Return what a program of QEMU says of its version, one line; empty where it says nothing."""
    try:
        said = process.run([str(program), "--version"], environment={}, seconds=_SECONDS).stdout
    except InfrastructureError:
        return ""
    return said.decode(errors="replace").partition("\n")[0][:_LONGEST].strip()


def is_static(program: Path) -> bool:
    """Return whether a program is static (no PT_INTERP), so that it needs no libraries."""
    try:
        with regular.opened(program) as stream:
            data = stream.read(4096)
        offset, size, count = (
            struct.unpack_from("<Q", data, 32)[0],
            *struct.unpack_from("<HH", data, 54),
        )
        kinds = [struct.unpack_from("<I", data, offset + n * size)[0] for n in range(count)]
    except (OSError, OverflowError, struct.error):
        return False
    return data.startswith(b"\x7fELF\x02\x01") and _PT_INTERP not in kinds
