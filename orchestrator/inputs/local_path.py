"""Files and folders of the person's own, as the spec names them.

Read in place and pinned by digest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.lock import LocalPath
from reproducibility import digest as digests
from reproducibility import manifest
from reproducibility.errors import InputError
from reproducibility.manifest import Entry, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.inputs.transport import Store
    from reproducibility.digest import Digest

# Version control keeps its own data beside the files; it is no part of them.
_NOT_CONTENT = frozenset({".git", ".hg", ".svn", ".jj"})


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A file or folder; `path` is relative to the spec, `/` between the parts."""

    name: str
    path: str
    module: str | None = None
    destination: str | None = None


@dataclass(frozen=True)
class LocalTransport:
    """Local paths. `folder`: the spec's folder, from which they start."""

    folder: Path

    def resolve(self, request: PathRequest, store: Store) -> LocalPath:
        """Pin what lies there now. Raises as `Transport.resolve`."""
        tree = self.look(request.path)
        single = (self.folder / request.path).is_file()
        digest = self._keep(request.path, tree, store)
        return LocalPath(
            name=request.name,
            where=request.path,
            size=tree.size,
            blake3=digest,
            tree=digest,
            module=request.module,
            destination=request.destination,
            single=single,
        )

    def fetch(self, pinned: LocalPath, store: Store) -> None:
        """Compare what lies there with the lock, and keep it. Raises as `Transport.fetch`."""
        tree = self.look(pinned.where)
        found = tree.digest
        if found != pinned.tree:
            raise InputError(
                f"{pinned.name} is not what the lock pins: expected {pinned.tree}, found {found}",
                subject=str(self.folder / pinned.where),
                remedy=f"if you changed it, run `orchestrate lock --update {pinned.name}`",
            )
        self._keep(pinned.where, tree, store)

    def unpack(self, pinned: LocalPath, store: Store) -> Tree:
        """The tree as it was kept. Raises as `Transport.unpack`."""
        return store.load_tree(pinned.tree)

    def look(self, where: str) -> Tree:
        """The tree that lies at a path; a single file is a tree of one.

        Raises:
            InputError: there is nothing, or something that a tree cannot hold.
        """
        path = self.folder / where
        try:
            if path.is_file():
                content = digests.of_file(path)
                return Tree([manifest.file(path.name, content, path.stat().st_size)])
            children = sorted(child for child in path.iterdir() if child.name not in _NOT_CONTENT)
            parts = [part for child in children for part in _entries(child)]
        except OSError as error:
            raise InputError(
                f"cannot read {where}, which the spec names: {error.strerror}",
                subject=str(path),
                remedy="put it there, or correct the spec; paths are relative to the spec",
            ) from error
        # Executable bits follow the person's file system; FAT has none.
        return Tree(replace(entry, executable=False) for entry in parts)

    def _keep(self, where: str, tree: Tree, store: Store) -> Digest:
        """Put the files of a tree that lies at a path into the store, and its manifest.

        Raises:
            InputError: a file changed meanwhile.
        """
        path = self.folder / where
        for entry in () if store.holds(tree) else tree.files():
            place = path if path.is_file() else path / entry.path
            if store.put_file(place) != entry.content:
                raise InputError("the file changed while it was read", subject=str(place))
        return tree.digest if store.has(tree.digest) else store.save_tree(tree)


def _entries(path: Path) -> Iterator[Entry]:
    """What lies at a path, with paths relative to its folder.

    Raises:
        InputError: a link, a device or the like.
    """
    if path.is_dir() and not path.is_symlink():
        tree = manifest.scan(path)
        yield from tree.at(path.name) if len(tree) else [manifest.directory(path.name)]
    elif path.is_file() and not path.is_symlink():
        yield manifest.file(path.name, digests.of_file(path), path.stat().st_size)
    else:
        raise InputError(
            "neither a file nor a directory; a tree can hold no links, devices or sockets",
            subject=str(path),
            remedy="put the file itself there",
        )
