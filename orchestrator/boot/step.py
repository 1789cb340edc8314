"""The boot files of a build: made from what the lock pins and what the build compiled, remembered.

A kernel's part takes seconds (modules are unpacked and packed again) and hangs on its package and
the initramfs's program alone, so it is remembered in the store. The menus name the volume, which
another spec or lock names otherwise; they are made each time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.boot import files, initramfs, modules
from orchestrator.boot.model import Boot, Machine
from orchestrator.execution import rebuilding
from orchestrator.spec.boot import SYSLINUX, kernel_name, loader_name
from orchestrator.store import DamagedBlob
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.codes import REBUILD
from reproducibility.digest import Digest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, merge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.boot.syslinux import Loader
    from orchestrator.execution.step import Observer, Results
    from orchestrator.spec import boot as boot_section
    from orchestrator.store import Store
    from reproducibility.compare import Check, CheckKind

_KIND = "boot"


@dataclass(frozen=True)
class BootFiles:
    """Every boot file at its place on the stick, and the BIOS loader that the image is patched for.

    `checks`: for each part that was made again, whether it is what was remembered.
    """

    tree: Tree = field(default_factory=Tree)
    loader: Loader | None = None
    checks: tuple[Check, ...] = ()


def stages(
    section: boot_section.Boot | None, architectures: Sequence[str]
) -> list[tuple[str, str, str]]:
    """The (name, stage, subject) of what `make` tells its observer."""
    return [(_stage_name(name), "boot files", name) for name in architectures if section]


def expected(
    section: boot_section.Boot | None, architectures: Sequence[str]
) -> list[tuple[CheckKind, str]]:
    """(kind, subject) of the checks of a build that makes everything again."""
    return [(REBUILD, name) for name, _, _ in stages(section, architectures)]


def make(  # noqa: PLR0913 - what they are made from, who is told
    section: boot_section.Boot,
    packages: Mapping[str, Tree],
    results: Results,
    architectures: Sequence[Architecture],
    volume_id: int,
    store: Store,
    observer: Observer,
    *,
    again: bool,
    bases: rebuilding.Bases | None = None,
) -> BootFiles:
    """All boot files for some architectures.

    `packages`: unpacked, by the input's name. `again`: make them whatever is remembered, and
    compare, with `bases` as far as they are known.

    Raises:
        InputError: a package has not what it must have.
        DamagedBlob: a blob is missing or damaged.
    """
    boot = Boot(
        machines=tuple(_machine(section, packages, results, name) for name in architectures),
        syslinux=_syslinux(packages) if "amd64" in architectures else None,
        volume_id=volume_id,
        timeout=section.timeout,
        missing=section.missing,
    )
    known = (bases or rebuilding.Bases()) if again else None
    made = [_own(machine, store, observer, known) for machine in boot.machines]
    shared = files.shared(boot, store.read, store.put_bytes)
    parts = [
        (f"the kernel for {name}", tree)
        for name, (tree, _) in zip(architectures, made, strict=True)
    ]
    return BootFiles(
        merge([*parts, ("the boot menus", shared)]),
        files.loader(boot, store.read),
        tuple(check for _, check in made if check),
    )


def _machine(
    section: boot_section.Boot,
    packages: Mapping[str, Tree],
    results: Results,
    architecture: Architecture,
) -> Machine:
    program = f"out/{device.STICK_INIT}"
    init = results[f"programs/{architecture}"].tree.get(program)
    if init is None:
        raise InputError(f"the programs for {architecture} lack {program}", subject=architecture)
    kernel = section.kernel(architecture)
    return Machine(
        architecture=architecture,
        kernel=packages[kernel_name(architecture)],
        command_line=section.command_line(architecture),
        init=init,
        uefi=packages[loader_name(architecture)],
        modules=kernel.modules,
        device_trees=kernel.device_trees,
    )


def _syslinux(packages: Mapping[str, Tree]) -> Tree:
    return merge((name, packages[name]) for name in SYSLINUX)


def _own(
    machine: Machine, store: Store, observer: Observer, bases: rebuilding.Bases | None
) -> tuple[Tree, Check | None]:
    """What only one architecture has; with `bases`, made again, and how it compares with them."""
    key = _key(machine)
    name = _stage_name(machine.architecture)
    again = bases is not None
    remembered, why = (bases or rebuilding.Bases()).of(key, lambda: _recalled(store, key))
    if remembered is not None and not again and store.holds(remembered):
        observer.finished(name, cached=True, seconds=0)
        return remembered, None
    observer.started(name)
    started = time.monotonic()
    made = files.machine(machine, store.read, store.put_bytes)
    observer.finished(name, cached=False, seconds=time.monotonic() - started)
    check = rebuilding.tree(name, remembered, made, why) if again else None
    if remembered is None or not again:
        # Made again, it does not replace what was remembered, whatever this run gave: that stays
        # the base of comparison.
        store.remember(_KIND, key, {"tree": str(store.save_tree(made))})
    return made, check


def _key(machine: Machine) -> Digest:
    """BLAKE3 of everything that decides the bits of a machine's own part."""
    return digests.of_bytes(
        canonical.dumps(
            {
                "format": files.FORMAT,
                "compression": initramfs.COMPRESSION,
                "usual_modules": list(modules.DEFAULT),
                "architecture": machine.architecture,
                "kernel": str(machine.kernel.digest),
                "init": machine.init.digest,
                "uefi": str(machine.uefi.digest) if machine.uefi is not None else None,
                "modules": list(machine.modules),
                "device_trees": list(machine.device_trees),
            }
        )
    )


def _recalled(store: Store, key: Digest) -> tuple[Tree | None, str]:
    """What is remembered, its files perhaps gone; or why nothing is."""
    if not store.remembers(_KIND, key):
        return None, ""
    document = store.recall(_KIND, key)
    try:
        if document is None:
            return None, "what is remembered is no JSON object"
        return store.load_tree(Digest.parse(document["tree"])), ""
    except (DamagedBlob, InputError) as error:
        return None, f"what is remembered cannot be read: {error.summary}"
    except (AttributeError, KeyError, TypeError) as error:
        return None, f"what is remembered cannot be read: {error!r}"


def _stage_name(architecture: str) -> str:
    return f"boot files/{architecture}"
