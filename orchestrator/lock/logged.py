"""Verifies what the public log says of the modules in a lock; here and nowhere else.

Loading a lock reads what the log is said to have said; whether it did, and whether the lock's own
hash is the one that it recorded, is found out here, as a check. Asks no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.lock.model import Absent, GoModule, Recorded
from reproducibility import gomodule
from reproducibility.codes import LOG
from reproducibility.compare import Check, Difference, Verdict
from reproducibility.errors import ComparisonError, InputError, SourceryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.architecture import Architecture
    from orchestrator.lock.file import Lock

_PROVED = "the record's inclusion proof leads to the tree head that the log signed"


@dataclass(frozen=True)
class Logged:
    """Log record of one module, and whether it was verified.

    `check`: whether it says so; None where it has no record. `h1`: the module's hash by the record,
    proved; empty where none is. `absence`: why there is no record.
    """

    check: Check | None
    h1: str = ""
    absence: str = ""


def toolchain(lock: Lock, architecture: Architecture) -> Logged:
    """Return what the log says of an architecture's published toolchain.

    Raises:
        InputError: the lock says nothing of the architecture.
    """
    entry = lock.toolchain.log.get(architecture)
    if entry is None:
        raise InputError(
            f"the lock says nothing of {architecture}", remedy="run `orchestrate lock`"
        )
    version = gomodule.toolchain_version(lock.toolchain.version, architecture)
    pinned = [
        found
        for found in lock.inputs
        if isinstance(found, GoModule) and (found.name, found.host) == ("go", architecture)
    ]
    return _verified(entry, architecture, gomodule.TOOLCHAIN, version, pinned)


def source(pinned: GoModule) -> Logged:
    """Return what the log says of a source, or of a release of a second root."""
    if pinned.log is None:
        reason = "the lock says nothing of it; `orchestrate lock` asks the log"
        return Logged(Check(LOG["not-asked"], subject(pinned), reason))
    return _verified(pinned.log, subject(pinned), pinned.module, pinned.version, [pinned])


def sources(lock: Lock) -> list[GoModule]:
    """The lock's sources that are modules, which the log can have a record of."""
    return [
        found
        for found in lock.inputs
        if isinstance(found, GoModule) and f"source.{found.name}" in lock.wanted
    ]


def subject(pinned: GoModule) -> str:
    """A source as the subject of checks."""
    return f"{pinned.module}@{pinned.version}"


def refuse_contradictions(lock: Lock) -> None:
    """Refuse to write a new lock that claims of the public log what does not hold.

    Raises:
        ComparisonError: it does.
    """
    for check in failures(lock):
        raise ComparisonError(
            f"the new lock does not agree with the public log: {check.reason}",
            subject=check.subject,
            remedy="lock it anew with --update; if that does not help, do not trust the module",
        )


def failures(lock: Lock) -> Iterator[Check]:
    """Return the failed checks of everything that the lock claims of the log."""
    found = [toolchain(lock, architecture) for architecture in lock.toolchain.log]
    found += [source(pinned) for pinned in (*sources(lock), *lock.root_releases)]
    for logged in found:
        if logged.check is not None and logged.check.verdict is Verdict.FAIL:
            yield logged.check


def _verified(
    entry: Recorded | Absent, name: str, module: str, version: str, pinned: list[GoModule]
) -> Logged:
    if isinstance(entry, Absent):
        return Logged(None, absence=entry.reason)
    try:
        recorded = entry.h1(module, version)
    except SourceryError as error:
        return Logged(Check(LOG["not-proved"], name, error.summary))
    for found in pinned:
        if found.h1 != recorded:
            reason = f"the lock has {found.h1} for {found.label}, the log says {recorded}"
            differs = (Difference("", "h1", found.h1, recorded),)
            return Logged(Check(LOG["other-hash"], name, reason, differs))
    return Logged(Check(LOG["proved"], name, _PROVED), recorded)
