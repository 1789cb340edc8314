"""One page as a document: its head, and a policy under which a browser shows it.

The content security policy forbids everything but the style sheet in the page, by its digest: no
script, no image, no font, no connection, no form.
"""

from __future__ import annotations

import base64

from orchestrator.markup import html
from orchestrator.markup.addresses import Reach
from orchestrator.markup.html import EMPTY, Child, Html, element
from reproducibility import digest


def document(
    *body: Child,
    title: str,
    sheet: str,
    generator: str,
    feed: Html = EMPTY,
    reach: Reach = Reach.SECTIONS,
) -> bytes:
    """A whole page, in UTF-8.

    `sheet`: its style. `generator`: what wrote it. `feed`: from `html.feed`, where there is one.
    `reach`: how far its links may lead.

    Raises:
        ValueError: a link leads further.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(sheet)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content=generator),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        feed,
        html.style(sheet),
    )
    return html.document(element("html", head, element("body", *body), lang="en"), reach)


def policy(sheet: str) -> str:
    """The content security policy of a page with this style sheet."""
    found = bytes.fromhex(digest.sha256_of_bytes(sheet.encode()).hex)
    allowed = f"'sha256-{base64.b64encode(found).decode()}'"
    return f"default-src 'none'; style-src {allowed}; base-uri 'none'; form-action 'none'"


def skip(words: str, name: str) -> Html:
    """A link that keyboards come to first: over all that is above, to a section by its name."""
    return element("a", words, href=f"#{name}", class_="to-verdict")


def sections(those: tuple[tuple[str, str], ...], what: str) -> Html:
    """Links to the sections of a page: the name and the title of each. `what`: of which page."""
    items = (element("li", element("a", title, href=f"#{name}")) for name, title in those)
    return element("nav", element("ul", *items), aria_label=f"Sections of this {what}")
