"""`orchestrate nightly`: one night from beginning to end, and everything that is kept of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.history.database import History
from orchestrator.history.retention import Keep
from orchestrator.nightly import children, keeping, relocking, telling
from orchestrator.nightly.facts import Frame
from orchestrator.nightly.judging import judge
from orchestrator.nightly.stages import Tonight
from orchestrator.nightly.state import State
from orchestrator.nightly.tool import tool
from orchestrator.site.pages import pages

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator.execution.step import Observer
    from orchestrator.history import model
    from orchestrator.nightly.config import Config


def _now() -> datetime:
    return datetime.now(UTC).astimezone()


@dataclass(frozen=True)
class Ended:
    """Night that came to its end. `folder`: its evidence; `index`: the first page of the site."""

    night: model.Night
    folder: Path
    index: Path


def nightly(
    config: Config,
    observer: Observer,
    stop: threading.Event,
    clock: Callable[[], datetime] = _now,
) -> Ended:
    """Carry out one night: lock, build, audit, boot, verify, compare, keep, show, tell.

    `clock`: gives the present time in the machine's zone, for what is written down.

    A night that was killed goes on under the same number when it is begun again on the same date;
    on a later one it is written down as one that did not come to its end.

    Raises:
        Stopped: `stop` was set; the night is not over, and the next run goes on with it.
        InfrastructureError: another night is going on here, or nothing can be written down.
    """
    state = State(config.state)
    with state.alone(), History.open(state.database) as history:
        began, since = clock(), time.monotonic()
        begun = history.begin(date=f"{began:%Y-%m-%d}", began=_time(began), tool=tool())
        folder = keeping.begin(state)

        def run(stage: model.StageName, command: Sequence[str]) -> children.Finished:
            log = folder / "logs" / f"{stage}.log"
            return children.run(command, log, stop)

        def frame(ended: datetime) -> Frame:
            return Frame(
                number=begun.number,
                date=f"{began:%Y-%m-%d}",
                began=_time(began),
                ended=_time(ended),
                seconds=time.monotonic() - since,
                attempts=begun.attempts,
                tool=tool(),
                last=history.last(),
                built=history.last_built(),
            )

        tonight = Tonight(config, state, frame(began), history, run, observer)
        if begun.closed is not None:
            tonight.notes.append(f"night {begun.closed.number} never came to its end")
        facts = tonight.gather()
        night = judge(facts, frame(clock()))
        before = history.last()
        place = keeping.keep(state, night, night.previous)
        if night.image is not None:
            keeping.keep_locks(state, relocking.places(config))
        # From here on the night has been; what follows is done again by the next one.
        history.end(night)
        tidy(config, state, history)
        collect(config, place / "logs" / "store.log", observer, stop)
        for note in _tell(config, night, before, place):
            observer.note(note)
    return Ended(night, place, state.site / "index.html")


def tidy(config: Config, state: State, history: History) -> None:
    """Drop what is not to be kept any longer, and write the pages.

    Raises:
        InfrastructureError: the disk cannot be written.
    """
    keep = Keep.parse(config.keep)
    pruned = history.prune(keep)
    there = keeping.kept(state)
    keeping.drop(state, there.keys() - set(pruned.kept))
    kept = {number: tuple(sorted(there[number])) for number in there.keys() & set(pruned.kept)}
    nights = [history.night(one.number) if one.number in kept else one for one in history.nights()]
    made = pages(nights, kept=kept, title=config.site.title, base=config.site.address or "")
    keeping.write_pages(state, made)


def collect(config: Config, log: Path, observer: Observer, stop: threading.Event) -> None:
    """Drop from the store what no build of the last nights used; what keeps it from that is said.

    Raises:
        Stopped: `stop` was set.
        InfrastructureError: the command could not be started.
    """
    if config.store.folder is None:
        return
    done = children.run(
        [
            *("store", "gc", "--keep-nights", str(config.store.keep_nights)),
            *("--state", str(config.state), "--store", str(config.store.folder)),
        ],
        log,
        stop,
    )
    reason = done.words or done.document.get("reason")
    if reason:
        observer.note(f"the store was not cleaned up: {reason}")


def _tell(
    config: Config, night: model.Night, before: model.Night | None, place: Path
) -> tuple[str, ...]:
    """Tell somebody of the night, if that is due; what could not be told, as notes."""
    if not telling.due(config.notify, night, before.word if before else None):
        return ()
    page = place / "index.html"
    address = config.site.address
    shown = f"{address}{page.relative_to(State(config.state).site)}" if address else str(page)
    return telling.tell(config.notify, night, page=shown, environment=os.environ)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
