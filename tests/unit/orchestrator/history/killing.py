"""Work on a history that is killed at a statement of SQLite, in processes that start fast."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.history import connection
from orchestrator.history.header import FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from sqlite3 import Connection

    from tests.unit.orchestrator.conftest import Child


def serve(work: Callable[[Path], None]) -> None:
    """Do some work for each line of the input, which names a history and a statement's number.

    Each time in a process of its own, which is killed when it comes to that statement. Says the
    exit status of each, that of a signal being negative.
    """
    for line in sys.stdin:
        path, number = line.split()
        child = os.fork()
        if not child:
            _kill_at(int(number))
            work(Path(path))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


def _kill_at(number: int) -> None:
    left = number

    def count(_statement: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    set_up = connection._set_up

    def counted(opened: Connection) -> Connection:
        opened.set_trace_callback(count)
        return set_up(opened)

    vars(connection)["_set_up"] = counted


def killed_at_each(child: Child, folder: Path, before: Path | None) -> Iterator[Path]:
    """Histories in which the work of a server was killed, at one statement later in each.

    `before`: what they are copies of; None: they are made by the work. Ends with the first time
    that the work comes to its end.
    """
    number, status = 0, -signal.SIGKILL
    while status:
        number += 1
        place = folder / str(number) / FILE
        place.parent.mkdir()
        if before is not None:
            shutil.copyfile(before, place)
        child.tell(f"{place} {number}")
        status = int(child.told())
        assert status in {0, -signal.SIGKILL}
        if status:
            yield place
