"""Adapts the transports' events to an observer, so that inputs are shown as steps."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from orchestrator.progress.board import INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.execution.step import Observer


class InputEvents:
    """The transports' `Events`, as steps of an observer.

    Each expected input is a planned step, done when it is settled; what is done for it on the way
    is a step that is not counted. One input is worked on by one thread at a time, so its label
    names what is going on.
    """

    def __init__(self, observer: Observer, now: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._now = now
        self._lock = threading.Lock()
        self._begun: dict[str, tuple[str, float]] = {}
        self._worked: dict[str, float] = {}

    def expected(self, labels: Sequence[str]) -> None:
        """The inputs that there will be."""
        self._observer.planned([(f"{INPUTS}/{label}", INPUTS, label) for label in labels])

    def settled(self, label: str, *others: str) -> None:
        """Note that an input is settled."""
        with self._lock:
            worked = [self._worked.pop(name, None) for name in {label, *others}]
        seconds = [part for part in worked if part is not None]
        self._observer.finished(f"{INPUTS}/{label}", cached=not seconds, seconds=sum(seconds))

    def started(self, label: str, doing: str) -> None:
        """Work on an input begins (`doing`: `fetching`, `unpacking`, `vendoring`)."""
        name = f"{INPUTS}/{doing} {label}"
        with self._lock:
            self._begun[label] = (name, self._now())
        self._observer.started(name)

    def finished(self, label: str) -> None:
        """That work is done."""
        with self._lock:
            name, begun = self._begun.pop(label)
            seconds = self._now() - begun
            self._worked[label] = self._worked.get(label, 0.0) + seconds
        self._observer.finished(name, cached=False, seconds=seconds)

    def retrying(self, label: str, reason: str, seconds: float) -> None:
        """An attempt failed; the next one comes in `seconds`."""
        self._observer.note(f"{label}: trying again in {seconds:.0f} s, because: {reason}")
