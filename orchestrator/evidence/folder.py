"""Evidence in an output directory: written by a build, added to by audits and signatures.

A build writes into a folder that is not in place yet, so the evidence appears with the image or not
at all. Later each changed file is replaced whole, the sums last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from containers.host import durable
from orchestrator.artifacts import names, sums
from orchestrator.evidence import dsse, statements
from orchestrator.evidence.subject import FileDigests
from orchestrator.evidence.writers import WRITERS
from orchestrator.report.folder import made as made_page
from reproducibility import canonical, regular
from reproducibility import digest as digests
from reproducibility.errors import ComparisonError, InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult
    from orchestrator.evidence.dsse import Envelope
    from orchestrator.evidence.keys import Private
    from orchestrator.evidence.subject import Subject

_REMEDY = "build again: `orchestrate build`"


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


def add_audit(out: Path, result: BuildResult, audit: AuditResult, finished: int) -> bool:
    """Add the statement of an audit, whose `audit.json` is in place; remake page and sums.

    False where the build left no evidence, as earlier versions did: nothing is added then.

    Raises:
        InputError: the evidence that is there is not what a build writes.
        InfrastructureError: it cannot be written.
    """
    try:
        data = regular.read(out / names.PROVENANCE)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(out / names.PROVENANCE, error) from error
    place = out / names.PROVENANCE
    there = dsse.parse_lines(data, str(place))
    try:
        told = of_bytes(regular.read(out / names.AUDIT))
    except OSError as error:
        raise _unreadable(out / names.AUDIT, error) from error
    added = statements.audit(result, audit, told, finished)
    replaced = {names.PROVENANCE: dsse.dumps([*there, added]), names.REPORT: made_page(out).data}
    put(out, replaced, {names.AUDIT: told})
    return True


def sign(out: Path, result: BuildResult, key: Private) -> int:
    """Sign every statement of a finished build, and remake the sums; give how many were signed.

    Each file that a statement is about is hashed before: what is not so is not signed.

    Raises:
        ComparisonError: a file is not what a statement says.
        InputError: there is no evidence, or it is not what a build writes.
        InfrastructureError: it cannot be written.
    """
    place = out / names.PROVENANCE
    try:
        data = regular.read(place)
    except OSError as error:
        raise _unreadable(place, error) from error
    there = dsse.parse_lines(data, str(place))
    if not there:
        raise InputError("there is no statement to sign", subject=str(place), remedy=_REMEDY)
    _refuse_other(out, result, there)
    signed = _signed(there, [key])
    if signed != there:
        put(out, {names.PROVENANCE: dsse.dumps(signed)})
    return sum(one != other for one, other in zip(there, signed, strict=True))


def of_bytes(data: bytes) -> FileDigests:
    """Digests of a file that is in memory."""
    return FileDigests(len(data), digests.of_bytes(data).hex, digests.sha256_of_bytes(data).hex)


def subjects(envelope: Envelope, subject: str) -> dict[str, str]:
    """Return the SHA-256 of each file that an in-toto statement is about, by name.

    Raises:
        InputError: the payload is no statement whose subjects have one.
    """
    document = canonical.loads(envelope.payload, subject=subject)
    try:
        return {str(one["name"]): str(one["digest"]["sha256"]) for one in document["subject"]}
    except (KeyError, TypeError) as error:
        raise InputError(
            "this is not an in-toto statement about files with SHA-256",
            subject=subject,
            remedy=_REMEDY,
        ) from error


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


def _refuse_other(out: Path, result: BuildResult, envelopes: Iterable[Envelope]) -> None:
    """Hash every file that a statement is about."""
    wanted: dict[tuple[str, str], None] = {}
    for number, one in enumerate(envelopes, 1):
        place = f"{out / names.PROVENANCE}, line {number}"
        wanted |= dict.fromkeys(subjects(one, place).items())
    known = {name for name, _ in wanted}
    for name in (result.image.path, result.cpio.path, names.RESULT):
        if name not in known:
            raise InputError(
                f"no statement is about {name}", subject=str(out / names.PROVENANCE), remedy=_REMEDY
            )
    found: dict[str, str] = {}
    for name, digits in wanted:
        if name not in found:
            found[name] = _sha256(out, name)
        if found[name] != digits:
            raise ComparisonError(
                f"the file is not what a statement says: sha256 {found[name]}, stated {digits}",
                subject=str(out / name),
                remedy=_REMEDY,
            )


def _sha256(out: Path, name: str) -> str:
    path = out / name
    if name.startswith("/") or ".." in path.parts[len(out.parts) :] or "\0" in name:
        raise InputError("a statement is about a file elsewhere", subject=name, remedy=_REMEDY)
    try:
        return digests.sha256_of_file(path, follow=False).hex
    except OSError as error:
        raise _unreadable(path, error) from error


def put(
    out: Path, replaced: Mapping[str, bytes], told: Mapping[str, FileDigests] | None = None
) -> None:
    """Put files in place, then the sums with their lines, and with those of `told`, made anew.

    Raises:
        InputError: the sums cannot be read.
        InfrastructureError: something cannot be written.
    """
    changed = {**(told or {}), **{name: of_bytes(data) for name, data in replaced.items()}}
    remade = dict(replaced)
    for name, digits in (
        (names.SHA256SUMS, {file: found.sha256 for file, found in changed.items()}),
        (names.B3SUMS, {file: found.blake3 for file, found in changed.items()}),
    ):
        try:
            there = sums.parse(regular.read(out / name), str(out / name))
        except OSError as error:
            raise _unreadable(out / name, error) from error
        remade[name] = sums.dumps({**there, **digits})
    for name, data in remade.items():
        try:
            durable.write(out / name, data)
        except OSError as error:
            raise InfrastructureError(
                f"the evidence cannot be written: {error.strerror}",
                subject=str(out / name),
                remedy="mend the folder's permissions or free some space, and do it again",
            ) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot read this file of a finished build: {error.strerror}",
        subject=str(path),
        remedy=_REMEDY,
    )
