"""The first section: the verdict, what is wrong or was not compared, and what it all rests on.

The verdict shown is derived from the checks again; one that the file states otherwise is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.artifacts import model
from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import part, section
from reproducibility import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.artifacts.model import BuildResult, Check, Word
    from orchestrator.audit.model import AuditResult


def of_build(result: BuildResult) -> Word:
    """The verdict of a build: the worst of its checks, and no better than it says itself."""
    return words.worst([result.verdict, words.worst(check.verdict for check in result.checks)])


def of_audit(audit: AuditResult) -> Word:
    """The verdict of an audit, as of a build; its rounds and computations are looked at too."""
    found = [audit.verdict, words.worst(check.verdict for check in audit.checks)]
    found += [step.verdict for step in audit.steps]
    found += [one.check.verdict for step in audit.steps for one in step.rounds]
    found += [one.check.verdict for one in audit.computations]
    return words.worst(found)


def is_of(audit: AuditResult, result: BuildResult) -> bool:
    """Return whether an audit names this very result as what it audited."""
    return audit.audited.result == digest.of_bytes(model.dumps(result))


def summary(result: BuildResult, audit: AuditResult | None) -> Html:
    """The section: verdict, notices, what needs attention, what it rests on, what was built."""
    return section(
        "verdict",
        "Verdict",
        _hero(result),
        _notices(result, audit),
        _attention(result.checks),
        _audit_line(result, audit),
        part("What it rests on", _rests_on(result.checks)),
        part("What was built", _built(result)),
    )


def _hero(result: BuildResult) -> Html:
    word = of_build(result)
    skipped = sum(check.verdict == "SKIP" for check in result.checks)
    failed = sum(check.verdict == "FAIL" for check in result.checks)
    could_not = "could not be made, and is" if skipped == 1 else "could not be made, and are"
    meaning = {
        "PASS": "Everything that should be compared was compared, and is the same.",
        "SKIP": f"Everything that was compared is the same. {words.many(skipped, 'comparison')} "
        f"{could_not} named below.",
        "FAIL": f"{words.many(failed, 'comparison')} failed. Do not rely on this image before you "
        "know why.",
    }[word]
    counts = ", ".join(
        f"{sum(check.verdict == one for check in result.checks)} {one}" for one in words.VERDICTS
    )
    return element(
        "div",
        element("p", words.mark(word), class_="verdict"),
        element("p", meaning, class_="meaning"),
        element("p", f"{words.many(len(result.checks), 'comparison')}: {counts}", class_="counts"),
        class_=f"hero {word.lower()}",
    )


def _notices(result: BuildResult, audit: AuditResult | None) -> Html:
    found = []
    if result.verdict != of_build(result):
        found.append(
            f"result.json states the verdict {result.verdict}, and its checks say "
            f"{of_build(result)}: it was not written by a build, or was changed."
        )
    if audit is not None:
        if not is_of(audit, result):
            found.append(
                "audit.json is of another build: what it says below is not about this result."
            )
        if audit.verdict != of_audit(audit):
            found.append(
                f"audit.json states the verdict {audit.verdict}, and its checks say "
                f"{of_audit(audit)}: it was not written by an audit, or was changed."
            )
    return join(element("p", words.mark("FAIL"), f" {one}", class_="notice") for one in found)


def _attention(checks: Iterable[Check]) -> Html:
    """Every check that is no PASS, the failed ones first."""
    those = [check for word in ("FAIL", "SKIP") for check in checks if check.verdict == word]
    items = (
        element(
            "li",
            words.mark(check.verdict),
            " ",
            element("strong", words.said(check.name)),
            " ",
            words.code(check.subject),
            element("div", words.said(check.reason), class_="reason"),
        )
        for check in those
    )
    return element("ul", *items, class_="attention") if those else EMPTY


def _audit_line(result: BuildResult, audit: AuditResult | None) -> Html:
    if audit is None:
        return element(
            "p",
            "This build was not audited: no step was run again under other conditions. ",
            element("code", "orchestrate audit"),
            " does that.",
            class_="also",
        )
    found = audit.coverage
    words_of = "" if is_of(audit, result) else " of another build"
    guilty = sum(step.guilty for step in audit.steps)
    less = f"; {words.many(guilty, 'action')} gave something else" if guilty else ""
    return element(
        "p",
        words.mark(of_audit(audit)),
        " ",
        element("a", f"Audit{words_of}", href="#audit"),
        f": {found.audited} of {words.many(found.actions, 'action')} and {found.computed} of "
        f"{words.many(found.computations, 'computation')} done again under other "
        f"conditions{less}.",
        class_="also",
    )


def _rests_on(checks: Iterable[Check]) -> Html:
    """Each kind of check once: what it is about, and the worst of it."""
    families: dict[str, list[Check]] = {}
    for check in checks:
        families.setdefault(check.name, []).append(check)
    items = []
    for name, those in families.items():
        subjects = element(
            "span", words.said(", ".join(one.subject for one in those)), class_="subjects"
        )
        word = words.worst(one.verdict for one in those)
        head = element("span", words.mark(word), " ", words.said(name), class_="what")
        items.append(element("li", head, subjects))
    if not items:
        return element("p", "Nothing was compared.")
    return element("ul", *items, class_="families")


def _built(result: BuildResult) -> Html:
    engine = result.engine
    return words.facts(
        (
            ("Image", _file(result.image)),
            ("Archive", _file(result.cpio)),
            ("Root", words.code(str(result.root.tree))),
            ("Spec", words.code(str(result.spec))),
            ("Lock", words.code(str(result.lock))),
            (
                "Built by",
                join((f"version {result.tool} on ", words.said(engine.name), " ",
                      words.said(engine.version), ", ", words.said(engine.identity))),
            ),
            (
                "Machine",
                join((result.host.architecture, ", kernel ", words.said(result.host.kernel),
                      ", Python ", words.said(result.host.python))),
            ),
            ("This build took", words.duration(result.seconds)),
            ("Memory of the orchestrator", words.size(result.peak_memory)),
        )
    )  # fmt: skip


def _file(made: model.Artifact) -> Html:
    return join(
        (
            words.code(made.path),
            f" {words.size(made.size)} ({made.size:,} bytes)",
            element("div", "blake3 ", words.code(made.blake3), class_="dim"),
            element("div", "sha256 ", words.code(made.sha256), class_="dim"),
        )
    )
