"""State folder of `orchestrate nightly`: what lies where in it, and who may work in it."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.history.header import FILE
from orchestrator.store import locks
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NIGHTS = "nights"
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class State:
    """Paths in the state folder.

    `out`: output folder of the last build. `tonight`: what the night that is going on has written.
    `site`: what can be served; the evidence of the nights that are kept lies in it. `database`: the
    history. `told`: the word that somebody was told of last. `answered`: what systemd calls the run
    that told of itself last. The locks of the nights are `relocking.places`.
    """

    folder: Path

    @property
    def out(self) -> Path:
        """Output folder of the last build."""
        return self.folder / "out"

    @property
    def tonight(self) -> Path:
        """Folder of the night that is going on."""
        return self.folder / "tonight"

    @property
    def site(self) -> Path:
        """Folder that a web server can serve."""
        return self.folder / "site"

    @property
    def database(self) -> Path:
        """The history's file."""
        return self.folder / FILE

    @property
    def told(self) -> Path:
        """The word that somebody was told of last."""
        return self.folder / "told"

    @property
    def answered(self) -> Path:
        """What systemd calls the run that told of itself last."""
        return self.folder / "answered"

    @property
    def nights(self) -> Path:
        """Folder of the nights' evidence."""
        return self.site / _NIGHTS

    def night(self, number: int) -> Path:
        """Folder of a night's evidence, as the pages name it."""
        return self.nights / f"{number:06d}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder's lock, which the kernel gives back however this process ends.

        Raises:
            InfrastructureError: another night is going on here; or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = locks.acquired_at_once(self.folder / "running")
        except locks.HeldError as error:
            raise InfrastructureError(
                f"a night is going on here already, in {error.process}",
                subject=str(self.folder),
                remedy="wait until it is done, or stop it first; another `state` folder is another "
                "history",
            ) from error
        except OSError as error:
            raise InfrastructureError(
                f"the state folder cannot be written: {error.strerror}",
                subject=str(error.filename or self.folder),
                remedy=f"{'free some space' if error.errno in _FULL else 'make it writable'}, or "
                "give another one as `state`",
            ) from error
        try:
            yield
        finally:
            os.close(held)
