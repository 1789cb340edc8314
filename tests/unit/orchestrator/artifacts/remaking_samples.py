"""A small image to make again, and a copy of the project's code to plant a fault in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.artifacts import image as making
from orchestrator.store import BLOB_TIME
from reproducibility import digest as digests
from reproducibility.manifest import Tree, directory, file

if TYPE_CHECKING:
    from orchestrator.store import Store

# Of the project.
CODE = Path(__file__).resolve().parents[4]
_PACKAGES = ("containers", "orchestrator", "reproducibility")


def recipe_of(store: Store) -> making.Recipe:
    """A recipe for an image of some files, which the store has."""
    contents = {f"src/package/file {number}.go": bytes([number]) * number for number in range(50)}
    entries = [file(path, store.put_bytes(data), len(data)) for path, data in contents.items()]
    tree = Tree([*entries, directory("tmp")])
    return making.Recipe(tree, "TEST", digests.of_bytes(b"spec and lock"), BLOB_TIME, 0)


def planted(folder: Path, path: str, before: str, after: str) -> Path:
    """A copy of the code, and of what is compiled of it, in which one text is another one."""
    for name in _PACKAGES:
        shutil.copytree(CODE / name, folder / name)
    source = folder / path
    text = source.read_text("utf-8")
    assert before in text, f"{path} no longer says {before}"
    source.write_text(text.replace(before, after), "utf-8")
    for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*"):
        compiled.unlink()
    return folder
