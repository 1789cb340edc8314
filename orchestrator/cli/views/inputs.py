"""Carries out `orchestrate lock` and `orchestrate fetch`: pin a build's inputs, fetch them."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.wording import quantity
from orchestrator.files import places, text_file
from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.cli.session import Session
    from orchestrator.inputs.log_records import Records
    from orchestrator.lock.file import Lock

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Where:
    """The files and the folder that locking and fetching work on."""

    spec: Path
    lock: Path
    store: Path

    @property
    def own(self) -> tuple[Path, ...]:
        """Return the paths that are never content of the image, as `places.own`."""
        return places.own(self.spec, self.lock, self.store)


def lock(where: Where, update: frozenset[str], session: Session) -> int:
    """Pin every input; the lock is written only if something moved.

    `update`: names of inputs to look up anew; `all` among them stands for every one.

    Raises:
        InputError: the spec is wrong, or names something that does not exist.
        ComparisonError: the public log contradicts what the present lock proves of it.
        InfrastructureError: something could not be had.
    """
    from orchestrator.inputs import Clients, resolve
    from orchestrator.lock import differences, parts
    from orchestrator.lock import file as locks
    from orchestrator.progress.inputs import InputEvents
    from orchestrator.spec import model as spec
    from orchestrator.store import Store, trial

    wanted = spec.load(where.spec)
    every = spec.EVERY in update
    previous, records = _previous(where.lock, session, keep=bool(update) and not every)
    stop = session.stopping.event
    with (
        session.working("orchestrate lock") as progress,
        closing(Store(where.store, stop)) as store,
    ):
        trial.require_store(where.store)
        clients = Clients(events=InputEvents(progress), stop=stop)
        pinned = resolve.lock(
            wanted,
            previous,
            store,
            update={*parts.names(parts.wanted(wanted))} if every else update,
            clients=clients,
            own=where.own,
            note=progress.note,
            records=records,
        )
    moved = differences.moved(previous, pinned)
    changed = previous is None or locks.dump(previous) != locks.dump(pinned)
    if changed:
        locks.save(pinned, where.lock)
    session.result(
        {
            "schema": SCHEMA,
            "lock": str(where.lock),
            "changed": changed,
            "moved": moved,
            "changes": [one.document() for one in differences.changes(previous, pinned)],
        },
        [*moved, f"{where.lock} {'is written' if changed else 'is up to date'}"],
    )
    return 0


def _previous(
    path: Path, session: Session, *, keep: bool = False
) -> tuple[Lock | None, Records | None]:
    """The lock that is there, or None; then what it proves of the public log all the same.

    One that is refused is replaced, but never in silence, and what it proves is never lost. One
    without a word in it, as `touch` makes it, is none. `keep`: some of its pins are to be kept.

    Raises:
        InputError: it is refused, and `keep` or it is no JSON.
    """
    from orchestrator.inputs import log_records
    from orchestrator.lock import file as locks

    if not os.path.lexists(path) or _is_blank(path):
        return None, None
    try:
        return locks.load(path), None
    except InputError as refused:
        if keep:
            raise
        try:
            records = log_records.salvaged(_text(path))
        except (OSError, InputError) as error:
            raise InputError(
                f"{refused.summary}: what it proves of the public log would be lost with it",
                subject=refused.subject,
                remedy="restore it (version control may have it, or it is in the middle of a "
                "merge); or move it away: then every input is pinned anew, and what the public log "
                "says today is held against nothing earlier",
            ) from error
        session.note(f"every input is pinned anew, since the present lock is refused: {refused}")
        if records:
            what = sorted(f"{module}@{version}" for module, version in records)
            session.note(f"its proofs of the public log still count: {', '.join(what)}")
        return None, records


def _is_blank(path: Path) -> bool:
    """Return whether a file holds nothing but white space; False where that cannot be told."""
    try:
        return not _text(path).strip()
    except (OSError, InputError):
        return False


def _text(path: Path) -> bytes:
    """Return a file's text after its byte order mark. Raises as `regular.read` and `text_file`."""
    return text_file.without_mark(regular.read(path), "the lock", str(path))


def fetch(where: Where, bundle: Path | None, root: str | None, session: Session) -> int:
    """Bring every input into the store; with `bundle`, write them to that file too.

    `root`: a further root whose inputs are brought too, as `audit --root` takes it.

    Raises:
        InputError: the spec or the lock is wrong, or an input is not what the lock says.
        InfrastructureError: something could not be had.
    """
    from orchestrator import inputs
    from orchestrator.architecture import host
    from orchestrator.inputs import Clients, second_root, worker_tools
    from orchestrator.inputs import bundle as bundles
    from orchestrator.inputs.ensure import needed
    from orchestrator.lock import file as locks
    from orchestrator.progress.inputs import InputEvents
    from orchestrator.spec import model as spec
    from orchestrator.store import Store, trial

    wanted = spec.load(where.spec)
    pinned = locks.load(where.lock)
    pinned.check_fits(wanted)
    second = second_root.required(root, pinned, wanted, host()) if root is not None else None
    size = 0
    stop = session.stopping.event
    with (
        session.working("orchestrate fetch") as progress,
        closing(Store(where.store, stop)) as store,
    ):
        trial.require_store(where.store)
        inputs.ensure(
            pinned,
            store,
            folder=wanted.folder,
            own=where.own,
            events=InputEvents(progress),
            stop=stop,
            artifacts=bundle is not None,
        )
        clients = Clients(events=InputEvents(progress), stop=stop)
        if second is not None:
            second_root.bring(
                second, pinned, wanted.folder, store, clients, artifacts=bundle is not None
            )
        tools = worker_tools.bring(
            pinned, wanted.folder, store, clients, artifacts=bundle is not None
        )
        if bundle is not None:
            size = bundles.write(pinned, store, bundle, host(), root=second, workers=bool(tools))
    labels = [found.label for found in needed(pinned, host())]
    labels += second_root.labels(second) if second is not None else []
    labels += tools
    lines = [f"{len(labels)} inputs are in the store {where.store}"]
    if bundle is not None:
        lines.append(f"and in {bundle}, {quantity(size)}")
    session.result(
        {
            "schema": SCHEMA,
            "store": str(where.store),
            "inputs": labels,
            "bundle": {"path": str(bundle), "size": size} if bundle is not None else None,
        },
        lines,
    )
    return 0
