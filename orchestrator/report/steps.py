"""Every step of a build with all digests, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import Html, element, join
from orchestrator.markup.tables import fold, table

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult, Step


def listed(result: BuildResult) -> Html:
    """The table of steps, folded."""
    rows = [(_name(step), _digests(step), _run(step)) for step in result.steps]
    columns = ("Step", "Digests", "The run that made it")
    inside = table("Every step of the build", columns, rows, kind="steps")
    return fold(f"The same as a table: {words.many(len(rows), 'step')} with all digests", inside)


def _name(step: Step) -> Html:
    return join(
        (
            words.code(step.name),
            element("div", words.said(step.stage), f", {step.kind}", class_="dim"),
            words.of_conditions(step.conditions),
        )
    )


def _digests(step: Step) -> Html:
    those = [("outputs", step.outputs), ("key", step.key)]
    if step.action is not None:
        those.append(("action", step.action))
    return words.facts((name, words.code(str(digest))) for name, digest in those)


def _run(step: Step) -> Html:
    said: list[str] = [step.origin]
    if step.kind != "nothing":
        said.append(words.duration(step.seconds))
    if step.peak_memory:
        said.append(words.size(step.peak_memory))
    made = step.provenance
    if made is None:
        return join((", ".join(said), element("div", "which run is not recorded", class_="dim")))
    engine = made.engine
    where = words.said(engine.name), " ", words.said(engine.version)
    return join(
        (
            ", ".join(said),
            element("div", words.said(made.when), class_="dim"),
            element("div", *where, f", version {made.tool}", class_="dim"),
        )
    )
