"""How each isolation rule was enforced, for each way in which runs kept the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import fold, section, table

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult, Enforced, Step

_BYTES = "_bytes"


def told(result: BuildResult) -> Html:
    """The section: one table for each way, and the actions of which it is not known."""
    ways = result.isolation.enforced
    return section(
        "isolation",
        "Isolation",
        element(
            "p",
            "Every action ran alone under these rules. What a machine cannot enforce is said, not "
            "claimed.",
        ),
        *(_way(way, result) for way in ways),
        _unknown(result),
    )


def _way(way: Enforced, result: BuildResult) -> Html:
    steps = [step for step in result.steps if _kept(step) == str(way.id)]
    engines = sorted({step.provenance.engine.name for step in steps if step.provenance})
    weak = sum(rule.state != "enforced" for rule in way.enforcement)
    by = words.said(", ".join(engines) or "no step")
    said = f"{weak} not enforced" if weak else "all enforced"
    count = f"{words.many(len(steps), 'step')}, {words.many(len(way.enforcement), 'rule')}"
    title = join((by, f": {count}, {said}"))
    meanings = result.isolation.rules
    rows = [
        (
            _rule(rule.rule, meanings.get(rule.rule, "")),
            words.mark("PASS" if rule.state == "enforced" else "SKIP", rule.state),
            words.said(rule.means),
        )
        for rule in sorted(way.enforcement, key=lambda rule: (rule.state == "enforced", rule.rule))
    ]
    missing = sorted(result.isolation.rules.keys() - {rule.rule for rule in way.enforcement})
    unsaid = element("span", "nothing is said of it")
    rows += [
        (_rule(name, meanings[name]), words.mark("FAIL", "not told"), unsaid) for name in missing
    ]
    limits = words.facts((name, _limit(name, value)) for name, value in sorted(way.limits.items()))
    return join(
        (
            element("h3", title),
            table("Rules and how they were enforced", ("Rule", "State", "By what means"), rows,
                  kind="rules"),
            fold("Limits", limits),
        )
    )  # fmt: skip


def _rule(name: str, meaning: str) -> Html:
    return join((words.code(name), element("div", words.said(meaning), class_="dim")))


def _limit(name: str, value: int) -> str:
    if not value:
        return "none"
    if name.endswith(_BYTES):
        return words.size(value)
    return words.duration(value) if name == "seconds" else f"{value:,}"


def _unknown(result: BuildResult) -> Html:
    known = {str(way.id) for way in result.isolation.enforced}
    those = [step for step in result.steps if step.kind == "action" and _kept(step) not in known]
    if not those:
        return EMPTY
    names = join((words.code(step.name) for step in those), element("span", ", "))
    return element(
        "div",
        words.mark("SKIP", "not recorded"),
        " How the rules were kept is not recorded of: ",
        names,
    )


def _kept(step: Step) -> str:
    made = step.provenance
    return str(made.isolation) if made is not None and made.isolation is not None else ""
