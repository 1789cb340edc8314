"""What lies beside an image, before programs of other people: they accept it, and read it back."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import names
from orchestrator.evidence import dsse, keys, sbom
from orchestrator.image.fat import reader
from reproducibility import digest
from tests.conftest import ROOT

if TYPE_CHECKING:
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
    found = json.loads((place / "sbom.cdx.json").read_bytes())
    assert len(found["components"]) == len(bill["packages"]) - 1


def test_a_key_of_openssls_form_signs_a_build(
    small_own: Built, small: Orchestrate, place: Path
) -> None:
    del small
    out = shutil.copytree(small_own.out, place / "out")
    made = orchestrated("key", "new", place / "key")
    signed = orchestrated("sign", out, place / "key")
    assert signed["keyid"] == made["keyid"]
    public = keys.load_public(place / "key.pub")
    envelopes = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    assert signed["signed"] == len(envelopes) > 1
    assert all(keys.verify(one, public) for one in envelopes)
    # What cosign checks: the payload's type, and one signature over the encoded payload.
    for line in (out / names.PROVENANCE).read_bytes().splitlines():
        document = json.loads(line)
        assert document["payloadType"] == "application/vnd.in-toto+json"
        (signature,) = document["signatures"]
        assert len(base64.b64decode(signature["sig"])) == 64
    if shutil.which("sha256sum"):
        run("sha256sum", "--check", "--strict", "--quiet", names.SHA256SUMS, folder=out)


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
