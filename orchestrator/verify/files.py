"""Accounts for every file of a folder: what lies there, its digests, and whether something names it.

Both lists of sums must name every file but themselves, and each file must be what both say. Where
only one of them disagrees with a file, that list is at fault, and is named.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from orchestrator.artifacts import fingerprint
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
_LONGEST = 400
_LINE = re.compile(r"([0-9a-f]{64})  ([^\x00-\x1f\x7f]{1,400})")


def measured(folder: Path, findings: Findings) -> dict[str, Measured]:
    """Every plain file of the folder by its path, sorted.

    What is no plain file, or lies in a folder where nothing belongs, is a finding.

    Raises:
        InputError: there is no such folder, or it holds more than a build leaves.
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
        try:
            listing = os.scandir(place)
        except OSError as error:
            if prefix:
                continue
            raise InputError(
                f"there is no finished build: {error.strerror}",
                subject=str(folder),
                remedy="name the output folder of a build",
            ) from error
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
    told = {name: _lines(folder, name, files, findings) for name in SUMS}
    sha256, blake3 = (told[name] for name in SUMS)
    for path in sorted({*sha256, *blake3, *files} - {*SUMS}):
        here = files.get(path)
        naming = [name for name in SUMS if path in told[name]]
        if here is None:
            _absent(path, naming, findings)
        elif not naming:
            findings.say("file-unnamed", _shown(path), "neither list of sums names it")
        else:
            right = {
                SHA256SUMS: sha256.get(path) == here.sha256,
                B3SUMS: blake3.get(path) == here.blake3,
            }
            _judge(path, right, naming, findings)
    for name in SUMS:
        for wrong in sorted({*SUMS} & told[name].keys()):
            findings.say("file-unreadable", name, f"it names {wrong}, a list of sums")


def _absent(path: str, naming: list[str], findings: Findings) -> None:
    if len(naming) == len(SUMS):
        findings.say("file-missing", _shown(path), "both lists of sums name it")
    else:
        reason = f"it names {_shown(path)}, which is not there and which no other list names"
        findings.say("file-unreadable", naming[0], reason)


def _judge(path: str, right: Mapping[str, bool], naming: list[str], findings: Findings) -> None:
    wrong = [name for name in SUMS if not right[name]]
    if not wrong:
        return
    if len(wrong) == len(SUMS):
        reason = f"it is not the file that {' and '.join(naming)} name"
        findings.say("file-differs", _shown(path), reason)
    elif wrong[0] in naming:
        reason = f"its line for {_shown(path)} is not what that file and the other list say"
        findings.say("file-differs", wrong[0], reason)
    else:
        findings.say("file-differs", wrong[0], f"it does not name {_shown(path)}")


def _lines(
    folder: Path, name: str, files: Mapping[str, Measured], findings: Findings
) -> dict[str, str]:
    """Path -> digits, of a list of sums; sorted lines of 64 digits, two spaces and a path."""
    if name not in files:
        findings.say("file-missing", name, "a finished folder has it")
        return {}
    try:
        text = regular.read(folder / name, follow=False).decode()
    except (OSError, ValueError):
        findings.say("file-unreadable", name, "it is no list of sums in UTF-8")
        return {}
    lines = text.split("\n")
    found: dict[str, str] = {}
    if lines.pop():
        findings.say("file-unreadable", name, "its last line has no end")
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            findings.say("file-unreadable", name, f"line {number} is no sum of a further file")
        else:
            found[match[2]] = match[1]
    if list(found) != sorted(found):
        findings.say("file-unreadable", name, "its lines are not sorted by path")
    return found


def _shown(path: str) -> str:
    return visible.line(path[:_LONGEST])
