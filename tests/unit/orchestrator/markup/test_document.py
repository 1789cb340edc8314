"""A page's head: the policy allows the page's own style sheet and nothing else."""

from __future__ import annotations

import base64

import pytest

from orchestrator.markup import html, style
from orchestrator.markup.addresses import Reach, Within
from orchestrator.markup.document import document, sections, skip
from orchestrator.markup.html import element
from reproducibility import digest
from tests.unit.orchestrator.markup.parsing import parsed

SHEET = style.sheet(style.COLOURS, style.narrow("p{margin:0}"), style.paper("p{color:red}"))


def test_the_head_of_a_page() -> None:
    feed = html.feed(Within("feed.atom"), "all of it")
    main = element("main", element("h1", "A page"), id="here")
    data = document(
        skip("Skip", "here"),
        sections((("here", "Here"),), "page"),
        main,
        title="</title><script>",
        sheet=SHEET,
        generator="a program",
        feed=feed,
        reach=Reach.SITE,
    )
    found = parsed(data)
    sheet = bytes.fromhex(digest.sha256_of_bytes(SHEET.encode()).hex)
    (told,) = [one["content"] for one in found.named("meta") if "http-equiv" in one]
    assert told == (
        f"default-src 'none'; style-src 'sha256-{base64.b64encode(sheet).decode()}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert f"<style>{SHEET}</style>".encode() in data
    assert found.text.strip().startswith("</title><script>")
    assert "script" not in {tag for tag, _ in found.elements}
    assert [one["href"] for one in found.named("a")] == ["#here", "#here"]
    assert [one["href"] for one in found.named("link")] == ["feed.atom"]


def test_a_page_leads_to_its_own_sections_unless_it_says_otherwise() -> None:
    link = element("a", "there", href=Within("there.html"))
    with pytest.raises(ValueError, match="that may lead to"):
        document(link, title="", sheet="", generator="")
    assert document(link, title="", sheet="", generator="", reach=Reach.SITE)


def test_own_rules_stand_within_those_of_screens_and_paper() -> None:
    assert SHEET.count("{") == SHEET.count("}")
    assert "\n" not in SHEET
    for rule, media in (("p{margin:0}", "@media (max-width"), ("p{color:red}", "@media print")):
        before = SHEET.partition(rule)[0].rpartition(media)[2]
        assert before.count("{") - before.count("}") == 1
