"""Derives the texts that decide what a device starts: boot menus, and the variables of programs.

A further line in one of them would start another kernel, or have every program read another
setting, with each file of the image where it belongs. They follow from the spec, the volume's ID
and the release of each kernel, which the name of its locked package tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.architecture import bios
from orchestrator.artifacts import recipe
from orchestrator.boot import files as boot_files
from orchestrator.boot import menus, syslinux
from orchestrator.golang import environment
from orchestrator.lock.model import DebianPackage
from orchestrator.spec.boot import kernel_name
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.boot.menus import Choice
    from orchestrator.lock.file import Lock
    from orchestrator.spec.boot import Boot
    from orchestrator.spec.model import Spec
    from reproducibility.manifest import Tree

_PACKAGE = "linux-image-"
# Stands for a release that is not known: the paths of the texts do not depend on it.
_ANY = "0"


@dataclass(frozen=True)
class Texts:
    """What was found of the texts on an image.

    `places`: where a build puts them, with the BIOS loader's own files. `differing`: those that are
    not what spec and lock give. `unknown`: why some could not be derived, in words; else empty.
    """

    places: frozenset[str]
    differing: tuple[str, ...]
    unknown: str = ""


def check(tree: Tree, spec: Spec, lock: Lock, architectures: Sequence[Architecture]) -> Texts:
    """Compare the texts on an image with those that a build for these architectures writes."""
    wanted = {environment_place(name): environment.device_file(name) for name in architectures}
    places, unknown = {*wanted}, ""
    if spec.boot is not None:
        if bios(architectures) is not None:
            places |= {syslinux.LDLINUX, syslinux.MODULE}
        releases = {name: _release(lock, name) for name in architectures}
        try:
            texts = _menus(tree, spec, spec.boot, lock, releases)
        except InputError as error:
            return Texts(frozenset(places), (), error.summary)
        places |= texts.keys()
        local = [name for name, release in releases.items() if not release]
        if local:
            unknown = f"the kernel for {', '.join(local)} is no package of Debian's"
        else:
            wanted |= {path: text.encode() for path, text in texts.items()}
    return Texts(frozenset(places), tuple(_differing(tree, wanted)), unknown)


def environment_place(architecture: Architecture) -> str:
    """Path of the file that sets variables for every program of an architecture."""
    return f"{device.folder(architecture)}/environment"


def _differing(tree: Tree, wanted: dict[str, bytes]) -> Iterator[str]:
    for path, data in sorted(wanted.items()):
        entry = tree.get(path)
        if entry is None or entry.digest != digests.of_bytes(data).hex:
            yield path


def _release(lock: Lock, architecture: Architecture) -> str:
    """The kernel's release as its package's name has it; empty for a kernel from elsewhere."""
    name = kernel_name(architecture)
    pinned = next((one for one in lock.inputs if one.name == name), None)
    if not isinstance(pinned, DebianPackage) or not pinned.package.startswith(_PACKAGE):
        return ""
    return pinned.package.removeprefix(_PACKAGE)


def _menus(
    tree: Tree, spec: Spec, section: Boot, lock: Lock, releases: dict[Architecture, str]
) -> dict[str, str]:
    """Path -> text of the menus.

    Raises:
        InputError: the spec's command line is one that no build takes.
    """
    volume = recipe.volume_id(recipe.identity(spec.digest, lock.digest))

    def choice(architecture: Architecture, release: str) -> Choice:
        return boot_files.choice(
            architecture,
            release or _ANY,
            menus.whole_line(
                section.command_line(architecture), architecture, volume, section.missing
            ),
            compressed=tree.get(boot_files.initramfs_place(architecture)) is not None,
            device_trees=bool(section.kernel(architecture).device_trees),
        )

    return boot_files.texts(
        [choice(*one) for one in releases.items()],
        timeout=section.timeout,
        personal=bios(releases),
        uefi=releases,
    )
