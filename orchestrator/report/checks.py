"""Checks with their reasons, the differences that they found, and how those are explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import fold, section, table
from reproducibility import codes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.artifacts.model import BuildResult, Check, Difference
    from orchestrator.audit.model import Explanation

_COLUMNS = ("Check", "Verdict", "Reason")


def listed(result: BuildResult) -> Html:
    """The section: every check of the build."""
    return section(
        "checks",
        "Checks",
        element(
            "p",
            "Each is one comparison. PASS: the same. SKIP: there was nothing to compare with, "
            "which is no proof. FAIL: not the same, or not compared though it should have been.",
        ),
        rows(result.checks, "Checks of the build"),
    )


def rows(checks: Iterable[Check], title: str) -> Html:
    """A table of checks, the worst first; otherwise in their order."""
    those = sorted(checks, key=lambda check: -words.VERDICTS.index(check.verdict))
    cells = ((_name(one), words.mark(one.verdict), reason(one)) for one in those)
    return table(title, _COLUMNS, cells, kind="checks")


def reason(check: Check) -> Html:
    """Why a check came out so, with what differs."""
    return join((words.said(check.reason), differences(check)))


def differences(check: Check) -> Html:
    """What differs, field by field, folded; nothing where nothing does."""
    if not check.differences:
        return EMPTY
    shown, total = len(check.differences), max(check.differences_total, len(check.differences))
    more = f"{total:,} differences" if shown == total else f"the first {shown} of {total:,}"
    cells = (_difference(one) for one in check.differences)
    inside = table("What differs", ("Path", "Field", "First", "Second"), cells, kind="differences")
    return fold(f"What differs: {words.many(1, 'difference') if total == 1 else more}", inside)


def explained(explanation: Explanation | None) -> Html:
    """Why two trees differ, as far as their bytes tell; nothing where that is not known."""
    if explanation is None or not explanation.lines:
        return EMPTY
    return element(
        "div",
        element("p", "Why, as far as the bytes tell:", class_="dim"),
        words.lines(explanation.lines),
    )


def _name(check: Check) -> Html:
    known = codes.CODES.get(check.code)
    meaning = f": {known.meaning}" if known is not None else ""
    return join(
        (
            words.said(check.name),
            element("div", words.code(check.subject)),
            element("div", element("code", check.code), meaning, class_="dim"),
        )
    )


def _difference(one: Difference) -> tuple[Html, Html, Html, Html]:
    return words.code(one.path), words.code(one.field), _value(one.first), _value(one.second)


def _value(value: bool | int | str | None) -> Html:  # noqa: FBT001 - as the model has it
    return element("span", "not there", class_="dim") if value is None else words.code(str(value))
