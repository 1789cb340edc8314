"""Computes the `h1:` module hash of a tree in the store, from the bytes of its files each time.

Nothing of it is remembered from one run to the next: it decides whether a toolchain is the
published one, and a note in the store must not. Within a run a blob is read once for all the trees
that have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducibility import digest as digests
from reproducibility import gomodule

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store import Store
    from reproducibility.manifest import Entry, Tree


class ModuleHashes:
    """Computes module hashes, and the SHA-256 of files, from a store's blobs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, str] = {}

    def of(
        self,
        tree: Tree,
        module: str,
        version: str,
        rename: Callable[[str], str] = lambda path: path,
    ) -> str:
        """Return the hash of a tree as a version of a module. `rename`: as `gomodule.h1_of_tree`.

        Raises:
            DamagedBlob: a file is missing.
            InfrastructureError: a file cannot be read.
        """
        return gomodule.h1_of_tree(tree, self.sha256, prefix=f"{module}@{version}", rename=rename)

    def sha256(self, entry: Entry) -> str:
        """SHA-256 of a file's bytes as they are now, in hexadecimal digits.

        The BLAKE3 that names the blob is not worked out beside it: what this gives is compared
        with a digest from elsewhere, and where that differs, `refuse_damage` tells why.

        Raises:
            DamagedBlob: it is missing.
            InfrastructureError: it cannot be read.
        """
        known = self._known.get(entry.digest)
        if known is None:
            try:
                known = digests.sha256_of_file(self._store.unverified(entry)).hex
            except OSError:
                known = digests.sha256_of_file(self._store.path(entry)).hex
            self._known[entry.digest] = known
        return known

    def refuse_damage(self, tree: Tree) -> None:
        """Compare a tree's blobs with their names: a damaged one is healed, not a difference.

        Raises:
            DamagedBlob: one differs.
        """
        for entry in tree.files():
            self._store.path(entry)
