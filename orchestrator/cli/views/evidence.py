"""Carries out `orchestrate key new`, `sign`, `export` and `schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli import overwriting, passphrase
from orchestrator.cli.session import print_json
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.cli.session import Session

SCHEMA = 1


def new_key(path: Path, file: Path | None, session: Session) -> int:
    """Make a key.

    Raises:
        InputError: there is a file already, or the passphrase cannot be had.
        InfrastructureError: the file cannot be written.
    """
    from orchestrator.evidence import keys

    given = passphrase.chosen(file, session.note)
    public = keys.save(keys.generate(), path, given)
    if given is None:
        session.note("the key has no passphrase: whoever can read the file can sign with it")
    beside = keys.public_path(path)
    session.result(
        {
            "schema": SCHEMA,
            "private": str(path),
            "public": str(beside),
            "keyid": public.keyid,
            "encrypted": given is not None,
        },
        [f"private key: {path}", f"public key:  {beside}", f"keyid:       {public.keyid}"],
    )
    return 0


def sign(out: Path, key: Path, file: Path | None, session: Session) -> int:
    """Sign a finished build.

    Raises:
        ComparisonError: a file is not what a statement says.
        InputError: there is no finished build with evidence, or the key cannot be used.
        InfrastructureError: the evidence cannot be written.
    """
    from orchestrator.artifacts import names
    from orchestrator.artifacts.finished import Finished
    from orchestrator.evidence import folder

    _refuse_swapped(out, key)
    private = passphrase.load(key, file, session.note)
    finished = Finished.load(out)
    if finished.doubt:
        session.note(finished.doubt)
    signed = folder.sign(out, finished.result, private)
    said = signed.statements
    if said.version:
        others = ", ".join(said.names[line] for line in said.unwritten)
        session.note(
            f"not written anew and compared, but for the digests, as version {said.version} wrote "
            f"them: {others}"
        )
    for line in said.earlier:
        session.note(
            f"line {line} is about an earlier audit, whose {names.AUDIT} is not here any more: it "
            "is not signed now"
        )
    keyid = private.public.keyid
    place = out / names.PROVENANCE
    listed = list(said.names.values())
    session.result(
        {
            "schema": SCHEMA,
            "keyid": keyid,
            "signed": signed.count,
            "statements": listed,
            "left_out": list(said.earlier),
            "file": str(place),
        },
        [
            f"signed {signed.count} statements in {place}: {', '.join(listed)}"
            if signed.count
            else f"{place} was signed by it already",
            f"keyid: {keyid}",
        ],
    )
    return 0


def _refuse_swapped(out: Path, key: Path) -> None:
    if key.is_dir() and out.is_file():
        raise InputError(
            "this is a file, and the output folder comes first",
            subject=str(out),
            remedy=f"orchestrate sign {key} {out}",
        )


def export(out: Path, layout: Path | None, bill: Path | None, session: Session) -> int:
    """Export a finished build.

    Raises:
        ComparisonError: a file is not what the result says.
        InputError: nothing was asked for, or there is no finished build with evidence.
        InfrastructureError: a file cannot be written.
    """
    from orchestrator.artifacts.finished import Finished

    if layout is None and bill is None:
        raise InputError(
            "nothing was asked for", subject="export", remedy="give --oci or --cyclonedx"
        )
    if layout is not None:
        overwriting.require_folder(layout)
        overwriting.require_outside(layout, out)
    if bill is not None:
        overwriting.require(bill, overwriting.CYCLONEDX)
        overwriting.require_outside(bill, out)
    finished = Finished.load(out)
    document: dict[str, object] = {"schema": SCHEMA}
    lines: list[str] = []
    if bill is not None:
        _cyclonedx(out, bill)
        document["cyclonedx"] = str(bill)
        lines.append(f"CycloneDX: {bill}")
    if layout is not None:
        from orchestrator.evidence import oci

        made = oci.export(out, finished.result, layout)
        document["oci"] = {
            "folder": str(layout),
            "manifest": made.manifest,
            "name": oci.TAG,
            "referrers": made.referrers,
        }
        lines.append(f"OCI layout: {layout}, image {oci.TAG} ({made.manifest})")
        lines.append(f"      {made.referrers} attestations and documents refer to it")
    session.result(document, lines)
    return 0


def schema(name: str, session: Session) -> int:
    """Print a schema, which is JSON with and without `--json`."""
    from orchestrator.evidence import schemas

    if not session.manner.quiet:
        print_json(schemas.schema(name))
    return 0


def _cyclonedx(out: Path, target: Path) -> None:
    from containers.host import durable
    from orchestrator.artifacts import names
    from orchestrator.evidence import cyclonedx, sbom
    from reproducibility import regular

    source = out / names.SBOM
    try:
        data = regular.read(source, limit=sbom.LARGEST)
    except OSError as error:
        raise InputError(
            f"cannot read the bill of materials: {error.strerror}",
            subject=str(source),
            remedy="build again: `orchestrate build`",
        ) from error
    made = cyclonedx.convert(data, str(source))
    try:
        durable.write(target, made)
    except OSError as error:
        raise InfrastructureError(
            f"the document cannot be written: {error.strerror}",
            subject=str(target),
            remedy="give another place, or mend the folder's permissions",
        ) from error
