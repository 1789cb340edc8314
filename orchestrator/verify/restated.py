"""Writes anew what a folder states of itself, and compares: statements, JUnit, the page.

The product's writers are pure functions of result, spec, lock, actions, audit and the files'
digests, all of which were checked before. So a statement that says something else than they do is
found whoever signed it, by any byte. Statements and page carry the number of the form in which
they were written (`orchestrator/artifacts/form.py`): what has another one cannot be written anew
here, and is told as only stated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names
from orchestrator.artifacts.form import FORM, GENERATOR
from orchestrator.evidence import junit, statements, uris
from orchestrator.evidence.subject import FileDigests, Subject
from orchestrator.report import folder as pages
from reproducibility import digest, regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult
    from orchestrator.verify.documents import Documents
    from orchestrator.verify.model import Findings, Measured
    from orchestrator.verify.statements import Signed

_DIFFERS = "statement-differs"
_FORM = re.compile(rb'<meta name="generator" content="%b ([0-9]{1,9})">' % GENERATOR.encode())
# The form stands in the head of the page, before anything of the build.
_HEAD = 2048
_SHOWN = 40


@dataclass(frozen=True)
class Again:
    """What was written anew and compared; `notes`: what was not, and why, in words."""

    statements: bool
    page: bool
    notes: tuple[str, ...]


def check(
    folder: Path,
    read: Documents,
    files: Mapping[str, Measured],
    signed: Signed,
    findings: Findings,
) -> Again:
    """Compare all that is of this program's form; whatever differs is a finding.

    It needs every document, and the statement about the build.
    """
    notes: list[str] = []
    if read.result is not None and read.audit is not None:
        notes += _audit(read.result, read.audit, files[names.AUDIT], signed, findings)
    if names.AUDIT in files and read.audit is None:
        page = f"the page was not made anew: {names.AUDIT} cannot be read"
    else:
        page = _page(folder, files, findings)
    if page:
        notes.append(page)
    form = _form(signed)
    subject = _subject(folder, read, files, signed) if form == str(FORM) else None
    if subject is None:
        why = "as documents are missing"
        if signed.build is not None and form != str(FORM):
            why = f"their form is {form[:_SHOWN] or 'not said'}, and {FORM} is this program's"
        notes.append(f"statements and JUnit were not written anew: {why}")
        return Again(statements=False, page=not page, notes=tuple(notes))
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
    _junit(folder, subject, findings)
    return Again(statements=True, page=not page, notes=tuple(notes))


def _form(signed: Signed) -> str:
    """The form of the statement about the build, as it says; empty where it does not."""
    at: Any = signed.build.predicate if signed.build is not None else None
    for name in ("runDetails", "builder", "version", "form"):
        at = at.get(name) if isinstance(at, dict) else None
    return at if isinstance(at, str) else ""


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
    result: BuildResult,
    audit: AuditResult,
    file: Measured,
    signed: Signed,
    findings: Findings,
) -> list[str]:
    """Compare every statement about the audit that is here: two that differ are no statement."""
    if not signed.audits or signed.audited is None:
        findings.say(_DIFFERS, names.PROVENANCE, "no statement is about the audit that is here")
        return []
    notes = []
    again = statements.audit(result, audit, _digests(file), signed.audited)
    document = audit.document()
    for said in signed.audits:
        form = said.predicate.get("form")
        same = again.payload == said.envelope.payload
        if form != str(FORM):
            kept = ("verdict", "checks")
            same = all(said.predicate.get(name) == document[name] for name in kept)
            notes.append(
                f"line {said.line}, of the audit, was not written anew: its form is "
                f"{str(form)[:_SHOWN]}, and {FORM} is this program's"
            )
        if not same:
            reason = f"line {said.line} says otherwise of the audit than audit.json"
            findings.say(_DIFFERS, names.PROVENANCE, reason)
    return notes


def _page(folder: Path, files: Mapping[str, Measured], findings: Findings) -> str:
    """Compare the page, which no statement is about: an audit, or a person, makes it anew.

    Returns why it was not compared; nothing where it was.
    """
    here = files.get(names.REPORT)
    if here is None:
        return ""
    try:
        with regular.opened(folder / names.REPORT, follow=False) as stream:
            head = stream.read(_HEAD)
    except OSError:
        return "the page was not made anew: it cannot be read"
    form = _FORM.search(head)
    if form is None:
        findings.say(_DIFFERS, names.REPORT, "it is no page that this program makes")
        return ""
    if int(form[1]) != FORM:
        return (
            f"the page was not made anew: its form is {int(form[1])}, and {FORM} is this program's"
        )
    try:
        wanted = digest.of_bytes(pages.made(folder).data)
    except InputError as error:
        reason = f"it cannot be made anew: {error.summary}"
        findings.say(_DIFFERS, names.REPORT, reason)
        return ""
    if wanted.hex != here.blake3:
        findings.say(_DIFFERS, names.REPORT, "it shows otherwise than the files that it is of")
    return ""


def _junit(folder: Path, subject: Subject, findings: Findings) -> None:
    wanted = junit.document(subject)
    try:
        found = regular.read(folder / names.JUNIT, follow=False, limit=len(wanted))
    except regular.LargeFileError:
        found = b""
    except OSError:
        return  # that it is missing, or no file, is told elsewhere
    if found != wanted:
        findings.say(_DIFFERS, names.JUNIT, "it says otherwise than result.json")
