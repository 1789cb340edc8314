"""Paths of boot files on the stick, where BIOS, UEFI and U-Boot look for them.

    /boot/<arch>/       vmlinuz, initramfs.zst (or initramfs.cpio), dtb/
    /boot/licences/     the copyright file of each package
    /syslinux/          a PC with a BIOS
    /EFI/BOOT/          UEFI, with /loader/
    /extlinux/          U-Boot

`/syslinux/ldlinux.sys` is in its full size, but does not name its sectors yet: see
`orchestrator.artifacts.bios_loader`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.architecture import FACTS, bios
from orchestrator.boot import initramfs, kernel, menus, syslinux
from orchestrator.boot.modules import Modules
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, file, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orchestrator.architecture import Architecture
    from orchestrator.boot.kernel import Kernel
    from orchestrator.boot.menus import Choice
    from orchestrator.boot.model import Boot, Machine
    from orchestrator.boot.syslinux import Loader
    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry

    Read = Callable[[Digest], bytes]
    Put = Callable[[bytes], Digest]

# Folder of the packages' copyright files.
LICENCES = "boot/licences"
# The version of what is made here; whoever remembers it makes it part of the key.
FORMAT = 1

_COPYRIGHT = re.compile(r"usr/share/doc/([^/]+)/copyright")


def files(boot: Boot, read: Read, put: Put) -> Tree:
    """Make every boot file. `read` gives a blob's bytes, `put` keeps bytes as a blob.

    Raises:
        InputError: a package has not what it must have, or the spec names what it does not have;
            names which.
    """
    own = [(one.architecture, machine(one, read, put)) for one in boot.machines]
    return merge([*own, ("what the architectures share", shared(boot, read, put))])


def machine(machine: Machine, read: Read, put: Put) -> Tree:
    """One architecture's kernel, initramfs, device trees and UEFI boot loader: what takes time.

    It depends on nothing else of a `Boot`, nor on the machine's command line, so that it can be
    remembered. Raises as `files`.
    """
    found = kernel.find(machine.kernel, _subject(machine), read)
    offered = _choice(machine, found, "")
    modules = Modules(found.modules, f"{found.subject}, {found.release}", read)
    memory = initramfs.packed(
        read(machine.init.content),
        modules.wanted(machine.modules),
        compressed=found.unpacks_zstandard,
    )
    return Tree(
        [
            replace(_image(machine, found, read, put), path=offered.kernel, executable=False),
            file(offered.initramfs, put(memory), len(memory)),
            *_device_trees(machine, found),
            *_uefi(machine),
        ]
    )


def shared(boot: Boot, read: Read, put: Put) -> Tree:
    """Everything but what `machine` gives: the menus, SYSLINUX, the licences. Raises as `files`."""
    choices = [
        _choice(
            machine,
            kernel.find(machine.kernel, _subject(machine), read),
            menus.command_line(boot, machine),
        )
        for machine in boot.machines
    ]
    found = _syslinux(boot)
    menu = texts(
        choices,
        timeout=boot.timeout,
        personal=found[0] if found is not None else None,
        uefi=[one.architecture for one in boot.machines if one.uefi is not None],
    )
    contents = {path: text.encode() for path, text in menu.items()}
    if bios_loader := loader(boot, read):
        contents |= {syslinux.LDLINUX: bios_loader.unpatched, syslinux.MODULE: bios_loader.module}
    kept = [file(path, put(content), len(content)) for path, content in contents.items()]
    return Tree([*kept, *_licences(boot)])


def loader(boot: Boot, read: Read) -> Loader | None:
    """SYSLINUX, or None where nothing boots by a BIOS.

    Raises:
        InputError: the packages have not what they must have.
    """
    found = _syslinux(boot)
    return None if found is None else syslinux.loader(found[1], read)


def _syslinux(boot: Boot) -> tuple[Architecture, Tree] | None:
    """Return what a BIOS starts, and the packages of SYSLINUX; None where there is not both."""
    architecture = bios(one.architecture for one in boot.machines)
    if architecture is None or boot.syslinux is None:
        return None
    return architecture, boot.syslinux


def _subject(machine: Machine) -> str:
    return f"the kernel for {machine.architecture}"


def initramfs_place(architecture: str, *, compressed: bool = True) -> str:
    """Return the path of an architecture's initramfs."""
    return f"boot/{architecture}/initramfs.{'zst' if compressed else 'cpio'}"


def choice(
    architecture: str, release: str, command_line: str, *, compressed: bool, device_trees: bool
) -> Choice:
    """One kernel as menus offer it. `compressed`: whether its initramfs is."""
    folder = f"boot/{architecture}"
    return menus.Choice(
        architecture,
        release,
        f"{folder}/vmlinuz",
        initramfs_place(architecture, compressed=compressed),
        command_line,
        f"{folder}/dtb" if device_trees else None,
    )


def _choice(machine: Machine, found: Kernel, command_line: str) -> Choice:
    return choice(
        machine.architecture,
        found.release,
        command_line,
        compressed=found.unpacks_zstandard,
        device_trees=bool(machine.device_trees),
    )


def _image(machine: Machine, found: Kernel, read: Read, put: Put) -> Entry:
    data = read(found.image.content)
    subject = f"{found.subject}, {found.image.path}"
    image = kernel.startable(data, machine.architecture, subject, uefi=machine.uefi is not None)
    return found.image if image is data else file(found.image.path, put(image), len(image))


def _device_trees(machine: Machine, found: Kernel) -> Tree:
    return found.chosen_device_trees(machine.device_trees).at(f"boot/{machine.architecture}/dtb")


def texts(
    choices: Iterable[Choice],
    *,
    timeout: int,
    personal: Architecture | None,
    uefi: Iterable[Architecture],
) -> dict[str, str]:
    """Path -> text of each loader's configuration.

    `timeout`: seconds. `personal`: what a BIOS starts, None for nothing. `uefi`: what UEFI starts.
    """
    by_architecture = {choice.architecture: choice for choice in choices}
    found: dict[str, str] = {}
    if personal is not None:
        found[f"{syslinux.FOLDER}/syslinux.cfg"] = menus.syslinux(
            by_architecture[personal], timeout
        )
    boards = [choice for name, choice in by_architecture.items() if FACTS[name].u_boot]
    if boards:
        found["extlinux/extlinux.conf"] = menus.extlinux(boards, timeout)
    started = list(uefi)
    if started:
        found["loader/loader.conf"] = menus.loader(timeout)
        found["loader/entries.srel"] = "type1\n"
    for architecture in started:
        found[f"loader/entries/{architecture}.conf"] = menus.entry(by_architecture[architecture])
    return found


def uefi_place(architecture: Architecture) -> str:
    """Return the path of removable media: UEFI specification, section 3.5.1.1."""
    return f"EFI/BOOT/BOOT{FACTS[architecture].uefi.upper()}.EFI"


def _uefi(machine: Machine) -> Iterator[Entry]:
    if machine.uefi is None:
        return
    name = FACTS[machine.architecture].uefi
    source = f"usr/lib/systemd/boot/efi/systemd-boot{name}.efi"
    entry = machine.uefi.get(source)
    if entry is None or entry.kind != "file":
        raise InputError(
            f"the package systemd-boot-efi for {machine.architecture} has no {source}",
            subject=f"package systemd-boot-efi, {machine.architecture}",
            remedy="name a suite whose package has it",
        )
    yield replace(entry, path=uefi_place(machine.architecture), executable=False)


def _licences(boot: Boot) -> Iterator[Entry]:
    """Each package's copyright file, named for the package.

    The architecture is added where the same package says different things.
    """
    packages: list[tuple[str, Tree]] = [
        (one.architecture, tree)
        for one in boot.machines
        for tree in (one.kernel, one.uefi)
        if tree is not None
    ]
    if (loaders := _syslinux(boot)) is not None:
        packages.append(loaders)
    found: dict[str, dict[str, Entry]] = defaultdict(dict)
    for architecture, tree in packages:
        for entry in tree.files():
            if match := _COPYRIGHT.fullmatch(entry.path):
                found[match[1]][architecture] = entry
    for package, entries in found.items():
        alike = len({entry.digest for entry in entries.values()}) == 1
        named = (
            {package: next(iter(entries.values()))}
            if alike
            else {f"{package}-{architecture}": entry for architecture, entry in entries.items()}
        )
        for name, entry in named.items():
            yield replace(entry, path=f"{LICENCES}/{name}", executable=False)
