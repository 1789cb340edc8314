"""Evidence in an output directory: written by a build, added to by audits and signatures.

A build writes into a folder that is not in place yet, so the evidence appears with the image or not
at all. Later the changed files are replaced together with the sums, by one process at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from containers.host import durable
from orchestrator.artifacts import names, sums
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse, placing, signable, statements
from orchestrator.evidence.placing import of_bytes
from orchestrator.evidence.signable import REMEDY, unreadable
from orchestrator.evidence.subject import FileDigests
from orchestrator.evidence.writers import WRITERS
from orchestrator.report.folder import made as made_page
from reproducibility import digest as digests
from reproducibility import regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from threading import Event

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult
    from orchestrator.evidence.dsse import Envelope
    from orchestrator.evidence.keys import Private
    from orchestrator.evidence.signable import Signable
    from orchestrator.evidence.subject import Subject


def write(
    folder: Path,
    subject: Subject,
    *,
    made: Mapping[str, bytes] | None = None,
    sign: Iterable[Private] = (),
) -> None:
    """Write all evidence into a new output directory, which holds everything else already.

    `made`: files that are at hand, by name; they are not written anew. `sign`: keys that sign each
    statement.

    Raises:
        OSError: a file cannot be read or written.
    """
    subject = replace(subject, files=_present(folder, subject.result))
    for name, writer in WRITERS.items():
        data = (made or {}).get(name) or writer(subject)
        if name == names.PROVENANCE:
            data = dsse.dumps(_signed(dsse.parse_lines(data), sign))
        (folder / name).write_bytes(data)
        if name == names.SBOM:
            subject = replace(subject, bill=data)
        subject = replace(subject, files={**subject.files, name: of_bytes(data)})


def add_audit(
    out: Path, result: BuildResult, audit: AuditResult, finished: int, stop: Event | None = None
) -> bool:
    """Write `audit.json`, and add the statement of the audit; remake page and sums.

    The last one to end is the one that is there. False where the build left no evidence, as earlier
    versions did: `audit.json` is all then.

    Raises:
        InputError: the evidence that is there is not what a build writes.
        InfrastructureError: it cannot be written; or another build lies there than was audited,
            and nothing was.
        Stopped: `stop` was set while another process held the folder; nothing was written.
    """
    with placing.alone(out, stop):
        _require_audited(out, audit)
        written = audits.dumps(audit)
        _write_audit(out / names.AUDIT, written)
        place = out / names.PROVENANCE
        try:
            data = regular.read(place)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unreadable(place, error) from error
        there = dsse.parse_lines(data, str(place))
        told = of_bytes(written)
        added = dsse.dumps([*there, statements.audit(result, audit, told, finished)])
        with placing.signals_deferred():
            placing.put(out, {names.AUDIT: written})
            placing.put(out, {names.PROVENANCE: added, names.REPORT: made_page(out).data})
    return True


def _require_audited(out: Path, audit: AuditResult) -> None:
    """Make sure that the build in a folder is still the one that was audited, perhaps for hours."""
    place = out / names.RESULT
    try:
        there = digests.of_bytes(regular.read(place))
    except FileNotFoundError:
        there = None  # a build that fills the folder did not come to its end
    except OSError as error:
        raise unreadable(place, error) from error
    if there != audit.audited.result:
        raise InfrastructureError(
            "another build has taken this folder's place meanwhile, so the audit is not of it",
            subject=str(out),
            remedy="audit that one, or build into another folder with --out; what was found of "
            "each action is in the store",
        )


def _write_audit(place: Path, data: bytes) -> None:
    try:
        durable.write(place, data)
    except OSError as error:
        raise InfrastructureError(
            f"the audit's result cannot be written: {error.strerror}",
            subject=str(place),
            remedy="mend the folder's permissions or free some space; what was found of each "
            "action is in the store",
        ) from error


@dataclass(frozen=True)
class Signing:
    """What was signed. `count`: statements that the key had not signed before."""

    count: int
    statements: Signable


def sign(out: Path, result: BuildResult, key: Private) -> Signing:
    """Sign the statements of a finished build that its files lead to, and remake the sums.

    Each file that a statement is about is hashed before, and each statement is written anew
    (`signable`): what is not so is not signed. The sums are mended too where a process that was
    killed had changed files and not yet the sums.

    Raises:
        ComparisonError: a file is not what a statement says, or a statement not what files say.
        InputError: there is no evidence, or it is not what a build writes.
        InfrastructureError: it cannot be written.
    """
    place = out / names.PROVENANCE
    with placing.alone(out):
        try:
            data = regular.read(place)
        except OSError as error:
            raise unreadable(place, error) from error
        there = dsse.parse_lines(data, str(place))
        if not there:
            raise InputError("there is no statement to sign", subject=str(place), remedy=REMEDY)
        found = signable.judged(out, result, there)
        signed = tuple(
            key.sign(one) if line in found.names else one for line, one in enumerate(there, 1)
        )
        replaced = {names.PROVENANCE: dsse.dumps(signed) if signed != there else data}
        placing.put(out, replaced, _checked(out, found))
    return Signing(sum(one != other for one, other in zip(there, signed, strict=True)), found)


def _checked(out: Path, found: Signable) -> dict[str, FileDigests]:
    """Files that are changed after a build and are what they must be, for the sums.

    The audit was compared with its statement; the page is made anew, where the sums name another.
    """
    told: dict[str, FileDigests] = {}
    if found.audit is not None:
        told[names.AUDIT] = found.audit
    try:
        data = regular.read(out / names.REPORT)
        listed = sums.parse(regular.read(out / names.SHA256SUMS), str(out / names.SHA256SUMS))
    except OSError:
        return told
    page = of_bytes(data)
    if listed.get(names.REPORT) != page.sha256 and made_page(out).data == data:
        told[names.REPORT] = page
    return told


def _signed(envelopes: Iterable[Envelope], sign: Iterable[Private]) -> tuple[Envelope, ...]:
    found = tuple(envelopes)
    for key in sign:
        found = tuple(key.sign(one) for one in found)
    return found


def _present(folder: Path, result: BuildResult) -> dict[str, FileDigests]:
    """Digests of the files in a new folder; those of image and archive are in the result."""
    found = {
        one.path: FileDigests(one.size, one.blake3, one.sha256)
        for one in (result.image, result.cpio)
    }
    for path, status in sorted(durable.files(folder)):
        name = path.relative_to(folder).as_posix()
        if name not in found:
            blake3, sha256 = digests.of_file(path), digests.sha256_of_file(path)
            found[name] = FileDigests(status.st_size, blake3.hex, sha256.hex)
    return dict(sorted(found.items()))
