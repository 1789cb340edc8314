"""Which of the project's architectures this machine has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from orchestrator.architecture import Architecture

_ARCHITECTURES: dict[str, Architecture] = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "riscv64": "riscv64",
}


def architecture(name: str | None = None) -> Architecture:
    """The architecture by the kernel's name for it, this machine's by default.

    Raises:
        InfrastructureError: one that nothing can be built on.
    """
    found = name or os.uname().machine
    if found not in _ARCHITECTURES:
        raise InfrastructureError(
            f"cannot build on a {found} machine",
            subject=found,
            remedy=f"use one of {', '.join(sorted(_ARCHITECTURES))}",
        )
    return _ARCHITECTURES[found]
