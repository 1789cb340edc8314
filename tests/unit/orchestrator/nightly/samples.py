"""Nights that locked anew, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history.words import Word
from tests import nights

if TYPE_CHECKING:
    from orchestrator.history.model import Night, Stage, State


def stage(status: int | None) -> Stage:
    """The stage of locking anew, by the exit status of its command; None: left out."""
    state: State = "left out" if status is None else "failed" if status else "done"
    return nights.stage("relock", state=state, status=status)


def night(number: int, word: Word = Word.UNCHANGED, *, relock: int | None = 0) -> Night:
    """A night of which nothing else is known. `relock`: as `stage`."""
    nothing = dict.fromkeys(("steps", "checks", "inputs", "machines"), ())
    return nights.night(number, word, image=None, stages=(stage(relock),), **nothing)
