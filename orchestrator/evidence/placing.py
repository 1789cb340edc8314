"""Puts evidence into a finished folder: by one process at a time, and the files with their sums.

The lock (`folder_lock`) is the one that a build takes which fills the folder, or puts another one
in its place.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from containers.host import durable
from orchestrator.artifacts import folder_lock, names, sums
from orchestrator.evidence.signable import unreadable
from orchestrator.evidence.subject import FileDigests
from reproducibility import digest as digests
from reproducibility import regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def alone(out: Path, stop: threading.Event | None = None) -> Iterator[None]:
    """Hold a finished folder for reading and changing its evidence; waits for who holds it.

    Where the file system knows no locks, nobody is waited for.

    Raises:
        InputError: there is no such folder.
        Stopped: `stop` was set while another one held it.
    """
    try:
        handle = folder_lock.take(out, stop)
    except OSError as error:
        raise InputError(
            f"there is no finished build: {error.strerror}",
            subject=str(out),
            remedy="name the output folder of a build",
        ) from error
    try:
        yield
    finally:
        os.close(handle)


def put(
    out: Path, replaced: Mapping[str, bytes], told: Mapping[str, FileDigests] | None = None
) -> bool:
    """Put files in place with the sums, which name them and those of `told` anew; False if all was.

    What differs is written beside its place first and then renamed, one right after the other, and
    no signal comes between. Who calls it holds the folder.

    Raises:
        InputError: the sums cannot be read.
        InfrastructureError: something cannot be written.
    """
    changed = {**(told or {}), **{name: of_bytes(data) for name, data in replaced.items()}}
    remade = dict(replaced)
    for name, digits in (
        (names.SHA256SUMS, {file: found.sha256 for file, found in changed.items()}),
        (names.B3SUMS, {file: found.blake3 for file, found in changed.items()}),
    ):
        there = sums.parse(_bytes(out / name), str(out / name))
        remade[name] = sums.dumps({**there, **digits})
    wanted = {out / name: data for name, data in remade.items() if not _is_there(out / name, data)}
    try:
        with signals_deferred():
            durable.write_together(wanted)
    except OSError as error:
        raise InfrastructureError(
            f"the evidence cannot be written: {error.strerror}",
            subject=str(error.filename or out),
            remedy="mend the folder's permissions or free some space, and do it again",
        ) from error
    return bool(wanted)


def of_bytes(data: bytes) -> FileDigests:
    """Digests of a file that is in memory."""
    return FileDigests(len(data), digests.of_bytes(data).hex, digests.sha256_of_bytes(data).hex)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Context in which a signal to end waits until its end; of several, the first.

    The handlers are exchanged, since a signal that this thread blocks is given to another one, and
    Python still runs its handler here.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs in another thread
        return
    came: list[int] = []

    def later(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    mine = {n: had for n, had in before.items() if had not in {None, signal.SIG_IGN}}
    for number in mine:
        signal.signal(number, later)
    try:
        yield
    finally:
        for number, handler in mine.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _is_there(path: Path, data: bytes) -> bool:
    try:
        return regular.read(path, follow=False, limit=len(data)) == data
    except OSError:
        return False


def _bytes(path: Path) -> bytes:
    try:
        return regular.read(path)
    except OSError as error:
        raise unreadable(path, error) from error
