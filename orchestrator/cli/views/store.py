"""Carries out `orchestrate store`: its size, its integrity, garbage collection."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.cli.streams import Marked
from orchestrator.cli.wording import quantity, short
from reproducibility import utc
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from orchestrator.cli.session import Session
    from orchestrator.store import Store

SCHEMA = 1
_DAY = 86_400


def gc(root: Path, unused_for: float, session: Session) -> int:
    """Remove what was not used for so many days.

    Raises:
        InputError: there is no store.
        InfrastructureError: a build is using it, or something in it cannot be read; then nothing
            was removed.
    """
    with _opened(root) as store:
        count, size = store.collect(unused_since=time.time() - unused_for * _DAY)
    session.result({"schema": SCHEMA, "removed": count, "bytes": size}, [_removed(count, size)])
    return 0


def gc_by_nights(root: Path, keep: int, state: Path, session: Session) -> int:
    """Remove what no build of the last nights used. `state`: the folder that nights are kept in.

    Nothing is removed where that is not known.

    Raises:
        InputError: there is no store, or no history of nights.
        InfrastructureError: a build is using it, or something in it or in the history cannot be
            read; then nothing was removed.
    """
    from orchestrator.history.database import History
    from orchestrator.history.header import FILE
    from orchestrator.history.usage import used

    with History.to_read(state / FILE) as history:
        nights = history.nights()
    found = used(nights, keep, datetime.now(UTC))
    count, size, since = 0, 0, None
    lines = [f"removed nothing: {found.reason}"]
    with _opened(root) as store:
        if found.since is not None:
            since = utc.written(found.since)
            count, size = store.collect(unused_since=found.since.timestamp())
            lines = [f"{_removed(count, size)}; kept what was used since {since}"]
    document = {"removed": count, "bytes": size, "used_since": since, "reason": found.reason}
    session.result({"schema": SCHEMA, **document, "lacking": found.lacking}, lines)
    return 0


def _removed(count: int, size: int) -> str:
    return f"removed {count} files, {quantity(size)}"


def verify(root: Path, session: Session) -> int:
    """Compare everything with its digest; exit status 1 where something is damaged.

    Raises:
        InputError: there is no store.
        InfrastructureError: something in it cannot be read.
    """
    with _opened(root) as store:
        count, damaged = store.verify()
        records = store.damaged_records()
    lines: list[str] = [Marked("FAIL", f"  damaged, moved aside: {digest}") for digest in damaged]
    lines += [Marked("FAIL", f"  damaged, no result any more: {path}") for path in records]
    if damaged:
        lines.append(
            f"{len(damaged)} of {count} blobs are damaged; the next build makes them again"
        )
    if records:
        lines.append(
            "what a damaged result needs is not known: remove it, and build what you still need "
            "before `orchestrate store gc`"
        )
    if not damaged and not records:
        lines.append(Marked("PASS", f"  {count} blobs are what their names say"))
    session.result(
        {
            "schema": SCHEMA,
            "blobs": count,
            "damaged": [str(digest) for digest in damaged],
            "damaged_results": [str(path) for path in records],
        },
        lines,
    )
    return 1 if damaged or records else 0


def size(root: Path, session: Session) -> int:
    """Say how large the store and its parts are.

    Raises:
        InputError: there is no store.
    """
    with _opened(root) as store:
        parts = store.size()
    total = sum(parts.values())
    lines = [f"{short(number):>10}  {part}" for part, number in parts.items()]
    session.result(
        {"schema": SCHEMA, "path": str(root), "bytes": total, "parts": dict(parts)},
        [*lines, f"{short(total):>10}  {root}"],
    )
    return 0


def _opened(root: Path) -> AbstractContextManager[Store]:
    from orchestrator.store import Store

    if not root.is_dir():
        raise InputError(
            "there is no store", subject=str(root), remedy="give its folder with --store"
        )
    return closing(Store(root))
