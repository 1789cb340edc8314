"""The audit: how much of the build it covered, what was varied, and what gave something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Child, Html, element, join
from orchestrator.markup.tables import fold, part, section, table
from orchestrator.report import matrix, verdict
from orchestrator.report.checks import differences, explained, rows

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult, Word
    from orchestrator.audit.model import AuditResult, Bisected, Coverage, Round, Step, Variation

_STATES: dict[str, Word] = {"seen": "PASS", "no effect": "FAIL"}
# Checks of an audit that are told of elsewhere in the section.
_TOLD = frozenset({"audit-variation", "conditions", "from-inputs", "computed-again"})


def told(result: BuildResult, audit: AuditResult | None) -> Html:
    """The section; it says so where there was no audit."""
    if audit is None:
        return section(
            "audit",
            "Audit",
            element(
                "p",
                "This build was not audited. An audit runs every step again under other conditions "
                "and compares what comes out: ",
                element("code", "orchestrate audit"),
            ),
        )
    return section(
        "audit",
        "Audit",
        element("p", words.mark(verdict.of_audit(audit)), f" {_summary(audit)}"),
        _other_build(audit, result),
        _coverage(audit.coverage),
        _guilty(audit),
        _left_out(audit.coverage),
        _computed(audit),
        part("Variations", _variations(audit)),
        matrix.told(audit.matrix),
        _rest(audit),
        _steps(audit),
        _about(audit),
    )


def _summary(audit: AuditResult) -> str:
    asked = "Everything was built from the inputs again" if audit.asked.whole else (
        "Each action was run again on the inputs that the build gave it"
    )  # fmt: skip
    rounds = f", {audit.asked.rounds} times" if audit.asked.rounds > 1 else ""
    return f"{asked}{rounds}, under other conditions, and what came out was compared."


def _other_build(audit: AuditResult, result: BuildResult) -> Html:
    if verdict.is_of(audit, result):
        return EMPTY
    return element(
        "p",
        words.mark("FAIL"),
        " This audit is of another build, whose result has the digest ",
        words.code(str(audit.audited.result)),
        ".",
        class_="notice",
    )


def _coverage(found: Coverage) -> Html:
    meters = element(
        "ul",
        _meter(found.audited, found.actions, "action"),
        _meter(found.computed, found.computations, "computation"),
        class_="meters",
    )
    went_on = f"{found.went_on} of the actions by an earlier run of this audit. "
    nothing = f"{words.many(found.nothing_to_do, 'step')} had nothing to do and cannot be repeated."
    also = (went_on if found.went_on else "") + (nothing if found.nothing_to_do else "")
    return join((meters, element("p", also) if also else EMPTY))


def _left_out(found: Coverage) -> Html:
    if not found.left_out:
        return EMPTY
    cells = (
        (words.code(one.step), one.why, words.said(one.last or "never")) for one in found.left_out
    )
    columns = ("Step", "Why", "Audited last")
    return part(
        f"Not audited ({len(found.left_out)})",
        fold(
            "Which steps, and why",
            table("Steps that were not audited", columns, cells, kind="names"),
        ),
    )


def _meter(done: int, of: int, what: str) -> Html:
    share = 100 * min(done, of) / of if of else 100.0
    bar = element(
        "svg",
        element("rect", width="100%", height="8", rx=4, class_="track"),
        element("rect", width=f"{share:.1f}%", height="8", rx=4, class_="filled"),
        height="8",
        aria_hidden="true",
        class_="meter",
    )
    return element("li", f"{done:,} of {words.many(of, what)} audited", bar)


def _guilty(audit: AuditResult) -> Html:
    """Every step that gave something else in some round: what differs and because of what."""
    those = [step for step in audit.steps if step.guilty]
    if not those:
        return EMPTY
    cards = (_card(step) for step in those)
    return part(f"Steps that gave something else ({len(those)})", *cards)


def _card(step: Step) -> Html:
    failed = [one for one in step.rounds if one.check.verdict == "FAIL"]
    return element(
        "div",
        element("div", words.mark("FAIL"), " ", words.code(step.name), class_="head"),
        _cause(step.bisected),
        *(_round(one, len(failed)) for one in failed),
        words.facts(
            (
                ("Built under", words.of_conditions(step.built_under) or "the usual conditions"),
                ("The build's outputs", words.code(str(step.outputs))),
            )
        ),
        class_="card fail",
    )


def _round(one: Round, count: int) -> Html:
    conditions = words.of_conditions(one.conditions)
    return join(
        (
            element("div", words.said(one.check.reason), class_="reason"),
            differences(one.check),
            explained(one.explanation),
            fold("Conditions of this round that were not as usual", conditions, opened=count == 1)
            if conditions
            else EMPTY,
        )
    )


def _cause(found: Bisected | None) -> Html:
    if found is None:
        return element(
            "p",
            "Because of which variation was not looked for: ",
            element("code", "orchestrate audit --bisect"),
            class_="dim",
        )
    runs = f"({words.many(found.runs, 'run')}); class of the cause: {found.cause} ({found.sure})"
    if found.itself:
        return element("div", f"It differs from itself, without any variation {runs}.")
    names = [element("strong", words.said(name)) for name in found.variations]
    smallest = join((join((" together with ", name)) if at else name)
                    for at, name in enumerate(names))  # fmt: skip
    return element("div", "The smallest cause: ", smallest, f" {runs}.")


def _computed(audit: AuditResult) -> Html:
    if not audit.computations:
        return EMPTY
    varied = ", ".join(audit.surroundings)
    around = f"With another {varied}." if varied else "Nothing around it was otherwise."
    cells = (
        (
            words.code(one.name),
            words.mark(one.check.verdict),
            join(
                (words.said(one.check.reason), differences(one.check), explained(one.explanation))
            ),
        )
        for one in audit.computations
    )
    columns = ("What", "Verdict", "Reason")
    inside = table("Computations", columns, cells, kind="checks")
    failed = sum(one.check.verdict != "PASS" for one in audit.computations)
    count = words.many(len(audit.computations), "comparison")
    said = f"{count}, {failed} not the same" if failed else f"{count}, all the same"
    return part(
        "Computed again in another process",
        element("p", around),
        fold(said, inside, opened=bool(failed)),
    )


def _variations(audit: AuditResult) -> Html:
    columns = ("Variation", "State", "Actions", "What was found")

    def listed(those: list[Variation]) -> Html:
        cells = map(_variation, those)
        return table("Variations of conditions", columns, cells, kind="variations")

    plain = [one for one in audit.variations if one.state == "seen" and not one.guilty]
    others = [one for one in audit.variations if one not in plain]
    return join(
        (
            element(
                "p",
                "A variation counts only where a program inside saw another value than under the "
                "build's own conditions.",
            ),
            listed(others) if others else EMPTY,
            fold(f"Seen, and nothing differs by it: {len(plain)}", listed(plain))
            if plain
            else EMPTY,
        )
    )


def _variation(one: Variation) -> tuple[Html, Html, str, Html]:
    word = _STATES.get(one.state, "SKIP")
    guilty = EMPTY
    if one.guilty:
        names = join((words.code(name) for name in one.guilty), element("span", ", "))
        guilty = element("div", words.mark("FAIL"), " differ by it: ", names)
    name = join((words.said(one.name), element("div", words.said(one.meaning), class_="dim")))
    return (
        name,
        words.mark(word, one.state),
        f"{one.actions:,}",
        join((words.said(one.reason), guilty)),
    )


def _rest(audit: AuditResult) -> Html:
    those = [one for one in audit.checks if one.code.partition(".")[0] not in _TOLD]
    # A step that is not guilty by its rounds may have a failed check all the same.
    shown = {step.name for step in audit.steps if step.guilty}
    those += [
        one
        for one in audit.checks
        if one.code.partition(".")[0] in {"conditions", "from-inputs"}
        and one.verdict != "PASS"
        and one.subject not in shown
    ]
    return part("Further checks", rows(those, "Further checks of the audit")) if those else EMPTY


def _steps(audit: AuditResult) -> Html:
    if not audit.steps:
        return EMPTY
    cells = (
        (words.code(step.name), words.mark(step.verdict), _again(step), words.said(step.when))
        for step in audit.steps
    )
    columns = ("Step", "Verdict", "Run again", "When")
    inside = table("Every action that was audited", columns, cells, kind="names")
    return fold(f"Every action that was audited: {len(audit.steps)}", inside)


def _again(step: Step) -> str:
    took = words.duration(sum(one.seconds for one in step.rounds))
    return f"{words.many(len(step.rounds), 'round')}, {took}"


def _about(audit: AuditResult) -> Html:
    engine = audit.engine
    name = words.said(engine.name), " ", words.said(engine.version)
    missing = join((words.code(one) for one in audit.missing), element("span", ", "))
    those: list[tuple[str, Child]] = [
        ("Audited by", join((f"version {audit.tool} on ", *name, ", ",
                             words.said(engine.identity)))),
        ("It took", words.duration(audit.seconds)),
        ("Built first, as the store did not have them", missing),
    ]  # fmt: skip
    return words.facts((head, what) for head, what in those if what)
