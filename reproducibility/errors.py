"""Error classes of the project, each with the exit status that the command line ends with.

Nothing here prints or exits. An error carries what happened, to what, and what to do next, so that
every caller up to the command line can add context without parsing message strings.
"""

from __future__ import annotations

import re
from typing import ClassVar

from reproducibility import visible
from reproducibility.redaction import redact

_LABEL = re.compile(r"^(\s*)(?=(?:error|where|remedy|note): )", re.MULTILINE)


class SourceryError(Exception):
    """Base error: what happened (`summary`), where (`subject`), what to do next (`remedy`).

    `status` is the exit status of the command line: 1 a comparison failed, 2 bad usage, spec or
    lock, 3 a build action failed, 4 infrastructure (network, engine, disk). User information is
    taken out of the addresses in all three parts.
    """

    status: ClassVar[int] = 4

    def __init__(self, summary: str, *, subject: str = "", remedy: str = "") -> None:
        super().__init__(redact(summary))
        self.summary = redact(summary)
        self.subject = redact(subject)
        self.remedy = redact(remedy)

    def diagnostics(self) -> str:
        """The error as text for a person: one line each for what, where and remedy.

        What happened may take more, where a program's words are part of it; those of them that look
        like ours are set apart.
        """
        first, feed, rest = self.summary.partition("\n")
        lines = [first + feed + _LABEL.sub(r"\1| ", rest)]
        if self.subject:
            lines.append(f"  where: {visible.line(self.subject)}")
        if self.remedy:
            lines.append(f"  remedy: {visible.line(self.remedy)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.diagnostics()


class ComparisonError(SourceryError):
    """Comparison of two things that must agree and do not."""

    status = 1


class InputError(SourceryError):
    """The usage, the spec, the lock or a person's file is wrong: only the person can mend it.

    `missing`: something is named that does not exist.
    """

    status = 2

    def __init__(
        self, summary: str, *, subject: str = "", remedy: str = "", missing: bool = False
    ) -> None:
        super().__init__(summary, subject=subject, remedy=remedy)
        self.missing = missing


class OtherContentError(InputError):
    """What was fetched is not what is pinned: somebody serves other bytes under the same name."""


class ActionError(SourceryError):
    """A build action ran and failed."""

    status = 3


class InfrastructureError(SourceryError):
    """The network, an engine, the disk or a missing tool stopped the work."""

    status = 4


class Stopped(SourceryError):  # noqa: N818 - not an error of anybody: the person stopped the work
    """The person stopped the work (Ctrl-C or a termination signal)."""

    status = 130
