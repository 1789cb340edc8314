"""Parses `go list -deps`: which candidates of a source are commands, and what they import.

Pure: the go command's text in, a listing out. Which folders are asked about is in `commands`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from orchestrator import device
from reproducibility.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from reproducibility.manifest import Entry, Tree

_FIELDS = (
    "ImportPath,Name,Dir,Match,Imports,ImportMap,GoFiles,IgnoredGoFiles,EmbedFiles,SFiles,Error"
)
# What the go command takes for this module's packages: nothing in nested modules, in folders that
# go.mod ignores, in testdata and the like.
_EVERYTHING = "./..."
# cmd/asm/internal/lex: the name is looked for beside the file that the assembler was started with.
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]+"([^"\n]+)"', re.MULTILINE)


class _Fault(BaseModel):
    """Error for which a package cannot be loaded."""

    place: str | None = Field(default=None, alias="Pos")
    words: str | None = Field(default=None, alias="Err")


_Texts = tuple[str, ...] | None


class _Package(BaseModel):
    """A package in the output of `go list -json` (cmd/go/internal/load, PackagePublic)."""

    path: str = Field(alias="ImportPath")
    name: str = Field(default="", alias="Name")
    folder: str = Field(default="", alias="Dir")
    match: _Texts = Field(default=None, alias="Match")
    imports: _Texts = Field(default=None, alias="Imports")
    renamed: dict[str, str] | None = Field(default=None, alias="ImportMap")
    sources: _Texts = Field(default=None, alias="GoFiles")
    ignored: _Texts = Field(default=None, alias="IgnoredGoFiles")
    embedded: _Texts = Field(default=None, alias="EmbedFiles")
    assembly: _Texts = Field(default=None, alias="SFiles")
    fault: _Fault | None = Field(default=None, alias="Error")


@dataclass(frozen=True)
class Listing:
    """Parsed output of `go list -deps` on a source's candidates, for one architecture.

    `commands`: folders of main packages. `constrained`: candidates whose build constraints exclude
    the architecture. `dropped`: candidates that the go command does not count to the module's
    packages, and that no pattern names. `imports`: import paths of all other packages that the
    commands need. `needed`: folders of those that lie in the module. `assembly`: the assembler
    sources of commands and needed folders. Folders are relative to the module; with each come the
    files that its package embeds.
    """

    commands: Mapping[str, tuple[str, ...]]
    constrained: tuple[str, ...]
    imports: tuple[str, ...]
    needed: Mapping[str, tuple[str, ...]]
    dropped: tuple[str, ...] = ()
    assembly: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def arguments(folders: Sequence[str]) -> tuple[str, ...]:
    """The go command's arguments that ask about candidates, in the module's folder."""
    asked = [f"./{folder}" for folder in folders]
    return ("list", "-e", "-deps", f"-json={_FIELDS}", *asked, _EVERYTHING)


def parse(  # noqa: PLR0913 - the text, and what it is about
    text: str,
    module: str,
    asked: Sequence[str],
    where: str,
    *,
    named: Collection[str] = (),
    base: str = "",
) -> Listing:
    """Read what the go command answers to `arguments`.

    `asked`: the candidates; `named`: those of them that a pattern names in full, which count even
    where the go command's own patterns would leave them out. `where`: the step, for messages.
    `base`: the module's folder, by default as on the device.

    Raises:
        ActionError: a command or one of its dependencies cannot be loaded; the list is not whole.
    """
    base = base or f"/{device.source(module)}"
    packages = {found.path: found for found in _packages(text)}
    chosen: dict[str, _Package] = {}
    constrained, dropped = [], []
    for package in packages.values():
        match = package.match or ()
        for folder in (name.removeprefix("./") for name in match if name != _EVERYTHING):
            if not package.sources and package.ignored:
                constrained.append(folder)
            elif _EVERYTHING in match or folder in named:
                chosen[folder] = package
            else:
                dropped.append(folder)
    unanswered = sorted({*asked} - {*chosen, *constrained, *dropped})
    if unanswered:
        raise _cut(module, where, unanswered)
    commands: dict[str, tuple[str, ...]] = {}
    needed: dict[str, tuple[str, ...]] = {}
    assembly: dict[str, tuple[str, ...]] = {}
    imports = []
    own = {package.path: folder for folder, package in chosen.items()}
    for package in _closure(packages, own, module, where, base):
        path, folder = package.path, package.folder
        inside = folder == base or folder.startswith(f"{base}/")
        relative = "." if folder == base else folder.removeprefix(f"{base}/")
        main = package.name == "main"
        if not main and path != "unsafe":  # which has no code to compile
            imports.append(path)
        if inside and (path in own or not main):
            (commands if main else needed)[relative] = _below(relative, package.embedded)
            if package.assembly:
                assembly[relative] = _below(relative, package.assembly)
    return Listing(
        commands,
        tuple(sorted(constrained)),
        tuple(sorted(imports)),
        needed,
        tuple(sorted(dropped)),
        assembly,
    )


def only(
    tree: Tree,
    folders: Mapping[str, tuple[str, ...]],
    listing: Listing,
    read: Callable[[Entry], bytes],
) -> Tree:
    """A module's files that compiling some of its folders needs, and its module files.

    `folders`: each with the files that it embeds. `read`: gives a file's bytes.

    All files of a folder are kept, those of other architectures and tests too: the go command
    hashes their names into its index of the package. Assembler sources can include any file of the
    module, wherever it lies.
    """
    wanted = {path for paths in folders.values() for path in paths}
    wanted |= {"go.mod", "go.sum", "vendor/modules.txt"}
    for folder in folders:
        for source in listing.assembly.get(folder, ()):
            wanted |= _included(tree, folder, source, read)
    return tree.where(
        lambda entry: entry.path in wanted or (entry.path.rpartition("/")[0] or ".") in folders
    )


def _included(tree: Tree, folder: str, source: str, read: Callable[[Entry], bytes]) -> set[str]:
    """Return what an assembler source includes, recursively, as far as the module has it."""
    found: set[str] = set()
    waiting = [source]
    while waiting:
        entry = tree.get(waiting.pop())
        if entry is None or entry.path in found:
            continue
        found.add(entry.path)
        for name in _INCLUDE.findall(read(entry)):
            path = joined(folder, name.decode(errors="replace"))
            if path is not None:
                waiting.append(path)
    return found


def joined(folder: str, name: str) -> str | None:
    """A path relative to a folder of the module, as one relative to the module; None outside."""
    parts: list[str] = []
    for part in [*folder.split("/"), *name.split("/")]:
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _closure(
    packages: Mapping[str, _Package],
    chosen: Mapping[str, str],
    module: str,
    where: str,
    base: str,
) -> Iterator[_Package]:
    """The chosen packages and all that they import, each once, in the order of the list."""
    seen: set[str] = set()
    # What the linker adds to every program (cmd/go/internal/load, LinkerDeps).
    waiting = [*chosen, *(name for name in ("runtime",) if chosen and name in packages)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        package = packages.get(path)
        if package is None:
            raise _cut(module, where, [path])
        if package.fault is not None:
            told = ((part or "").strip() for part in (package.fault.place, package.fault.words))
            words = ": ".join(filter(None, told)).replace(f"{base}/", "")
            raise ActionError(
                f"{where}: the go command cannot load {path}: {words}",
                subject=f"{module}, {chosen.get(path) or path}",
                remedy="exclude the command in the spec with a reason, or mend its source",
            )
        renamed = package.renamed or {}
        imported = (renamed.get(name, name) for name in package.imports or ())
        waiting += [name for name in imported if name != "C"]
    return (package for path, package in packages.items() if path in seen)


def _cut(module: str, where: str, missing: Sequence[str]) -> ActionError:
    return ActionError(
        f"{where}: the go command's list says nothing of {missing[0]}",
        subject=f"{module}, {', '.join(missing)}",
        remedy="raise limits.log in the spec if the list was cut",
    )


def _below(folder: str, names: _Texts) -> tuple[str, ...]:
    return tuple(str(PurePosixPath(folder, name)) for name in names or ())


def _packages(text: str) -> Iterator[_Package]:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            document, at = decoder.raw_decode(text, at)
            yield _Package.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ActionError(
                f"the go command's list of packages is not understood: {where}: {first['msg']}"
            ) from error
        except (RecursionError, ValueError) as error:
            raise ActionError("the go command's list of packages is not JSON") from error
