"""Program that makes an image from a recipe in a folder, and leaves its digest there.

Run as `python -m orchestrator.artifacts.remade STORE FOLDER`, in other surroundings than the
process that wrote the image. Everything but the recipe and the blobs is worked out here: layout,
directories, FATs, boot sectors, and what the boot loader must know of where it lies.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers.host import system
from orchestrator.artifacts.recipe import Recipe, laid_out
from orchestrator.boot import syslinux
from orchestrator.image.fat import reverse_digest
from orchestrator.store.blobs import BlobFolder
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from reproducibility.manifest import Entry

# In the folder: what is given, and what is left there.
TREE = "tree"
RECIPE = "recipe.json"
ANSWER = "answer.json"
_FINISHED = "finished"


def document(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a JSON object; the trees by their digests, the loader by its packages."""
    packages = recipe.loader.packages.serialize().decode() if recipe.loader else ""
    return {**recipe.parameters, "tree": str(recipe.tree.digest), "packages": packages}


def read(folder: Path, blobs: BlobFolder) -> Recipe:
    """The recipe in a folder.

    Raises:
        InputError: it is not one, or names another tree than the one beside it.
        DamagedBlob: a package's file is missing or damaged.
    """
    said = canonical.loads((folder / RECIPE).read_bytes(), subject=RECIPE)
    if not isinstance(said, dict) or any(
        type(said.get(name)) is not kind for name, kind in _SAID.items()
    ):
        raise InputError("this is no recipe of an image", subject=RECIPE)
    tree = Tree.parse((folder / TREE).read_bytes())
    if str(tree.digest) != said["tree"]:
        raise InputError("the recipe names another tree", subject=str(tree.digest))
    loader = None
    if said["packages"]:
        loader = syslinux.loader(Tree.parse(said["packages"].encode()), blobs.read)
    return Recipe(
        tree=tree,
        label=said["label"],
        identity=Digest.parse(said["identity"]),
        epoch=said["epoch"],
        free_space=said["free_space"],
        loader=loader,
    )


_SAID = {
    **dict.fromkeys(("tree", "packages", "label", "identity"), str),
    **dict.fromkeys(("epoch", "free_space"), int),
}


def remake(folder: Path, blobs: BlobFolder) -> dict[str, Any]:
    """Make the image of the recipe in a folder, only to hash it; returns the answer's object."""
    finished = folder / _FINISHED
    kept: list[Digest] = []

    def put(data: bytes) -> Digest:
        finished.write_bytes(data)
        kept.append(digests.of_bytes(data))
        return kept[-1]

    def blob(entry: Entry) -> Path:
        return finished if kept and entry.digest == kept[0].hex else blobs.unverified(entry)

    tree, disk = laid_out(read(folder, blobs), put)
    return {
        "image": str(reverse_digest.digest(disk, blob)),
        "tree": str(tree.digest),
        "surroundings": surroundings(),
    }


def surroundings() -> dict[str, str]:
    """Return what may differ between two processes and must change no bit, as this one sees it."""
    return {
        "hash seed": str(hash("sourcery")),
        "locale": locale(),
        "time zone": zone(),
        "umask": umask(),
        "current folder": _current_folder(),
    }


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""  # somebody removed it meanwhile


def locale() -> str:
    """The locale that the environment asks for."""
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    return next((value for name in names if (value := os.environ.get(name))), "C")


def zone() -> str:
    """The difference from UTC in the middle of a winter, in hours and minutes."""
    east = time.localtime(0).tm_gmtoff // 60
    return f"{'-' if east < 0 else '+'}{abs(east) // 60:02}:{abs(east) % 60:02}"


def umask() -> str:
    """The mask for the modes of new files, in octal."""
    for line in Path("/proc/self/status").read_text("utf-8", "replace").splitlines():
        if line.startswith("Umask:"):
            return oct(int(line.split()[1], 8))
    return ""


def main() -> None:
    """Read the arguments, make the image, leave the answer."""
    store, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if not end_with_parent():
        return
    blobs = BlobFolder(store / "blobs", folder / "damaged", folder)
    leave(folder, remake(folder, blobs))


def end_with_parent() -> bool:
    """End this process with its parent, however that goes; whether that is still there."""
    # Nobody waits for the answer once the parent is gone.
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == int(os.environ["PARENT"])


def leave(folder: Path, answer: dict[str, Any]) -> None:
    """Leave an answer in a folder, whole or not at all."""
    whole = folder / f"{ANSWER}.part"
    whole.write_bytes(canonical.dumps(answer))
    whole.rename(folder / ANSWER)


if __name__ == "__main__":
    main()
