"""Shows the matrix of an audit: a line for each cell, with when it was filled or what fills it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.streams import Marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.audit.matrix import Cell

# What a toolchain is compared with, by the first part of the check's code.
_WORDS = {
    "release": "== published release",
    "fixed-point": "== built by itself (F2)",
    "cross-build": "== cross build by F2",
    "native-build": "== built by its own programs",
    "second-root": "== built from another root",
}


def lines(cells: Sequence[Cell]) -> Iterator[str]:
    """The matrix for a person, below a line that says what it is; nothing where there is none."""
    if not cells:
        return
    hosts = ", ".join(sorted({cell.host for cell in cells}))
    yield ""
    yield f"matrix of this build's toolchains, made on {hosts}:"
    columns = [(*_columns(cell), _last(cell)) for cell in cells]
    widths = [max(len(row[at]) for row in columns) for at in range(len(columns[0]) - 1)]
    for cell, row in zip(cells, columns, strict=True):
        padded = [f"{word:<{width}}" for word, width in zip(row, widths, strict=False)]
        yield Marked(cell.verdict, f"  {'  '.join([*padded, row[-1]])}")


def _columns(cell: Cell) -> tuple[str, ...]:
    compared = _WORDS.get(cell.comparison, cell.comparison)
    return (cell.target, cell.root, cell.engine, cell.how, compared)


def _last(cell: Cell) -> str:
    """When it was filled, and why it is no PASS; or what fills it."""
    if not cell.filled:
        return f"{cell.reason}: `{cell.command}`" if cell.command else cell.reason
    # What a program said on its way to the end has more than one line, and is told above.
    first, *_ = cell.reason.splitlines() or [""]
    if cell.verdict != "PASS":
        return ": ".join(filter(None, (cell.when, first)))
    return f"{cell.when}; FAILed on {cell.failed}" if cell.failed else cell.when
