"""Checks the folder's statements (in-toto, in DSSE envelopes): what they are about, by whom.

A statement counts where every one of its subjects is a file of this folder with these bytes. The
statement about the build must name every file that the build left before it; so its signature
covers result, spec, lock, actions, image, archive and logs.

A statement says nothing here that cannot be held against the rest: one of another kind than this
program knows, or a comparison with another verdict than the result's checks give, is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names
from orchestrator.evidence import dsse, keys, uris
from orchestrator.verify.documents import log_names
from reproducibility import canonical
from reproducibility.compare import Verdict
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.evidence.dsse import Envelope
    from orchestrator.verify.model import Findings, Measured

_MOST_SUBJECTS = 30_000
# Bytes of all statements, and values in one. Those of the default image have 37 KB; a build of some
# hundred actions, whose logs are subjects, has about one.
_LARGEST = 4 << 20
_MOST_VALUES = 200_000
# Signatures of all statements, each of which is tried with every key that was given: those of a
# hundred builders of thirty statements.
_MOST_SIGNATURES = 4096
_SHOWN = 80
_DIFFERS = "statement-differs"
# Seconds since 1970 of times that every program can tell and reckon with: 1970 to 9998.
_LATEST = 253_370_764_800


@dataclass(frozen=True)
class Statement:
    """A statement. `subjects`: name -> SHA-256 in hexadecimal digits. `line`: its place, from 1.

    `signers`: ids of those of the given keys that signed it.
    """

    line: int
    kind: str
    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]
    envelope: Envelope
    signers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signed:
    """What the statements amount to.

    `build`: the statement about the build, where it fits this folder; `signers`: ids of those of
    the given keys that signed it. `unknown`: ids in signatures that none of the given keys made.
    `finished`, `audited`: when build and audit ended, in seconds since 1970-01-01 UTC.
    `audits`: the statements about the audit that is here, `audit_signers`: of any of them;
    `earlier`: statements about other audits of this build. `fitting`: every statement that is about
    this folder.
    """

    build: Statement | None = None
    signers: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    finished: int | None = None
    audits: tuple[Statement, ...] = ()
    audit_signers: tuple[str, ...] = ()
    audited: int | None = None
    earlier: tuple[Statement, ...] = ()
    fitting: tuple[Statement, ...] = ()


def check(
    envelopes: Sequence[Envelope],
    result: BuildResult,
    files: Mapping[str, Measured],
    given: Mapping[str, keys.Public],
    findings: Findings,
) -> Signed:
    """Read every statement, hold it against the files, and check its signatures with given keys."""
    fitting: list[Statement] = []
    unknown: set[str] = set()
    if sum(len(one.payload) for one in envelopes) > _LARGEST:
        reason = f"its statements have more than {_LARGEST} bytes, all together"
        findings.say("file-unreadable", names.PROVENANCE, reason)
        return Signed()
    if sum(len(one.signatures) for one in envelopes) > _MOST_SIGNATURES:
        reason = f"its statements have more than {_MOST_SIGNATURES} signatures, all together"
        findings.say("file-unreadable", names.PROVENANCE, reason)
        return Signed()
    for line, envelope in enumerate(envelopes, 1):
        signers, others = _signers(line, envelope, given, findings)
        unknown |= others
        try:
            statement = replace(_parsed(line, envelope), signers=signers)
        except InputError as error:
            findings.say("file-unreadable", names.PROVENANCE, f"line {line}: {error.summary}")
            continue
        if _fits(statement, files, findings):
            fitting.append(statement)
        _meaning(statement, result, findings)
    builds = [one for one in fitting if one.kind == uris.SLSA]
    if len(builds) != 1:
        reason = f"{len(builds)} statements about this build, and there must be one"
        findings.say(_DIFFERS, names.PROVENANCE, reason)
        return Signed(unknown=tuple(sorted(unknown)))
    build = builds[0]
    finished = _finished(build)
    if finished is None:
        reason = f"line {build.line} does not say when the build ended, or when nothing ends"
        findings.say(_DIFFERS, names.PROVENANCE, reason)
    complete = _names_everything(build, result, files, findings) and finished is not None
    # An audit replaces the one before it, whose statement stays.
    of_audits = [one for one in fitting if one.kind == uris.AUDIT]
    audits = [one for one in of_audits if _is_of_present_audit(one, files)]
    earlier = tuple(one for one in of_audits if one not in audits)
    _failed(earlier, findings)
    return Signed(
        build if complete else None,
        build.signers if complete else (),
        tuple(sorted(unknown)),
        finished,
        tuple(audits),
        tuple(sorted({key for one in audits for key in one.signers})),
        moment(audits[0].predicate.get("finishedOn")) if audits else None,
        earlier,
        tuple(fitting),
    )


def _meaning(statement: Statement, result: BuildResult, findings: Findings) -> None:
    """Hold against the result what every version says in the same words."""
    said = statement.predicate
    reason = ""
    if statement.kind == uris.COMPARISON:
        family = said.get("comparison")
        own = [one for one in result.checks if one.code.partition(".")[0] == family]
        worst = max((Verdict[one.verdict] for one in own), default=None)
        if worst is None:
            reason = "is about a comparison that the build did not make"
        elif said.get("verdict") != worst.name:
            reason = f"has another verdict of {family} than the checks give, {worst.name}"
        elif said.get("checks") != [one.model_dump(mode="json") for one in own]:
            reason = f"has other checks of {family} than result.json"
    elif statement.kind == uris.AUDIT:
        if said.get("verdict") not in [one.name for one in Verdict]:
            reason = "is about an audit, and has no verdict"
    elif statement.kind != uris.SLSA:
        reason = f"is of a kind that is not known here: {statement.kind[:_SHOWN]}"
    if reason:
        findings.say(_DIFFERS, names.PROVENANCE, f"line {statement.line} {reason}")


def _failed(audits: Sequence[Statement], findings: Findings) -> None:
    """An audit that somebody known signed, and which was taken away, counts where it is a FAIL."""
    for one in audits:
        if one.signers and one.predicate.get("verdict") == Verdict.FAIL.name:
            reason = f"line {one.line} says that an audit of this build is a FAIL, and is signed"
            findings.say("audit-failed", names.PROVENANCE, reason)


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
    said = canonical.loads(envelope.payload, subject="a statement", most=_MOST_VALUES)
    if not isinstance(said, dict) or said.get("_type") != uris.STATEMENT:
        raise InputError("it is no in-toto Statement v1")
    if said.keys() != {"_type", "subject", "predicateType", "predicate"}:
        raise InputError("it has further members than a statement of this program")
    kind, predicate, listed = (said[name] for name in ("predicateType", "predicate", "subject"))
    if not isinstance(kind, str) or not isinstance(predicate, dict):
        raise InputError("it has no predicate")
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_SUBJECTS:
        raise InputError("it is about nothing")
    subjects: dict[str, str] = {}
    for one in listed:
        # Others go by any digest that fits, and further ones are compared with nothing here.
        if not isinstance(one, dict) or one.keys() != {"name", "digest"}:
            raise InputError("a subject has another form than a name and a digest")
        name, digest = one["name"], one["digest"]
        if not isinstance(digest, dict) or digest.keys() != {"sha256"}:
            raise InputError("a subject has another digest than a SHA-256")
        sha256 = digest["sha256"]
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
        findings.say(_DIFFERS, names.PROVENANCE, reason)
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
    wanted |= files.keys() & {names.SBOM, names.SBOM_FILES, names.JUNIT}
    left_out = sorted(wanted - statement.subjects.keys())
    for name in left_out:
        reason = f"the statement about the build does not name {name}"
        findings.say(_DIFFERS, names.PROVENANCE, reason)
    return not left_out


def _finished(statement: Statement) -> int | None:
    """When the build ended: `runDetails.metadata.finishedOn` of SLSA provenance, RFC 3339."""
    at: Any = statement.predicate
    for name in ("runDetails", "metadata", "finishedOn"):
        at = at.get(name) if isinstance(at, dict) else None
    return moment(at)


def moment(value: object) -> int | None:
    """Seconds since 1970-01-01 UTC of a time such as `2026-01-01T00:00:00Z`; None for others.

    And for times before 1970 or after 9998, which no clock shows.
    """
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    if found.tzinfo is None:
        return None
    try:
        seconds = int((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except OverflowError:
        return None
    return seconds if 0 <= seconds < _LATEST else None
