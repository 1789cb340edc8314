"""Checks of the sources: their files against what the public log recorded of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.inputs import unpack
from orchestrator.lock import logged
from orchestrator.lock.model import Absent
from reproducibility.codes import LOG, SOURCE
from reproducibility.compare import Check, Difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.golang.module_hash import ModuleHashes
    from orchestrator.lock.file import GoModule, Lock
    from orchestrator.store import Store
    from reproducibility.compare import CheckKind
    from reproducibility.manifest import Tree

_SHOWN = 8
_VENDOR = "vendor/"
# What a spec's `replace` goes into, and what it brings.
_REPLACED = frozenset({"go.mod", "go.sum"})


def expected(lock: Lock) -> list[tuple[CheckKind, str]]:
    """(kind, subject) of the checks of every source that is a module."""
    found: list[tuple[CheckKind, str]] = []
    for pinned in logged.sources(lock):
        subject = logged.subject(pinned)
        found.append((SOURCE, subject))
        if not isinstance(pinned.log, Absent):
            found.append((LOG, subject))
    return found


def checks(
    lock: Lock, vendored: Mapping[str, Tree], store: Store, hashes: ModuleHashes
) -> list[Check]:
    """The checks of every source that is a module.

    `vendored`: by the source's name, its tree with its dependencies, as it goes on the stick.

    Raises:
        DamagedBlob: a file of one is missing or damaged.
    """
    found = []
    for pinned in logged.sources(lock):
        said = logged.source(pinned)
        if said.check is not None:
            found.append(said.check)
        if said.absence:
            reason = f"the public log has no record: {said.absence}"
            found.append(Check(SOURCE["absent-record"], logged.subject(pinned), reason))
        elif said.h1:
            found.append(_published(pinned, said.h1, vendored[pinned.name], store, hashes))
    return found


def _published(
    pinned: GoModule, recorded: str, vendored: Tree, store: Store, hashes: ModuleHashes
) -> Check:
    """Hold the module's files, and those of them on the stick, against the log's record."""
    subject = logged.subject(pinned)
    tree = _tree(pinned, store)
    if tree is None:
        reason = "the store has neither the module's zip nor its files; `orchestrate fetch` gets it"
        return Check(SOURCE["not-at-hand"], subject, reason)
    computed = hashes.of(tree, pinned.module, pinned.version)
    if computed != recorded:
        hashes.refuse_damage(tree)
        reason = f"the files give {computed}, the log has {recorded}"
        differs = (Difference("", "h1", computed, recorded),)
        return Check(SOURCE["other-hash"], subject, reason, differs)
    left_out = _left_out(pinned)
    differing = _differing(tree, vendored, left_out, hashes)
    if differing:
        hashes.refuse_damage(vendored)
        shown = ", ".join(difference.path for difference in differing[:_SHOWN])
        reason = f"{len(differing)} files on the stick are not the published ones: {shown}"
        return Check(SOURCE["differs"], subject, reason, differing)
    reason = (
        f"the module hash of the files is the recorded one, {recorded}, and they are those on the "
        f"stick; not compared: {'; '.join(left_out.values())}"
    )
    return Check(SOURCE["same"], subject, reason)


def _tree(pinned: GoModule, store: Store) -> Tree | None:
    """The module's files, from the store's tree or else from its zip; None where both are gone."""
    if store.has(pinned.tree):
        tree = store.load_tree(pinned.tree)
        if store.holds(tree):
            return tree
    if not store.has(pinned.blake3):
        return None
    prefix = f"{logged.subject(pinned)}/"
    tree = unpack.zip_tree(
        store.blob(pinned.blake3),
        store,
        place=lambda name: name.removeprefix(prefix),
        executable=lambda _: False,
    ).tree
    store.save_tree(tree)
    return tree


def _left_out(pinned: GoModule) -> dict[str, str]:
    """Name the files and, with `/`, folders of a source that are not compared, with the reason."""
    if not pinned.replace:
        # A module's archive holds no packages there (golang/go#37397).
        return {_VENDOR: f"{_VENDOR}, other modules' packages, which go.sum pins"}
    those = f"the spec's replace ({', '.join(pinned.replace)})"
    return {
        _VENDOR: f"{_VENDOR}, other modules' packages, which the lock pins",
        **{name: f"{name}, changed by {those}" for name in sorted(_REPLACED)},
    }


def _differing(
    published: Tree, vendored: Tree, left_out: Mapping[str, str], hashes: ModuleHashes
) -> tuple[Difference, ...]:
    """Files that only one of the two has, or that differ, but for what is left out.

    `first` of a difference is what lies on the stick, `second` what was published.
    """
    ours = {entry.path: entry for entry in vendored.files() if not _among(entry.path, left_out)}
    theirs = {entry.path: entry for entry in published.files() if not _among(entry.path, left_out)}
    found = []
    for path in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(path), theirs.get(path)
        if one is None or other is None:
            kinds = (None if entry is None else entry.kind for entry in (one, other))
            found.append(Difference(path, "kind", *kinds))
        elif (first := hashes.sha256(one)) != (second := hashes.sha256(other)):
            found.append(Difference(path, "sha256", first, second))
    return tuple(found)


def _among(path: str, left_out: Mapping[str, str]) -> bool:
    return path in left_out or any(
        name.endswith("/") and path.startswith(name) for name in left_out
    )
