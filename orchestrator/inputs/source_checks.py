"""Checks of the sources: their files against what the public log recorded of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.inputs import unpack
from orchestrator.lock import logged
from orchestrator.lock.model import Absent
from reproducibility.compare import Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.golang.module_hash import ModuleHashes
    from orchestrator.lock.file import GoModule, Lock
    from orchestrator.store import Store
    from reproducibility.manifest import Tree

PUBLISHED = "source == published module"
_SHOWN = 8
_VENDOR = "vendor/"
# What a spec's `replace` goes into, and what it brings.
_REPLACED = frozenset({"go.mod", "go.sum"})


def expected(lock: Lock) -> list[tuple[str, str]]:
    """(name, subject) of the checks of every source that is a module."""
    found = []
    for pinned in logged.sources(lock):
        subject = logged.subject(pinned)
        found.append((PUBLISHED, subject))
        if not isinstance(pinned.log, Absent):
            found.append((logged.LOG, subject))
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
            found.append(Check(PUBLISHED, logged.subject(pinned), Verdict.SKIP, reason))
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
        return Check(PUBLISHED, subject, Verdict.SKIP, reason)
    computed = hashes.of(tree, pinned.module, pinned.version)
    if computed != recorded:
        hashes.refuse_damage(tree)
        reason = f"the files give {computed}, the log has {recorded}"
        return Check(PUBLISHED, subject, Verdict.FAIL, reason)
    left_out = _left_out(pinned)
    differing = _differing(tree, vendored, left_out, hashes)
    if differing:
        hashes.refuse_damage(vendored)
        shown = ", ".join(differing[:_SHOWN])
        reason = f"{len(differing)} files on the stick are not the published ones: {shown}"
        return Check(PUBLISHED, subject, Verdict.FAIL, reason)
    reason = (
        f"the module hash of the files is the recorded one, {recorded}, and they are those on the "
        f"stick; not compared: {'; '.join(left_out.values())}"
    )
    return Check(PUBLISHED, subject, Verdict.PASS, reason)


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
    """What of a source is not compared, and why: in words, by the file or, with `/`, the folder."""
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
) -> list[str]:
    """Files that only one of the two has, or that differ, but for what is left out."""
    ours = {entry.path: entry for entry in vendored.files() if not _among(entry.path, left_out)}
    theirs = {entry.path: entry for entry in published.files() if not _among(entry.path, left_out)}
    return sorted(
        path
        for path in ours.keys() | theirs.keys()
        if path not in ours
        or path not in theirs
        or hashes.sha256(ours[path]) != hashes.sha256(theirs[path])
    )


def _among(path: str, left_out: Mapping[str, str]) -> bool:
    return path in left_out or any(
        name.endswith("/") and path.startswith(name) for name in left_out
    )
