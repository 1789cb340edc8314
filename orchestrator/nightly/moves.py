"""Moves of inputs from one lock to the next, and which of them a policy does not take. Pure.

Only what moved by itself is looked at: an input whose part of the spec is another one now moved
because a person wanted it to, and a person's own files have no version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.lock import differences, parts
from orchestrator.nightly.versions import Step, step

if TYPE_CHECKING:
    from orchestrator.lock.differences import Change, Pin
    from orchestrator.lock.file import Lock

# linux-image-6.12.107+deb13-amd64, and with Debian's number of the kernel's interface
# linux-image-6.1.0-18-amd64.
_VERSION_IN_A_NAME = re.compile(r"[0-9]+(?:\.[0-9]+)+(?:-[0-9]+)?")
_NOT_VERSIONED = frozenset({"local-path", "second-root", "worker-tools"})


class How(StrEnum):
    """How an input moved."""

    PATCH = "a patch release"
    FURTHER = "more than a patch release"
    BACK = "an older version"
    OTHER_BYTES = "other bytes of the same version"


_STEPS = {Step.PATCH: How.PATCH, Step.FURTHER: How.FURTHER, Step.BACK: How.BACK}


@dataclass(frozen=True, slots=True)
class Move:
    """Move of an input. `name`: as `orchestrate lock --update` takes it."""

    name: str
    change: Change
    how: How

    @property
    def line(self) -> str:
        """The move for people: `uname for amd64: 1:1.37.0-6 -> 1:1.37.0-7, a patch release`."""
        before, after = self.change.before, self.change.after
        if before and after and self.how is How.OTHER_BYTES:
            told = f"{before.version}, {before.blake3} -> {after.blake3}"
        else:
            told = f"{_told(before)} -> {_told(after)}"
        return f"{self.change.label}: {told}, {self.how}"


def moves(base: Lock | None, new: Lock) -> tuple[Move, ...]:
    """Return the moves from one lock to another; none without a base."""
    if base is None:
        return ()
    found = []
    for change in differences.changes(base, new):
        part = parts.of_input(change.name, new.wanted)
        how = _how(change)
        if how is not None and base.wanted.get(part) == new.wanted.get(part):
            found.append(Move(change.name, change, how))
    return tuple(found)


def refused(found: tuple[Move, ...]) -> frozenset[str]:
    """Return the names of the inputs of which something else than a patch release was found."""
    return frozenset(move.name for move in found if move.how is not How.PATCH)


def _how(change: Change) -> How | None:
    """How an input moved; None where it did not, but for how it is described."""
    before, after = change.before, change.after
    if before is None or after is None:
        # Of a second root: a package came in, or is not needed any more. Other inputs come and go
        # with the spec, and with the machines that it is published for.
        return How.FURTHER if change.part else None
    if {before.kind, after.kind} & _NOT_VERSIONED:
        return None
    moved = step(after.kind, before.version, after.version)
    if moved is Step.SAME:
        return How.OTHER_BYTES if before.blake3 != after.blake3 else None
    if (before.kind, _bare(before)) != (after.kind, _bare(after)):
        return How.FURTHER
    return _STEPS[moved]


def _bare(pin: Pin) -> str:
    """The package's name without a version that is a part of it."""
    return _VERSION_IN_A_NAME.sub("*", pin.package)


def _told(pin: Pin | None) -> str:
    return pin.version if pin else "nothing"
