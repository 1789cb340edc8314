"""The matrix: which toolchain, made how and from which root, was compared with what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import part, table
from reproducibility import codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.audit.matrix import Cell

_NAMES = {kind.code: kind.name for kind in codes.KINDS}
_COLUMNS = ("Toolchain for", "Made", "Compared", "Verdict", "Reason")


def told(cells: Sequence[Cell]) -> Html:
    """The matrix; nothing where the audit has none."""
    if not cells:
        return EMPTY
    filled = sum(cell.filled for cell in cells)
    return part(
        "Matrix",
        element(
            "p",
            f"{filled} of {words.many(len(cells), 'cell')} are filled. Each is one comparison of "
            "one toolchain; for one that nobody filled, the command that does is given.",
        ),
        table(
            "Matrix of host, target, bootstrap root and engine",
            _COLUMNS,
            (_cell(cell) for cell in cells),
            kind="matrix",
        ),
    )


def _cell(cell: Cell) -> tuple[Html, Html, Html, Html, Html]:
    emulator = cell.evidence.emulator if cell.evidence is not None else None
    made = join(
        (
            words.said(cell.how),
            element("div", "on ", cell.host, ", from ", words.said(cell.root), class_="dim"),
            element("div", "in ", words.said(cell.engine), class_="dim"),
            element("div", "emulated by ", words.said(emulator.name), " ",
                    words.said(emulator.version), class_="dim")
            if emulator is not None
            else EMPTY,
        )
    )  # fmt: skip
    compared = words.said(_NAMES.get(cell.comparison, cell.comparison))
    reason = join(
        (
            words.said(cell.reason),
            element("div", words.code(cell.command)) if cell.command else EMPTY,
            element("div", words.said(cell.when), class_="dim") if cell.when else EMPTY,
        )
    )
    return element("span", cell.target), made, compared, words.mark(cell.verdict), reason
