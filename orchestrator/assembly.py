"""Steps of a build between the plan and the image, and what the image is made from.

`build` makes an image of it, and an audit works it out once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.artifacts import image as making
from orchestrator.artifacts import root
from orchestrator.boot import step as boot_step
from orchestrator.golang import handles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Handle, Results, Step
    from orchestrator.inputs import Inputs
    from orchestrator.lock.file import Lock
    from orchestrator.plan import Plan
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from reproducibility.manifest import Tree


@dataclass(frozen=True)
class Assembled:
    """The root with its counts, and the recipe of the image that holds it."""

    root: root.Root
    recipe: making.Recipe


@dataclass(frozen=True)
class Assembly:
    """Assembly of steps and root: spec, lock, inputs, plan, and where their files lie."""

    wanted: Spec
    pinned: Lock
    architectures: tuple[Architecture, ...]
    have: Inputs
    drawn: Plan
    store: Store

    @property
    def programs(self) -> dict[Architecture, Handle]:
        """Return the steps that build the userland's programs, by architecture."""
        return {name: handles.programs(name) for name in self.architectures}

    @property
    def steps(self) -> list[Step]:
        """Return the plan's steps, and those of the boot files; all but the image's."""
        steps = list(self.drawn.steps)
        if self.wanted.boot is not None:
            steps += boot_step.steps(self.wanted.boot, self.have.boot, self.programs, self.store)
        return steps

    def assemble(self, results: Results, made: Mapping[Architecture, Tree]) -> Assembled:
        """Return the root and the recipe. `made`: what `checks.toolchains` gives.

        Raises:
            InputError: what is to be in the root is not right; says what.
            DamagedBlob: a blob is missing or damaged.
        """
        identity = making.identity(self.wanted.digest, self.pinned.digest)
        boot = boot_step.BootFiles()
        if self.wanted.boot is not None:
            boot = boot_step.assemble(
                self.wanted.boot,
                self.have.boot,
                results,
                self.programs,
                making.volume_id(identity),
                self.store,
            )
        assembled = root.assemble(
            self.drawn.compiling,
            results,
            made,
            self.have.files,
            self.store.put_bytes,
            boot.tree,
        )
        image = self.wanted.image
        recipe = making.Recipe(
            tree=assembled.tree,
            label=image.label,
            identity=identity,
            epoch=image.epoch,
            free_space=image.free_space,
            loader=boot.loader,
        )
        return Assembled(assembled, recipe)
