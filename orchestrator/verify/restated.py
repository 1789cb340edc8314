"""Writes anew what a folder states of itself, and compares: statements, JUnit, the page.

The product's writers are pure functions of result, spec, lock, actions, audit and the files'
digests, all of which were checked before. So a statement that says something else than they do is
found whoever signed it, by any byte. Another version of this program may write them otherwise;
what that wrote is not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import resources
from orchestrator.artifacts import names
from orchestrator.evidence import junit, statements, uris
from orchestrator.evidence.subject import FileDigests, Subject
from orchestrator.report import folder as pages
from reproducibility import digest, regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.verify.documents import Documents
    from orchestrator.verify.model import Findings, Measured
    from orchestrator.verify.statements import Signed

_DIFFERS = "statement-differs"


def check(
    folder: Path,
    read: Documents,
    files: Mapping[str, Measured],
    signed: Signed,
    findings: Findings,
) -> bool:
    """Compare all of them; returns whether that could be done.

    It needs every document, and the statement about the build.
    """
    subject = _subject(folder, read, files, signed)
    if subject is None or read.result is None or read.result.tool != resources.VERSION:
        return False
    wanted = [one.payload for one in statements.of_build(subject)]
    found = {one.envelope.payload: one.line for one in signed.fitting if one.kind != uris.AUDIT}
    for payload, line in found.items():
        if payload not in wanted:
            reason = f"line {line} says otherwise than what it is about"
            findings.say(_DIFFERS, names.PROVENANCE, reason)
    missing = sum(payload not in found for payload in wanted)
    if missing:
        reason = f"{missing} of {len(wanted)} statements that such a build makes are not there"
        findings.say(_DIFFERS, names.PROVENANCE, reason)
    _audit(subject, read, files, signed, findings)
    _junit(folder, subject, findings)
    _page(folder, files, findings)
    return True


def _subject(
    folder: Path, read: Documents, files: Mapping[str, Measured], signed: Signed
) -> Subject | None:
    if read.result is None or read.spec is None or read.lock is None or read.actions is None:
        return None
    if signed.build is None or signed.finished is None:
        return None
    try:
        spec, lock = (regular.read(folder / name, follow=False) for name in names.COPIES)
    except OSError:
        return None
    named = {name: _digests(files[name]) for name in signed.build.subjects if name in files}
    return Subject(
        result=read.result,
        spec=spec,
        lock_file=lock,
        lock=read.lock,
        epoch=read.spec.image.epoch,
        finished=signed.finished,
        actions=read.actions,
        files=named,
    )


def _digests(one: Measured) -> FileDigests:
    return FileDigests(one.size, one.blake3, one.sha256)


def _audit(
    subject: Subject,
    read: Documents,
    files: Mapping[str, Measured],
    signed: Signed,
    findings: Findings,
) -> None:
    said = signed.audit
    if read.audit is None:
        return
    if said is None or signed.audited is None:
        findings.say(_DIFFERS, names.PROVENANCE, "no statement is about the audit that is here")
        return
    own = _digests(files[names.AUDIT])
    again = statements.audit(subject.result, read.audit, own, signed.audited)
    if again.payload != said.envelope.payload:
        reason = f"line {said.line} says otherwise of the audit than audit.json"
        findings.say(_DIFFERS, names.PROVENANCE, reason)


def _page(folder: Path, files: Mapping[str, Measured], findings: Findings) -> None:
    """Compare the page, which no statement is about: an audit, or a person, makes it anew."""
    here = files.get(names.REPORT)
    if here is None:
        return
    try:
        wanted = digest.of_bytes(pages.made(folder).data)
    except InputError as error:
        reason = f"it cannot be made anew: {error.summary}"
        findings.say(_DIFFERS, names.REPORT, reason)
        return
    if wanted.hex != here.blake3:
        findings.say(_DIFFERS, names.REPORT, "it shows otherwise than the files that it is of")


def _junit(folder: Path, subject: Subject, findings: Findings) -> None:
    try:
        found = regular.read(folder / names.JUNIT, follow=False)
    except OSError:
        return  # that it is missing, or no file, is told elsewhere
    if found != junit.document(subject):
        findings.say(_DIFFERS, names.JUNIT, "it says otherwise than result.json")
