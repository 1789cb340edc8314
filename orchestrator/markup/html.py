"""HTML as a value that cannot be made from text without escaping. Pure.

`Html` comes out of `text`, `element`, `join` and few more; a `str` among the children of an element
is text and is escaped as such. Tags and attributes are those of a fixed list: none of them runs a
script or loads something. A link leads to a section of its page, or to an address that was looked
at (`orchestrator.markup.addresses`); HTML knows how far its links reach, and `document` refuses
those that reach beyond what the document is declared to.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final, NoReturn

from orchestrator.markup.addresses import Address, Https, Reach
from reproducibility import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.markup.addresses import Within

_VOID = frozenset({"br", "meta"})
_EMPTY_SVG = frozenset({"circle", "line", "polyline", "rect"})
_TAGS = _VOID | _EMPTY_SVG | frozenset({
    "a", "bdi", "body", "caption", "code", "dd", "desc", "details", "div", "dl", "dt", "footer",
    "g", "h1", "h2", "h3", "head", "header", "html", "li", "main", "nav", "ol", "p", "pre",
    "section", "small", "span", "strong", "style", "summary", "svg", "table", "tbody", "td",
    "text", "th", "thead", "title", "tr", "ul",
})  # fmt: skip
_ATTRIBUTES = frozenset({
    "aria-hidden", "aria-label", "aria-labelledby", "charset", "class", "colspan", "content", "cx",
    "cy", "data-label", "height", "href", "http-equiv", "id", "lang", "name", "open", "points",
    "preserveAspectRatio", "r", "role", "rx", "scope", "tabindex", "text-anchor", "title",
    "viewBox", "width", "x", "x1", "x2", "y", "y1", "y2",
})  # fmt: skip
_FRAGMENT = re.compile(r"#[a-z][a-z0-9-]*")


class Html:
    """HTML that was escaped where it was made. It has no constructor that takes text.

    `reach`: how far the links in it lead.
    """

    __slots__ = ("_text", "reach")
    _text: str
    reach: Reach

    def __init__(self) -> None:
        """Refuse.

        Raises:
            TypeError: always; `text`, `element` and `join` make HTML.
        """
        raise TypeError("HTML is made by text(), element() and join()")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: HTML does not change."""
        raise AttributeError(f"HTML does not change: {name}")

    def __str__(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)


Child = Html | str
Value = str | float | bool | Address | None


def _made(escaped: str, reach: Reach = Reach.SECTIONS) -> Html:
    found = object.__new__(Html)
    object.__setattr__(found, "_text", escaped)
    object.__setattr__(found, "reach", reach)
    return found


EMPTY: Final = _made("")
LINE: Final = _made("\n")


def text(words: str) -> Html:
    r"""Text, on one line: markup is escaped, and control characters are spelled (`\x1b`)."""
    return _made(html.escape(visible.line(words)))


def join(children: Iterable[Child], between: Html = EMPTY) -> Html:
    """HTML one after the other; a `str` among it is text."""
    those = tuple(children)
    shown = between._text.join(_escaped(child) for child in those)  # noqa: SLF001 - own
    return _made(shown, _reach((*those, between)))


def element(tag: str, *children: Child, **attributes: Value) -> Html:
    """One element. A `str` among the children is text.

    Attributes: an underscore stands for a hyphen, one at the end is dropped (`class_`). None and
    False leave one out, True gives it without a value. `href`: an address, or a fragment as text.

    Raises:
        ValueError: a tag, an attribute or an address that is not on the lists.
    """
    if tag not in _TAGS:
        raise ValueError(f"no element of a page: {tag!r}")
    reach = _reach(children)
    href = attributes.get("href")
    if isinstance(href, Address):
        reach |= href.reach
    opened = f"<{tag}{''.join(_attribute(*pair) for pair in attributes.items())}"
    if tag in _EMPTY_SVG:
        return _made(f"{opened}/>")
    if tag in _VOID:
        return _made(f"{opened}>")
    inner = "".join(_escaped(child) for child in children)
    return _made(f"{opened}>{inner}</{tag}>", reach)


def style(sheet: str) -> Html:
    """A style sheet of this program's own.

    Raises:
        ValueError: it has a character that could end the element.
    """
    if "<" in sheet:
        raise ValueError("a style sheet has no < in it")
    return _made(f"<style>{sheet}</style>")


def feed(address: Within, title: str) -> Html:
    """What a page's head says of an Atom feed. Readers find the feed by it; browsers load nothing.

    The only `link` there can be: others load style sheets and more.
    """
    named = f'title="{text(title)}" href="{text(str(address))}"'
    return _made(f'<link rel="alternate" type="application/atom+xml" {named}>', address.reach)


def document(root: Html, reach: Reach = Reach.SECTIONS) -> bytes:
    """A whole document, in UTF-8. `reach`: how far its links may lead.

    Raises:
        ValueError: there is a link that leads further.
    """
    if root.reach not in reach:
        raise ValueError(f"a page that may lead to {reach} has links to {root.reach}")
    return f"<!DOCTYPE html>\n{root}\n".encode()


def _escaped(child: Child) -> str:
    return child._text if isinstance(child, Html) else text(child)._text  # noqa: SLF001 - own


def _reach(children: Iterable[Child]) -> Reach:
    found = Reach.SECTIONS
    for child in children:
        # Most lead nowhere, and there are many.
        if isinstance(child, Html) and child.reach is not Reach.SECTIONS:
            found |= child.reach
    return found


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if name not in _ATTRIBUTES:
        raise ValueError(f"no attribute of a page: {name!r}")
    if value is True:
        return f" {name}"
    if name == "href" and not (isinstance(value, Address) or _FRAGMENT.fullmatch(str(value))):
        raise ValueError(f"text leads to a page's own sections only, not to {value!r}")
    shown = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    # Who is led away is not told where from.
    apart = ' rel="noreferrer"' if isinstance(value, Https) else ""
    return f' {name}="{text(shown)}"{apart}'
