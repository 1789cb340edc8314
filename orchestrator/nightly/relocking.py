"""Locks anew for a night: on which lock, which inputs, and what is built where that fails.

The night has a lock of its own in the state folder; the project's lock is never written. It begins
with the lock of the night before, or with the project's where that changed since. `Run` starts
`orchestrate lock`; everything else here decides, reads and writes small files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from containers.host import durable
from orchestrator.lock import differences, parts
from orchestrator.lock import file as locks
from orchestrator.nightly import moves
from orchestrator.nightly.config import ALL, NONE, PATCH
from orchestrator.nightly.moves import How
from orchestrator.spec import model as specs
from reproducibility.errors import InfrastructureError, InputError, SourceryError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator.history.model import LockedFrom, Night
    from orchestrator.lock.differences import Change
    from orchestrator.lock.file import Lock
    from orchestrator.nightly.config import Config
    from orchestrator.nightly.moves import Move
    from orchestrator.spec.model import Spec

FOLDER = "locks"
_INFRASTRUCTURE = InfrastructureError.status
# A mirror that changes while it is asked is asked again, so often in all.
_MOST_RUNS = 3


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended. `document`: what it printed with `--json`; None where it was none."""

    status: int
    document: Mapping[str, Any] | None


# Runs `orchestrate` with these arguments and `--json`.
Run: TypeAlias = Callable[[Sequence[str]], Finished]


@dataclass(frozen=True, slots=True)
class Places:
    """The files of a state folder.

    `tonight`: the lock that this night builds from. `seen`: the project's lock as this night found
    it. `last`, `last_seen`: both of the last night that came so far as `keep`.
    """

    folder: Path

    @property
    def tonight(self) -> Path:
        """The lock that this night builds from."""
        return self.folder / "tonight.lock"

    @property
    def seen(self) -> Path:
        """The project's lock as this night found it."""
        return self.folder / "tonight.project.lock"

    @property
    def last(self) -> Path:
        """The lock that the night before built from."""
        return self.folder / "last.lock"

    @property
    def last_seen(self) -> Path:
        """The project's lock as the night before found it."""
        return self.folder / "last.project.lock"


@dataclass(frozen=True, slots=True)
class Base:
    """Lock that a night begins with. `lock`, `data`: None where there is none yet."""

    origin: LockedFrom
    lock: Lock | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Relocked:
    """Outcome of locking anew.

    `status`: exit status of `orchestrate lock`; None where it was not run. `reason`: why it was not
    run, or what failed. `lock`: what is to be built; None where nothing can be. `locked`: where
    that comes from. `changes`: of the inputs, since the base. `held`: moves that the policy did not
    take. `other_bytes`: inputs whose version has other bytes now, taken or not: somebody must look
    at each. `notes`: all this for people, what is urgent first. `command`: what a person types to
    do the same.
    """

    status: int | None
    reason: str
    lock: Path | None
    locked: LockedFrom
    command: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    held: tuple[Move, ...] = ()
    other_bytes: tuple[Move, ...] = ()
    notes: tuple[str, ...] = ()


def places(config: Config) -> Places:
    """Return the files of a configuration's state folder."""
    return Places(config.state / FOLDER)


def relock(config: Config, nights: Sequence[Night], run: Run) -> Relocked:
    """Make the night's lock. `nights`: those before, in any order.

    An error is told as `orchestrate lock` would end with it. Only what fails for the sake of
    network or disk is no reason to build nothing: the base is built then, with local files as they
    are tonight where that can be told.

    Raises:
        Stopped: `run` does; the night is not over.
    """
    try:
        return _Night(config, nights, run).relock()
    except Stopped:
        raise
    except SourceryError as error:
        told = ": ".join(filter(None, (error.summary, error.subject)))
        return Relocked(error.status, error.summary, None, "anew", notes=(told,))
    except OSError as error:
        why = f"the night's lock cannot be written: {error.strerror}"
        return Relocked(_INFRASTRUCTURE, why, None, "anew", notes=(why,))


def keep(found: Places) -> None:
    """Make tonight's locks those of the night before. Whoever is killed meanwhile does it again.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    # In this order: a night that finds the older `last_seen` beside the newer lock takes the
    # project's for changed and begins with it, and none is passed over.
    durable.write(found.last, found.tonight.read_bytes())
    if found.seen.exists():
        durable.write(found.last_seen, found.seen.read_bytes())
    else:
        found.last_seen.unlink(missing_ok=True)


def waits(found: Places, built: Night) -> bool:
    """Return whether tonight's locks are still those of a night that did not hand them on.

    `built`: the last night that built something.

    Raises:
        InputError: the lock that it built from is missing or damaged.
    """
    last = _bytes(found.last)
    with suppress(InputError):
        # A later night may have written its own in that place already, and built nothing from it.
        if last is not None and locks.parse(last).digest == built.lock:
            return False
    data = locks.read(found.tonight)
    if data == last:
        return False
    return locks.parse(data, str(found.tonight)).digest == built.lock


def choose(project: bytes | None, last_seen: bytes | None, last: bytes | None) -> LockedFrom:
    """Return which lock is the base, by the files' bytes: None for one that is not there."""
    if last is None:
        return "the project's lock"
    changed = project is not None and project != last_seen
    return "the project's lock" if changed else "the night before"


def updates(relock: str | tuple[str, ...]) -> frozenset[str]:
    """Return what `orchestrate lock --update` is given first, for a policy."""
    if isinstance(relock, tuple):
        return frozenset(relock)
    return frozenset() if relock == NONE else frozenset({ALL})


def down_since(nights: Iterable[Night]) -> Night | None:
    """Return the first of the latest nights in a row that could not lock for the network's sake."""
    first = None
    for night in sorted(nights, key=lambda night: night.number, reverse=True):
        states = [one.status for one in night.stages if one.name == "relock"]
        if states != [_INFRASTRUCTURE]:
            break
        first = night
    return first


class _Night:
    """One night's locking: what it was given, and the base that it begins with."""

    def __init__(self, config: Config, nights: Sequence[Night], run: Run) -> None:
        self._config = config
        self._nights = nights
        self._run = run
        self._places = places(config)
        self._notes: list[str] = []
        self._base = Base("the project's lock")

    def relock(self) -> Relocked:
        self._begin()
        if self._config.relock == NONE:
            return self._as_it_is()
        spec = specs.load(self._config.spec)
        finished, command = self._locked(updates(self._config.relock))
        if finished.status == _INFRASTRUCTURE:
            return self._fallen_back(finished, command, spec)
        if finished.status:
            return self._failed(finished, command)
        found = moves.moves(self._base.lock, self._new())
        if self._config.relock != PATCH or not moves.refused(found):
            return self._done(command, found, ())
        return self._without(found, spec)

    def _begin(self) -> None:
        """Write down what the project's lock is tonight, and choose the base."""
        config, place = self._config, self._places
        project = _bytes(config.lock)
        if project is None or not project.strip():
            # As `orchestrate lock` takes one without a word in it.
            project = None
            place.seen.unlink(missing_ok=True)
        else:
            locks.parse(project, str(config.lock))
            durable.write(place.seen, project)
        last = _bytes(place.last)
        if last is not None:
            try:
                locks.parse(last, str(place.last))
            except InputError as error:
                self._notes.append(f"the lock of the night before is not used: {error.summary}")
                last = None
        origin = choose(project, _bytes(place.last_seen), last)
        if config.relock == NONE:
            origin = "the project's lock"
        data = project if origin == "the project's lock" else last
        self._base = Base(origin, locks.parse(data) if data is not None else None, data)

    def _reset(self) -> None:
        """Have the night's lock be the base again, whatever a run left."""
        self._places.folder.mkdir(parents=True, exist_ok=True)
        if self._base.data is None:
            self._places.tonight.unlink(missing_ok=True)
        else:
            durable.write(self._places.tonight, self._base.data)

    def _locked(self, names: Iterable[str]) -> tuple[Finished, tuple[str, ...]]:
        """Run `orchestrate lock` on the base, with these names looked up anew."""
        self._reset()
        config = self._config
        command = ["lock", "--spec", str(config.spec), "--lock", str(self._places.tonight)]
        if config.store.folder is not None:
            command += ["--store", str(config.store.folder)]
        for name in sorted(names):
            command += ["--update", name]
        return self._run(command), ("orchestrate", *command)

    def _new(self) -> Lock:
        return locks.load(self._places.tonight)

    def _without(self, found: tuple[Move, ...], spec: Spec) -> Relocked:
        """Lock anew without the inputs of which something else than a patch release was found."""
        names = frozenset(parts.names(parts.wanted(spec)))
        held: dict[str, tuple[Move, ...]] = {}
        command: tuple[str, ...] = ()
        for _ in range(1, _MOST_RUNS):
            for name in moves.refused(found):
                held[name] = tuple(move for move in found if move.name == name)
            finished, command = self._locked(names - held.keys())
            if finished.status == _INFRASTRUCTURE:
                return self._fallen_back(finished, command, spec)
            if finished.status:
                return self._failed(finished, command)
            found = moves.moves(self._base.lock, self._new())
            if not moves.refused(found):
                kept = tuple(move for name in sorted(held) for move in held[name])
                return self._done(command, found, kept)
        why = f"something else was found in each of {_MOST_RUNS} runs; what is there is changing"
        return self._fallen_back(_said(why), command, spec)

    def _as_it_is(self) -> Relocked:
        if self._base.data is None:
            raise InputError(
                'there is no lock, and `relock = "none"` makes none',
                subject=str(self._config.lock),
                remedy="run `orchestrate lock`, or have the nights lock: relock in the "
                "configuration",
            )
        self._reset()
        why = '`relock = "none"`: the project\'s lock is built as it is'
        return Relocked(
            None, why, self._places.tonight, self._base.origin, notes=tuple(self._notes)
        )

    def _done(
        self, command: tuple[str, ...], taken: tuple[Move, ...], held: tuple[Move, ...]
    ) -> Relocked:
        new = self._new()
        other = tuple(move for move in (*held, *taken) if move.how is How.OTHER_BYTES)
        back = tuple(move for move in taken if move.how is How.BACK)
        notes = [
            f"{'taken' if move in taken else 'NOT taken'}, look at it: {move.line}"
            for move in (*other, *back)
        ]
        notes += [f"not taken: {move.line}" for move in held if move not in other]
        return Relocked(
            0,
            "",
            self._places.tonight,
            "anew",
            command,
            differences.changes(self._base.lock, new),
            held,
            other,
            (*notes, *self._notes),
        )

    def _failed(self, finished: Finished, command: tuple[str, ...]) -> Relocked:
        told = _told(finished)
        return Relocked(finished.status, told, None, "anew", command, notes=(told, *self._notes))

    def _fallen_back(self, failed: Finished, command: tuple[str, ...], spec: Spec) -> Relocked:
        """Build the base: with local files and new parts of the spec, so far as nobody is asked."""
        base, told = self._base, _told(failed)
        if base.lock is None:
            return self._failed(failed, command)
        again, _ = self._locked(())
        if again.status not in {0, _INFRASTRUCTURE}:
            return self._failed(again, command)
        if again.status:
            self._reset()
            if base.lock.wanted != parts.wanted(spec):
                told = f"{told}; and the spec asks for what {base.origin} does not pin"
                return Relocked(
                    failed.status, told, None, "anew", command, notes=(told, *self._notes)
                )
        first = down_since(self._nights)
        since = f" since night {first.number} ({first.date})" if first else ""
        built = "the lock of the night before" if base.origin == "the night before" else base.origin
        # What a client said may be long, and is cut.
        note = f"nothing could be locked anew{since}, so {built} is built: {told}"
        return Relocked(
            failed.status,
            told,
            self._places.tonight,
            base.origin,
            command,
            differences.changes(base.lock, self._new()),
            notes=(note, *self._notes),
        )


def _bytes(path: Path) -> bytes | None:
    """Return a file's bytes, as `locks.read`; None where it is not there."""
    return locks.read(path) if os.path.lexists(path) else None


def _said(summary: str) -> Finished:
    return Finished(_INFRASTRUCTURE, {"error": {"summary": summary}})


def _told(finished: Finished) -> str:
    """What a command said of its failure, in one piece."""
    error = (finished.document or {}).get("error")
    summary = error.get("summary") if isinstance(error, Mapping) else None
    if not isinstance(summary, str) or not summary:
        return f"`orchestrate lock` ended with exit status {finished.status} and said nothing of it"
    return summary
