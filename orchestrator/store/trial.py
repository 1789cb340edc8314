"""Tests what a folder can do (links, locks, renames, times) that is to hold a store or an output.

Mount options, file systems and networks that share them differ in more ways than there are names
for. Each trial is done in a folder of its own that vanishes again, and takes milliseconds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host import rename
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREFIX = ".sourcery-trial-"
_SECONDS = 30
# An odd time that must come back as it is: the go command hashes times (linux/stat.h).
_TIME = 1_234_567_891


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a folder cannot do.

    `words`: what, with the machine's own words. `remedy`: what to do. `needed`: whether nothing
    works without; else something is slower, takes more room, or is less safe.
    """

    words: str
    remedy: str
    needed: bool = True


def store(folder: Path) -> list[Lack]:
    """Return what a folder lacks to hold a store: files that are run, linked, locked, replaced."""
    return _tried(folder, "--store", _STORE)


def output(folder: Path) -> list[Lack]:
    """Return what a folder lacks for the output directory to be put into it."""
    return _tried(folder, "--out", _OUTPUT)


def require_store(folder: Path) -> None:
    """Refuse a store that a build or a fetch would fail in.

    Raises:
        InfrastructureError: it cannot do something that is needed; says what to do about it.
    """
    for lack in store(folder):
        if lack.needed:
            raise InfrastructureError(
                f"the store's disk will not do: {lack.words}",
                subject=str(folder),
                remedy=lack.remedy,
            )


def _tried(folder: Path, option: str, trials: tuple[_Trial, ...]) -> list[Lack]:
    elsewhere = f"give a folder on another disk with {option}"
    try:
        with _place(folder) as place:
            lacks = [(trial, _failure(trial, place)) for trial in trials]
    except OSError as error:
        words = f"nothing can be written there: {error.strerror or error}"
        return [Lack(words, f"mend its permissions, or {elsewhere}")]
    return [
        Lack(f"{trial.cannot}: {words}", f"{trial.remedy}{elsewhere}", trial.needed)
        for trial, words in lacks
        if words
    ]


@contextlib.contextmanager
def _place(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=_PREFIX, ignore_cleanup_errors=True
    ) as place:
        yield Path(place)


def _failure(trial: _Trial, place: Path) -> str:
    """The machine's words where a trial fails; empty where it does not."""
    inside = place / trial.run.__name__
    try:
        inside.mkdir()
        return trial.run(inside)
    except OSError as error:
        return error.strerror or str(error)
    except subprocess.SubprocessError as error:
        return str(error)


def _executes(place: Path) -> str:
    program = place / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o555)
    done = subprocess.run(  # noqa: S603 - our own
        [program], env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS,
        check=False,
    )  # fmt: skip
    return f"exit status {done.returncode}" if done.returncode else ""


def _keeps_modes(place: Path) -> str:
    file = place / "file"
    for mode in (0o444, 0o555, 0o644):
        file.touch()
        file.chmod(mode)
        found = stat.S_IMODE(file.stat().st_mode)
        if found != mode:
            return f"mode {mode:o} becomes {found:o}"
    return ""


def _keeps_times(place: Path) -> str:
    file = place / "file"
    file.touch()
    os.utime(file, (_TIME, _TIME))
    found = file.stat().st_mtime_ns
    return "" if found == _TIME * 10**9 else f"{_TIME} s becomes {found / 10**9:f} s"


def _locks(place: Path) -> str:
    file = place / "lock"
    with file.open("w") as one, file.open("w") as other:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        return "two hold one lock"


def _replaces(place: Path) -> str:
    old, new = place / "old", place / "new"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.rename(old)
    return "" if old.read_bytes() == b"new" else "the old file is still there"


def _links(place: Path) -> str:
    first, second = place / "first", place / "second"
    first.touch()
    os.link(first, second)
    return "" if first.samefile(second) else "the link is another file"


def _exchanges(place: Path) -> str:
    first, second = place / "first", place / "second"
    first.mkdir()
    (second / "inside").mkdir(parents=True)
    try:
        rename.exchange(first, second)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return "not on this file system"
        raise
    return "" if (first / "inside").is_dir() else "nothing was exchanged"


@dataclass(frozen=True, slots=True)
class _Trial:
    """One trial: gives the machine's words for a failure, or raises them as an `OSError`."""

    run: Callable[[Path], str]
    cannot: str
    remedy: str
    needed: bool = True


_STORE = (
    _Trial(
        _executes,
        "programs cannot be run from it",
        "mount it without `noexec` (`findmnt -T FOLDER` shows how it is mounted), or ",
    ),
    _Trial(_keeps_modes, "it does not keep the modes of files", "use a Linux file system, or "),
    _Trial(_keeps_times, "it does not keep the times of files", "use a Linux file system, or "),
    _Trial(_locks, "files in it cannot be locked", "mount it with locks (flock), or "),
    _Trial(_replaces, "a file cannot take another one's place", "use a Linux file system, or "),
    _Trial(
        _links,
        "it has no hard links, so that everything is copied: slower, and twice the room",
        "use a Linux file system, or ",
        needed=False,
    ),
)
_OUTPUT = (
    _Trial(_replaces, "a file cannot take another one's place", "use a Linux file system, or "),
    _Trial(
        _exchanges,
        "two folders cannot change places at once, so that for a moment there is no output",
        "use a Linux file system such as ext4, XFS or Btrfs, or ",
        needed=False,
    ),
)
