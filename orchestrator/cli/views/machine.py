"""Carries out `orchestrate doctor` and `orchestrate version`."""

from __future__ import annotations

import platform
import textwrap
from typing import TYPE_CHECKING

from orchestrator.cli.streams import Marked
from orchestrator.resources import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.cli.session import Session
    from orchestrator.doctor import Finding

SCHEMA = 1
_WIDTH = 100
_STATES = len("optional")


def doctor(store: Path, out: Path, session: Session) -> int:
    """Examine the machine; exit status 4 where something that a build needs is missing."""
    from orchestrator import doctor as doctors

    findings = doctors.examine(store, out)
    able = doctors.able(findings)
    document = {
        "schema": SCHEMA,
        "able": able,
        "findings": [finding.document() for finding in findings],
    }
    session.result(document, _told(findings, able=able, everything=session.manner.verbose))
    return 0 if able else 4


def version(session: Session) -> int:
    """Say the versions."""
    python, system = platform.python_version(), platform.platform(terse=True)
    session.result(
        {"schema": SCHEMA, "version": VERSION, "python": python, "platform": system},
        [f"orchestrate {VERSION} (Python {python}, {system})"],
    )
    return 0


def _told(findings: Iterable[Finding], *, able: bool, everything: bool) -> Iterator[str]:
    for finding in findings:
        gap = " " * (_STATES - len(finding.state))
        yield Marked(finding.state, f"{gap}  {finding.name}: {finding.found}")
        if finding.state != "ok" or everything:
            yield from _indented(f"needed {finding.reason}")
        if finding.state != "ok" and finding.remedy:
            yield from _indented(f"remedy: {finding.remedy}")
    yield ""
    yield "a build can run here" if able else "a build cannot run here: see what is missing above"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * (_STATES + 2),
        subsequent_indent=" " * (_STATES + 4),
        break_on_hyphens=False,
        break_long_words=False,
    )
