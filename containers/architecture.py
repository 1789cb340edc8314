"""Architectures by Go's names (GOARCH), and how Linux names and numbers things on each.

The programs that start in a Python of their own (`containers/sandbox/confine.py`,
`orchestrator/run/first_process.py`) are given the numbers with their requests: to import this would
cost them time. What else is known of an architecture stands in `orchestrator/architecture.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Mapping

Architecture = Literal["amd64", "arm64", "riscv64"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


@dataclass(frozen=True, slots=True)
class Linux:
    """Architecture as Linux knows it: its names, and its numbers of system calls there.

    `machine`: as `uname -m` says it. The others are numbers of system calls for which the C library
    has no function that would do: arch/x86/entry/syscalls/syscall_64.tbl, and
    include/uapi/asm-generic/unistd.h for the architectures that came later.
    """

    machine: str
    keyctl: int
    pivot_root: int
    rt_sigaction: int


LINUX: Mapping[str, Linux] = {
    "amd64": Linux("x86_64", keyctl=250, pivot_root=155, rt_sigaction=13),
    "arm64": Linux("aarch64", keyctl=219, pivot_root=41, rt_sigaction=134),
    "riscv64": Linux("riscv64", keyctl=219, pivot_root=41, rt_sigaction=134),
}


def named(machine: str) -> Architecture | None:
    """Find the architecture that `uname -m` calls so; None for one that is not known."""
    return next((name for name in ARCHITECTURES if LINUX[name].machine == machine), None)


def host() -> Architecture:
    """Return this machine's architecture.

    Raises:
        InfrastructureError: one that nothing can be built on.
    """
    machine = os.uname().machine
    found = named(machine)
    if found is None:
        raise InfrastructureError(
            f"cannot build on a {machine} machine",
            subject=machine,
            remedy=f"use one of {', '.join(sorted(one.machine for one in LINUX.values()))}",
        )
    return found
