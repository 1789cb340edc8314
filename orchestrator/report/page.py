"""The page `report.html`: pure, one self-contained document, the same bytes for the same values.

A content security policy forbids everything but the style sheet in the page, by its digest: no
script, no image, no font, no connection, no form.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from orchestrator.artifacts.form import FORM, GENERATOR
from orchestrator.report import (
    audited,
    chain,
    checks,
    contents,
    inputs,
    isolation,
    markup,
    steps,
    timeline,
    verdict,
    words,
)
from orchestrator.report.markup import Html, element
from orchestrator.report.style import SHEET
from reproducibility import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult
    from orchestrator.report.packages import Package

NAME: Final = "report.html"
_SECTIONS = (
    ("verdict", "Verdict"),
    ("chain", "Chain of steps"),
    ("audit", "Audit"),
    ("checks", "Checks"),
    ("time", "Time line"),
    ("contents", "What is on the image"),
    ("inputs", "Inputs"),
    ("isolation", "Isolation"),
)


def page(
    result: BuildResult, audit: AuditResult | None = None, packages: Sequence[Package] = ()
) -> bytes:
    """The page about a build, in UTF-8.

    `audit`: the audit of it, if there was one. `packages`: of its bill of materials, for licences.
    """
    name = f"{verdict.of_build(result)}: image {words.short(result.image.blake3)}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content=f"{GENERATOR} {FORM}"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{name} - build report"),
        markup.style(SHEET),
    )
    body = element(
        "body",
        element("a", "Skip to the verdict", href="#verdict", class_="to-verdict"),
        _header(result),
        _contents(),
        element(
            "main",
            verdict.summary(result, audit),
            chain.picture(result, audit, steps.listed(result)),
            audited.told(result, audit),
            checks.listed(result),
            timeline.drawn(result),
            contents.mapped(result),
            inputs.listed(result, packages),
            isolation.told(result),
        ),
        _footer(audit),
    )
    return markup.document(element("html", head, body, lang="en"))


def _policy() -> str:
    sheet = bytes.fromhex(digest.sha256_of_bytes(SHEET.encode()).hex)
    allowed = f"'sha256-{base64.b64encode(sheet).decode()}'"
    return f"default-src 'none'; style-src {allowed}; base-uri 'none'; form-action 'none'"


def _header(result: BuildResult) -> Html:
    return element(
        "header",
        element("h1", "Build report"),
        element(
            "p",
            "Image ",
            element("code", words.short(result.image.blake3)),
            f" for {', '.join(sorted(result.root.commands)) or 'no architecture'}",
        ),
    )


def _contents() -> Html:
    items = (element("li", element("a", title, href=f"#{name}")) for name, title in _SECTIONS)
    return element("nav", element("ul", *items), aria_label="Sections of this report")


def _footer(audit: AuditResult | None) -> Html:
    sources = "result.json and audit.json" if audit else "result.json"
    return element(
        "footer",
        element(
            "p",
            f"This page says what {sources} beside it say. It proves nothing by itself: who does "
            "not trust the builder builds again from the same lock, and compares.",
        ),
    )
