"""Attributes a failure to the step or to the machine that ran it, with a remedy.

Decided by the cause, not by where it was noticed: a name that no tree can hold is what the step
made, wherever it is met; a full disk is the machine's, unless it is one that the step's own limits
made small.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reproducibility.errors import ActionError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from containers.policy import Limits

# What only the names of outputs can cause: the project's own are short, and no links.
_NAMES = frozenset({errno.ENAMETOOLONG, errno.ELOOP})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
# The folder of a store that scratch folders lie in.
_SCRATCH = "scratch"
_ROOM = "free some space, or put --store and --out on another disk"
_FILES = "raise the limit on open files (`ulimit -n`), or give --jobs 1"
_MEMORY = "free some memory, or give --jobs 1"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EIO: "the disk failed: see the kernel's messages (`dmesg`), and put --store and --out on "
    "another one",
    errno.EROFS: "put --store and --out on a disk that can be written",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _MEMORY,
    errno.ENAMETOOLONG: "put --store and --out where their paths are shorter",
}
_AGAIN = "run the same command again: finished steps are remembered"
_SHOWN = 200
_TAIL = 6000
_MIB = 1 << 20


def _said(phrases: str) -> re.Pattern[str]:
    """Return where a program says why something failed: last on a line, after what failed.

    In the middle of a line, or alone, the same words are the text that a compiler complains about.
    """
    # Python puts the number before them and may put the file behind.
    return re.compile(
        rf"(?:: |\[Errno \d+\] )(?:{phrases})(?:: '[^'\n]*')?\r?$", re.IGNORECASE | re.MULTILINE
    )


# As glibc, Go and Python word them.
_NO_ROOM = _said("no space left on device|disk quota exceeded")
_NO_MEMORY = _said("cannot allocate memory|out of memory")
_NO_PROCESS = _said("resource temporarily unavailable|can(?:no|')t fork")


def of_machine(error: OSError, doing: str = "", place: Path | None = None) -> InfrastructureError:
    """The error for what the machine refuses.

    `doing` completes "cannot ..."; `place`: where, instead of the file that the error names.
    """
    reason = error.strerror or str(error)
    return InfrastructureError(
        f"cannot {doing}: {reason}" if doing else reason,
        subject=_place(error) if place is None else str(place),
        remedy=_REMEDIES.get(error.errno or 0, ""),
    )


@contextmanager
def telling(name: str, into: Path, store: Path) -> Iterator[None]:
    """Wrap the run of a step in the folder `into`, and the keeping of its outputs in `store`.

    Raises:
        ActionError: the step made what cannot be kept; names it relative to the work directory.
        InfrastructureError: the machine could not run it, or not keep what it made or said.
    """
    outputs = f"{into / 'outputs'}/"
    try:
        yield
    except ActionError as error:
        error.subject = _shortened(error.subject.replace(outputs, ""))
        if name not in error.summary:
            error.summary = f"{name}: {error.summary}"
        raise
    except OSError as error:
        made = _output(error, outputs)
        if not made and error.strerror:
            raise _refused(error, name, into, store) from error
        if not made:
            raise
        if error.errno in _NAMES:
            raise ActionError(
                f"{name} made something that cannot be kept: {error.strerror}",
                subject=made,
                remedy="have it write its outputs with shorter names, and less deep",
            ) from error
        # Not the file, which is gone with the scratch folder before anybody could look at it.
        raise of_machine(error, f"keep what {name} made", store) from error


def remedy(exit_status: int, said: Iterable[bytes], limits: Limits) -> str:
    """Return what to do about a step that failed, by what it said and the signal that ended it."""
    words = "\n".join(part[-_TAIL:].decode(errors="replace") for part in said)
    ended_by = exit_status - 128
    if _NO_ROOM.search(words) or ended_by == signal.SIGXFSZ:
        return (
            "no room was left for what it writes: its work directory and its outputs may have "
            f"{limits.work // _MIB} MiB (limits.work), /tmp {limits.tmp // _MIB} MiB (limits.tmp); "
            f"raise the one that it filled, or free space on the disk of --store; then {_AGAIN}"
        )
    if _NO_MEMORY.search(words) or ended_by == signal.SIGKILL:
        return (
            f"it may use {limits.memory // _MIB} MiB (limits.memory): raise that, or, if this "
            f"machine has less than that free, give --jobs 1; then {_AGAIN}"
        )
    if _NO_PROCESS.search(words):
        return (
            f"it may have {limits.processes} processes and threads (limits.processes): raise that; "
            f"then {_AGAIN}"
        )
    return f"mend the cause and {_AGAIN}"


def _refused(error: OSError, name: str, into: Path, store: Path) -> InfrastructureError:
    """The error for what the machine refused a step, beside the keeping of its outputs."""
    parts = (error.filename, error.filename2)
    named = [Path(os.fsdecode(part)) for part in parts if isinstance(part, str | bytes | Path)]
    doing = f"keep the log of {name}" if any(p.parent == into for p in named) else f"run {name}"
    # As above: what lies in a scratch folder cannot be looked at afterwards.
    gone = not named or any(part.is_relative_to(store / _SCRATCH) for part in named)
    return of_machine(error, doing, store if gone else None)


def _output(error: OSError, outputs: str) -> str:
    """The path of an output that an error is about, relative to the work directory; or nothing."""
    for name in (error.filename, error.filename2):
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")
        if text.startswith(outputs):
            return _shortened(text.removeprefix(outputs))
        # By descriptor: an engine goes about in the work directory so, and nowhere else.
        if text and not text.startswith("/"):
            return _shortened(text)
    return ""


def _place(error: OSError) -> str:
    """The file that an error is about, or what is still there of the way to it.

    Where that it is missing is all that went wrong, it is the file, unless a scratch folder held
    it, which nobody can look at any more.
    """
    if not isinstance(error.filename, str | Path):
        return ""
    here = Path(error.filename)
    if error.errno in _MISSING and _SCRATCH not in here.parts[:-1]:
        return _shortened(str(error.filename))
    try:
        while not here.exists() and here != here.parent:
            here = here.parent
    except (OSError, ValueError):
        return _shortened(str(error.filename))
    return str(error.filename) if str(here) in {".", "/"} else str(here)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
