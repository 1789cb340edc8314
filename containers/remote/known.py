"""Names that blobs of the store have on a farm, where that uses another digest function.

To name a blob for a farm that has SHA-256 only, it has to be read once. What came of it is
remembered in the store, tree by tree: a blob of lines `<BLAKE3> <SHA-256>`. It is of use for the
transport alone: what comes back from a farm is named by the BLAKE3 that is worked out here.
"""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from containers.remote.naming import Name
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import SourceryError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from threading import Event

    from containers.engine import Storage
    from containers.remote.naming import Function
    from reproducibility.manifest import Entry, Tree

KIND = "sha256-of-tree"
_LINE = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64})")
_THREADS = 4


class Known:
    """Names of blobs on farms of one digest function; for several threads."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._names: dict[str, str] = {}
        self._blobs: dict[str, str] = {}
        self._lock = threading.Lock()

    def name(self, entry: Entry) -> Name:
        """The name of a file of a tree that `learn` was given."""
        if self._function == "blake3":
            return Name(entry.digest, entry.size)
        return Name(self._names[entry.digest], entry.size)

    def blob(self, name: Name) -> Digest | None:
        """The store's name of what has a name on the farm, as far as that was worked out here."""
        if self._function == "blake3":
            return Digest("blake3", name.hash)
        found = self._blobs.get(name.hash)
        return None if found is None else Digest("blake3", found)

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take pairs of BLAKE3 and the other digest, in hexadecimal digits."""
        if self._function == "blake3":
            return
        with self._lock:
            for own, other in pairs:
                self._names[own] = other
                self._blobs[other] = own

    def learn(self, tree: Tree, storage: Storage, stop: Event) -> None:
        """Know the names of all files of a tree, by what is remembered, else by reading them.

        Raises:
            InfrastructureError: a blob is not there or damaged.
            Stopped: `stop` was set.
        """
        if self._function == "blake3" or not self._unknown(tree):
            return
        self.add(_recalled(tree, storage))
        unknown = self._unknown(tree)
        if not unknown:
            return

        def pair(entry: Entry) -> tuple[str, str]:
            if stop.is_set():
                raise Stopped("stopped")
            return entry.digest, digests.sha256_of_file(storage.path(entry), follow=False).hex

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="naming") as pool:
            self.add(pool.map(pair, unknown))
        self.remember(tree, storage)

    def remember(self, tree: Tree, storage: Storage) -> None:
        """Write down the names of a tree's files, all of which are known."""
        if self._function == "blake3" or not len(tree):
            return
        own = sorted({entry.digest for entry in tree.files()})
        lines = "".join(f"{one} {self._names[one]}\n" for one in own)
        names = storage.put_bytes(lines.encode())
        # Not named as digests are: that would keep the tree as long as this.
        storage.remember(KIND, tree.digest, {"tree": tree.digest.hex, "names": str(names)})

    def _unknown(self, tree: Tree) -> list[Entry]:
        return list({e.digest: e for e in tree.files() if e.digest not in self._names}.values())


def _recalled(tree: Tree, storage: Storage) -> list[tuple[str, str]]:
    """Pairs that are written down of a tree; none where anything is wrong with that."""
    document = storage.recall(KIND, tree.digest)
    if document is None:
        return []
    try:
        text = storage.read(Digest.parse(str(document.get("names")))).decode()
    except (SourceryError, UnicodeDecodeError):
        return []
    found = [_LINE.fullmatch(line) for line in text.splitlines()]
    return [(one[1], one[2]) for one in found if one]
