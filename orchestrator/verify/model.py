"""What a verification finds, as values: findings, claims, and one folder's answer.

A *finding* is something that does not hold: the file, a stable code, and the reason in words. A
*claim* is something that the folder says, and by what right it may be believed: worked out here
from the bytes, signed by somebody, or only stated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.artifacts import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult

How = Literal["derived here", "signed", "only stated"]

# Codes of findings, each with what it says in one line; docs/verify.md is this table for people.
FINDINGS: Mapping[str, str] = {
    "file-unnamed": "nothing names this file",
    "file-missing": "a file is named, and is not there",
    "file-differs": "a file is not the one that is named",
    "file-irregular": "something that is no plain file, or lies where nothing belongs",
    "file-unreadable": "a file has not the form that it must have",
    "image-damaged": "the image cannot be read, or a byte beside the files is not as it must be",
    "archive-differs": "the archive does not hold what the image does",
    "tree-differs": "the image holds another tree than the result names",
    "bill-differs": "the bill of materials lists other files than the image's, or not each once",
    "link-broken": "two files of the folder do not fit together",
    "verdict-contradicts": "a stored verdict or value is not what comes out here",
    "check-missing": "a check that such a build ends with is not there",
    "signature-invalid": "a signature does not fit what it signs",
    "statement-differs": "a statement is about other bytes than those of this folder",
    "audit-differs": "the audit is of another build, or claims more than it did",
    "audit-failed": "somebody whose key was given signed an audit, which is not here, as a FAIL",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold. `code`: one of `FINDINGS`; `file`: its path in the folder."""

    code: str
    file: str
    reason: str

    def document(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return {"code": self.code, "file": self.file, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that the folder says, and by what right it may be believed.

    `what`: a check's code, or words; `subject`: of what. `by`: ids of the keys that signed the file
    which says it. `detail`: what was done here, or what is missing to derive it.
    """

    what: str
    subject: str
    how: How
    detail: str
    by: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The claim as a JSON object."""
        return {
            "what": self.what,
            "subject": self.subject,
            "how": self.how,
            "by": list(self.by),
            "detail": self.detail,
        }


@dataclass
class Findings:
    """Findings as they come, at most `MOST` of them kept; `total` counts all."""

    MOST = 1000
    # As keys, in their order: whether one is there must not take longer the more there are.
    kept: dict[Finding, None] = field(default_factory=dict)
    total: int = 0

    def say(self, code: str, file: str, reason: str) -> None:
        """Add one, unless it is there already."""
        found = Finding(code, file, reason)
        if code not in FINDINGS:
            raise KeyError(code)
        if found in self.kept:
            return
        self.total += 1
        if len(self.kept) < self.MOST:
            self.kept[found] = None

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.kept)

    def __bool__(self) -> bool:
        return self.total > 0

    def of(self, codes: Iterable[str]) -> bool:
        """Tell whether one of these codes was found."""
        wanted = frozenset(codes)
        return any(found.code in wanted for found in self.kept)


@dataclass(frozen=True, slots=True)
class Measured:
    """A file as it is: `size` in bytes, digests in hexadecimal digits."""

    size: int
    blake3: str
    sha256: str


@dataclass(frozen=True)
class Verified:
    """Answer about one folder.

    `files`: by path, as measured. `result`, `audit`: None where there is none, or none that can be
    read. `signers`: ids of the keys that signed the statement about the build, each signature
    checked with a key that was given. `audit_signers`: of the statement about the audit.
    `finished`, `audited`: when build and audit ended, by these statements, in seconds since
    1970-01-01 UTC. `notes`: what was not done that is done for others, in words.
    """

    path: str
    files: Mapping[str, Measured]
    result: BuildResult | None
    audit: AuditResult | None
    findings: tuple[Finding, ...]
    findings_total: int
    claims: tuple[Claim, ...]
    signers: tuple[str, ...] = ()
    audit_signers: tuple[str, ...] = ()
    unknown_signers: tuple[str, ...] = ()
    finished: int | None = None
    audited: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def build(self) -> str:
        """What tells this build from every other: BLAKE3 of its result, in hexadecimal digits.

        Each run writes its own times there, so two runs have two, and copies of a folder one.
        """
        here = self.files.get(names.RESULT)
        return here.blake3 if here else ""

    @property
    def sound(self) -> bool:
        """Tell whether nothing was found that does not hold."""
        return not self.findings_total

    def document(self) -> dict[str, Any]:
        """The answer as a JSON object."""
        return {
            "path": self.path,
            "verdict": "PASS" if self.sound else "FAIL",
            "stored_verdict": self.result.verdict if self.result else None,
            "image": self.result.image.blake3 if self.result else None,
            "files": len(self.files),
            "bytes": sum(one.size for one in self.files.values()),
            "signed_by": list(self.signers),
            "audit_signed_by": list(self.audit_signers),
            "unknown_signatures": list(self.unknown_signers),
            "findings": [one.document() for one in self.findings],
            "findings_total": self.findings_total,
            "claims": [one.document() for one in self.claims],
            "notes": list(self.notes),
        }
