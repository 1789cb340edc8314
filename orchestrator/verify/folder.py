"""Verifies one folder: all that can be worked out from its bytes, and every claim's right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.verify import (
    audited,
    bill,
    contents,
    documents,
    files,
    links,
    placed,
    restated,
    statements,
    toolchains,
    verdicts,
)
from orchestrator.verify.claims import told
from orchestrator.verify.model import Findings, Verified
from reproducibility.errors import SourceryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.evidence.keys import Public
    from orchestrator.verify.documents import Documents
    from orchestrator.verify.model import Claim, Finding, Measured


def _sorted(findings: Findings) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda one: (one.file, one.code, one.reason)))


class Verifier:
    """Verifies folders. `given`: public keys by their ids. `begin`: told of each stage.

    An image that several folders hold, by its digest, is read once.
    """

    def __init__(
        self, given: Mapping[str, Public], begin: Callable[[str], None] = lambda _: None
    ) -> None:
        self._given = given
        self._begin = begin
        self._known: dict[tuple[str, ...], tuple[contents.Contents, Findings]] = {}

    def verify(self, folder: Path) -> Verified:
        """Verify a finished folder. Whatever does not hold is a finding of the answer.

        What ends the work is a finding as well, so that no folder is in the way of another.

        Raises:
            InputError: there is no folder.
        """
        files.require(folder)
        findings = Findings()
        try:
            return self._verified(folder, findings)
        except SourceryError as error:
            where = f" ({error.subject})" if error.subject else ""
            findings.say("file-unreadable", str(folder), error.summary + where)
        except OSError as error:
            findings.say("file-unreadable", str(folder), f"it cannot be read: {error.strerror}")
        return Verified(
            path=str(folder),
            files={},
            result=None,
            audit=None,
            findings=_sorted(findings),
            findings_total=findings.total,
            claims=(),
        )

    def _verified(self, folder: Path, findings: Findings) -> Verified:
        self._begin(f"{folder}: hashing every file")
        there = files.measured(folder, findings)
        files.sums(folder, there, findings)
        self._begin(f"{folder}: reading the documents")
        read = documents.read(folder, there, findings)
        links.check(read, there, findings)
        signed = statements.Signed()
        claims: list[Claim] = []
        notes: tuple[str, ...] = ()
        if read.result is not None:
            signed = statements.check(read.envelopes, read.result, there, self._given, findings)
            again = restated.check(folder, read, there, signed, findings)
            if read.audit is not None:
                audited.check(read.audit, read.result, there, findings)
            grounds = self._grounds(folder, read, read.result, there, findings)
            checks = verdicts.check(grounds, findings)
            claims = told(grounds, read, checks, signed, findings, again)
            notes = (*again.notes, *bill.notes(there))
        return Verified(
            path=str(folder),
            files=there,
            result=read.result,
            audit=read.audit,
            findings=_sorted(findings),
            findings_total=findings.total,
            claims=tuple(claims),
            signers=signed.signers,
            audit_signers=signed.audit_signers,
            unknown_signers=signed.unknown,
            finished=signed.finished,
            audited=signed.audited,
            notes=notes,
        )

    def _grounds(
        self,
        folder: Path,
        read: Documents,
        result: BuildResult,
        there: Mapping[str, Measured],
        findings: Findings,
    ) -> verdicts.Grounds:
        found = contents.Contents()
        # What is not the file that the result names is not read: it is a finding already.
        if all(
            (here := there.get(one.path)) is not None and here.blake3 == one.blake3
            for one in (result.image, result.cpio)
        ):
            found = self._contents(folder, read, result, findings)
        listed = found.tree is not None and bill.check(folder, there, found.tree, findings)
        lock = read.lock
        if lock is None:
            return verdicts.Grounds(result, lock, found, {}, {}, listed)
        chain = toolchains.derived(found, result, lock, findings)
        sources = toolchains.sources(found, lock, findings, result.image.path)
        parts = placed.Placed()
        if found.tree is not None and read.spec is not None:
            parts = placed.check(found.tree, result, read.spec, lock, findings)
        return verdicts.Grounds(result, lock, found, chain, sources, listed, parts)

    def _contents(
        self, folder: Path, read: Documents, result: BuildResult, findings: Findings
    ) -> contents.Contents:
        same = (
            result.image.path, result.image.blake3, result.cpio.path, result.cpio.blake3,
            str(result.root.tree), *(str(one and one.digest) for one in (read.spec, read.lock)),
        )  # fmt: skip
        if same not in self._known:
            self._begin(f"{folder}: reading image and archive")
            own = Findings()
            found = contents.derived(folder, result, read.spec, read.lock, own)
            self._known[same] = (found, own)
        found, own = self._known[same]
        for one in own:
            findings.say(one.code, one.file, one.reason)
        return found
