"""What lies beside an image, before programs of other people: they accept it, and read it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, SSlibKey

from orchestrator.artifacts import names
from orchestrator.evidence import sbom, uris
from orchestrator.image.fat import reader
from reproducibility import digest
from tests.conftest import ROOT
from tests.integration.browsing import Seen

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network]


def run(*command: str | Path, folder: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def orchestrated(*arguments: str | Path) -> dict[str, Any]:
    said = run(sys.executable, "-m", "orchestrator", *arguments, "--json")
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.needs_tools("b3sum", "sha256sum")
def test_the_sums_are_those_of_every_file(full: Built) -> None:
    run("sha256sum", "--check", "--strict", "--quiet", names.SHA256SUMS, folder=full.out)
    run("b3sum", "--check", "--quiet", names.B3SUMS, folder=full.out)
    there = {
        path.relative_to(full.out).as_posix() for path in full.out.rglob("*") if path.is_file()
    }
    for name in names.SUMS:
        lines = (full.out / name).read_text().splitlines()
        assert {line.partition("  ")[2] for line in lines} == there - {*names.SUMS}


def test_the_bill_of_materials_is_the_image(full: Built) -> None:
    """Every file that the independent reader finds is in exactly one package, and no other is."""
    bill = json.loads((full.out / names.SBOM).read_bytes())
    second = (full.out / names.SBOM_FILES).read_bytes()
    (reference,) = bill["externalDocumentRefs"]
    assert reference["checksum"]["checksumValue"] == digest.sha1_of_bytes(second)
    files = {f"{sbom.FILES}:{one['SPDXID']}": one for one in json.loads(second)["files"]}
    counted = Counter(
        one["relatedSpdxElement"]
        for one in bill["relationships"]
        if one["relationshipType"] == "CONTAINS" and one["relatedSpdxElement"] in files
    )
    assert counted == dict.fromkeys(files, 1)
    listed = {one["fileName"]: one["comment"] for one in files.values()}
    seen = reader.read(full.out / "sourcery.img").tree
    assert listed == {f"./{entry.path}": f"blake3:{entry.digest}" for entry in seen.files()}
    owners = {
        one["relatedSpdxElement"]: one["spdxElementId"]
        for one in bill["relationships"]
        if one["relatedSpdxElement"] in files
    }
    assert "SPDXRef-other" not in owners.values()
    modules = [one for one in bill["packages"] if one["primaryPackagePurpose"] == "SOURCE"]
    known = [one for one in modules if one["licenseDeclared"] != "NOASSERTION"]
    assert len(modules) > 50
    # Texts that neither library recognises are rare.
    assert len(known) > 0.9 * len(modules)


@pytest.mark.needs_tools("skopeo")
def test_skopeo_reads_the_exported_image(full: Built, place: Path) -> None:
    exported = orchestrated("export", "--out", full.out, "--oci", place / "layout")
    made = exported["oci"]
    said = json.loads(run("skopeo", "inspect", f"oci:{place / 'layout'}:{made['name']}"))
    assert said["Digest"] == made["manifest"]
    assert said["Layers"][0] == f"sha256:{full.ran.document['image']['sha256']}"
    assert made["referrers"] == len((full.out / names.PROVENANCE).read_bytes().splitlines()) + 1


def test_spdx_and_cyclonedx_tools_accept_the_bill(full: Built, place: Path) -> None:
    for name in (names.SBOM, names.SBOM_FILES):
        run(Path(sys.executable).with_name("pyspdxtools"), "--infile", full.out / name)
    bill = json.loads((full.out / names.SBOM).read_bytes())
    orchestrated("export", "--out", full.out, "--cyclonedx", place / "sbom.cdx.json")
    made = (place / "sbom.cdx.json").read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made) is None
    assert len(json.loads(made)["components"]) == len(bill["packages"]) - 1


def test_in_toto_and_securesystemslib_accept_what_was_signed(
    small_own: Built, small: Orchestrate, place: Path
) -> None:
    """Every line, read with nothing of ours: its signatures, its statement, its subjects."""
    public: dict[str, Key] = {}
    for name in ("one", "two", "other"):
        made = orchestrated("key", "new", place / name)
        pem = (place / f"{name}.pub").read_bytes()
        public[name] = SSlibKey.from_crypto(load_pem_public_key(pem))
        assert public[name].keyid == made["keyid"]
    other = public.pop("other")
    out = place / "out"
    small.build(out, "--arch", full_architecture(small_own), "--sign", place / "one")
    signed = orchestrated("sign", out, place / "two")
    assert signed["keyid"] == public["two"].keyid
    lines = (out / names.PROVENANCE).read_bytes().splitlines()
    assert signed["signed"] == len(lines) > 1
    kinds = Counter[str]()
    here = {
        path.relative_to(out).as_posix(): digest.sha256_of_file(path).hex
        for path in out.rglob("*")
        if path.is_file()
    }
    for line in lines:
        envelope = Envelope.from_dict(json.loads(line))
        assert envelope.payload_type == "application/vnd.in-toto+json"
        known = [*public.values()]
        assert envelope.verify(known, 2).keys() == {key.keyid for key in known}
        with pytest.raises(VerificationError):
            envelope.verify([other], 1)
        statement = json_format.Parse(envelope.payload, statement_pb2.Statement())
        Statement.copy_from_pb(statement).validate()
        kinds[statement.predicate_type] += 1
        assert statement.subject
        for one in statement.subject:
            assert one.digest["sha256"] == here[one.name]
        if statement.predicate_type == uris.SLSA:
            predicate = json.loads(envelope.payload)["predicate"]
            json_format.ParseDict(predicate, provenance_pb2.Provenance())
    assert kinds == {uris.SLSA: 1, uris.COMPARISON: len(lines) - 1}


def test_result_and_lock_have_the_schemas_that_are_printed(full: Built) -> None:
    for name, file in (("result", names.RESULT), ("lock", names.LOCK)):
        schema = json.loads(run(sys.executable, "-m", "orchestrator", "schema", name))
        found = json.loads((full.out / file).read_bytes())
        jsonschema.Draft202012Validator(schema).validate(found)


@pytest.mark.needs_tools("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_of_a_build_is_accessible_quiet_and_alone(
    full: Built,
    browser: Browser,
    width: int,
    scheme: Any,  # noqa: ANN401 - one of two
) -> None:
    """With everything that the default image has, unfolded; and on paper."""
    size = {"width": width, "height": 900}
    seen = Seen(browser, full.out / names.REPORT, viewport=size, color_scheme=scheme)
    seen.unfold()
    assert seen.violations() == []
    assert seen.width <= width
    assert seen.told == []
    assert seen.requests == [seen.address]
    assert seen.page.pdf(format="A4").startswith(b"%PDF-")
    seen.context.close()


def test_rebuilderd_gets_the_same_image(small: Orchestrate, small_own: Built, place: Path) -> None:
    """The worker's contract: one argument, and a folder for what is built."""
    run(
        "tar", "-C", small.project, "-cf", place / "input.tar", "sourcery.toml", "sourcery.lock"
    )  # fmt: skip
    (place / "bin").mkdir()
    program = place / "bin" / "orchestrate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
    program.chmod(0o755)
    (place / "built").mkdir()
    run(
        ROOT / "orchestrator" / "evidence" / "rebuilder-sourcery.sh",
        "input.tar",
        folder=place,
        REBUILDERD_OUTDIR=str(place / "built"),
        ORCHESTRATE_OPTIONS=f"--store {small.store} --engine sandbox --arch "
        f"{full_architecture(small_own)} --quiet",
        PATH=f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        TMPDIR=str(place),
    )
    for name in ("sourcery.img", "sourcery.cpio.zst"):
        run("cmp", place / "built" / name, small_own.out / name)


def full_architecture(built: Built) -> str:
    (name,) = built.ran.document["root"]["commands"]
    return str(name)
