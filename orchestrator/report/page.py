"""The page `report.html`: pure, one self-contained document, the same bytes for the same values.

Its links lead to its own sections only, and nothing is loaded (`orchestrator.markup.document`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.artifacts.form import FORM, GENERATOR
from orchestrator.markup import words
from orchestrator.markup.document import document, sections, skip
from orchestrator.markup.html import Html, element
from orchestrator.report import (
    audited,
    chain,
    checks,
    contents,
    inputs,
    isolation,
    steps,
    timeline,
    verdict,
)
from orchestrator.report.style import SHEET

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
    return document(
        skip("Skip to the verdict", "verdict"),
        _header(result),
        sections(_SECTIONS, "report"),
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
        title=f"{name} - build report",
        sheet=SHEET,
        generator=f"{GENERATOR} {FORM}",
    )


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
