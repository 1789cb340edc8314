"""The chain of steps as a picture: what was made from what, its digests, what it was compared with.

Drawn twice, for wide and for narrow screens; style shows one of them. Every step with every digest
is in a table (`orchestrator.report.steps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import Html, element, join
from orchestrator.markup.tables import section
from orchestrator.report import grouping
from reproducibility import codes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.artifacts.model import BuildResult, Check, Word
    from orchestrator.audit.model import AuditResult

# In units of the picture, which are pixels of a screen that is as wide as it.
_LEFT, _GAP = 22, 8
_TITLE, _BELOW = 26, 16
_LINE, _PAD = 15, 8
# Width of one character of the type that is used, in the same units.
_LETTER, _DIGIT = 6.6, 6.7
_MOST_LAYERS = 40
# What stands under a box: the kind of check, in a few words.
_MARKS = {
    codes.FIXED_POINT.code: "= F1",
    codes.RELEASE.code: "= release",
    codes.CROSS_AGAIN.code: "= cross",
    codes.HELPERS.code: "= by T1",
    codes.IMAGE_AGAIN.code: "made twice",
    codes.IMAGE_READ_BACK.code: "read back",
    codes.ARCHIVE_READ_BACK.code: "read back",
}


@dataclass(frozen=True)
class Box:
    """A box of the picture. `marks`: verdicts with the words beside them."""

    label: str
    second: str
    digest: str
    marks: tuple[tuple[Word, str], ...]

    @property
    def verdict(self) -> Word | None:
        """The worst of its marks; None where it has none."""
        return words.worst(word for word, _ in self.marks) if self.marks else None


Layer = tuple[str, "Sequence[Box]"]


def picture(result: BuildResult, audit: AuditResult | None, table: Html) -> Html:
    """The section: the picture, what it means, and the table of steps."""
    drawn = _layers(result, audit)
    return section(
        "chain",
        "Chain of steps",
        element(
            "p",
            "Each layer is made with what stands above it, from the inputs down to the image. "
            "A box shows the first digits of the BLAKE3 of the tree that came out, and what it was "
            "compared with.",
        ),
        _drawing(drawn, 960, 6, "wide"),
        _drawing(drawn, 350, 3, "narrow"),
        table,
    )


def _layers(result: BuildResult, audit: AuditResult | None) -> list[Layer]:
    guilty = {step.name for step in audit.steps if step.guilty} if audit else set()
    inputs = (
        Box("spec", "", words.short(result.spec), ()),
        Box("lock", "", words.short(result.lock), ()),
        Box("inputs", words.many(len(result.inputs), "artifact"), "", ()),
    )
    found: list[Layer] = [("Inputs", inputs)]
    for title, groups in grouping.layers(result.steps)[:_MOST_LAYERS]:
        found.append((title, [_box(group, result, guilty) for group in groups]))
    image, archive = result.image, result.cpio
    made = (
        Box("root", words.many(result.root.files, "file"), words.short(result.root.tree), ()),
        Box("image", words.size(image.size), words.short(image.blake3),
            _marks(result.checks, {codes.IMAGE_AGAIN.code, codes.IMAGE_READ_BACK.code})),
        Box("archive", words.size(archive.size), words.short(archive.blake3),
            _marks(result.checks, {codes.ARCHIVE_READ_BACK.code})),
    )  # fmt: skip
    found.append(("Image", made))
    return found


def _box(group: grouping.Group, result: BuildResult, guilty: set[str]) -> Box:
    host = result.host.architecture
    files = [step for step in group.steps if not grouping.is_listing(step)]
    kinds = {
        "F1": {codes.RELEASE.code},
        "F2": {codes.FIXED_POINT.code},
        "cross": {codes.RELEASE.code},
        "cross by F2": {codes.CROSS_AGAIN.code},
        "recorder": {codes.HELPERS.code},
    }.get(group.stage, set())
    marks = _marks(result.checks, kinds, group.architecture or host)
    differing = sum(step.name in guilty for step in group.steps)
    if differing:
        marks = (*marks, ("FAIL", "audit"))
    second = group.architecture
    if len(files) > 1:
        second = f"{second}: {len(files)}" if second else words.many(len(files), "step")
    digest = words.short(files[0].outputs) if len(files) == 1 else ""
    return Box(group.label, second, digest, marks)


def _marks(
    checks: Iterable[Check], kinds: set[str], subject: str = ""
) -> tuple[tuple[Word, str], ...]:
    """The marks of the checks of some kinds, of one subject where it is named."""
    found = []
    for check in checks:
        kind = check.code.partition(".")[0]
        if kind in kinds and subject in {"", check.subject}:
            found.append((check.verdict, _MARKS[kind]))
    return tuple(found)


def _drawing(drawn: Sequence[Layer], width: int, columns: int, name: str) -> Html:
    box = (width - 1 - _LEFT - _GAP * (columns - 1)) / columns
    parts, at, dots = [], 4.0, []
    for title, boxes in drawn:
        dots.append(at + 8)
        parts.append(element("text", title, x=_LEFT, y=at + 12, class_="layer"))
        at += _TITLE
        for first in range(0, len(boxes), columns):
            row = boxes[first : first + columns]
            height = max(_height(one) for one in row)
            for column, one in enumerate(row):
                left = _LEFT + column * (box + _GAP)
                parts.append(_drawn(one, left, at, box, height))
            at += height + _GAP
        at += _BELOW - _GAP
    spine = element("line", x1=7, y1=dots[0], x2=7, y2=dots[-1], class_="spine")
    circles = join(element("circle", cx=7, cy=dot, r=4, class_="dot") for dot in dots)
    about = f"chain-{name}"
    return element(
        "svg",
        element("title", "Chain of steps from the inputs to the image", id=f"{about}-title"),
        element("desc", _described(drawn), id=f"{about}-desc"),
        spine,
        circles,
        *parts,
        role="img",
        aria_labelledby=f"{about}-title {about}-desc",
        viewBox=f"0 0 {width} {at:.0f}",
        class_=f"chain {name}",
    )


def _height(box: Box) -> float:
    rows = 1 + bool(box.second) + bool(box.digest) + len(box.marks)
    return _PAD * 2 + rows * _LINE


def _drawn(box: Box, x: float, y: float, width: float, height: float) -> Html:
    word = box.verdict
    # In a box with failed checks the frame says so; what is not compared has a plain one.
    kind = "box" if word is None else f"box {word.lower()}"
    parts = [element("rect", x=x, y=y, width=width, height=height, rx=4, class_=kind)]
    line = y + _PAD
    left = x + _PAD
    room = width - 2 * _PAD

    def write(shown: str, style: str, letter: float) -> None:
        nonlocal line
        line += _LINE
        fitting = words.cut(shown, max(3, int(room / letter)))
        parts.append(element("text", fitting, x=left, y=line - 3, class_=style))

    write(box.label, "label", _LETTER)
    if box.second:
        write(box.second, "second", _LETTER)
    if box.digest:
        write(box.digest, "digest", _DIGIT)
    for verdict, beside in box.marks:
        write(f"{words.SIGNS[verdict]} {beside}", f"beside {verdict.lower()}", _LETTER)
    return join(parts)


def _described(drawn: Sequence[Layer]) -> str:
    told = []
    for title, boxes in drawn:
        failed = [box.label for box in boxes if box.verdict == "FAIL"]
        worse = f", failed: {', '.join(words.cut(name, 60) for name in failed)}" if failed else ""
        told.append(f"{title}: {words.many(len(boxes), 'box', 'boxes')}{worse}")
    return "From the top down. " + "; ".join(told) + ". The table of steps has every digest."
