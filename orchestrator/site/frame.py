"""What every page of a site has around its sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.markup import html, words
from orchestrator.markup.addresses import Reach
from orchestrator.markup.document import document, sections, skip
from orchestrator.markup.html import Child, Html, element
from orchestrator.site.site import LONGEST_TITLE
from orchestrator.site.style import SHEET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.site.site import Links

GENERATOR: Final = "orchestrate nightly"


def framed(
    links: Links,
    title: str,
    parts: Sequence[tuple[str, str]],
    *inside: Child,
    reach: Reach = Reach.SITE,
    beside: Child = "",
) -> bytes:
    """A page.

    `title`: what it is called, empty for the index. `parts`: name and title of each section.
    `inside`: the sections. `beside`: where one can go from here, from `way`.
    """
    whole = words.cut(links.site.title, LONGEST_TITLE)
    shown = element("bdi", whole)
    head = (
        element("h1", element("a", shown, href=links.index()), f": {title}")
        if title
        else element("h1", shown)
    )
    first, where = parts[0]
    return document(
        skip(f"Skip to: {where}", first),
        element("header", head, beside),
        sections(tuple(parts), "page"),
        element("main", *inside),
        _footer(),
        title=f"{title} - {whole}" if title else whole,
        sheet=SHEET,
        generator=GENERATOR,
        feed=html.feed(links.feed(), whole),
        reach=reach,
    )


def way(what: str, *items: Child) -> Html:
    """Where one can go from a page. `what`: what lies there."""
    those = element("ul", *(element("li", item) for item in items))
    return element("nav", those, aria_label=what)


def _footer() -> Html:
    return element(
        "footer",
        element(
            "p",
            "Written by ",
            element("code", GENERATOR),
            " from the history of its nights. The pages load nothing and run no script.",
        ),
    )
