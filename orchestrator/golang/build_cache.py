"""Compiled packages from one action to others, and to the device: the helper's records as inputs.

An action that records keeps what it compiles in the compile seed's form (`seed.py`); others read
records through the same helper, `userland/cmd/buildcache`, and compile only what is not in them.
The helper answers with nothing whose SHA-256 is not the one that the record names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.action import Mount
from orchestrator.golang import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.execution.step import Results
    from reproducibility.manifest import Tree

STEP = "T1/helpers"
HELPERS = ("buildcache", "compileonly")
# Built with them, for the same reason: it has to be there before F1.
OBSERVER = "observe"
FOLDER = "out"  # below the work directory
COMPILE_ONLY = "/helper/compileonly"


def standard_name(architecture: str) -> str:
    """The name of the step that compiles the standard library for an architecture."""
    return f"std/{architecture}"


def recorded(results: Results, step: str) -> Tree:
    """What a step has recorded."""
    return results[step].tree.under(FOLDER)


def helper(results: Results, step: str = STEP) -> Tree:
    """The programs that record and read records."""
    made = results[step].tree.under("out")
    return made.where(lambda entry: entry.path in HELPERS)


def observer(results: Results, step: str = STEP) -> Tree:
    """The program that looks around in the surroundings of an action (`toolchain/observe`)."""
    made = results[step].tree.under("out")
    return made.where(lambda entry: entry.path == OBSERVER)


@dataclass(frozen=True)
class Cache:
    """The go command's build cache of an action: what it reads besides its own, what it records.

    `helper`: tree of the recorder's programs. `records`: trees of what other actions recorded.
    `into`: the work directory of an action that records, None for one that does not.
    """

    helper: Tree
    records: Sequence[Tree] = ()
    into: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the go command is told of it."""
        return {"GOCACHE": environment.CACHE, "GOCACHEPROG": self._program}

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """The helper and the records at their places."""
        numbered = enumerate(self._filled)
        return Mount("/helper", self.helper), *(Mount(f"/seed/{n}", tree) for n, tree in numbered)

    @property
    def _program(self) -> str:
        words = ["/helper/buildcache"]
        for number in range(len(self._filled)):
            words += ["-seed", f"/seed/{number}"]
        # The go command takes the quotes off (cmd/internal/quoted); a work directory may need them.
        words += (
            ["-record", f"'{self.into}/{FOLDER}'"] if self.into else ["-cache", environment.CACHE]
        )
        return " ".join(words)

    @property
    def _filled(self) -> list[Tree]:
        return [tree for tree in self.records if len(tree)]


def reading(results: Results, *steps: str) -> Cache:
    """The build cache of an action that reads what these steps recorded."""
    return Cache(helper(results), [recorded(results, step) for step in steps])
