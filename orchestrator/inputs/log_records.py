"""Compares the public log's record of a module version with the one that an earlier lock proves.

The log is append-only. A record that an earlier lock proves stays where it is for ever, so an
answer that contradicts it is never taken over: a proxy hides the log or serves another one, or the
log tells different people different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from orchestrator.inputs.checksum_database import NOT_ASKED
from orchestrator.lock.file import GoModule, Recorded
from reproducibility import canonical, gomodule
from reproducibility.errors import ComparisonError, SourceryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.lock.file import Lock, LogEntry

# By module and version.
Records: TypeAlias = Mapping[tuple[str, str], Recorded]

_REMEDY = (
    "the lock is left as it is. Ask the log by another way (`go env GOPROXY GOSUMDB`; a mirror may "
    "hide it). If the answer stays, somebody tampers with what you get, or the log equivocates: "
    "build nothing from it, and report it"
)


def settle(earlier: Records, module: str, version: str, now: LogEntry, h1: str = "") -> LogEntry:
    """Return a new lock's record of a module version: the earlier one with its proof, or today's.

    `earlier`: what an earlier lock records. `h1`: the hash of the module as it was had, where it
    was.

    Raises:
        ComparisonError: today's answer, or the module, contradicts the earlier record.
    """
    before = earlier.get((module, version))
    if before is None:
        return now
    try:
        recorded = before.h1(module, version)
    except SourceryError:
        # The previous lock's record is false, so it proves nothing: the build says so.
        return now
    what = f"{module}@{version}"
    held = f"the lock holds a proof of it, number {before.number} of the log"
    if not isinstance(now, Recorded):
        if now.reason != NOT_ASKED:
            raise ComparisonError(
                f"the record of {what} has vanished from the public log: {held}, and nothing is "
                f"ever taken out of the log; but {now.reason}",
                subject=what,
                remedy=_REMEDY,
            )
    elif (now.number, now.record) != (before.number, before.record):
        raise ComparisonError(
            f"the public log's record of {what} has changed: {held}, "
            f"{' / '.join(before.record)}; now number {now.number}, {' / '.join(now.record)}",
            subject=what,
            remedy=_REMEDY,
        )
    if h1 and h1 != recorded:
        raise ComparisonError(
            f"{what} is not what the public log says: expected {recorded} ({held}), found {h1}",
            subject=what,
            remedy=_REMEDY,
        )
    return before


def of_lock(lock: Lock) -> Records:
    """Everything that a lock records, whether it proves it or not; of two, the toolchain's own."""
    found = {
        (one.module, one.version): one.log
        for one in (*lock.root_releases, *reversed(lock.inputs))
        if isinstance(one, GoModule) and isinstance(one.log, Recorded)
    }
    for architecture, entry in lock.toolchain.log.items():
        if isinstance(entry, Recorded):
            version = gomodule.toolchain_version(lock.toolchain.version, architecture)
            found[gomodule.TOOLCHAIN, version] = entry
    return found


def salvaged(data: bytes) -> Records:
    """Return what the file of a lock that is refused proves all the same.

    A record vouches for itself, by the log's signature and its inclusion proof, whatever else is
    wrong with the file: who changed it, or which version made it.

    Raises:
        InputError: it is not even JSON.
    """
    found: dict[tuple[str, str], Recorded] = {}
    for value in _objects(canonical.loads(data, subject="the lock")):
        if value.get("state") != "recorded":
            continue
        try:
            entry = Recorded.model_validate(value)
            for line in entry.record:
                module, version = line.split(" ")[:2]
                if not version.endswith("/go.mod"):
                    entry.h1(module, version)
                    found[module, version] = entry
        except (ValidationError, ValueError, SourceryError):
            continue  # it proves nothing
    return found


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
