"""Decides which files of a person's folder are content (golang.org/x/mod/zip for modules).

A module's folder holds what `go mod download` would get of it if it were published
(golang.org/x/mod/zip), with its folder `vendor`, which counts here. Any other folder holds all its
files but version control's own, and may hold no links. What a project makes itself (spec, lock,
store, output folders, bundles, nights) is never content, wherever it lies: the first three by their
paths, and all but the spec by what lies there, since whoever locks need not know where a build will
put its output, where a bundle lies or where nights are kept.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.artifacts import output_directory
from orchestrator.history.header import keeps_nights
from orchestrator.inputs import bundle_header
from orchestrator.lock import file as lock
from orchestrator.store import store
from reproducibility import manifest, regular, visible
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Version control keeps its own data beside the files; it is no part of them. `.git` is a file in a
# further work tree.
_VERSION_CONTROL = frozenset({".bzr", ".git", ".hg", ".jj", ".svn"})
# golang.org/x/mod/zip: MaxZipFile, MaxGoMod, MaxLICENSE
_LARGEST_MODULE = 500 << 20
_LARGEST_TEXT = 16 << 20
# golang.org/x/mod/module: fileNameOK, badWindowsNames
_PLAIN = frozenset("!#$%&()+,-.=@[]^_{}~ ")
_WINDOWS = re.compile(r"(?:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:\.|$)", re.IGNORECASE)
_REMEDY = "rename it, or leave it out with `exclude` in the spec"


@dataclass(frozen=True)
class Rules:
    """Rules on what is content. `module`: the folder is a module's.

    `exclude`: patterns of what the person leaves out. `nested`: folders with a module of their own
    that count all the same, because the module's go.mod replaces modules with them. `own`: files
    and folders of the project's own making, absolute, links resolved.
    """

    module: bool = False
    exclude: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    own: frozenset[Path] = frozenset()


@dataclass
class Content:
    """Content of a folder: files and empty folders, by their paths in it.

    `omitted`: what of a module's folder was passed over because it is no plain file.
    """

    files: dict[str, os.stat_result] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)


def of_folder(folder: Path, rules: Rules) -> Content:
    """Walk a folder.

    Raises:
        InputError: a module's folder holds what no module archive can, another one links.
        OSError: something cannot be read.
    """
    found = Content()
    waiting = [""]
    place = Path(os.path.realpath(folder))
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as listing:
            children = list(listing)
        if not children and inside and not rules.module:
            found.empty.append(inside)
        for child in children:
            path = f"{inside}/{child.name}" if inside else child.name
            if not _counts(path, place / path, rules):
                continue
            status = child.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                if not _is_made(Path(child.path)) and not _is_nested(path, Path(child.path), rules):
                    waiting.append(path)
            elif not stat.S_ISREG(status.st_mode):
                _refuse_irregular(path, rules)
                kind = "a link" if stat.S_ISLNK(status.st_mode) else "neither a file nor a folder"
                found.omitted.append(f"{path} ({kind})")
            elif not (rules.module and _is_vendored_below(path)) and not _is_own_file(child):
                found.files[path] = status
    found.omitted.sort()
    if rules.module:
        _check_module(found.files)
    return found


def refuse_names(folder: Path, found: Content) -> None:
    """Refuse names that no tree can hold.

    Raises:
        InputError: there is one.
    """
    for path in (*found.files, *found.empty):
        wrong = manifest.complaint(path)
        if wrong:
            raise InputError(wrong, subject=visible.line(str(folder / path)), remedy=_REMEDY)


def excludes(patterns: Iterable[str], path: str) -> bool:
    """Return whether a pattern leaves a path out, by itself or by a folder above it.

    A pattern with `/` is a path in the folder, one without is a name anywhere in it; `*` and `?`
    stay within one part. A folder goes with all that is in it.
    """
    parts = path.split("/")
    return any(_excludes(_clean(pattern), parts) for pattern in patterns)


def _excludes(pattern: str, parts: list[str]) -> bool:
    wanted = pattern.split("/")
    if len(wanted) == 1 and not pattern.startswith("/"):
        return any(fnmatch.fnmatchcase(part, pattern) for part in parts)
    return len(parts) >= len(wanted) and all(
        fnmatch.fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=False)
    )


def _clean(pattern: str) -> str:
    for end in ("/...", "/**"):
        if pattern.endswith(end):
            # With what it says of the place kept: docs/... is the docs at the top.
            return f"{pattern.removeprefix('./').removesuffix(end)}/*"
    return pattern.removeprefix("./").rstrip("/")


def _counts(path: str, place: Path, rules: Rules) -> bool:
    name = path.rpartition("/")[2]
    if name in _VERSION_CONTROL or output_directory.is_unfinished(name):
        return False
    if rules.module and path == ".hg_archival.txt":
        return False
    return place not in rules.own and not excludes(rules.exclude, path)


def _is_made(place: Path) -> bool:
    """Return whether a folder is what a build leaves or was interrupted in, a store, or nights'."""
    return (
        output_directory.is_result(place / output_directory.RESULT)
        or output_directory.unfinished(place)
        or store.is_store(place)
        or keeps_nights(place)
    )


def _is_own_file(child: os.DirEntry[str]) -> bool:
    """Return whether a file is a lock, under whatever name, or a bundle.

    Two specs in one folder would pin each other's locks without end.
    """
    with regular.opened(child.path, follow=False) as stream:
        head = stream.read(len(lock.MAGIC))
        if not head.startswith(bundle_header.MAGIC):
            return head == lock.MAGIC
        stream.seek(0)
        return bundle_header.is_bundle(stream)


def _is_nested(path: str, place: Path, rules: Rules) -> bool:
    """Return whether a folder of a module is another module's."""
    if not rules.module or any(f"{kept}/".startswith(f"{path}/") for kept in rules.nested):
        return False
    try:
        return not stat.S_ISDIR((place / "go.mod").lstat().st_mode)
    except OSError:
        return False


def _refuse_irregular(path: str, rules: Rules) -> None:
    """A module's archive goes without links; of a folder of files one would be missed."""
    if not rules.module:
        raise InputError(
            "neither a file nor a directory; a tree can hold no links, devices or sockets",
            subject=path,
            remedy="put the file itself there, or leave it out with `exclude` in the spec",
        )


def _is_vendored_below(path: str) -> bool:
    """Return whether a file lies in a package below a `vendor` that is not the module's own."""
    if path.startswith("vendor/"):
        return False
    return "/" in path.partition("/vendor/")[2]


def _check_module(files: dict[str, os.stat_result]) -> None:
    own = {path: found for path, found in files.items() if not path.startswith("vendor/")}
    for path in sorted(own):
        complaint = _complaint(path)
        if complaint:
            raise InputError(
                f"a module's archive cannot hold {path}: {complaint}", subject=path, remedy=_REMEDY
            )
        if path in {"go.mod", "LICENSE"} and own[path].st_size > _LARGEST_TEXT:
            raise InputError(f"{path} is larger than {_LARGEST_TEXT} bytes", subject=path)
    size = sum(found.st_size for found in own.values())
    if size > _LARGEST_MODULE:
        largest = max(own, key=lambda path: own[path].st_size)
        raise InputError(
            f"the module has {size} bytes, an archive of one at most {_LARGEST_MODULE}",
            subject=f"the largest file is {largest}",
            remedy="leave out what no command needs with `exclude` in the spec",
        )


def _complaint(path: str) -> str:
    """Return why a module's archive cannot hold a path; empty if it can."""
    if path.lower() == "go.mod" and path != "go.mod":
        return "the name is written go.mod"
    for part in path.split("/"):
        bad = sorted({sign for sign in part if not _is_plain(sign)})
        if bad:
            return f"{bad[0]!r} in a file name"
        if part.endswith("."):
            return "a name that ends in a dot"
        if _WINDOWS.match(part):
            return "a name that Windows keeps for a device"
    return ""


def _is_plain(sign: str) -> bool:
    return (
        (sign.isascii() and sign.isalnum())
        or sign in _PLAIN
        or (not sign.isascii() and sign.isalpha())
    )
