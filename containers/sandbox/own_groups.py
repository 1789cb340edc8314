"""Finds the cgroups of this process, and how much memory their limits leave."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNTS = Path("/proc/self/mountinfo")
OWN = Path("/proc/self/cgroup")
# Of a line of mountinfo: proc_pid_mountinfo(5).
_ROOT, _MOUNTED_AT = 3, 4
_UNIFIED = ""
# By version: the limit, what is in use, and what of that is the least recently used of file
# contents, which the kernel gives back before anything else.
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def of_version_2(mounts: Path = MOUNTS, own: Path = OWN) -> Path | None:
    """The folder of this process's group in the version 2 tree."""
    return next((group for group, _ in _unified(mounts, own)), None)


def of_version_1(mounts: Path = MOUNTS, own: Path = OWN) -> dict[str, Path]:
    """The folders of this process's groups, by controller."""
    return {controller: group for controller, group, _ in _legacy(mounts, own)}


def memory_left(mounts: Path = MOUNTS, own: Path = OWN) -> Iterator[int]:
    """Bytes that each limit on memory leaves: of the own groups, and of those seen above them."""
    for group, top in _unified(mounts, own):
        yield from _left(group, top, 2)
    for controller, group, top in _legacy(mounts, own):
        if controller == "memory":
            yield from _left(group, top, 1)


def _left(group: Path, top: Path, version: int) -> Iterator[int]:
    limit, used, inactive = _FILES[version]
    for folder in (group, *group.parents):
        # Not a number, or no such file: no limit.
        with suppress(OSError, ValueError):
            allowed = int((folder / limit).read_text("ascii"))
            taken = int((folder / used).read_text("ascii"))
            yield max(0, allowed - max(0, taken - _statistic(folder / "memory.stat", inactive)))
        if folder == top:
            break


def _statistic(file: Path, wanted: str) -> int:
    with suppress(OSError, ValueError):
        for line in _lines(file):
            name, _, value = line.partition(" ")
            if name == wanted:
                return int(value)
    return 0


def _unified(mounts: Path, own: Path) -> Iterator[tuple[Path, Path]]:
    """The group in the version 2 tree, and the topmost one that is seen."""
    with suppress(OSError):
        path = _paths(own).get(_UNIFIED, "")
        for place, root, _ in _mounted(mounts, "cgroup2"):
            group = _below(place, root, path)
            if group is not None:
                yield group, place
            break


def _legacy(mounts: Path, own: Path) -> Iterator[tuple[str, Path, Path]]:
    """Each controller of version 1, the group there, and the topmost one that is seen."""
    with suppress(OSError):
        paths = _paths(own)
        for place, root, options in _mounted(mounts, "cgroup"):
            for controller in options:
                group = _below(place, root, paths.get(controller, ""))
                if group is not None:
                    yield controller, group, place


def _below(place: Path, root: str, path: str) -> Path | None:
    if not path:
        return None
    group = place / os.path.relpath(path, root)
    return group if group.is_dir() else None


def _paths(own: Path) -> dict[str, str]:
    """The paths of groups by controller: proc_pid_cgroup(5)."""
    found: dict[str, str] = {}
    for line in _lines(own):
        _, _, rest = line.partition(":")
        names, colon, path = rest.partition(":")
        if colon:
            found.update(dict.fromkeys(names.split(","), path))
    return found


def _mounted(mounts: Path, kind: str) -> Iterator[tuple[Path, str, list[str]]]:
    """Return the mounts of file systems of a kind: place, folder of theirs, options."""
    for line in _lines(mounts):
        fields, _, rest = line.partition(" - ")
        parts, words = fields.split(" "), rest.split(" ")
        if words[0] == kind and len(parts) > _MOUNTED_AT and parts[_ROOT]:
            yield Path(parts[_MOUNTED_AT]), parts[_ROOT], words[-1].split(",")


def _lines(file: Path) -> list[str]:
    # Names of groups and of places are bytes, which need not be UTF-8, or hold no line separator.
    return file.read_text("utf-8", "surrogateescape").split("\n")
