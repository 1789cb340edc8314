"""Carries out `orchestrate build`: progress, the summary of the result, the exit status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orchestrator.architecture import ARCHITECTURES
from orchestrator.cli.streams import Marked
from orchestrator.cli.wording import grouped, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.build import Options
    from orchestrator.cli.session import Session

# What somebody may expect to change a build of Go or a reproducible one; none of it does.
IGNORED = (
    "SOURCE_DATE_EPOCH",
    *sorted(
        (
            "CGO_ENABLED",
            "GO386",
            "GOARCH",
            "GODEBUG",
            "GOEXPERIMENT",
            "GOFIPS140",
            "GOFLAGS",
            "GOGC",
            "GOOS",
            "GOROOT",
            "GOROOT_BOOTSTRAP",
            "GOROOT_FINAL",
            "GOTOOLCHAIN",
            "GO_EXTLINK_ENABLED",
            "GO_LDFLAGS",
            # The oldest CPU of an architecture that is compiled for, such as GOAMD64.
            *(f"GO{name.upper()}" for name in ARCHITECTURES),
        )
    ),
)
_HINTS = {"SOURCE_DATE_EPOCH": "the time of every file is image.epoch in the spec"}
_SHOWN = 40


def build(options: Options, session: Session) -> int:
    """Build; exit status 1 where a comparison failed.

    Raises:
        SourceryError: of the kind that says whose matter it is.
    """
    from orchestrator import build as building
    from reproducibility.compare import Verdict

    for text in ignored(os.environ):
        session.note(text)
    with session.working("orchestrate build") as progress:
        built = building.build(options, progress, session.stopping.event)
    lines = summary(built.result, built.out, verbose=session.manner.verbose)
    session.result(built.result.document(), lines)
    return 1 if built.verdict is Verdict.FAIL else 0


def ignored(environment: Mapping[str, str]) -> list[str]:
    """Return what to say of variables that are set and change nothing."""
    present = [name for name in IGNORED if name in environment]
    if not present:
        return []
    said = f"ignored, as nothing in the environment changes a build: {', '.join(present)}"
    return [said, *(_HINTS[name] for name in present if name in _HINTS)]


def summary(result: BuildResult, out: Path, *, verbose: bool) -> Iterator[str]:
    """The result for a person: the verdict, what it rests on, the image.

    Checks that passed are put together by name, unless `verbose`, and those that could not be made
    by name and reason; the others are said one by one.
    """
    checks = result.checks
    passed = [check for check in checks if check.verdict == "PASS"]
    others = [check for check in checks if check.verdict != "PASS"]
    if verbose:
        for check in passed:
            yield Marked("PASS", f"  {check.name}, {check.subject}: {check.reason}")
    else:
        for name, subjects in grouped((check.name, check.subject) for check in passed):
            yield Marked("PASS", f"  {name}: {_listed(subjects)}")
    others = sorted(others, key=lambda check: check.verdict, reverse=True)
    # A whole rebuild may have nothing to compare with: one line for all that say so.
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for check in others:
        alone = "" if check.verdict == "SKIP" and not verbose else check.subject
        alike.setdefault((check.verdict, check.name, check.reason, alone), []).append(check.subject)
    for (verdict, name, reason, _), subjects in alike.items():
        yield Marked(verdict, f"  {name}, {_listed(subjects)}: {reason}")
    image = result.image
    yield ""
    yield Marked(result.verdict, f"  {_meaning(result.verdict, len(checks))}")
    yield f"      {out / image.path}, {quantity(image.size)}"
    yield f"      blake3 {image.blake3}"
    yield f"      sha256 {image.sha256}"
    yield f"      what was compared, and with what: {out / 'result.json'}"


def _meaning(verdict: str, checks: int) -> str:
    return {
        "PASS": f"all {checks} checks hold",
        "SKIP": "every comparison that could be made holds; what could not is said above",
        "FAIL": "at least one comparison fails: do not rely on this image",
    }[verdict]


def _listed(subjects: Sequence[str]) -> str:
    if len(subjects) > _SHOWN:
        return f"{len(subjects)} of them"
    return ", ".join(subjects)
