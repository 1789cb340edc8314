"""Writers of the evidence by file name: pure functions from a finished build to bytes.

Their order is the order of writing: each gets the digests of all files before its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.artifacts import names, sums
from orchestrator.evidence import dsse, junit, sbom, statements
from orchestrator.report import packages
from orchestrator.report.page import page
from reproducibility import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.evidence.subject import FileDigests, Subject


def _spec(subject: Subject) -> bytes:
    return subject.spec


def _lock(subject: Subject) -> bytes:
    return subject.lock_file


def _actions(subject: Subject) -> bytes:
    return canonical.dumps(dict(subject.actions)) + b"\n"


def _sbom(subject: Subject) -> bytes:
    return sbom.document(subject, sbom.files(subject))


def _provenance(subject: Subject) -> bytes:
    return dsse.dumps(statements.of_build(subject))


def _report(subject: Subject) -> bytes:
    listed = packages.parse(subject.bill) if subject.bill else ()
    return page(subject.result, subject.audit, listed)


def _sha256sums(subject: Subject) -> bytes:
    return sums.dumps({name: file.sha256 for name, file in _summed(subject)})


def _b3sums(subject: Subject) -> bytes:
    return sums.dumps({name: file.blake3 for name, file in _summed(subject)})


def _summed(subject: Subject) -> list[tuple[str, FileDigests]]:
    return [(name, file) for name, file in subject.files.items() if name not in names.SUMS]


WRITERS: Final[Mapping[str, Callable[[Subject], bytes]]] = {
    names.SPEC: _spec,
    names.LOCK: _lock,
    names.ACTIONS: _actions,
    names.SBOM_FILES: sbom.files,
    names.SBOM: _sbom,
    names.JUNIT: junit.document,
    names.PROVENANCE: _provenance,
    # An audit adds to it, so no statement is about it; the sums are.
    names.REPORT: _report,
    names.SHA256SUMS: _sha256sums,
    names.B3SUMS: _b3sums,
}
