"""Holds remembered cells against the build that is audited: whether they are about its toolchains.

Pure. A cell stands where it is of a root that spec and lock name, of the very toolchain that the
build's result names, and of the past. Another one is shown as open, with the command that fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.architecture import host
from orchestrator.audit import cells
from orchestrator.golang import handles
from reproducibility.codes import RELEASE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.artifacts import model as built
    from orchestrator.audit import matrix
    from orchestrator.audit.cells import Root
    from orchestrator.execution.step import Results
    from reproducibility.digest import Digest


def toolchains(
    recorded: Mapping[str, built.Step],
    results: Results,
    others: Collection[str],
    architectures: Iterable[Architecture],
) -> dict[str, set[Digest]]:
    """Digests by which a build's toolchains may be named, by the architecture that they are for.

    As the result names it, and, where the store's is that one, as the folder of its programs.
    `recorded`: the result's steps. `others`: the steps of which the store has other outputs.
    """
    found: dict[str, set[Digest]] = {}
    for name in architectures:
        made = handles.F1 if name == host() else handles.cross(name)
        if made not in recorded:
            continue
        found[name] = {recorded[made].outputs}
        if made in results and made not in others:
            found[name].add(made.tree(results).digest)
    return found


@dataclass(frozen=True)
class Standing:
    """What cells are held against.

    `toolchains`: as the function of this name gives it. `roots`: the first is the one of the build
    itself. `now`: the present, as the `when` of a cell.
    """

    toolchains: Mapping[str, Collection[Digest]]
    roots: Sequence[Root]
    now: str

    def shown(self, known: Iterable[matrix.Cell]) -> list[matrix.Cell]:
        """Return the cells, those that do not stand as open ones. A FAIL is never taken back."""
        found = []
        for cell in known:
            why = self.doubt(cell)
            found.append(cell if not why or cell.verdict == "FAIL" else self._open(cell, why))
        return found

    def doubt(self, cell: matrix.Cell) -> str:
        """Why a cell does not stand; empty where it does, or where nobody filled it."""
        if cell.evidence is None:
            return ""
        root = self._root(cell)
        if root is None:
            return f"proved for another root than spec and lock name, on {cell.when}"
        # A chain of its own has other toolchains than the build's; its pins are in its label.
        own_chain = bool(root.chosen) and cell.comparison == RELEASE.code
        if not own_chain and cell.evidence.outputs not in self.toolchains.get(cell.target, ()):
            return f"proved for another toolchain than the build's result names, on {cell.when}"
        if cell.when > self.now:
            return f"proved on a day that is still to come by this machine's clock: {cell.when}"
        return ""

    def _root(self, cell: matrix.Cell) -> Root | None:
        return next((root for root in self.roots if root.words == cell.root), None)

    def _open(self, cell: matrix.Cell, why: str) -> matrix.Cell:
        root = self._root(cell)
        # What began elsewhere began at a chosen root, if at any that there still is.
        chosen = root or next((one for one in self.roots if one.chosen), None)
        filling = ""
        if chosen is not None:
            filling = cells.command(cell.comparison, cell.target, cell.engine, chosen.chosen)
        return cell.model_copy(
            update={
                "verdict": "SKIP",
                "reason": why,
                "evidence": None,
                "when": "",
                "command": filling,
            }
        )
