"""`orchestrate nightly`: one night from beginning to end, and everything that is kept of it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.history.database import History, There
from orchestrator.history.retention import Keep
from orchestrator.nightly import children, keeping, relocking, telling
from orchestrator.nightly.facts import Facts, Frame
from orchestrator.nightly.judging import judge
from orchestrator.nightly.stages import Tonight
from orchestrator.nightly.state import State
from orchestrator.nightly.tool import found as installed
from orchestrator.nightly.tool import tool
from orchestrator.site.pages import pages
from reproducibility import utc
from reproducibility.errors import InfrastructureError, InputError, SourceryError, Stopped

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterator, Sequence
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
    on a later one it is written down as one that did not come to its end. What keeps it from its
    end otherwise, or from being shown, is told as a night is. A full disk is a word like any other
    while there is room for the night's record.

    Raises:
        Stopped: `stop` was set; the night is not over, and the next run goes on with it.
        InfrastructureError: another night is going on here, or nothing can be written down.
    """
    try:
        return _nightly(config, observer, stop, clock)
    except Stopped:
        raise
    except Exception as error:
        summary = str(error) or type(error).__name__
        if isinstance(error, SourceryError):
            summary = ": ".join(filter(None, (error.summary, error.subject)))
        for note in telling.tell_of_error(config.notify, summary, environment=os.environ):
            observer.note(note)
        with suppress(InfrastructureError):
            keeping.keep_answered(State(config.state), os.environ)
        raise


def _nightly(
    config: Config, observer: Observer, stop: threading.Event, clock: Callable[[], datetime]
) -> Ended:
    state = State(config.state)
    with state.alone(), History.open(state.database) as history:
        began, since = clock(), time.monotonic()
        there = keeping.kept(state)
        begun = history.begin(
            date=f"{began:%Y-%m-%d}",
            began=utc.written(began),
            tool=tool(),
            there=There(
                newest=max(there, default=0),
                ended=max((one for one in there if keeping.PAGE in there[one]), default=0),
            ),
        )

        def run(stage: model.StageName, command: Sequence[str]) -> children.Finished:
            log = state.tonight / "logs" / f"{stage}.log"
            try:
                return children.run(command, log, stop)
            except InfrastructureError as error:
                return children.refused(command, error)

        def frame(ended: datetime) -> Frame:
            return Frame(
                number=begun.number,
                date=f"{began:%Y-%m-%d}",
                began=utc.written(began),
                ended=utc.written(ended),
                seconds=time.monotonic() - since,
                attempts=begun.attempts,
                tool=tool(),
                last=history.last(),
                built=history.last_built(),
            )

        tonight = Tonight(config, state, frame(began), history, run, observer)
        if begun.closed is not None:
            tonight.notes.append(f"night {begun.closed.number} never came to its end")
        if begun.forgotten is not None:
            tonight.notes.append(
                f"the history is older than what lies there: night {begun.forgotten}, which was "
                "going on in it, is over, and the history knows nothing more of it"
            )
        tonight.notes += _of_another_history(there.keys() - {*history.dates(), begun.number})
        facts = _gather(tonight)
        before = history.last()
        night, place = _keep(state, facts, frame(clock()))
        if before is None:
            with suppress(InfrastructureError):
                keeping.keep_told(state, None)
        # From here on the night has been; what follows is done again by the next one.
        history.end(night)
        ended = Ended(night, place, state.site / "index.html")
        try:
            if night.image is not None:
                # Not before: what was found against the lock of the night before would be lost
                # with a night that does not come to its end.
                keeping.keep_locks(state, relocking.places(config))
            tidy(config, state, history)
        finally:
            # A night that cannot be shown is to be told all the more.
            for note in _tell(config, night, before, place):
                observer.note(note)
        collect(config, place / "logs" / "store.log", observer, stop)
    return ended


def _gather(tonight: Tonight) -> Facts:
    try:
        before = installed()
        keeping.begin(tonight.state)
        _hand_on(tonight)
        facts = tonight.gather()
        if before == installed():
            return facts
    except InfrastructureError as error:
        return tonight.broken_off(error)
    # Each stage is a process of its own: which program did what is not known any more.
    lost = "the program was changed while the night went on, so nothing of it is compared"
    return Facts(stages=facts.stages, locked=facts.locked, notes=facts.notes, lost=lost)


def _hand_on(tonight: Tonight) -> None:
    """Do what the last night that built something was kept from: hand its lock on.

    Before this night writes its own in that place. A disk without room for it ends the night, and
    the next one does it.
    """
    built, places = tonight.frame.built, relocking.places(tonight.config)
    try:
        if built is not None and relocking.waits(places, built):
            keeping.keep_locks(tonight.state, places)
    except InputError as error:
        told = f"whether the lock of the last build was handed on is not known: {error.summary}"
        tonight.notes.append(told)


def _keep(state: State, facts: Facts, frame: Frame) -> tuple[model.Night, Path]:
    """Judge a night and keep what is known of it, or less where there is no room for all."""
    night = judge(facts, frame)
    try:
        return night, keeping.keep(state, night, night.previous)
    except InfrastructureError as error:
        night = judge(replace(facts, lost=error.summary), frame)
    # The history has the record too, and may have the room.
    with suppress(InfrastructureError):
        keeping.keep_little(state, night)
    return night, state.night(night.number)


def _of_another_history(numbers: Collection[int]) -> Iterator[str]:
    """Yield a note of nights whose evidence is there, and which the history does not know."""
    if numbers:
        first, last = min(numbers), max(numbers)
        which = f"night {first}" if first == last else f"nights {first} to {last}"
        yield f"the history knows nothing of {which}, whose evidence lies there: it is left alone"


def tidy(config: Config, state: State, history: History) -> None:
    """Drop what is not to be kept any longer, and write the pages.

    Evidence of nights that the history does not know, such as one that came out of a backup, is
    left alone. A night that was closed, since it never ended, has none: what there may be of it
    says how it would have ended.

    Raises:
        InfrastructureError: the disk cannot be written.
    """
    keep = Keep.parse(config.keep)
    pruned = history.prune(keep)
    nights = history.nights()
    there = keeping.kept(state)
    shown = {one.number for one in nights if one.stages} & set(pruned.kept)
    keeping.drop(state, ({one.number for one in nights} - shown) & there.keys())
    kept = {number: tuple(sorted(there[number])) for number in there.keys() & shown}
    detailed = [history.night(one.number) if one.number in kept else one for one in nights]
    made = pages(detailed, kept=kept, title=config.site.title, base=config.site.address or "")
    keeping.write_pages(state, made)


def collect(config: Config, log: Path, observer: Observer, stop: threading.Event) -> None:
    """Drop from the store what no build of the last nights used; what keeps it from that is said.

    That there are fewer nights yet than are to be kept is as it should be, and is not. The night
    has ended by then, and has its word whatever comes of this.
    """
    if config.store.folder is None:
        return
    command = [
        *("store", "gc", "--keep-nights", str(config.store.keep_nights)),
        *("--state", str(config.state), "--store", str(config.store.folder)),
    ]
    try:
        done = children.run(command, log, stop)
        waits = done.status == 0 and done.document.get("lacking")
        reason = "" if waits else done.words or done.document.get("reason")
    except SourceryError as error:
        reason = error.summary
    if reason:
        observer.note(f"the store was not cleaned up: {reason}")


def _tell(
    config: Config, night: model.Night, before: model.Night | None, place: Path
) -> Iterator[str]:
    """Tell somebody of the night, if that is due; yield what could not be told, as notes.

    The word that was told last is kept: one that could not be told is due in the next night still.
    """
    state = State(config.state)
    words = {before.word, keeping.told(state, before.word)} if before else {None}
    notes: tuple[str, ...] = ()
    if any(telling.due(config.notify, night, word) for word in words):
        page = place / keeping.PAGE
        address = config.site.address
        shown = f"{address}{page.relative_to(state.site)}" if address else str(page)
        notes = telling.tell(config.notify, night, page=shown, environment=os.environ)
    yield from notes
    try:
        keeping.keep_answered(state, os.environ)
        if not notes:
            keeping.keep_told(state, night.word)
    except InfrastructureError as error:
        yield error.summary
