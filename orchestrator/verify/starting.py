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
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.boot.menus import Choice
    from orchestrator.lock.file import Lock
    from orchestrator.spec.boot import Boot
    from orchestrator.spec.model import Spec
    from reproducibility.manifest import Tree

# Debian's names of a kernel's package, around its release.
_BEFORE, _UNSIGNED_BEFORE, _UNSIGNED_AFTER = "linux-image-", "unsigned-", "-unsigned"
# Stand for a release that is not known: what is the same with both does not depend on it.
_ANY = ("0", "1")


@dataclass(frozen=True)
class Texts:
    """What was found of the texts on an image.

    `places`: where a build puts them, with the BIOS loader's own files. `differing`: those that are
    not what spec and lock give. `menus`: boot menus that are; `unknown`: those that name a kernel
    whose release is not known, so that they were not compared.
    """

    places: frozenset[str]
    differing: tuple[str, ...] = ()
    menus: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def check(tree: Tree, spec: Spec, lock: Lock, architectures: Sequence[Architecture]) -> Texts:
    """Compare the texts on an image with those that a build for these architectures writes.

    `architectures`: some of the spec's, in its order, which menus have.
    """
    wanted = {environment_place(name): environment.device_file(name) for name in architectures}
    places = {*wanted}
    menu: dict[str, bytes] = {}
    unknown: set[str] = set()
    if spec.boot is not None:
        if bios(architectures) is not None:
            places |= {syslinux.LDLINUX, syslinux.MODULE}
        known = {name: _release(lock, name) for name in architectures}
        try:
            one, other = (
                _menus(
                    tree, spec, spec.boot, lock, {name: own or other for name, own in known.items()}
                )
                for other in _ANY
            )
        except InputError:
            # A command line that no build takes; so this image is of none.
            return Texts(frozenset(places), tuple(_differing(tree, wanted)))
        places |= one.keys()
        menu = {path: text.encode() for path, text in one.items() if text == other[path]}
        unknown = {*one} - {*menu}
    differing = tuple(_differing(tree, wanted | menu))
    return Texts(
        frozenset(places),
        differing,
        tuple(sorted({*menu}.difference(differing))),
        tuple(sorted(unknown)),
    )


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
    if not isinstance(pinned, DebianPackage) or not pinned.package.startswith(_BEFORE):
        return ""
    rest = pinned.package.removeprefix(_BEFORE)
    return rest.removeprefix(_UNSIGNED_BEFORE).removesuffix(_UNSIGNED_AFTER)


def _menus(
    tree: Tree, spec: Spec, section: Boot, lock: Lock, releases: Mapping[Architecture, str]
) -> dict[str, str]:
    """Path -> text of the menus. `releases`: of the kernels, in the order of the menus.

    Raises:
        InputError: the spec's command line is one that no build takes.
    """
    volume = recipe.volume_id(recipe.identity(spec.digest, lock.digest))

    def choice(architecture: Architecture, release: str) -> Choice:
        return boot_files.choice(
            architecture,
            release,
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
