"""Gathers the contents of an image from the store: components with files, digests and licences.

What costs time is written down in the store: the SHA-1 of files, which SPDX wants and nothing else
uses, and the licence that was recognised in a text.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

from orchestrator import program
from orchestrator.evidence import licences, sorting
from orchestrator.evidence.contents import NO_ASSERTION, Component, File
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.store import Store
    from reproducibility.manifest import Entry, Tree

_SHA1, _LICENCES = "sha1", "licences"
_COPYRIGHT = "usr/share/doc/"
_RECOGNISERS = ("identify", "spdx-matcher")
# Of what the project itself wrote, as pyproject.toml says.
_OWN = "BSD-3-Clause"
_JOBS = 4


def decided_by() -> dict[str, str]:
    """Return what decides, beside the files, what is written of them: this program, recognisers.

    The program by its files, as another build of the same version may write something else.

    Raises:
        OSError: a file of the installation cannot be read.
    """
    versions = {name: metadata.version(name) for name in _RECOGNISERS}
    return {**versions, "program": str(program.running())}


def contents(
    result: BuildResult, tree: Tree, boot: Mapping[str, Tree], store: Store
) -> tuple[Component, ...]:
    """Return the components of an image, each file of `tree` in exactly one of them.

    `boot`: the unpacked packages of the boot files by the input's name.

    Raises:
        DamagedBlob: a blob is missing or damaged.
        OSError: a blob cannot be read.
    """
    found = sorting.sort(result, tree, boot, lambda entry: store.read(entry.content))
    sums = _sha1(tree.files(), store)
    files: dict[str, list[Entry]] = defaultdict(list)
    for entry in tree.files():
        files[found.owners[entry.path]].append(entry)
    known = _Licences(store)
    copyrights = _copyrights(boot)
    components = {
        one.id: replace(
            _licensed(one, files[one.id], known, copyrights, store),
            files=tuple(File(e.path, e.digest, sums[e.digest]) for e in files[one.id]),
            blake3=one.blake3 or _only(one, files[one.id]),
        )
        for one in found.components.values()
        # What the build makes, and this image has none of.
        if files[one.id] or one.kind in {"input", "files", "kernel"}
    }
    known.save()
    return tuple(_inherited(one, components) for one in components.values())


def _only(one: Component, files: list[Entry]) -> str:
    """Return the BLAKE3 of a program, or of anything else that the build made as one file."""
    made = one.kind in {"program", "kernel", "made"}
    return files[0].digest if made and len(files) == 1 else ""


def _licensed(
    one: Component,
    files: Iterable[Entry],
    known: _Licences,
    copyrights: Mapping[str, Entry],
    store: Store,
) -> Component:
    """Return a component with its licences, where a text among its files says them."""
    if one.id == sorting.USERLAND:
        return replace(one, licence=_OWN)
    if entry := copyrights.get(one.id):
        licence, texts = licences.of_debian(one.name, store.read(entry.content))
        return replace(one, licence=licence, licence_texts=texts, licence_from=entry.path)
    names = [e for e in files if licences.is_licence(e.path.rpartition("/")[2])]
    if one.kind not in {"module", "input", "files"} or not names:
        return one
    # At the top of the component: what lies deeper is of a part of it.
    depth = min(entry.path.count("/") for entry in names)
    top = [entry for entry in names if entry.path.count("/") == depth]
    return replace(
        one,
        licence=licences.together([known.of(entry) for entry in top]),
        licence_from=", ".join(entry.path for entry in top),
    )


def _inherited(one: Component, components: Mapping[str, Component]) -> Component:
    """Return a kernel with the licence of the package that it is taken from."""
    if one.kind != "kernel":
        return one
    (package,) = one.built_from
    of = components[package]
    return replace(one, licence=of.licence, licence_from=of.licence_from)


def _copyrights(boot: Mapping[str, Tree]) -> dict[str, Entry]:
    """The copyright file of each package by its component's id."""
    return {
        sorting.identifier("input", name): entry
        for name, tree in boot.items()
        for entry in tree.files()
        if entry.path.startswith(_COPYRIGHT) and entry.path.endswith("/copyright")
    }


def _sha1(entries: Iterable[Entry], store: Store) -> dict[str, str]:
    """The SHA-1 of files by their BLAKE3, those of the last image from the store's table."""
    wanted = {entry.digest: entry for entry in entries}
    key = digests.of_bytes(_SHA1.encode())
    table = _table(store, _SHA1, key)
    missing = [entry for name, entry in wanted.items() if name not in table]

    def work(entry: Entry) -> str:
        try:
            return digests.sha1_of_file(store.unverified(entry))
        except OSError:
            return digests.sha1_of_file(store.path(entry))

    with ThreadPoolExecutor(_JOBS) as pool:
        fresh = dict(zip((entry.digest for entry in missing), pool.map(work, missing), strict=True))
    found = {name: fresh.get(name) or table[name] for name in wanted}
    if fresh:
        _keep(store, _SHA1, key, found)
    return found


class _Licences:
    """What was recognised in texts by their BLAKE3, also earlier; `save` keeps it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = digests.of_bytes(canonical.dumps([_LICENCES, decided_by()]))
        self._table = _table(store, _LICENCES, self._key)
        self._fresh = False

    def of(self, entry: Entry) -> str:
        known = self._table.get(entry.digest)
        if known is None:
            try:
                known = licences.recognised(self._store.path(entry))
            except RecursionError:  # a text made to be hard for regular expressions
                known = NO_ASSERTION
            self._table[entry.digest] = known
            self._fresh = True
        return known

    def save(self) -> None:
        if self._fresh:
            _keep(self._store, _LICENCES, self._key, self._table)


def _table(store: Store, kind: str, key: Digest) -> dict[str, str]:
    """Return a table from the store; empty where there is none, or it cannot be read."""
    record = store.recall(kind, key)
    try:
        found = canonical.loads(store.read(Digest.parse(str(record["table"])))) if record else {}
    except (InfrastructureError, InputError, KeyError):  # damaged: it is made again
        return {}
    return found if isinstance(found, dict) else {}


def _keep(store: Store, kind: str, key: Digest, table: Mapping[str, str]) -> None:
    store.remember(kind, key, {"table": str(store.put_bytes(canonical.dumps(dict(table))))})
