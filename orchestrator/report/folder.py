"""The page of an output directory: from the files that lie there, and back into it.

What it is made from is `result.json`, and where they are there `audit.json` and the bill of
materials. An audit or a bill that cannot be read is an error: a page without it would hide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.artifacts import names
from orchestrator.artifacts.finished import Finished
from orchestrator.audit import model as audits
from orchestrator.report import packages
from orchestrator.report.page import page
from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult


# Bytes. A bill that lists the 25,000 files of the default image too, as earlier ones, has 11 MB.
_LARGEST_BILL = 64 << 20


@dataclass(frozen=True)
class Made:
    """A page, and the build that it is about."""

    result: BuildResult
    audit: AuditResult | None
    data: bytes


def made(out: Path) -> Made:
    """Make the page of a finished build.

    Raises:
        InputError: there is none, or one of the files is not what a build or an audit leaves.
    """
    result = Finished.load(out).result
    data = _read(out / names.AUDIT)
    audit = audits.parse(data, str(out / names.AUDIT)) if data is not None else None
    bill = _read(out / names.SBOM, _LARGEST_BILL)
    listed = packages.parse(bill, str(out / names.SBOM)) if bill is not None else ()
    return Made(result, audit, page(result, audit, listed))


def is_there(out: Path, data: bytes) -> bool:
    """Return whether the folder's page has these bytes."""
    try:
        return regular.read(out / names.REPORT, limit=len(data)) == data
    except OSError:
        return False


def _read(path: Path, limit: int = regular.LARGEST_TEXT) -> bytes | None:
    """The bytes of a file; None where there is none."""
    try:
        return regular.read(path, limit=limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"cannot read this file of a finished build: {error.strerror}",
            subject=str(path),
            remedy="build again: `orchestrate build`",
        ) from error
