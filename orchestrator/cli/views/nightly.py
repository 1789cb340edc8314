"""Carries out `orchestrate nightly`, and shows what came of the night."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.streams import Marked
from orchestrator.files import places
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.cli.session import Session
    from orchestrator.history.model import Night
    from orchestrator.nightly.config import Config
    from orchestrator.nightly.run import Ended

_SHOWN = 10


def nightly(config: Config, session: Session) -> int:
    """Carry out one night; the exit status is its word's.

    Raises:
        InputError: the configuration names a policy or a key that cannot be used; nothing was done.
        SourceryError: the night did not come to its end; the next one goes on with it.
    """
    from orchestrator.cli.views import named
    from orchestrator.nightly import run

    named.require(config)
    with session.working("orchestrate nightly") as progress:
        ended = run.nightly(config, progress, session.stopping.event)
    session.result(ended.night.document(), summary(ended, verbose=session.manner.verbose))
    return ended.night.word.status


def show(config: Config, session: Session) -> int:
    """Show the effective configuration."""
    document = config.document()
    session.result(document, _flat(document))
    return 0


def units(config: Config, folder: Path, user: str, session: Session) -> int:
    """Write the units for systemd, which run this program with this configuration.

    Raises:
        InputError: a path or the user's name cannot stand in a unit.
        InfrastructureError: the program is not installed, or the folder cannot be written.
    """
    from containers.host import durable
    from orchestrator.nightly import units as rendering

    texts = rendering.rendered(_program(), config, user=user)
    files = {folder / name: text.encode() for name, text in texts.items()}
    try:
        durable.write_together(files)
    except OSError as error:
        raise InfrastructureError(
            f"the units cannot be written: {error.strerror}",
            subject=str(error.filename or folder),
            remedy="give a folder that can be written, or run it as root",
        ) from error
    lines = [str(path) for path in files]
    begin = f"systemctl daemon-reload && systemctl enable --now {rendering.NAME}.timer"
    session.result(
        {"schema": 1, "units": lines}, [*lines, f"{begin} begins with them, once they are there"]
    )
    return 0


def store_of(user: str) -> Path:
    """Where a user's store is under systemd, which gives no XDG_CACHE_HOME.

    Raises:
        InputError: there is no such user here.
    """
    try:
        home = Path(pwd.getpwnam(user).pw_dir)
    except (KeyError, ValueError) as error:
        raise InputError(
            "there is no such user here, so it is not known where the store is",
            subject=repr(user),
            remedy="make the user first, or give [store] folder in the configuration",
        ) from error
    return places.store(home / ".cache" / "sourcery", "the home of that user")


def _program() -> Path:
    """The console script of this installation.

    Raises:
        InfrastructureError: there is none.
    """
    found = Path(sys.prefix, "bin", "orchestrate")
    if not found.is_file():
        raise InfrastructureError(
            "this program is not installed, so no unit can start it",
            subject=str(found),
            remedy="install it, for example with pip in an environment of its own",
        )
    return found


def tell_failure(path: Path | None, session: Session) -> int:
    """Tell of a night that was ended before its end, from what systemd says of it.

    `path`: of the configuration. Where that is what is wrong, its table `[notify]` is enough.

    Raises:
        InputError: there is nothing that says whom to tell.
    """
    from orchestrator.nightly import config as configs
    from orchestrator.nightly import keeping, telling
    from orchestrator.nightly.state import State

    try:
        found = configs.load(path)
    except InputError:
        notify, state = configs.notify(path), None
    else:
        notify, state = found.notify, State(found.state)

    def answered(run: str) -> bool:
        return state is not None and keeping.answered(state, run)

    notes = telling.tell_of_failure(notify, os.environ, answered, environment=os.environ)
    for note in notes:
        session.note(note)
    session.result({"schema": 1}, [])
    return 0


def summary(ended: Ended, *, verbose: bool) -> Iterator[str]:
    """The night for a person: stages, what changed, what is wrong, and last the word."""
    night = ended.night
    for stage in night.stages:
        mark = {"done": "PASS", "failed": "FAIL", "left out": "SKIP"}[stage.state]
        took = f", {stage.seconds:.0f} s" if stage.state != "left out" else ""
        reason = f": {stage.reason}" if stage.reason else ""
        yield Marked(mark, f"  {stage.name}{took}{reason}")
    yield from (f"      {note}" for note in night.notes)
    if night.changes:
        yield ""
        yield "      changed since the last build:"
        for change in night.changes:
            yield f"        {change.what}: {change.first} -> {change.second}"
    yield from _consequences(night, verbose=verbose)
    for one in night.varying:
        yield ""
        yield f"      not deterministic since night {one.first_night}: {one.step} ({one.cause})"
        yield from (f"        {line}" for line in one.lines[: None if verbose else _SHOWN])
    yield ""
    yield Marked("PASS" if night.word.good else "FAIL", f"  {night.word}: {night.line}")
    yield f"      night {night.number} of {night.date}: {ended.folder}"
    yield f"      all nights: {ended.index}"


def _consequences(night: Night, *, verbose: bool) -> Iterator[str]:
    if not night.consequences:
        return
    yield f"      outputs that changed with it: {len(night.consequences)}"
    shown = night.consequences if verbose else night.consequences[:_SHOWN]
    yield from (f"        {' -> '.join(one.chain)}" for one in shown)
    if len(shown) < len(night.consequences):
        yield f"        and {len(night.consequences) - len(shown)} more; -v shows all"


def _flat(document: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name} = {value}"
