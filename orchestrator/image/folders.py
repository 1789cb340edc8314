"""Index of a tree by folder: what lies in each, sorted by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reproducibility.manifest import Entry, Tree


@dataclass(slots=True)
class Folder:
    """One folder. `path`: empty for the root. `children`: name -> file, or None for a folder."""

    path: str
    children: dict[str, Entry | None] = field(default_factory=dict)

    def at(self, name: str) -> str:
        """The path of a child."""
        return f"{self.path}/{name}" if self.path else name


def of(tree: Tree) -> dict[str, Folder]:
    """Path -> folder, sorted by path, the root ("") first; children sorted by code point."""
    found = {"": Folder("")}
    for entry in tree.entries:
        if entry.kind == "directory":
            _reach(found, entry.path)
            continue
        parent, _, name = entry.path.rpartition("/")
        folder = found.get(parent) or _reach(found, parent)
        folder.children[name] = entry
    # The tree is sorted by whole paths, in which "/" comes after "." and "-".
    for folder in found.values():
        folder.children = dict(sorted(folder.children.items(), key=_name))
    return dict(sorted(found.items(), key=_name))


def _name(item: tuple[str, object]) -> str:
    return item[0]


def _reach(found: dict[str, Folder], path: str) -> Folder:
    """The folder at a path, made with its parents where it is not there yet."""
    folder = found.get(path)
    if folder is None:
        folder = found[path] = Folder(path)
        parent, _, name = path.rpartition("/")
        _reach(found, parent).children[name] = None
    return folder
