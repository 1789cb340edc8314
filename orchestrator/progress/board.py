"""Counts steps by stage for the progress display. Draws nothing, writes nothing.

Only what was planned is counted, and inputs apart from steps, so that a count that is shown does
not grow: how many inputs there are is known from the lock before the steps are.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

State = Literal["waiting", "running", "done"]

# The stage of inputs; those of the others are steps.
INPUTS = "inputs"

_SHORT = 9.95
_MINUTE = 60
_HOUR = 3600


@dataclass
class Step:
    """One step and how far it is. `started`: on the board's clock. `seconds`: 0 until it ended.

    `planned`: it is one of those that are counted; others are shown while they run.
    """

    stage: str
    subject: str
    planned: bool = False
    state: Literal["waiting", "running", "done"] = "waiting"
    cached: bool = False
    started: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Running:
    """A step at work: on what, and since how many seconds."""

    subject: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """The planned steps of one stage, counted. `seconds`: the sum over those that ran and ended.

    `running`: steps that nobody planned too.
    """

    name: str
    total: int
    done: int
    cached: int
    seconds: float
    running: tuple[Running, ...]

    @property
    def state(self) -> Literal["waiting", "running", "done"]:
        """State of the stage as a whole."""
        if self.running:
            return "running"
        if self.done == self.total:
            return "done"
        return "running" if self.done else "waiting"


@dataclass(frozen=True, slots=True)
class Count:
    """Counts of steps or inputs: all, done, remembered. `what`: `step` or `input`."""

    what: str
    total: int
    done: int
    cached: int

    def __str__(self) -> str:
        """As in `3 of 14 inputs`."""
        return f"{self.done} of {many(self.total, self.what)}"


@dataclass
class Board:
    """Board of the steps, in the order in which they were planned."""

    now: Callable[[], float] = time.monotonic
    _steps: dict[str, Step] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None:
        """Add steps; one that is known already stays as it is."""
        with self._lock:
            for name, stage, subject in steps:
                self._steps.setdefault(name, Step(stage, subject)).planned = True

    def started(self, name: str) -> Step:
        """A step began; one that nobody planned is added under the first part of its name."""
        with self._lock:
            step = self._step(name)
            step.state, step.started = "running", self.now()
            return step

    def finished(self, name: str, *, cached: bool, seconds: float) -> Step:
        """A step ended well."""
        with self._lock:
            step = self._step(name)
            step.state, step.cached, step.seconds = "done", cached, seconds
            return step

    def count(self, what: str = "step") -> Count:
        """The planned steps, or (`what` is `input`) the inputs that are expected."""
        with self._lock:
            found = [step for step in self._steps.values() if step.planned and kind(step) == what]
            done = [step for step in found if step.state == "done"]
            return Count(what, len(found), len(done), sum(step.cached for step in done))

    def stages(self) -> list[Stage]:
        """The stages in the order in which their first steps were planned."""
        with self._lock:
            now = self.now()
            grouped: dict[str, list[Step]] = {}
            for step in self._steps.values():
                grouped.setdefault(step.stage, []).append(step)
            return [_counted(name, steps, now) for name, steps in grouped.items()]

    def _step(self, name: str) -> Step:
        stage, _, subject = name.partition("/")
        return self._steps.setdefault(name, Step(stage, subject or stage))


def kind(step: Step) -> str:
    """Return what a step is called when such are counted."""
    return "input" if step.stage == INPUTS else "step"


def _counted(name: str, steps: Sequence[Step], now: float) -> Stage:
    planned = [step for step in steps if step.planned]
    done = [step for step in planned if step.state == "done"]
    return Stage(
        name=name,
        total=len(planned),
        done=len(done),
        cached=sum(step.cached for step in done),
        seconds=sum(step.seconds for step in done if not step.cached),
        running=tuple(
            Running(step.subject, now - step.started) for step in steps if step.state == "running"
        ),
    )


def clock_face(seconds: float) -> str:
    """`0.7 s`, `12 s`, `2:05`, `1:02:03`."""
    if seconds < _SHORT:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    if whole < _HOUR:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // _MINUTE}:{minutes % _MINUTE:02d}:{rest:02d}"


def many(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
