"""Nights for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history.model import Night, Stage, Tool
from orchestrator.history.words import Word
from reproducibility import digest as digests

if TYPE_CHECKING:
    from orchestrator.history.model import State


def stage(status: int | None) -> Stage:
    """The stage of locking anew, by the exit status of its command; None: left out."""
    state: State = "left out" if status is None else "failed" if status else "done"
    return Stage(name="relock", state=state, status=status, seconds=1.0, reason="", command=())


def night(number: int, word: Word = Word.UNCHANGED, *, relock: int | None = 0) -> Night:
    """A night. `relock`: as `stage`."""
    return Night(
        number=number,
        date=f"2026-01-{number:02}",
        began=f"2026-01-{number:02}T03:00:00Z",
        ended=f"2026-01-{number:02}T03:10:00Z",
        seconds=600.0,
        attempts=1,
        word=word,
        line=f"{word}: {word.meaning}",
        since=number,
        previous=number - 1 if number > 1 else None,
        tool=Tool(version="0.1.0", digest=digests.of_bytes(b"tool")),
        spec=digests.of_bytes(b"spec"),
        lock=digests.of_bytes(b"lock"),
        locked="anew",
        image=None,
        verdict="PASS",
        stages=(stage(relock),),
        changes=(),
        consequences=(),
        varying=(),
        steps=(),
        checks=(),
        inputs=(),
        machines=(),
        notes=(),
    )
