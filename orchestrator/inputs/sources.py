"""Checks when a lock is made that the spec's commands can be built and written to the stick.

The go command itself is asked about every command, for every architecture, under the device's own
settings; what it refuses there it would refuse after minutes of building, and on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.golang import commands, environment, listing
from orchestrator.image.fat import lint
from orchestrator.lock.file import LocalPath
from reproducibility import canonical, manifest
from reproducibility import digest as digests
from reproducibility.errors import ActionError, InputError
from reproducibility.manifest import Tree, file, merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.inputs.go_command import Described, GoCommand
    from orchestrator.inputs.transport import Store
    from orchestrator.lock.file import GoModule
    from orchestrator.spec.model import Source, Spec
    from reproducibility.digest import Digest

# The version of what is remembered; part of the key.
_FORMAT = 1
_KIND = "commands"


@dataclass(frozen=True)
class Sources:
    """The sources of a lock in the making.

    `pinned`: by name in the spec, `trees`: each with its dependencies. `files`: the spec's own, at
    their places. `binaries`: the toolchain's programs, and `release`: digest of the tree whose go
    command is asked.
    """

    spec: Spec
    pinned: Mapping[str, GoModule | LocalPath]
    trees: Mapping[str, Tree]
    files: Tree
    binaries: Sequence[str]
    release: Digest

    def check(self, store: Store, go: GoCommand) -> None:
        """Refuse what cannot be built for the stick, or not be written onto it.

        Raises:
            InputError: there is such a thing; says what, where, and what to do.
        """
        parts = [
            (source.module, self.trees[source.name].at(device.source(source.module)))
            for source in self.spec.sources
        ]
        parts.append(("the spec's files", self.files))
        prebuilt = commands.prebuilt(self.binaries)
        stubs: dict[str, bytes] = {}
        for architecture in self.spec.image.architectures:
            found = [
                commands.names(source.module, self._commands(source, architecture, store, go))
                for source in self.spec.sources
            ]
            for name, package in commands.combine(found, prebuilt).items():
                stub = device.stub(architecture, package)
                stubs[f"{device.folder(architecture)}/bin/{name}"] = stub
        made = Tree(file(path, digests.of_bytes(text), len(text)) for path, text in stubs.items())
        lint.check(merge([*parts, ("the commands", made)]), lambda entry: stubs[entry.path])

    def _commands(
        self, source: Source, architecture: str, store: Store, go: GoCommand
    ) -> tuple[str, ...]:
        """The folders of a source's commands. What the go command said once of a tree, it says."""
        folders = commands.candidates(source, self.trees[source.name], architecture)
        key = self._key(source, folders, architecture)
        known = (store.recall(_KIND, key) or {}).get("commands")
        # A record of another shape is none.
        if isinstance(known, list) and all(isinstance(folder, str) for folder in known):
            return tuple(known)
        found = self._asked(source, folders, architecture, go)
        store.remember(_KIND, key, {"commands": list(found)})
        return found

    def _asked(
        self, source: Source, folders: tuple[str, ...], architecture: str, go: GoCommand
    ) -> tuple[str, ...]:
        where = f"{source.module} for {architecture}"
        found: tuple[str, ...] = ()
        if folders:
            tree = self.trees[source.name]
            answer, base = go.answer(listing.arguments(folders), tree, architecture)
            if answer.status != 0:
                go.refuse_machines_fault(answer, where)
                words = answer.stderr.decode(errors="replace").replace(base, _place(source)).strip()
                raise self._refused(source, f"the go command refuses {where}: {words}", "")
            try:
                listed = listing.parse(
                    answer.stdout.decode(errors="replace"),
                    source.module,
                    folders,
                    where,
                    named=commands.named(source),
                    base=base,
                )
            except ActionError as error:
                raise self._refused(source, error.summary, error.subject) from error
            commands.check_chosen(source, folders, listed.dropped)
            found = tuple(sorted(listed.commands))
        if not found:
            raise InputError(
                f"no command of {source.module} can be built for {architecture}",
                subject=f"source {source.module}, commands",
                remedy="correct the patterns, or remove the source",
            )
        return found

    def _refused(self, source: Source, summary: str, subject: str) -> InputError:
        """Return what the go command says cannot be built, and what to do about it."""
        pinned = self.pinned[source.name]
        remedy = "exclude the command in the spec with a reason, or "
        remedy += "mend its source" if source.path else "take another version of the module"
        as_it_was = isinstance(pinned, LocalPath) and pinned.vendored == pinned.tree
        if "requires go >=" in summary:
            remedy = "take a newer Go (go.version in the spec), or an older version of the module"
        elif as_it_was and "vendor" in summary:
            remedy = (
                f"run `go mod vendor` in {source.path}, or remove its folder vendor: "
                "`orchestrate lock` then makes one"
            )
        return InputError(summary, subject=subject or _place(source), remedy=remedy)

    def _key(self, source: Source, folders: tuple[str, ...], architecture: str) -> Digest:
        asked = {
            "format": _FORMAT,
            "module": source.module,
            "tree": str(self.trees[source.name].digest),
            "go": str(self.release),
            "arguments": listing.arguments(folders),
            "named": sorted(commands.named(source)),
            "patterns": source.commands,
            "environment": environment.settings(architecture),
        }
        return digests.of_bytes(canonical.dumps(asked))


def nested(described: Described, source: Source, *, own: bool) -> tuple[str, ...]:
    """The folders that a local module's go.mod puts in the place of published modules.

    `described`: go.mod as `go mod edit -json` reads it. `own`: the module brings its dependencies
    along in `vendor/`, so that the folders are not needed.

    Raises:
        InputError: a folder that a required module is replaced with lies outside of the module.
    """
    required = {one.path for one in described.require or ()}
    found = set()
    for one in () if own else described.replace or ():
        place = one.new.path
        if one.new.version:
            continue
        inside = None if place.startswith("/") else listing.joined(".", place)
        if inside:
            found.add(inside)
        elif inside is None and (place.startswith("/") or one.old.path in required):
            raise InputError(
                f"go.mod in {source.path} replaces {one.old.path} with {place}, which lies "
                "outside of the module",
                subject=f"source {source.name}",
                remedy=f"run `go mod vendor` in {source.path}: what lies in its folder vendor is "
                "taken as it is; or move that folder into the module's, or require a published "
                "version",
            )
    return tuple(sorted(found))


def described(local: LocalPath, source: Source, store: Store, go: GoCommand) -> Described:
    """Return what the go.mod of a local source says; it must be that of the spec's module.

    Raises:
        InputError: it is another's, or there is none.
    """
    entry = store.load_tree(local.tree).get("go.mod")
    if entry is None:
        raise InputError(
            f"{source.path} is no Go module: it has no go.mod", subject=f"source {source.name}"
        )
    where = f"{source.path}/go.mod"
    found = go.describe(where, store.path(entry).read_bytes())
    if found.module is None or found.module.path != source.module:
        raise InputError(
            f"go.mod in {source.path} does not say `module {source.module}`",
            subject=f"source {source.name}",
            remedy="correct the key module in the spec",
        )
    return found


def _place(source: Source) -> str:
    return source.path or f"{source.module}@{source.version}"


def check_count(trees: Iterable[Tree]) -> None:
    """Compare what the root is made of with what it can hold.

    Raises:
        InputError: together, the sources and files of the spec are too many.
    """
    if sum(map(len, trees)) > manifest.MOST_ENTRIES:
        error = manifest.too_many()
        error.subject = "the sources and files of the spec, all together"
        raise error
