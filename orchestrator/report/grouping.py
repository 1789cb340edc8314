"""Steps in groups of one stage and architecture, and the groups in the layers of the chain. Pure.

`result.json` does not say what a step needs; that each layer is made with what stands above it is
the plan's order, as docs/architecture.md has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.architecture import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.artifacts.model import Step

# What only says what is to be built, and gives no files: not in the picture.
_LISTING = "list"
OTHERS: Final = "Further steps"
# Title, and the stages of its steps, from the inputs to the image.
LAYERS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    ("T1: built by the bootstrap Go", frozenset({"T1"})),
    ("F1: the toolchain, built by T1", frozenset({"F1"})),
    ("The standard library, compiled by F1", frozenset({"standard library"})),
    (
        "Toolchains by F1, and what checks them",
        frozenset({"F2", "cross", "cross by F2", "recorder"}),
    ),
    ("Seeds, commands, programs", frozenset({"seed", "commands", "programs"})),
    ("Boot files", frozenset({"boot files"})),
)
# Below the layer's title, which has the rest of the words.
_SHORT: Final = {"standard library": "library"}
# They are told of by what came out in the end.
_END: Final = frozenset({"image"})


@dataclass(frozen=True)
class Group:
    """Steps of one stage for one architecture. `label`: what they are called together."""

    stage: str
    architecture: str
    steps: tuple[Step, ...]

    @property
    def label(self) -> str:
        """Its only step's name where that is short, else the stage."""
        if len(self.steps) == 1 and not self.architecture:
            return self.steps[0].name
        return _SHORT.get(self.stage, self.stage)


def grouped(steps: Iterable[Step]) -> list[Group]:
    """Steps in groups, in the order of the first of each."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        of = architecture_of(step)
        # Steps of one stage that are of no architecture are different things, as those of T1 are.
        found.setdefault((step.stage, of or step.name), []).append(step)
    return [
        Group(stage, name if name in ARCHITECTURES else "", tuple(those))
        for (stage, name), those in found.items()
    ]


def layers(steps: Iterable[Step]) -> list[tuple[str, list[Group]]]:
    """The layers that a build has, each with its groups; listings and the image left out."""
    drawn = [step for step in steps if not is_listing(step) and step.stage not in _END]
    known = {stage for _, stages in LAYERS for stage in stages}
    found = []
    for title, stages in LAYERS:
        groups = grouped(step for step in drawn if step.stage in stages)
        # One stage beside the other; in each the order of the plan.
        order = list(dict.fromkeys(group.stage for group in groups))
        found.append((title, sorted(groups, key=lambda group: order.index(group.stage))))
    found.append((OTHERS, grouped(step for step in drawn if step.stage not in known)))
    return [(title, groups) for title, groups in found if groups]


def architecture_of(step: Step) -> str:
    """The architecture that a step's name ends with, or has as a part; empty where it has none."""
    return next((part for part in reversed(step.name.split("/")) if part in ARCHITECTURES), "")


def is_listing(step: Step) -> bool:
    """Return whether a step only says what is to be built."""
    return step.stage == _LISTING or step.name.rpartition("/")[2] == _LISTING
