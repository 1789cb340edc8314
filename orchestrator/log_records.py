"""The public log's records of one module version, an earlier one and today's: what is kept of them.

The log is append-only. A record that an earlier lock proves stays where it is for ever, so an
answer that contradicts it is never taken over: a proxy hides the log or serves another one, or the
log tells different people different things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.inputs.checksum_database import NOT_ASKED
from orchestrator.lock import GoModule, Recorded
from reproducibility import gomodule
from reproducibility.errors import ComparisonError, SourceryError

if TYPE_CHECKING:
    from orchestrator.lock import Lock, LogEntry

_REMEDY = (
    "the lock is left as it is. Ask the log by another way (`go env GOPROXY GOSUMDB`; a mirror may "
    "hide it). If the answer stays, somebody tampers with what you get, or the log equivocates: "
    "build nothing from it, and report it"
)


def settle(
    previous: Lock | None, module: str, version: str, now: LogEntry, h1: str = ""
) -> LogEntry:
    """What a new lock says of a module version: the earlier record with its proof, or today's.

    `h1`: the hash of the module as it was had, where it was.

    Raises:
        ComparisonError: today's answer, or the module, contradicts the record in `previous`.
    """
    before = proved(previous, module, version)
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


def proved(previous: Lock | None, module: str, version: str) -> Recorded | None:
    """The record of a module version that a lock proves, wherever in it; None if there is none."""
    if previous is None:
        return None
    for architecture, entry in previous.toolchain.log.items():
        name = gomodule.toolchain_version(previous.toolchain.version, architecture)
        if (module, version) == (gomodule.TOOLCHAIN, name) and isinstance(entry, Recorded):
            return entry
    modules = (found for found in previous.inputs if isinstance(found, GoModule))
    entries = (one.log for one in modules if (one.module, one.version) == (module, version))
    return next((entry for entry in entries if isinstance(entry, Recorded)), None)
