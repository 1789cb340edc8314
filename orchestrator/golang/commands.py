"""Selects commands by the spec's patterns, and assigns their names on the stick.

Pure: a source tree in, candidates out. Which of them are commands says the go command: `listing`.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from orchestrator import device
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from orchestrator.spec.model import Source
    from reproducibility.manifest import Tree

# v2 and later; v0, v1 and v01 are no such suffixes.
_MAJOR_VERSION = re.compile(r"v(?:[2-9]|[1-9][0-9]+)")


def candidates(source: Source, tree: Tree, architecture: str) -> tuple[str, ...]:
    """Folders that a source's patterns select and its exclusions leave, relative to the module.

    Raises:
        InputError: a pattern or an exclusion matches no folder with Go files.
    """
    folders = sorted(
        {
            _folder(entry.path)
            for entry in tree.files()
            if entry.path.endswith(".go") and not entry.path.endswith("_test.go")
        }
    )
    selected: set[str] = set()
    for pattern in source.commands:
        matched = _matched(folders, pattern)
        if not matched:
            raise InputError(
                f"the pattern {pattern!r} matches no folder with Go files in {source.module}",
                subject=f"source {source.module}, commands",
                remedy="give the folder of a command relative to the module, such as cmds/core/*; "
                "a folder with a go.mod of its own is another module, for a [[source]] of its own",
            )
        selected.update(matched)
    for exclusion in source.exclusions:
        matched = _matched(folders, exclusion.command)
        if not matched:
            raise InputError(
                f"the exclusion {exclusion.command!r} matches no folder with Go files "
                f"in {source.module}",
                subject=f"source {source.module}, exclude",
                remedy="remove it from the spec, or correct its path",
            )
        if not exclusion.architectures or architecture in exclusion.architectures:
            selected.difference_update(matched)
    return tuple(sorted(selected))


def named(source: Source) -> frozenset[str]:
    """The folders that a source's patterns name in full, without a wildcard."""
    plain = (pattern.removeprefix("./") for pattern in source.commands)
    return frozenset(name for name in plain if not _is_wildcard(name))


def check_chosen(source: Source, folders: Sequence[str], dropped: Collection[str]) -> None:
    """Refuse a pattern of whose candidates the go command counts none to the module's packages.

    Raises:
        InputError: there is one.
    """
    for pattern in source.commands:
        matched = _matched(folders, pattern)
        if matched and all(name in dropped for name in matched):
            raise InputError(
                f"the go command takes nothing that the pattern {pattern!r} selects for a package "
                f"of {source.module}",
                subject=f"source {source.module}, commands",
                remedy="look at `ignore` in its go.mod, or name the folder in full",
            )


def prebuilt(binaries: Iterable[str]) -> dict[str, str]:
    """The programs of a stick by name, each with the folder of its source there.

    `binaries`: those of the toolchain.
    """
    found = {name: f"{device.source(device.USERLAND)}/cmd/{name}" for name in device.PREBUILT}
    return found | {name: f"go/src/cmd/{name}" for name in binaries}


def matches(folder: str, pattern: str) -> bool:
    """Return whether a folder matches: `*` within one part, a last `...` for all below."""
    clean = pattern.removeprefix("./")
    if clean == "...":
        return True
    if folder == ".":
        return clean == "."
    if clean.endswith("/..."):
        start = clean.removesuffix("/...")
        return folder == start or folder.startswith(start + "/")
    parts, wanted = folder.split("/"), clean.split("/")
    return len(parts) == len(wanted) and all(
        fnmatch.fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=True)
    )


def names(module: str, commands: Iterable[str]) -> dict[str, str]:
    """Command name -> package folder on the stick, as `go build` would name the program."""
    found: dict[str, str] = {}
    for folder in commands:
        place = device.source(module) if folder == "." else f"{device.source(module)}/{folder}"
        name = program_name(place)
        if name in found:
            raise _collision(name, found[name], place)
        found[name] = place
    return found


def combine(parts: Sequence[Mapping[str, str]], prebuilt: Mapping[str, str]) -> dict[str, str]:
    """Return all commands of all sources by name.

    `prebuilt`: name -> where it comes from.

    Raises:
        InputError: two commands have one name, or a command has that of a prebuilt program.
    """
    found: dict[str, str] = {}
    for part in parts:
        for name, place in part.items():
            if name in prebuilt:
                raise _collision(name, prebuilt[name], place)
            if name in found:
                raise _collision(name, found[name], place)
            found[name] = place
    return found


def batches(commands: Iterable[str], count: int) -> list[tuple[str, ...]]:
    """Commands in `count` groups that stay the same when others come or go."""
    groups: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(commands):
        groups[sum(name.encode()) % count].append(name)
    return [tuple(group) for group in groups]


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _matched(folders: Iterable[str], pattern: str) -> list[str]:
    """Return what a pattern selects; with wildcards, less what the go command's own leave out."""
    found = [name for name in folders if matches(name, pattern)]
    if _is_wildcard(pattern):
        return [name for name in found if not _ignored(name)]
    return [name for name in found if not name.startswith("vendor/")]


def _is_wildcard(pattern: str) -> bool:
    return pattern.endswith("...") or any(sign in pattern for sign in "*?[")


def _ignored(folder: str) -> bool:
    """Folders that the go command's own patterns leave out."""
    return folder != "." and any(
        part in {"testdata", "vendor"} or part.startswith(("_", ".")) for part in folder.split("/")
    )


def program_name(place: str) -> str:
    """Return what the go command names the program of a package's folder."""
    parts = place.split("/")
    # The go command names a program after the part before a major version suffix such as v2
    # (cmd/go/internal/load, DefaultExecName).
    if len(parts) > 1 and _MAJOR_VERSION.fullmatch(parts[-1]):
        return parts[-2]
    return parts[-1]


def _collision(name: str, first: str, second: str) -> InputError:
    return InputError(
        f"two programs have the name {name!r}: {first} and {second}",
        subject=f"{first} and {second}",
        remedy="exclude one of them in the spec, with a reason",
    )
