"""Checks a tree for what VFAT cannot hold, before anything is written.

Two names that VFAT takes for one, names and sizes beyond its limits, and stub lines that the
kernel would cut without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.image import folders
from orchestrator.image.fat import names, records
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from orchestrator.image.folders import Folder
    from reproducibility.manifest import Entry, Tree

MAX_FILE = (1 << 32) - 1
# fatgen103: a long path has at most 260 characters, the first backslash and the final zero
# included; Windows' MAX_PATH is the same.
MAX_PATH = 258
# The kernel reads 256 bytes of a script (BINPRM_BUF_SIZE, fs/binfmt_script.c); what a longer line
# names is cut.
STUB_HEAD = 256
_STUB_MAX_FILE = 4096
_COMMAND = re.compile(r"linux_[^/]+/bin/")
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule`: a short name. `paths`: the path, or the two that collide. `reason`: a sentence."""

    rule: str
    paths: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{' and '.join(self.paths)}: {self.reason}"


def check(tree: Tree, head: Callable[[Entry], bytes] | None = None) -> None:
    """Lint a tree. `head`: the first 256 bytes of a file; without it stub lines are not looked at.

    Raises:
        InputError: there is a finding; the first ones are in the message, and how many there are.
    """
    refuse([*find(folders.of(tree)), *(stubs(tree, head) if head else ())])


def findings(tree: Tree, head: Callable[[Entry], bytes] | None = None) -> tuple[Finding, ...]:
    """Return all findings, by folder and name; see `check`."""
    return (*find(folders.of(tree)), *(stubs(tree, head) if head else ()))


def refuse(found: list[Finding]) -> None:
    """Turn findings into one error.

    Raises:
        InputError: there is a finding.
    """
    if not found:
        return
    shown = [f"  {finding}" for finding in found[:_SHOWN]]
    if len(found) > _SHOWN:
        shown.append(f"  and {len(found) - _SHOWN} more")
    raise InputError(
        "\n".join([f"the root cannot be a VFAT file system, {len(found)} finding(s):", *shown]),
        subject=found[0].paths[0],
        remedy="rename the files, leave them out, or give them another destination in the spec",
    )


def find(tree: Mapping[str, Folder]) -> Iterator[Finding]:
    """The findings that need no file's content. `tree`: as `folders.of` gives it."""
    complaints: dict[str, str] = {}
    for folder in tree.values():
        yield from _names(folder, complaints)
        yield from _collisions(folder)
        yield from _entries(folder)


def _names(folder: Folder, complaints: dict[str, str]) -> Iterator[Finding]:
    # The longest child decides whether any path can be too long; a character has at most two units.
    longest = max(map(len, folder.children), default=0)
    near = 2 * (len(folder.path) + 1 + longest) > MAX_PATH
    for name, entry in folder.children.items():
        complaint = complaints.get(name)
        if complaint is None:
            complaint = complaints[name] = names.complaint(name)
        if complaint:
            yield Finding("name", (folder.at(name),), complaint)
        if near and (length := names.units(folder.at(name))) > MAX_PATH:
            reason = f"the path has {length} UTF-16 units, FAT allows {MAX_PATH}"
            yield Finding("path length", (folder.at(name),), reason)
        if entry is not None and entry.size > MAX_FILE:
            reason = f"the file has {entry.size} bytes, FAT allows {MAX_FILE}"
            yield Finding("file size", (folder.at(name),), reason)


def _collisions(folder: Folder) -> Iterator[Finding]:
    folded = names.all_folded(list(folder.children))
    if len(set(folded)) == len(folded):
        return
    seen: dict[str, str] = {}
    for name, upper in zip(folder.children, folded, strict=True):
        first = seen.setdefault(upper, name)
        if first != name:
            paths = (folder.at(first), folder.at(name))
            yield Finding("collision", paths, "VFAT does not tell upper from lower case")


def _entries(folder: Folder) -> Iterator[Finding]:
    # No name takes more than 21 entries: most folders need no counting.
    if len(folder.children) * 21 < records.MAX_PER_DIRECTORY:
        return
    count = entries(folder)
    if count > records.MAX_PER_DIRECTORY:
        reason = (
            f"the {len(folder.children)} names in this folder take {count} directory entries, "
            f"FAT allows {records.MAX_PER_DIRECTORY}"
        )
        yield Finding("directory size", (folder.path or "/",), reason)


def entries(folder: Folder) -> int:
    """32-byte entries of a folder: its names, and the label (root) or `.` and `..` (others)."""
    return sum(map(names.slots, folder.children)) + (2 if folder.path else 1)


def stubs(tree: Tree, head: Callable[[Entry], bytes]) -> Iterator[Finding]:
    """The commands whose `#!` line is longer than the kernel reads; see `check`."""
    for entry in tree.files():
        if entry.size < STUB_HEAD or entry.size >= _STUB_MAX_FILE or not _COMMAND.match(entry.path):
            continue
        start = head(entry)[:STUB_HEAD]
        if start.startswith(b"#!") and b"\n" not in start:
            reason = f"the #! line is longer than the {STUB_HEAD - 1} bytes that the kernel reads"
            yield Finding("stub line", (entry.path,), reason)
