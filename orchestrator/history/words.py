"""Words for a night: one for each, from the worst down, with its exit status. Pure.

docs/nightly.md says of each whose matter it is and what to do first.
"""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """Word for a night. The order of the members is from the worst down."""

    NOT_DETERMINISTIC = "not-deterministic"
    CHECK_FAILED = "check-failed"
    BUILD_FAILED = "build-failed"
    BOOT_FAILED = "boot-failed"
    INFRASTRUCTURE = "infrastructure"
    INPUTS_CHANGED = "inputs-changed"
    TOOL_CHANGED = "tool-changed"
    UNCHANGED = "unchanged"

    @property
    def status(self) -> int:
        """The exit status of a night of this word, with the meaning that `build` gives it."""
        return _STATUSES[self]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with the product."""
        return _STATUSES[self] == 0

    @property
    def meaning(self) -> str:
        """The word in a sentence."""
        return _MEANINGS[self]


_STATUSES = {
    Word.NOT_DETERMINISTIC: 1,
    Word.CHECK_FAILED: 1,
    Word.BUILD_FAILED: 3,
    Word.BOOT_FAILED: 3,
    Word.INFRASTRUCTURE: 4,
    Word.INPUTS_CHANGED: 0,
    Word.TOOL_CHANGED: 0,
    Word.UNCHANGED: 0,
}
_MEANINGS = {
    Word.NOT_DETERMINISTIC: "a step that was given the same made something else",
    Word.CHECK_FAILED: "it was built, but a comparison failed",
    Word.BUILD_FAILED: "a step of the build failed, or the spec cannot be built",
    Word.BOOT_FAILED: "the image was built and does not boot as it must",
    Word.INFRASTRUCTURE: "network, engine or disk failed; nothing is known of the product",
    Word.INPUTS_CHANGED: "everything holds; it was built from other inputs than the night before",
    Word.TOOL_CHANGED: "everything holds; another version of orchestrate built it",
    Word.UNCHANGED: "everything holds, and nothing changed",
}


def worst(words: list[Word]) -> Word:
    """The worst of some words; `unchanged` for none."""
    order = list(Word)
    return min(words, key=order.index, default=Word.UNCHANGED)
