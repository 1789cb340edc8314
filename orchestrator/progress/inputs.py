"""Inputs on their way, told as steps: what the transports say becomes progress."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.scheduler import Observer

_STAGE = "inputs"


class InputEvents:
    """The transports' `Events`, as steps of an observer.

    One input is worked on by one thread at a time, so its label names what is going on.
    """

    def __init__(self, observer: Observer, now: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._now = now
        self._lock = threading.Lock()
        self._begun: dict[str, tuple[str, float]] = {}

    def started(self, label: str, doing: str) -> None:
        """Work on an input begins (`doing`: `fetching`, `unpacking`, `vendoring`)."""
        name = f"{_STAGE}/{doing} {label}"
        with self._lock:
            self._begun[label] = (name, self._now())
        self._observer.started(name)

    def finished(self, label: str) -> None:
        """That work is done."""
        with self._lock:
            name, begun = self._begun.pop(label)
        self._observer.finished(name, cached=False, seconds=self._now() - begun)

    def retrying(self, label: str, reason: str, seconds: float) -> None:
        """An attempt failed; the next one comes in `seconds`."""
        self._observer.note(f"{label}: trying again in {seconds:.0f} s, because: {reason}")
