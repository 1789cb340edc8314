"""System call filter (seccomp BPF), compiled by libseccomp from the rules of `system_calls`."""

from __future__ import annotations

import ctypes.util
import os
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from containers import system_calls
from containers.architecture import LINUX
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from containers.architecture import Architecture
    from containers.system_calls import Condition

_LIBRARY = "libseccomp.so.2"
_REMEDY = (
    "install it: `apt install libseccomp2`, `dnf install libseccomp` or `pacman -S libseccomp`"
)
# Attr.CTL_OPTIMIZE: a tree instead of a list, so that the last call is found as fast as the first.
_TREE = 2


@cache
def compiled(architecture: Architecture | None = None) -> bytes:
    """The filter as BPF instructions (struct sock_filter, in this machine's byte order).

    A call by another architecture's numbers, which mean other calls, ends the thread.
    `architecture`: the one that it is for, None for this machine's; all have one byte order.

    Raises:
        InfrastructureError: libseccomp is not there, or cannot do it; says how to get it.
    """
    seccomp = library()
    try:
        if architecture is not None:
            # libseccomp's binding calls them as Linux does, in capitals.
            name = LINUX[architecture].machine.upper()
            return compiled_for(seccomp, int(getattr(seccomp.Arch, name)))
        return compiled_for(seccomp, seccomp.system_arch())
    except OSError as error:
        raise InfrastructureError(
            f"libseccomp cannot make the filter for system calls: {error.strerror}",
            subject=_LIBRARY,
            remedy="update it, or use --engine docker",
        ) from error


def library() -> ModuleType:
    """The library's binding.

    Raises:
        InfrastructureError: libseccomp is not installed; says how to get it.
    """
    try:
        with _searching_by_name():
            import pyseccomp  # noqa: PLC0415 - looks for libseccomp when it is imported
    except (RuntimeError, OSError) as error:
        raise InfrastructureError(
            "libseccomp is not installed; it is needed to keep build steps from system calls that "
            "reach past their isolation",
            subject=_LIBRARY,
            remedy=f"{_REMEDY}; or use --engine docker",
        ) from error
    module: ModuleType = pyseccomp
    return module


@contextmanager
def _searching_by_name() -> Iterator[None]:
    """Have libseccomp tried by its name where `ctypes.util.find_library` does not find it.

    That asks ldconfig, a compiler or a linker, and only the loader itself knows all of its folders.
    """
    usual = ctypes.util.find_library

    def find(name: str) -> str | None:
        return usual(name) or (_LIBRARY if name == "seccomp" else None)

    ctypes.util.find_library = find
    try:
        yield
    finally:
        ctypes.util.find_library = usual


def compiled_for(seccomp: ModuleType, architecture: int) -> bytes:
    """The filter for an architecture, by libseccomp's number for it.

    Raises:
        OSError: libseccomp cannot do it.
    """
    filtering = seccomp.SyscallFilter(_action(seccomp, system_calls.DEFAULT))
    if architecture != seccomp.system_arch():
        filtering.remove_arch(seccomp.Arch.NATIVE)
        filtering.add_arch(architecture)
    for rule in system_calls.RULES:
        if rule.error == system_calls.DEFAULT:
            continue
        conditions = [_condition(seccomp, condition) for condition in rule.conditions]
        for name in rule.names:
            # Negative: the architecture lacks the call, or libseccomp is older than it.
            if seccomp.resolve_syscall(architecture, name) >= 0:
                filtering.add_rule(_action(seccomp, rule.error), name, *conditions)
    with suppress(OSError):  # for speed only, and libseccomp before 2.5 has no such attribute
        filtering.set_attr(seccomp.Attr.CTL_OPTIMIZE, _TREE)
    with os.fdopen(os.memfd_create("filter"), "w+b", buffering=0) as file:
        filtering.export_bpf(file)
        file.seek(0)
        return file.read()


def _action(seccomp: ModuleType, error: int) -> int:
    action: int = seccomp.ALLOW if error == system_calls.ALLOWED else seccomp.ERRNO(error)
    return action


def _condition(seccomp: ModuleType, condition: Condition) -> object:
    if condition.operator == "masked":
        return seccomp.Arg(condition.argument, seccomp.MASKED_EQ, condition.mask, condition.value)
    operator = {"equal": seccomp.EQ, "above": seccomp.GT}[condition.operator]
    return seccomp.Arg(condition.argument, operator, condition.value)
