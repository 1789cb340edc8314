"""Carries out `orchestrate report`: makes the page where it is not there, and shows it."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli import overwriting
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.cli.session import Session
    from orchestrator.report.folder import Made

# Where a program finds the screen of the person who called it.
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


@dataclass(frozen=True)
class Options:
    """Options of the command line. `file`: where else to write it. `show`: in a browser."""

    out: Path
    file: Path | None
    show: bool


def report(options: Options, session: Session) -> int:
    """Make the page, say where it is, and show it; exit status 0 whatever the build's verdict.

    Raises:
        InputError: there is no finished build, or a file of it cannot be read.
        InfrastructureError: the page cannot be written.
    """
    from orchestrator.artifacts import names
    from orchestrator.report import folder

    place = options.file or options.out / names.REPORT
    written = True
    if options.file is not None:
        overwriting.require(options.file, overwriting.PAGE)
        overwriting.require_outside(options.file, options.out)
        made = folder.made(options.out)
        _write(options.file, made.data)
    else:
        made, written = _put(options.out)
    session.result(
        {
            "path": str(place),
            "size": len(made.data),
            "written": written,
            "verdict": made.result.verdict,
            "audit": made.audit.verdict if made.audit is not None else None,
        },
        [str(place)],
    )
    if options.show:
        _show(place, session)
    return 0


def _put(out: Path) -> tuple[Made, bool]:
    """Put the page into the folder; the sums that name its files get its line anew.

    False where all of it was there already.
    """
    from orchestrator.artifacts import names
    from orchestrator.evidence import placing
    from orchestrator.report import folder

    # An audit must not end between the page that is made and the page that is written.
    with placing.alone(out):
        made = folder.made(out)
        if all((out / name).is_file() for name in (names.PROVENANCE, *names.SUMS)):
            return made, placing.put(out, {names.REPORT: made.data})
        # By a version that left no evidence: its sums name image and archive only.
        there = folder.is_there(out, made.data)
        if not there:
            _write(out / names.REPORT, made.data)
        return made, not there


def _write(place: Path, data: bytes) -> None:
    from containers.host import durable

    try:
        durable.write(place, data)
    except OSError as error:
        raise InfrastructureError(
            f"the page cannot be written: {error.strerror}",
            subject=str(place),
            remedy="mend the folder's permissions or free some space, or name another file with -o",
        ) from error


def _show(place: Path, session: Session) -> None:
    """Show the page in the person's browser; where there is none, say how else."""
    if not has_display(os.environ, sys.platform):
        session.note(f"there is no display here to show it on; open {place.as_uri()} elsewhere")
    elif not webbrowser.open(place.as_uri()):
        session.note(f"no browser could be started; open {place.as_uri()} in one")


def has_display(environment: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser would have a screen. Without one Python would start a text browser.

    `platform`: as `sys.platform`; other systems than Linux show windows without a variable.
    """
    return platform != "linux" or any(environment.get(name) for name in _DISPLAYS)
