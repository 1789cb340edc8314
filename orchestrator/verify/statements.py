"""Checks the folder's statements (in-toto, in DSSE envelopes): what they are about, by whom.

A statement counts where every one of its subjects is a file of this folder with these bytes. The
statement about the build must name every file that the build left before it; so its signature
covers result, spec, lock, actions, image, archive and logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names
from orchestrator.evidence import dsse, keys, uris
from orchestrator.verify.documents import log_names
from reproducibility import canonical
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.evidence.dsse import Envelope
    from orchestrator.verify.model import Findings, Measured

_MOST_SUBJECTS = 30_000
_SHOWN = 80


@dataclass(frozen=True)
class Statement:
    """A statement. `subjects`: name -> SHA-256 in hexadecimal digits. `line`: its place, from 1."""

    line: int
    kind: str
    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]
    envelope: Envelope


@dataclass(frozen=True)
class Signed:
    """What the statements amount to.

    `build`: the statement about the build, where it fits this folder; `signers`: ids of those of
    the given keys that signed it. `unknown`: ids in signatures that none of the given keys made.
    `finished`, `audited`: when build and audit ended, in seconds since 1970-01-01 UTC.
    `audit_signers`: of the statement about the audit that is here. `fitting`: every statement that
    is about this folder.
    """

    build: Statement | None = None
    signers: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    finished: int | None = None
    audit: Statement | None = None
    audit_signers: tuple[str, ...] = ()
    audited: int | None = None
    fitting: tuple[Statement, ...] = ()


def check(
    envelopes: Sequence[Envelope],
    result: BuildResult,
    files: Mapping[str, Measured],
    given: Mapping[str, keys.Public],
    findings: Findings,
) -> Signed:
    """Read every statement, hold it against the files, and check its signatures with given keys."""
    fitting: list[tuple[Statement, tuple[str, ...]]] = []
    unknown: set[str] = set()
    for line, envelope in enumerate(envelopes, 1):
        signers, others = _signers(line, envelope, given, findings)
        unknown |= others
        try:
            statement = _parsed(line, envelope)
        except InputError as error:
            findings.say("file-unreadable", names.PROVENANCE, f"line {line}: {error.summary}")
            continue
        if _fits(statement, files, findings):
            fitting.append((statement, signers))
    builds = [pair for pair in fitting if pair[0].kind == uris.SLSA]
    if len(builds) != 1:
        reason = f"{len(builds)} statements about this build, and there must be one"
        findings.say("statement-differs", names.PROVENANCE, reason)
        return Signed(unknown=tuple(sorted(unknown)))
    build, signers = builds[0]
    complete = _names_everything(build, result, files, findings)
    # An audit replaces the one before it, whose statement stays.
    audits = [pair for pair in fitting if _is_of_present_audit(pair[0], files)][-1:]
    return Signed(
        build if complete else None,
        signers if complete else (),
        tuple(sorted(unknown)),
        _finished(build),
        audits[0][0] if audits else None,
        audits[0][1] if audits else (),
        moment(audits[0][0].predicate.get("finishedOn")) if audits else None,
        tuple(statement for statement, _ in fitting),
    )


def _signers(
    line: int, envelope: Envelope, given: Mapping[str, keys.Public], findings: Findings
) -> tuple[tuple[str, ...], set[str]]:
    """Ids of the given keys that signed, and the ids of signatures by nobody who is known."""
    signers: set[str] = set()
    unknown: set[str] = set()
    for signature in envelope.signatures:
        alone = dsse.Envelope(envelope.payload, envelope.payload_type, (signature,))
        # The id in a signature is a hint that nobody signed: the key that fits is what counts.
        own = next((name for name, key in given.items() if keys.verify(alone, key)), None)
        if own is not None:
            signers.add(own)
        elif signature.keyid in given:
            reason = f"line {line}: the signature of {signature.keyid[:_SHOWN]} does not fit"
            findings.say("signature-invalid", names.PROVENANCE, reason)
        else:
            unknown.add(signature.keyid[:_SHOWN])
    return tuple(sorted(signers)), unknown


def _parsed(line: int, envelope: Envelope) -> Statement:
    if envelope.payload_type != dsse.PAYLOAD_TYPE:
        raise InputError(f"its payload is {envelope.payload_type[:_SHOWN]!r}")
    said = canonical.loads(envelope.payload, subject="a statement")
    if not isinstance(said, dict) or said.get("_type") != uris.STATEMENT:
        raise InputError("it is no in-toto Statement v1")
    kind, predicate, listed = (said.get(name) for name in ("predicateType", "predicate", "subject"))
    if not isinstance(kind, str) or not isinstance(predicate, dict):
        raise InputError("it has no predicate")
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_SUBJECTS:
        raise InputError("it is about nothing")
    subjects: dict[str, str] = {}
    for one in listed:
        name = one.get("name") if isinstance(one, dict) else None
        digest = one.get("digest") if isinstance(one, dict) else None
        sha256 = digest.get("sha256") if isinstance(digest, dict) else None
        if not isinstance(name, str) or not isinstance(sha256, str) or name in subjects:
            raise InputError("a subject has no name or no SHA-256, or is there twice")
        subjects[name] = sha256
    return Statement(line, kind, subjects, predicate, envelope)


def _fits(statement: Statement, files: Mapping[str, Measured], findings: Findings) -> bool:
    fits = True
    for name, sha256 in statement.subjects.items():
        here = files.get(name)
        if here is not None and here.sha256 == sha256:
            continue
        fits = False
        why = "there is no such file" if here is None else "that file has other bytes"
        reason = f"line {statement.line} is about {name[:_SHOWN]}, and here {why}"
        findings.say("statement-differs", names.PROVENANCE, reason)
    return fits


def _is_of_present_audit(statement: Statement, files: Mapping[str, Measured]) -> bool:
    said, here = statement.predicate.get("evidence"), files.get(names.AUDIT)
    if statement.kind != uris.AUDIT or not isinstance(said, dict) or here is None:
        return False
    wanted = (names.AUDIT, here.sha256, here.blake3)
    return tuple(said.get(name) for name in ("name", "sha256", "blake3")) == wanted


def _names_everything(
    statement: Statement, result: BuildResult, files: Mapping[str, Measured], findings: Findings
) -> bool:
    written = {names.RESULT, names.SPEC, names.LOCK, names.ACTIONS}
    wanted = written | {result.image.path, result.cpio.path, *log_names(result)}
    wanted |= files.keys() & {names.SBOM, names.JUNIT}
    left_out = sorted(wanted - statement.subjects.keys())
    for name in left_out:
        reason = f"the statement about the build does not name {name}"
        findings.say("statement-differs", names.PROVENANCE, reason)
    return not left_out


def _finished(statement: Statement) -> int | None:
    """When the build ended: `runDetails.metadata.finishedOn` of SLSA provenance, RFC 3339."""
    at: Any = statement.predicate
    for name in ("runDetails", "metadata", "finishedOn"):
        at = at.get(name) if isinstance(at, dict) else None
    return moment(at)


def moment(value: object) -> int | None:
    """Seconds since 1970-01-01 UTC of a time such as `2026-01-01T00:00:00Z`; None for others."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    if found.tzinfo is None:
        return None
    try:
        return int((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except OverflowError:
        return None
