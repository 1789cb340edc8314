"""Accounts for every file of a folder: what lies there, its digests, and whether it is named.

Both lists of sums must name every file but themselves, and each file must be what both say. Where
only one of them disagrees with a file, that list is at fault, and is named.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from orchestrator.artifacts import fingerprint
from orchestrator.artifacts import sums as listing
from orchestrator.artifacts.names import B3SUMS, LOGS, SHA256SUMS, SUMS
from orchestrator.verify.model import Measured
from reproducibility import regular, visible
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from orchestrator.verify.model import Findings

# What a build of every command of the largest sources leaves is a few hundred logs.
_MOST = 20_000
# Signs of a name that are shown, and bytes that a line of the sums may have on average.
_LONGEST = 400
_NOT_MEASURED = frozenset({"file-irregular", "file-unreadable"})


def require(folder: Path) -> None:
    """Refuse what is no folder: that is no bad build, but none.

    Raises:
        InputError: there is no such folder.
    """
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise InputError(
            f"there is no finished build: {error.strerror}",
            subject=str(folder),
            remedy="name the output folder of a build",
        ) from error


def measured(folder: Path, findings: Findings) -> dict[str, Measured]:
    """Every plain file of the folder by its path, sorted.

    What is no plain file, or lies in a folder where nothing belongs, is a finding.

    Raises:
        InputError: it holds more than a build leaves.
    """
    found: dict[str, Measured] = {}
    for path, wrong in sorted(_walked(folder)):
        if wrong:
            findings.say("file-irregular", _shown(path), wrong)
            continue
        try:
            one = fingerprint.of_file(folder / path)
        except OSError as error:
            findings.say("file-unreadable", _shown(path), f"it cannot be read: {error.strerror}")
            continue
        found[path] = Measured(one.size, one.blake3.hex, one.sha256.hex)
    return found


def _walked(folder: Path) -> Iterator[tuple[str, str]]:
    """Path of everything in the folder, and what is wrong with it; nothing for a plain file."""
    count = 0
    for prefix in ("", f"{LOGS}/"):
        place = folder / prefix
        if prefix and place.is_symlink():
            continue  # told already, and it leads elsewhere
        try:
            listing = os.scandir(place)
        except OSError:
            if prefix:
                continue
            raise
        with listing:
            for child in listing:
                count += 1
                if count > _MOST:
                    raise InputError(
                        f"more than {_MOST} files, which no build leaves",
                        subject=str(folder),
                        remedy="name the output folder of a build",
                    )
                path = prefix + child.name
                if path == LOGS and child.is_dir(follow_symlinks=False):
                    continue
                yield path, _wrong(path, child)


def _wrong(path: str, child: os.DirEntry[str]) -> str:
    mode = child.stat(follow_symlinks=False).st_mode
    if not stat.S_ISREG(mode):
        return f"it is {regular.kind(mode)}, not a file"
    return "its name holds what no file name here may" if visible.control_in(path) else ""


def sums(folder: Path, files: Mapping[str, Measured], findings: Findings) -> None:
    """Hold the files against both lists of sums."""
    told = {name: _listed(folder, name, files, findings) for name in SUMS}
    lists = {name: listed for name, listed in told.items() if listed is not None}
    # Of what is there and is no file that can be read, that is told, and no more.
    wrong_already = {one.file for one in findings if one.code in _NOT_MEASURED}
    for path in sorted({path for listed in lists.values() for path in listed} | files.keys()):
        if path in SUMS:
            for name, listed in lists.items():
                if path in listed:
                    findings.say("file-unreadable", name, f"it names {path}, a list of sums")
            continue
        here = files.get(path)
        naming = [name for name, listed in lists.items() if path in listed]
        if here is None:
            if _shown(path) in wrong_already:
                continue
            _absent(path, naming, lists, findings)
        elif not naming:
            findings.say("file-unnamed", _shown(path), "neither list of sums names it")
        else:
            digits = {SHA256SUMS: here.sha256, B3SUMS: here.blake3}
            wrong = [name for name, listed in lists.items() if listed.get(path) != digits[name]]
            _judge(path, wrong, naming, lists, findings)


def _absent(path: str, naming: list[str], lists: Mapping[str, object], findings: Findings) -> None:
    if len(naming) == len(lists):
        findings.say("file-missing", _shown(path), "the lists of sums name it")
    else:
        reason = f"it names {_shown(path)}, which is not there and which no other list names"
        findings.say("file-differs", naming[0], reason)


def _judge(
    path: str,
    wrong: list[str],
    naming: list[str],
    lists: Mapping[str, object],
    findings: Findings,
) -> None:
    """Blame the file where all lists disagree with it, else the list that does."""
    if not wrong:
        return
    if len(wrong) == len(lists):
        reason = f"it is not the file that {' and '.join(naming)} name"
        findings.say("file-differs", _shown(path), reason)
    elif wrong[0] in naming:
        reason = f"its line for {_shown(path)} is not what that file and the other list say"
        findings.say("file-differs", wrong[0], reason)
    else:
        findings.say("file-differs", wrong[0], f"it does not name {_shown(path)}")


def _listed(
    folder: Path, name: str, files: Mapping[str, Measured], findings: Findings
) -> dict[str, str] | None:
    """Path -> digits, of a list of sums; None where it cannot be read."""
    if name not in files:
        findings.say("file-missing", name, "a finished folder has it")
        return None
    try:
        data = regular.read(folder / name, follow=False, limit=_MOST * _LONGEST)
        found = listing.parse(data, name)
    except InputError as error:
        findings.say("file-unreadable", name, error.summary)
        return None
    except OSError as error:
        findings.say("file-unreadable", name, f"it cannot be read: {error.strerror}")
        return None
    if listing.dumps(found) != data:
        findings.say("file-unreadable", name, "its lines are not sorted, or of another form")
    return found


def _shown(path: str) -> str:
    return visible.line(path[:_LONGEST])
