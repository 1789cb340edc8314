"""`orchestrate` for nights of tests; started as `orchestrator` is.

What is written down has the time that begins at `NOW`. At the moment that `DIES` names, the group
of this process is killed. Stages are run by `flawed`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli import entry
from orchestrator.history.database import History
from orchestrator.nightly import children, keeping, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.nightly.state import State

# By name: what is called then, and whether the moment is before it. In the order of a night's end.
MOMENTS: Final[Mapping[str, tuple[Any, str, bool]]] = {
    "the evidence": (keeping, "keep", True),
    "evidence in its place": (keeping, "keep", False),
    "nothing but the record": (History, "end", True),
    # From here on the night is over.
    "the record": (History, "end", False),
    "locks in their place": (keeping, "keep_locks", False),
    "half of the pages": (keeping, "write_pages", True),
}


def die() -> None:
    """Kill every process of this one's group."""
    os.killpg(0, signal.SIGKILL)


def dying(do: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """A function before which, or after which, everything is over."""

    def called(*arguments: object, **named: object) -> Any:  # noqa: ANN401 - as what it calls
        if before:
            die()
        do(*arguments, **named)
        die()

    return called


def halved(do: Callable[..., Any]) -> Callable[..., Any]:
    """The writing of pages, in whose middle everything is over."""

    def called(state: State, pages: Mapping[str, bytes]) -> None:
        do(state, dict(list(pages.items())[: len(pages) // 2]))
        die()

    return called


def main() -> None:
    began, since = datetime.fromisoformat(os.environ["NOW"]), time.monotonic()

    def clock() -> datetime:
        return began + timedelta(seconds=time.monotonic() - since)

    children._program = lambda: [sys.executable, "-P", "-m", "tests.integration.flawed"]
    run.nightly = partial(run.nightly, clock=clock)
    moment = os.environ.get("DIES", "")
    if moment:
        where, name, before = MOMENTS[moment]
        do = getattr(where, name)
        setattr(where, name, halved(do) if name == "write_pages" else dying(do, before=before))
    entry.main()


if __name__ == "__main__":
    main()
