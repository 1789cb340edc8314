"""Finds bytes in the store that need no download: today's index or log names them, they are proved.

An earlier lock only says where to look. What counts is the hash that a signed index, the public log
or the spec names today, computed anew from the store's bytes. What unpacking them gives is a
function of those bytes and of this program; it counts where two that know nothing of each other say
the same: the store, which remembers what this very program unpacked, and the earlier lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import program
from orchestrator.lock.model import DebianPackage, GoModule, LocalPath, SecondRoot
from orchestrator.store.blobs import DamagedBlob
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orchestrator.inputs.transport import Store
    from orchestrator.lock.file import Lock
    from orchestrator.lock.model import RootPackage
    from reproducibility.manifest import Tree

_KIND = "unpacked"


class Held(NamedTuple):
    """What an artifact holds. `tree`: digest of its tree; `h1`: module hash, empty for others."""

    tree: Digest
    h1: str = ""


class Made(NamedTuple):
    """What came of unpacking. `lasting`: nothing else than what is unpacked decided it."""

    tree: Tree
    h1: str = ""
    lasting: bool = True


@dataclass(frozen=True)
class Known:
    """What an earlier lock names.

    `packages`: BLAKE3 of Debian packages by their SHA-256. `modules`: by module and version.
    `held`: what artifacts are said to hold, by their BLAKE3; of what is made from several, by
    `together`. `vendored`: trees with dependencies, by those without.
    """

    packages: Mapping[Digest, Digest] = field(default_factory=dict)
    modules: Mapping[tuple[str, str], GoModule] = field(default_factory=dict)
    held: Mapping[Digest, frozenset[Held]] = field(default_factory=dict)
    vendored: Mapping[Digest, frozenset[Held]] = field(default_factory=dict)

    def package(self, sha256: Digest, store: Store) -> Digest | None:
        """BLAKE3 of a Debian package in the store whose bytes have that SHA-256; None for none.

        A blob that is not what its name says is moved aside, and is none.
        """
        blake3 = self.packages.get(sha256)
        if blake3 is None:
            return None
        try:
            return blake3 if digests.sha256_of_file(store.blob(blake3)) == sha256 else None
        except DamagedBlob:
            return None


NOTHING = Known()


def of_lock(lock: Lock | None) -> Known:
    """Everything that a lock names; nothing without a lock."""
    if lock is None:
        return NOTHING
    roots = [
        root
        for hosts in lock.roots.values()
        for root in hosts.values()
        if isinstance(root, SecondRoot)
    ]
    packages: list[RootPackage | DebianPackage] = []
    for root in roots:
        packages += root.packages
    packages += [one for one in lock.inputs if isinstance(one, DebianPackage)]
    modules = [one for one in (*lock.root_releases, *lock.inputs) if isinstance(one, GoModule)]
    held: dict[Digest, set[Held]] = {}
    vendored: dict[Digest, set[Held]] = {}
    for one in (*lock.inputs, *lock.root_releases):
        held.setdefault(one.blake3, set()).add(Held(one.tree, getattr(one, "h1", "")))
        if isinstance(one, GoModule | LocalPath) and one.vendored is not None:
            vendored.setdefault(one.tree, set()).add(Held(one.vendored))
    for root in roots:
        held.setdefault(together(root.packages), set()).add(Held(root.tree))
    return Known(
        packages={one.sha256: one.blake3 for one in packages},
        modules={(one.module, one.version): one for one in modules},
        held={key: frozenset(found) for key, found in held.items()},
        vendored={key: frozenset(found) for key, found in vendored.items()},
    )


def together(packages: Iterable[RootPackage]) -> Digest:
    """Name what several packages give together, in their order."""
    return digests.of_bytes(canonical.dumps([str(one.blake3) for one in packages]))


def unpacked(
    what: Mapping[str, Any],
    said: Iterable[Held],
    store: Store,
    unpack: Callable[[], Made],
) -> Held:
    """Return what comes of unpacking, by doing it, or as the store and an earlier lock both say.

    `what`: everything beside this program that decides it, as a JSON object; the bytes that are
    unpacked by digests that were compared with them. `said`: what the earlier lock says of it.
    `unpack`: does it. The tree is in the store afterwards.
    """
    key = digests.of_bytes(canonical.dumps({**what, "program": str(program.running())}))
    remembered = _parsed(store.recall(_KIND, key))
    if remembered is not None and remembered in said and is_whole(remembered.tree, store):
        return remembered
    tree, h1, lasting = unpack()
    found = Held(store.save_tree(tree), h1)
    if lasting and found != remembered:
        store.remember(_KIND, key, {**what, "tree": str(found.tree), "h1": found.h1})
    return found


def is_whole(digest: Digest, store: Store) -> bool:
    """Return whether a tree is in the store with all its files."""
    try:
        return store.has(digest) and store.holds(store.load_tree(digest))
    except (DamagedBlob, InputError):
        return False


def _parsed(document: Mapping[str, Any] | None) -> Held | None:
    try:
        return Held(Digest.parse(document["tree"]), str(document["h1"])) if document else None
    except (InputError, KeyError, TypeError, AttributeError):
        return None
