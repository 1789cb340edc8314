"""Go build cache (GOCACHEPROG) shared by actions: packages that one compiled, as input of others.

An action that records keeps what it compiles in the compile seed's format (`seed_index`); others
read it through the same program, `userland/cmd/buildcache`, and compile only what is not in it.
That program returns nothing whose SHA-256 is not the one that the record names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.action import Mount
from orchestrator.golang import environment, handles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.execution.step import Handle, Results
    from reproducibility.manifest import Tree

HELPERS = ("buildcache", "compileonly")
# Built with them, for the same reason: it has to be there before F1.
OBSERVER = "observe"
FOLDER = handles.OUT
COMPILE_ONLY = "/helper/compileonly"


_INDEXED = (
    "the go command names the index of a folder's packages by the name, size and modification time "
    "of every file, written in local time (dirHash in cmd/go/internal/modindex/read.go), and the "
    "step records that index for the device, where all of these are the same"
)
# What is an input to a step that records a build cache, and no mere condition.
FIXED: Mapping[str, str] = {"mtime": _INDEXED, "zone": _INDEXED}


def helper(results: Results, step: Handle = handles.HELPERS) -> Tree:
    """Return the programs that record and serve build caches."""
    return step.tree(results).where(lambda entry: entry.path in HELPERS)


def observer(results: Results, step: Handle = handles.HELPERS) -> Tree:
    """Return the program that reports the environment that an action sees (`observe.go`)."""
    return step.tree(results).where(lambda entry: entry.path == OBSERVER)


@dataclass(frozen=True)
class Cache:
    """Build cache of one action's go command: what it reads besides its own, what it records.

    `helper`: tree of the recorder's programs. `records`: trees of what other actions recorded.
    `into`: the work directory of an action that records, None for one that does not.
    """

    helper: Tree
    records: Sequence[Tree] = ()
    into: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment that points the go command to it."""
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


def reading(results: Results, *steps: Handle) -> Cache:
    """The build cache of an action that reads what these steps recorded."""
    return Cache(helper(results), [step.tree(results) for step in steps])
