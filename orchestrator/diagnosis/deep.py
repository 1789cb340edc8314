"""Hands two files to `diffoscope`, where it is installed, within limits of time and size.

It knows many more formats than this program. It is an optional part of the package (`deep`) and
runs as a program of its own, without network and without anything of the environment but PATH.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host import process
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from threading import Event

PROGRAM = "diffoscope"
LARGEST = 64 << 20
SECONDS = 120
_LARGEST_REPORT = 256 << 10
_MOST_LINES = 400
# Its own: 1 where it found differences.
_ANSWERED = {0, 1}


def program() -> str:
    """The path of diffoscope: beside this Python, or on PATH.

    Raises:
        InputError: it is not installed.
    """
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(PROGRAM)
    if found is None:
        raise InputError(
            "diffoscope is not installed; --deep hands it the files that differ",
            subject="--deep",
            remedy="install it (`pip install sourcery-orchestrator[deep]`, or your system's "
            "package), or leave out --deep",
        )
    return os.path.abspath(found)  # noqa: PTH100 - without following a link


def report(first: Path, second: Path, stop: Event | None = None) -> list[str]:
    """Return what diffoscope says of two files, as lines, cut.

    Raises:
        InputError: it is not installed, or a file is too large for it.
        InfrastructureError: it failed, or took too long.
        Stopped: `stop` was set.
    """
    found = program()
    for path in (first, second):
        if path.stat().st_size > LARGEST:
            raise InputError(
                f"it has {path.stat().st_size} bytes; diffoscope gets at most {LARGEST}",
                subject=str(path),
                remedy="leave out --deep",
            )
    done = process.run(
        [found, "--no-progress", "--no-default-limits", "--max-text-report-size",
         str(_LARGEST_REPORT), "--timeout", str(SECONDS // 2), "--text", "-", "--", str(first),
         str(second)],
        environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        seconds=SECONDS,
        stop=stop,
        check=False,
    )  # fmt: skip
    if done.status not in _ANSWERED:
        words = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
        raise InfrastructureError(
            f"diffoscope ended with exit status {done.status}: {words}", subject=found
        )
    text = done.stdout[:_LARGEST_REPORT].decode(errors="replace")
    lines = text.splitlines()
    more = [f"... {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return lines[:_MOST_LINES] + more
