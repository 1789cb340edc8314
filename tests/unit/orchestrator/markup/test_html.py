"""HTML as a value: no text gets into it without being escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.markup import html
from orchestrator.markup.addresses import Https, Reach, Within
from orchestrator.markup.html import Html, element, join, text
from tests.pages import HOSTILE
from tests.unit.orchestrator.markup.parsing import parsed

if TYPE_CHECKING:
    from collections.abc import Callable


def test_html_is_not_made_from_text() -> None:
    with pytest.raises(TypeError, match="text\\(\\), element\\(\\) and join\\(\\)"):
        Html()
    with pytest.raises(TypeError):
        Html("<b>")  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="does not change"):
        text("a")._text = "<b>"
    with pytest.raises(AttributeError, match="does not change"):
        text("a").reach = Reach.WORLD


@pytest.mark.parametrize("words", [*HOSTILE, "\ud800", "\udcff\x9b31m"])
def test_hostile_text_stays_text(words: str) -> None:
    shown = str(element("p", words, class_=words))
    data = f"{shown}".encode()  # a lone surrogate could not be encoded
    page = parsed(data)
    assert [tag for tag, _ in page.elements] == ["p"]
    assert page.named("p")[0].keys() == {"class"}
    assert not any(sign in shown for sign in "\x00\x1b\x07\u202e\u2066\u2028\ufeff\r\t")


@given(st.text(), st.text())
def test_any_text_and_attribute_come_back_as_they_are_shown(words: str, value: str) -> None:
    page = parsed(str(element("td", words, data_label=value)).encode())
    assert [tag for tag, _ in page.elements] == ["td"]
    plain = words.isprintable() and value.isprintable()
    if plain:
        assert (page.text, page.named("td")[0]["data-label"]) == (words, value)


def test_elements_and_attributes_are_those_of_a_list() -> None:
    for tag in ("script", "img", "iframe", "object", "link", "form", "a b", "P"):
        with pytest.raises(ValueError, match="no element of a page"):
            element(tag)
    for name in ("onclick", "style", "src", "srcdoc", "action", "xlink_href", "a b"):
        with pytest.raises(ValueError, match="no attribute of a page"):
            element("p", **{name: "x"})


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "//evil.example", "http://evil.example", "#", "#a b", "x#a"]
)
def test_text_leads_into_the_page_only(address: str) -> None:
    with pytest.raises(ValueError, match="own sections only"):
        element("a", "there", href=address)
    assert str(element("a", "there", href="#checks")) == '<a href="#checks">there</a>'


def test_attributes_are_said_as_html_has_them() -> None:
    made = element("rect", x=1.0, width=2.3456, rx=3, aria_hidden="true", class_=None, open=False)
    assert str(made) == '<rect x="1" width="2.346" rx="3" aria-hidden="true"/>'
    assert str(element("details", open=True)) == "<details open></details>"
    assert str(join(["<", text("&"), element("br")], text(", "))) == "&lt;, &amp;, <br>"


def test_a_style_sheet_cannot_end_its_element() -> None:
    with pytest.raises(ValueError, match="no <"):
        html.style("</style><script>")


BESIDE = element("a", "there", href=Within("../index.html#nights"))
ELSEWHERE = element("a", "there", href=Https("https://example.org/a?b=1&c=2"))


def test_links_to_addresses_are_said_as_such() -> None:
    assert str(BESIDE) == '<a href="../index.html#nights">there</a>'
    address = "https://example.org/a?b=1&amp;c=2"
    assert str(ELSEWHERE) == f'<a href="{address}" rel="noreferrer">there</a>'
    feed = html.feed(Within("feed.atom"), '"><script>')
    assert feed.reach is Reach.SITE
    (link,) = parsed(str(element("div", feed)).encode()).named("link")
    assert link == {
        "rel": "alternate",
        "type": "application/atom+xml",
        "title": '"><script>',
        "href": "feed.atom",
    }


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda link: element("p", "before", link, "after"),
        lambda link: join(["before", link]),
        lambda link: join(["before", "after"], link),
        lambda link: element("ul", join(element("li", one) for one in ("a", link))),
    ],
)
def test_a_document_refuses_links_that_lead_further_than_it_may(
    wrapped: Callable[[Html], Html],
) -> None:
    for link, needed in ((BESIDE, Reach.SITE), (ELSEWHERE, Reach.WORLD)):
        whole = wrapped(link)
        assert whole.reach is needed
        for reach in (Reach.SECTIONS, (Reach.SITE | Reach.WORLD) & ~needed):
            with pytest.raises(ValueError, match="that may lead to"):
                html.document(whole, reach)
        assert str(link) in html.document(whole, needed).decode()
        assert html.document(whole, Reach.SITE | Reach.WORLD)
    own = wrapped(element("a", "there", href="#checks"))
    assert own.reach is Reach.SECTIONS
    assert html.document(own)


def test_reaches_add_up() -> None:
    both = join([BESIDE, ELSEWHERE])
    assert both.reach == Reach.SITE | Reach.WORLD
    for reach in (Reach.SITE, Reach.WORLD):
        with pytest.raises(ValueError, match="that may lead to"):
            html.document(both, reach)
