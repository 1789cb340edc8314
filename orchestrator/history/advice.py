"""Whose matter a night of each word is, and what to do first. Pure.

docs/nightly.md has a paragraph about each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.history.words import Word

if TYPE_CHECKING:
    from collections.abc import Mapping

OWNERS: Final[Mapping[Word, str]] = {
    Word.NOT_DETERMINISTIC: "who maintains the source that the varying step compiles, or the step",
    Word.CHECK_FAILED: "who maintains the image, before anybody relies on it",
    Word.BUILD_FAILED: "who changed the spec or an input last",
    Word.BOOT_FAILED: "who maintains kernel, boot files and init of the image",
    Word.INFRASTRUCTURE: "who runs this machine: its network, its engine, its disk",
    Word.INPUTS_CHANGED: "nobody's; who maintains the inputs may want to read what changed",
    Word.TOOL_CHANGED: "nobody's; who updated orchestrate may want to read what follows",
    Word.UNCHANGED: "nobody's",
}
FIRST: Final[Mapping[Word, str]] = {
    Word.NOT_DETERMINISTIC: "read which step varies, and the class of its cause; "
    "`orchestrate history bisect` names the night and the action that it began with",
    Word.CHECK_FAILED: "read the reasons of the checks that failed; do not publish the image",
    Word.BUILD_FAILED: "read why the stage failed, and run its command",
    Word.BOOT_FAILED: "read which machine did not do what, and run the command of the boot",
    Word.INFRASTRUCTURE: "read what failed; `orchestrate doctor` looks at this machine",
    Word.INPUTS_CHANGED: "nothing has to be done; what changed, and what follows, is listed",
    Word.TOOL_CHANGED: "nothing has to be done; which outputs are others now is listed",
    Word.UNCHANGED: "nothing",
}
