"""Recipe of an image: everything that its bytes depend on, as a value.

A recipe can be written as canonical JSON and read back, so that another process can make the same
image from it and the store's blobs alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import bios_loader
from orchestrator.image.cpio import writer as cpio
from orchestrator.image.fat import layout
from orchestrator.image.fat.disk import Disk
from orchestrator.image.fat.volume import Volume
from reproducibility import canonical
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.boot.syslinux import Loader
    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry, Tree

# The version of the formats and of what is checked of them; part of the key under which an image is
# remembered.
FORMAT = 2


@dataclass(frozen=True)
class Recipe:
    """Recipe: everything that an image is made from.

    `identity`: digest of spec and lock; volume ID and disk signature come from it (the root's own
    digest would be circular once boot files in it name the volume). `epoch`: seconds.
    `free_space`: bytes. `loader`: what boots it on a PC with a BIOS; `laid_out` writes into its
    file `ldlinux.sys` where that lies.
    """

    tree: Tree
    label: str
    identity: Digest
    epoch: int
    free_space: int
    loader: Loader | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Return all but the tree and the loader, as a JSON object."""
        return {
            "label": self.label,
            "identity": str(self.identity),
            "epoch": self.epoch,
            "free_space": self.free_space,
        }

    @property
    def document(self) -> bytes:
        """Canonical JSON of everything that decides the bits of image and archive."""
        return canonical.dumps(
            {
                "format": FORMAT,
                "compression": cpio.COMPRESSION,
                "tree": str(self.tree.digest),
                **self.parameters,
                **({"loader": _parts(self.loader)} if self.loader else {}),
            }
        )

    @property
    def key(self) -> Digest:
        """BLAKE3 of `document`."""
        return digests.of_bytes(self.document)

    @property
    def volume_id(self) -> int:
        """Volume ID: 32 bits of the identity."""
        return volume_id(self.identity)

    @property
    def signature(self) -> int:
        """Disk signature: another 32 bits of the identity."""
        return signature(self.identity)


def identity(spec: Digest, lock: Digest) -> Digest:
    """Return the digest of spec and lock, which volume ID and disk signature are derived from."""
    return digests.of_bytes(f"{spec}\n{lock}\n".encode())


def volume_id(identity: Digest) -> int:
    """The volume ID of an identity's image, which the boot files name before there is an image."""
    return int(identity.hex[:8], 16)


def signature(identity: Digest) -> int:
    """The disk signature of an identity's image."""
    return int(identity.hex[8:16], 16)


def _parts(loader: Loader) -> list[str]:
    parts = (loader.master, loader.sector, loader.system, loader.module)
    found = [str(digests.of_bytes(part)) for part in parts]
    return [*found, str(loader.packages.digest)]


def laid_out(
    recipe: Recipe,
    put: Callable[[bytes], Digest],
    head: Callable[[Entry], bytes] | None = None,
) -> tuple[Tree, Disk]:
    """The final tree, in which the loader knows where it lies, and the disk that holds it.

    `put`: keeps the finished `ldlinux.sys`. `head`: see `lint.check`.

    Raises:
        InputError: the tree cannot lie on VFAT; names the paths.
    """
    fixed = bios_loader.FIXED if recipe.loader is not None else frozenset[str]()
    volume = Volume(recipe.volume_id, recipe.label, recipe.epoch, recipe.free_space, fixed=fixed)
    placed = layout.lay_out(recipe.tree, volume, head)
    if recipe.loader is None:
        return recipe.tree, Disk(placed, recipe.signature)
    return bios_loader.installed(recipe.tree, placed, recipe.signature, recipe.loader, put)
