"""Tables that become cards on a narrow screen, and folds. Pure.

Roles are said explicitly, because browsers drop a table's own where style makes blocks of its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup.html import Child, Html, element, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Child]], *, kind: str = ""
) -> Html:
    """A table: its `title` (for screen readers), the head of each column, rows of cells.

    The first cell of a row is its head. Without rows, a line that
    says so. `kind`: a class, which gives columns their width.
    """
    heads = join(element("th", name, scope="col", role="columnheader") for name in columns)
    body = join(_row(columns, row) for row in rows)
    if not body:
        return element("p", f"{title}: none", class_="dim")
    return element(
        "table",
        element("caption", title),
        element("thead", element("tr", heads, role="row"), role="rowgroup"),
        element("tbody", body, role="rowgroup"),
        role="table",
        class_=kind or None,
    )


def fold(summary: Child, *inside: Child, opened: bool = False) -> Html:
    """What can be unfolded, by keyboard too and without a script."""
    return element("details", element("summary", summary), *inside, open=opened)


def section(name: str, title: str, *inside: Child) -> Html:
    """A section of the page. `name`: by which it is linked to."""
    head = element("h2", title, id=f"{name}-head")
    return element("section", head, *inside, id=name, aria_labelledby=f"{name}-head")


def part(title: Child, *inside: Child) -> Html:
    """A part of a section, with a heading."""
    return join((element("h3", title), *inside))


def _row(columns: Sequence[str], row: Sequence[Child]) -> Html:
    cells = []
    for place, (name, cell) in enumerate(zip(columns, row, strict=True)):
        if place == 0:
            head = element("th", cell, scope="row", role="rowheader", data_label=name)
            cells.append(head)
        else:
            empty = "empty" if not str(cell) else None
            cells.append(element("td", cell, role="cell", data_label=name, class_=empty))
    return element("tr", *cells, role="row")
