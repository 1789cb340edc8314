"""Steps that make a build's boot files from what the lock pins and what the build compiled.

A kernel's part takes seconds (modules are unpacked and packed again) and depends on its package and
the initramfs's program alone, so it is a step of its own. The menus name the volume, which another
spec or lock names otherwise; they are made each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.architecture import bios
from orchestrator.boot import files, initramfs, modules
from orchestrator.boot.model import Boot, Machine
from orchestrator.execution.step import Computation, Computed, Handle, Step
from orchestrator.spec.boot import SYSLINUX, kernel_name, loader_name
from reproducibility import canonical
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.boot.syslinux import Loader
    from orchestrator.execution.step import Results
    from orchestrator.spec import boot as boot_section
    from orchestrator.store import Store

_KIND = "boot"


@dataclass(frozen=True)
class BootFiles:
    """Every boot file at its place on the stick, and the BIOS loader that the image is made for."""

    tree: Tree = field(default_factory=Tree)
    loader: Loader | None = None


def steps(
    section: boot_section.Boot,
    packages: Mapping[str, Tree],
    programs: Mapping[Architecture, Handle],
    store: Store,
) -> list[Step]:
    """One step an architecture: what only that has.

    `packages`: unpacked, by the input's name. `programs`: the steps that build what the initramfs
    starts, by architecture.

    A step raises InputError where a package has not what it must have, and DamagedBlob.
    """

    def step(architecture: Architecture) -> Step:
        def make(results: Results) -> Computation:
            init = programs[architecture].tree(results)
            machine = _machine(section, packages, init, architecture)
            return Computation(_KIND, _document(machine), lambda _: compute(machine))

        def compute(machine: Machine) -> Computed:
            return Computed(files.machine(machine, store.read, store.put_bytes))

        name, needs = handle(architecture), (programs[architecture],)
        return Step(name, "boot files", architecture, needs, make, in_process=True)

    return [step(architecture) for architecture in programs]


def assemble(  # noqa: PLR0913 - what they are made from
    section: boot_section.Boot,
    packages: Mapping[str, Tree],
    results: Results,
    programs: Mapping[Architecture, Handle],
    volume_id: int,
    store: Store,
) -> BootFiles:
    """All boot files, from what the steps made and what names the volume.

    Raises:
        InputError: a package has not what it must have.
        DamagedBlob: a blob is missing or damaged.
    """
    boot = Boot(
        machines=tuple(
            _machine(section, packages, step.tree(results), name) for name, step in programs.items()
        ),
        syslinux=_syslinux(packages) if bios(tuple(programs)) else None,
        volume_id=volume_id,
        timeout=section.timeout,
        missing=section.missing,
    )
    shared = files.shared(boot, store.read, store.put_bytes)
    parts = [(f"the kernel for {name}", handle(name).tree(results)) for name in programs]
    return BootFiles(merge([*parts, ("the boot menus", shared)]), files.loader(boot, store.read))


def handle(architecture: str) -> Handle:
    """The step of an architecture."""
    return Handle(f"boot files/{architecture}")


def _machine(
    section: boot_section.Boot,
    packages: Mapping[str, Tree],
    programs: Tree,
    architecture: Architecture,
) -> Machine:
    init = programs.get(device.STICK_INIT)
    if init is None:
        raise InputError(
            f"the programs for {architecture} lack {device.STICK_INIT}", subject=architecture
        )
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


def _document(machine: Machine) -> bytes:
    """Everything that decides the bits of a machine's own part."""
    return canonical.dumps(
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
