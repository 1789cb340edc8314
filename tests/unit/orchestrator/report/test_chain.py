"""The chain of steps in groups and layers, and the time line."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.artifacts.model import Step
from orchestrator.markup import words
from orchestrator.report import grouping, timeline
from orchestrator.report.page import page
from tests import pages, results
from tests.unit.orchestrator.markup.parsing import parsed


def steps(*names: tuple[str, str]) -> list[Step]:
    return [Step.model_validate(results.step(name, stage=stage)) for name, stage in names]


def test_steps_of_one_stage_and_architecture_are_one_group() -> None:
    made = steps(
        ("commands/m/amd64/0", "commands"), ("commands/m/arm64/0", "commands"),
        ("commands/m/amd64/1", "commands"), ("T1/dist", "T1"), ("T1/toolchain", "T1"),
    )  # fmt: skip
    found = grouping.grouped(made)
    assert [(group.label, group.architecture, len(group.steps)) for group in found] == [
        ("commands", "amd64", 2), ("commands", "arm64", 1), ("T1/dist", "", 1),
        ("T1/toolchain", "", 1),
    ]  # fmt: skip


def test_layers_go_from_the_inputs_to_the_image() -> None:
    made = steps(
        ("boot files/amd64", "boot files"), ("F2", "F2"), ("F1", "F1"), ("T1/dist", "T1"),
        ("image", "image"), ("list/m/amd64", "list"), ("std/amd64/list", "standard library"),
        ("new", "what a later version does"),
    )  # fmt: skip
    found = grouping.layers(made)
    shown = [
        (title.partition(":")[0], [group.label for group in groups]) for title, groups in found
    ]
    assert shown == [
        ("T1", ["T1/dist"]),
        ("F1", ["F1"]),
        ("Toolchains by F1, and what checks them", ["F2"]),
        ("Boot files", ["boot files"]),
        (grouping.OTHERS, ["new"]),
    ]


def test_the_picture_says_what_each_box_was_compared_with() -> None:
    found = parsed(page(pages.build()))
    boxes = [one for one in found.named("rect") if str(one.get("class", "")).startswith("box")]
    # Drawn for wide and for narrow screens.
    assert len(boxes) == 2 * (3 + 9 + 3)
    assert sum(one["class"] == "box pass" for one in boxes) == 2
    assert found.text.count("✓ = F1") == 2


def test_runs_that_lie_far_apart_have_axes_of_their_own() -> None:
    begun = words.moment("2026-01-01T00:00:00Z")
    assert begun is not None
    (step,) = steps(("F1", "F1"))
    minutes = (0, 5, 12, 40)
    runs = [
        timeline.Run(step, begun + timedelta(minutes=at), begun + timedelta(minutes=at + 1))
        for at in reversed(minutes)
    ]
    found = timeline._stretches(runs)
    assert [len(those) for those in found] == [3, 1]


def test_ticks_are_few_whatever_the_span() -> None:
    for span in (0.5, 1, 59, 61, 828, 7200, 1e6, 1e12):
        found = timeline._ticks(span)
        assert 1 <= len(found) <= 6
        # Each has its words, which would not all be seen at the end.
        assert found[-1] <= 0.9 * span
