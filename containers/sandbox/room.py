"""Decides whether an action's work directory can be a tmpfs, whose size the kernel limits.

Decided once an engine, by what the machine could give when it started: what is said of the
enforcement afterwards is what was done.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from containers.sandbox import proc
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from containers.policy import Policy

_MIB = 1 << 20


class Room:
    """Memory and mounts that this machine has for actions.

    `available`: bytes of memory that it could give at the start.
    """

    def __init__(self, trial: Callable[[], None]) -> None:
        """`trial`: mounts a tmpfs in the launcher, in the same way as for an action.

        It raises InfrastructureError where the machine refuses.
        """
        self._trial = trial
        self.available = proc.available_memory()

    @cached_property
    def refusal(self) -> str:
        """Why the launcher cannot mount anything, or empty."""
        refused = ""
        # Much depends on it, so what fails once is tried again: it may have been want of memory.
        for _ in range(2):
            try:
                self._trial()
            except InfrastructureError as error:
                refused = f"no tmpfs can be mounted here: {error.subject or error.summary}"
            else:
                return ""
        return refused

    def lacking(self, policy: Policy) -> str:
        """Return why a work directory is not a tmpfs, or empty where it is one."""
        if self.refusal:
            return self.refusal
        beside = policy.beside
        needed = policy.limits.memory * beside
        if needed <= self.available:
            return ""
        several = f"{beside} times " if beside > 1 else ""
        return (
            f"a tmpfs needs {several}{policy.limits.memory // _MIB} MiB of memory (limits.memory), "
            f"and the machine had {self.available // _MIB} MiB to give"
        )
