"""Matrix of an audit: host x target x bootstrap root x engine, and what was proved in each cell.

A cell is one comparison of one toolchain: with the published release, with what another stage or
another root made, with what the target's own programs make. The store remembers the cells of a
build, so that each audit adds its own and shows them all. A cell that nobody has filled is a SKIP,
with the command that fills it. docs/audit.md says what each cell proves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from orchestrator.architecture import Architecture
from orchestrator.artifacts.model import Engine, Texts, Word
from orchestrator.files.document import shaped
from orchestrator.lock.model import Blake3, Text
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.codes import CONDITIONS, FROM_INPUTS
from reproducibility.errors import InputError
from reproducibility.variations import NAMES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from threading import Event

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.store import Store
    from reproducibility.digest import Digest

How = Literal["host", "cross", "native", "native emulated"]
# First parts of check codes: what a toolchain was compared with.
Comparison = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Address = tuple[str, str, str, str, str, str]

_KIND = "matrix"
_MOST_VALUES = 100_000
# Codes of actions that gave something else, or failed, when an audit ran them again.
_GUILTY = frozenset(
    f"{kind.code}.{outcome}" for kind in (CONDITIONS, FROM_INPUTS) for outcome in kind.fails
)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Emulator(_Model):
    """Program that ran a foreign toolchain. `blake3`: of its file. `version`: as it says."""

    name: Text
    blake3: Blake3
    version: str


class Evidence(_Model):
    """Evidence of a cell: what was run, where, and what came out.

    `outputs`: digest of the tree that was compared; null where nothing came out. `keys`: what the
    results of the actions that made it are remembered under. `checks`: codes of the comparisons.
    `engine`: the one that ran it. `emulator`: null where the machine itself ran it. `tool`: the
    version of this program. `varied`: the variations that actions were run again with, and
    `rounds`: how often each was. Both are null, or not there, where none were run again, and in
    what earlier versions wrote.
    """

    outputs: Blake3 | None
    keys: Annotated[tuple[Blake3, ...], Field(strict=False)]
    checks: Texts
    engine: Engine
    emulator: Emulator | None
    tool: Text
    varied: Texts | None = None
    rounds: Annotated[int, Field(ge=1)] | None = None

    @model_serializer(mode="wrap")
    def _without_what_was_not_run(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what says nothing: files of earlier versions keep their form."""
        found: dict[str, Any] = written(self)
        return {
            name: value
            for name, value in found.items()
            if value is not None or name not in {"varied", "rounds"}
        }


class Cell(_Model):
    """One cell: which toolchain, made how, compared with what, and what came of it.

    `host`: architecture of the machine that ran it. `target`: of the toolchain's programs. `root`:
    what the chain began with, as in `go 1.26.6`. `engine`: its name. `how`: built for the host
    itself, for another architecture, or by the target's own programs, on a machine of that
    architecture or emulated. `comparison`: the first part
    of the check's code, as in `release`. `evidence`: null where nobody has filled the cell.
    `when`: the end of the work, `2026-01-01T00:00:00Z`; empty where it is not known. `command`:
    what fills the cell; empty where it is filled. `failed`: when it was a FAIL before, the last
    time; empty where it never was one.
    """

    host: Architecture
    target: Architecture
    root: Text
    engine: Text
    how: How
    comparison: Comparison
    verdict: Word
    reason: str
    evidence: Evidence | None
    when: str
    command: str
    failed: str = ""

    @property
    def address(self) -> Address:
        """Which cell of the matrix it is, whatever came of it."""
        return (self.host, self.target, self.root, self.engine, self.how, self.comparison)

    @property
    def filled(self) -> bool:
        """Whether somebody compared something."""
        return self.evidence is not None

    @property
    def guilty(self) -> frozenset[str]:
        """The codes by which it is a FAIL because of actions that an audit ran again."""
        known = self.evidence
        return _GUILTY.intersection(known.checks if known and self.verdict == "FAIL" else ())


def identity(result: BuildResult) -> Digest:
    """Digest of the build that cells belong to: its spec, its lock, its image.

    Builds of the same spec and lock that gave the same image share their cells, whichever engine
    and machine made them.
    """
    what = {"spec": result.spec, "lock": result.lock, "image": result.image.blake3}
    return digests.of_bytes(canonical.dumps({name: str(value) for name, value in what.items()}))


class Record:
    """Cells of one build, as a store remembers them."""

    def __init__(self, store: Store, build: Digest) -> None:
        """`build`: as `identity` gives it."""
        self._store = store
        self._build = build

    def cells(self) -> tuple[Cell, ...]:
        """Return all that is remembered and can be read."""
        return self._read()[0]

    @property
    def unread(self) -> int:
        """Return how many remembered cells cannot be read."""
        return len(self._read()[1])

    def add(
        self,
        cells: Iterable[Cell],
        computed: Iterable[Cell] = (),
        *,
        able: Collection[str] = NAMES,
        stop: Event | None = None,
    ) -> tuple[Cell, ...]:
        """Add cells, in place of those that were added before; return all that is remembered then.

        `computed`: cells that follow from the build's result. They take the place of what is
        remembered of them, but not of a FAIL: that was found later. What cannot be read is kept.
        `able`: the variations that the engine can apply.

        Raises:
            Stopped: `stop` was set while another audit was adding its own.
        """
        with self._store.only_one(self._build, stop):
            before, unread = self._read()
            failed = {cell.address for cell in before if cell.verdict == "FAIL"}
            anew = [
                cell for cell in computed if cell.verdict == "FAIL" or cell.address not in failed
            ]
            merged = merge(before, ())
            for cell in (*anew, *cells):
                known = next((one for one in merged if one.address == cell.address), None)
                merged = merge(merged, [cell if known is None else _after(known, cell, able)])
            if merged != before:
                self._store.remember(_KIND, self._build, _document(merged, unread))
        return merged

    def _read(self) -> tuple[tuple[Cell, ...], tuple[Any, ...]]:
        found = self._store.recall(_KIND, self._build) or {}
        return parsed(found.get("cells"))


def merge(before: Iterable[Cell], further: Iterable[Cell]) -> tuple[Cell, ...]:
    """Return the cells of both, sorted; of two at one place the filled one, then the further one.

    The order in which they were added decides, not their dates: clocks differ. One that takes the
    place of a FAIL says so from then on.
    """
    found: dict[Address, Cell] = {}
    for cell in (*before, *further):
        known = found.get(cell.address)
        if known is None or cell.filled or not known.filled:
            found[cell.address] = _instead(known, cell)
    return tuple(found[address] for address in sorted(found))


def _after(known: Cell, cell: Cell, able: Collection[str]) -> Cell:
    """Return what is known of a cell when another one is added to it.

    A FAIL because of actions that an audit ran again is taken back where as much was tried again.
    """
    if not known.guilty or known.evidence is None or cell.evidence is None:
        return cell
    if cell.verdict == "FAIL":
        return _both(cell, known.evidence, cell.evidence, known.guilty)
    return cell if _tried(known.evidence, cell.evidence, able) else known


def _tried(before: Evidence, now: Evidence, able: Collection[str]) -> bool:
    """Whether actions were run again with all variations, and as often, as when one differed.

    What earlier versions wrote does not say with which: all that the engine can apply may be it.
    """
    if now.varied is None:
        return False
    wanted = able if before.varied is None else before.varied
    return {*wanted} <= {*now.varied} and (before.rounds or 1) <= (now.rounds or 1)


def _both(cell: Cell, before: Evidence, now: Evidence, guilty: Collection[str]) -> Cell:
    """A FAIL after another one: both have to be taken back."""
    varied: tuple[str, ...] | None = None
    if before.varied is not None and (now.varied is not None or not cell.guilty):
        names = {*before.varied, *(now.varied or ())}
        varied = tuple(name for name in NAMES if name in names)
    rounds = max(before.rounds or 1, now.rounds or 1)
    checks = tuple(sorted({*now.checks, *guilty}))
    evidence = now.model_copy(update={"checks": checks, "varied": varied, "rounds": rounds})
    return cell.model_copy(update={"evidence": evidence})


def _instead(known: Cell | None, cell: Cell) -> Cell:
    """The cell, with the FAIL that was at its place before."""
    if known is None or not known.filled or cell.verdict == "FAIL":
        return cell
    date = (known.when or "a day that is not known") if known.verdict == "FAIL" else known.failed
    if date in {"", cell.failed}:
        return cell
    reason = cell.reason.removesuffix(_failed(cell.failed))
    return cell.model_copy(update={"failed": date, "reason": f"{reason}{_failed(date)}"})


def _failed(date: str) -> str:
    return f"; FAILed on {date}" if date else ""


def _document(cells: Iterable[Cell], unread: Iterable[Any]) -> dict[str, Any]:
    those = [*(cell.model_dump(mode="json") for cell in cells), *unread]
    return {
        # What differs is kept for `compare` as long as this is.
        "outputs": sorted(
            {
                str(cell.evidence.outputs)
                for cell in cells
                if cell.verdict == "FAIL" and cell.evidence and cell.evidence.outputs
            }
        ),
        # As one text: nothing else in it is a blob to keep.
        "cells": canonical.pretty(those).decode(),
    }


def parsed(text: object) -> tuple[tuple[Cell, ...], tuple[Any, ...]]:
    """Read cells back from the text that a record keeps, one by one; and return what is no cell."""
    if not isinstance(text, str):
        return (), () if text is None else (text,)
    try:
        those = canonical.loads(text, subject="cells of the matrix")
    except InputError:
        return (), (text,)
    cells, unread = [], []
    for one in those if isinstance(those, list) else [those]:
        try:
            cells.append(shaped(Cell, one, InputError, most=_MOST_VALUES))
        except InputError:
            unread.append(one)
    return tuple(cells), tuple(unread)
