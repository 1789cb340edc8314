from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import names
from orchestrator.evidence import dsse, folder, oci
from reproducibility import digest
from reproducibility.errors import ComparisonError, InputError
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult


@pytest.fixture
def out(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


@pytest.fixture
def built(out: Path) -> BuildResult:
    result = samples.output(out)
    folder.write(out, samples.subject(result=result), made=samples.BILLS)
    return result


def blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    name = str(descriptor["digest"]).partition(":")[2]
    data = (layout / "blobs" / "sha256" / name).read_bytes()
    assert str(digest.sha256_of_bytes(data)) == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def test_image_and_attestations_are_there_and_refer_to_it(out: Path, built: BuildResult) -> None:
    layout = out.parent / "layout"
    made = oci.export(out, built, layout)
    index = json.loads((layout / "index.json").read_bytes())
    image, *others = index["manifests"]
    assert image["annotations"]["org.opencontainers.image.ref.name"] == oci.TAG
    assert image["digest"] == made.manifest
    manifest = json.loads(blob(layout, image))
    layers = [blob(layout, layer) for layer in manifest["layers"]]
    assert layers == [b"image", b"archive"]
    assert json.loads(blob(layout, manifest["config"]))["os"] == "linux"
    envelopes = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    found = []
    titles = []
    for one in others:
        referring = json.loads(blob(layout, one))
        assert referring["subject"]["digest"] == image["digest"]
        assert referring["artifactType"] == one["artifactType"]
        for layer in referring["layers"]:
            found.append(blob(layout, layer))
            titles.append(layer["annotations"].get("org.opencontainers.image.title", ""))
        assert blob(layout, referring["config"]) == b"{}"
    assert [dsse.parse(json.loads(data)) for data in found[:-2]] == list(envelopes)
    assert found[-2:] == [b"{}\n"] * 2
    assert titles[-2:] == [names.SBOM, names.SBOM_FILES]
    assert made.referrers == len(others)
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_what_is_there_is_not_overwritten(out: Path, built: BuildResult) -> None:
    with pytest.raises(InputError, match="something lies here"):
        oci.export(out, built, out)


def test_an_image_that_changed_is_not_exported(out: Path, built: BuildResult) -> None:
    (out / "sourcery.img").write_bytes(b"another")
    with pytest.raises(ComparisonError, match="not what the result says"):
        oci.export(out, built, out.parent / "layout")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_build_without_evidence_is_not_exported(out: Path, built: BuildResult) -> None:
    (out / names.SBOM).unlink()
    with pytest.raises(InputError, match="cannot read the evidence"):
        oci.export(out, built, out.parent / "layout")


def test_a_build_with_its_bill_in_one_document_is_exported(out: Path, built: BuildResult) -> None:
    (out / names.SBOM_FILES).unlink()
    layout = out.parent / "layout"
    oci.export(out, built, layout)
    last = json.loads((layout / "index.json").read_bytes())["manifests"][-1]
    (layer,) = json.loads(blob(layout, last))["layers"]
    assert layer["annotations"] == {"org.opencontainers.image.title": names.SBOM}
