"""Which commands go on the stick, from the spec's patterns and what the go command says of them.

Pure: a source tree and the text of `go list` in, commands out.
"""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from orchestrator import device
from reproducibility.errors import ActionError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from orchestrator.spec import Source
    from reproducibility.manifest import Tree

# v2 and later; v0, v1 and v01 are no such suffixes.
_MAJOR_VERSION = re.compile(r"v(?:[2-9]|[1-9][0-9]+)")
LIST_FIELDS = "ImportPath,Name,Dir,Standard,DepOnly,GoFiles,IgnoredGoFiles,EmbedFiles,Error"


@dataclass(frozen=True)
class Listing:
    """What `go list -deps` says of a source's candidates for one architecture.

    `commands`: folders of main packages. `constrained`: candidates whose build constraints exclude
    the architecture. `imports`: import paths of all other packages that the commands need.
    `needed`: folders of those that lie in the module. Folders are relative to the module; with each
    come the files that its package embeds.
    """

    commands: Mapping[str, tuple[str, ...]]
    constrained: tuple[str, ...]
    imports: tuple[str, ...]
    needed: Mapping[str, tuple[str, ...]]


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
    folders = [name for name in folders if not _ignored(name)]
    selected: set[str] = set()
    for pattern in source.commands:
        matched = [name for name in folders if matches(name, pattern)]
        if not matched:
            raise InputError(
                f"the pattern {pattern!r} matches no folder with Go files in {source.module}",
                subject=f"source {source.module}, commands",
                remedy="give the folder of a command relative to the module, such as cmds/core/*",
            )
        selected.update(matched)
    for exclusion in source.exclude:
        matched = [name for name in folders if matches(name, exclusion.command)]
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


def matches(folder: str, pattern: str) -> bool:
    """Whether a folder matches a pattern: `*` within one part, a last `...` for all below."""
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


def parse_listing(text: str, module: str, asked: Sequence[str], where: str) -> Listing:
    """Read the output of `go list -e -deps -json=LIST_FIELDS`.

    `asked`: the candidates. `where`: the step, for messages.

    Raises:
        ActionError: a command or one of its dependencies cannot be loaded; the list is not whole.
    """
    base = f"/{device.source(module)}"
    constrained, imports = [], []
    answered: set[str] = set()
    commands: dict[str, tuple[str, ...]] = {}
    needed: dict[str, tuple[str, ...]] = {}
    for package in _documents(text):
        folder = package.get("Dir", "")
        relative = "." if folder == base else folder.removeprefix(base + "/")
        inside = folder == base or folder.startswith(base + "/")
        asked_for = inside and not package.get("DepOnly") and relative in asked
        if asked_for:
            answered.add(relative)
        if asked_for and not package.get("GoFiles") and package.get("IgnoredGoFiles"):
            constrained.append(relative)
            continue
        if "Error" in package:
            raise ActionError(
                f"{where}: the go command cannot load {package['ImportPath']}: "
                f"{package['Error'].get('Err', '').strip()}",
                subject=f"{module}, {relative}",
                remedy="exclude the command in the spec with a reason, or mend its source",
            )
        embedded = tuple(
            str(PurePosixPath(relative, name)) for name in package.get("EmbedFiles", ())
        )
        if package.get("Name") == "main":
            if asked_for:
                commands[relative] = embedded
        elif package["ImportPath"] != "unsafe":  # which has no code to compile
            imports.append(package["ImportPath"])
            if inside:
                needed[relative] = embedded
    unanswered = sorted(set(asked) - answered)
    if unanswered:
        raise ActionError(
            f"{where}: the go command's list says nothing of {unanswered[0]}",
            subject=f"{module}, {', '.join(unanswered)}",
            remedy="raise limits.log in the spec if the list was cut",
        )
    return Listing(commands, tuple(sorted(constrained)), tuple(sorted(imports)), needed)


def only(tree: Tree, folders: Mapping[str, tuple[str, ...]]) -> Tree:
    """A module's files that compiling some of its folders needs, and its module files.

    All files of a folder are kept, those of other architectures and tests too: the go command
    hashes their names into its index of the package.
    """
    wanted = {path for paths in folders.values() for path in paths}
    wanted |= {"go.mod", "go.sum", "vendor/modules.txt"}
    return tree.where(lambda entry: entry.path in wanted or _folder(entry.path) in folders)


def names(module: str, commands: Iterable[str]) -> dict[str, str]:
    """Command name -> package folder on the stick, as `go build` would name the program."""
    found: dict[str, str] = {}
    for folder in commands:
        place = device.source(module) if folder == "." else f"{device.source(module)}/{folder}"
        name = _program_name(place)
        if name in found:
            raise _collision(name, found[name], place)
        found[name] = place
    return found


def combine(parts: Sequence[Mapping[str, str]], prebuilt: Mapping[str, str]) -> dict[str, str]:
    """All commands of all sources by name.

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


def _ignored(folder: str) -> bool:
    """Folders that the go command's own patterns leave out."""
    return folder != "." and any(
        part in {"testdata", "vendor"} or part.startswith(("_", ".")) for part in folder.split("/")
    )


def _program_name(place: str) -> str:
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


def _documents(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ActionError("the go command's list of packages is not JSON") from error
        yield document
