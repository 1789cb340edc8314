"""Patches `ldlinux.sys` (SYSLINUX) in a laid-out image, as it must name the sectors it lies in.

A file of a fixed size has the same place whatever its content. So the volume is laid out with the
unpatched file; its sectors are asked for; and the patched file takes its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.boot.syslinux import LDLINUX
from orchestrator.image.fat.disk import START, Disk
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.boot.syslinux import Loader
    from orchestrator.image.fat.layout import Layout
    from reproducibility.digest import Digest

FIXED = frozenset({LDLINUX})


def installed(
    tree: Tree, layout: Layout, signature: int, loader: Loader, put: Callable[[bytes], Digest]
) -> tuple[Tree, Disk]:
    """The final tree, and the disk that boots it on a PC with a BIOS.

    `tree`: with what `files` made. `layout`: of that tree, for a volume whose `fixed` holds
    `FIXED`. `signature`: the disk's.

    Raises:
        KeyError: the tree has no such file.
        InputError: the loader's tables lack room.
    """
    placed = Disk(layout, signature).sectors(LDLINUX)
    image, sector = loader.patched(range(placed.start - START, placed.stop - START))
    entry = file(LDLINUX, put(image), len(image))
    patched = replace(
        layout,
        files=tuple(
            replace(item, entry=entry) if item.entry.path == LDLINUX else item
            for item in layout.files
        ),
    )
    final = tree.overlaid(Tree([entry]))
    return final, Disk(patched, signature, loader.master, sector)
