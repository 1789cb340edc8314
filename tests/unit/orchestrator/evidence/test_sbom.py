from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from orchestrator.artifacts import names
from orchestrator.evidence import cyclonedx, licences, sbom
from orchestrator.evidence.contents import Component
from orchestrator.evidence.writers import WRITERS
from reproducibility import digest
from reproducibility.errors import InputError
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store import Store


def document(store: Store) -> bytes:
    return documents(store)[names.SBOM]


def documents(store: Store) -> dict[str, bytes]:
    """Both documents by file name."""
    subject = samples.subject(contents=samples.contents(store))
    return {name: WRITERS[name](subject) for name in (names.SBOM, names.SBOM_FILES)}


def listed(store: Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(documents(store)[names.SBOM_FILES])["files"]
    return found


def read(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data)
    return found


@pytest.mark.parametrize("name", [names.SBOM, names.SBOM_FILES])
def test_spdx_tools_finds_nothing_wrong(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(documents(store)[name])
    parsed = parse_file(str(tmp_path / name))
    assert validate_full_spdx_document(parsed) == []


def test_each_relationship_is_looked_up_among_few_elements(store: Store) -> None:
    """What made spdx-tools take minutes: as many relationships as elements in one document."""
    packages, files = (read(data) for data in documents(store).values())
    assert len(files["files"]) == len(samples.FILES)
    assert len(files["relationships"]) == 1
    assert "files" not in packages
    assert not any(
        end.startswith(sbom.FILE)
        for one in packages["relationships"]
        for end in (one["spdxElementId"], one["relatedSpdxElement"])
    )


def test_the_document_of_the_files_is_named_by_its_digest(store: Store) -> None:
    both = documents(store)
    (reference,) = read(both[names.SBOM])["externalDocumentRefs"]
    assert reference["externalDocumentId"] == sbom.FILES
    assert reference["spdxDocument"] == read(both[names.SBOM_FILES])["documentNamespace"]
    own = digest.sha1_of_bytes(both[names.SBOM_FILES])
    assert reference["checksum"] == {"algorithm": "SHA1", "checksumValue": own}


def test_every_file_is_in_exactly_one_package(store: Store) -> None:
    found = read(document(store))
    files = {f"{sbom.FILES}:{one['SPDXID']}": one["fileName"] for one in listed(store)}
    packages = {one["SPDXID"] for one in found["packages"]}
    contained = Counter(
        files[one["relatedSpdxElement"]]
        for one in found["relationships"]
        if one["relationshipType"] == "CONTAINS" and one["relatedSpdxElement"] in files
        if one["spdxElementId"] in packages
    )
    assert contained == dict.fromkeys((f"./{path}" for path in samples.FILES), 1)


def test_files_have_their_digests(store: Store) -> None:
    found = {one["fileName"]: one for one in listed(store)}
    for path, (data, _) in samples.FILES.items():
        one = found[f"./{path}"]
        sha1 = {"algorithm": "SHA1", "checksumValue": digest.sha1_of_bytes(data)}
        assert one["checksums"] == [sha1]
        assert one["comment"] == str(digest.of_bytes(data))


def test_packages_say_version_hash_licence_and_origin(store: Store) -> None:
    packages = {one["SPDXID"]: one for one in read(document(store))["packages"]}
    net = packages["SPDXRef-module-go-src-vendor-golang.org-x-net"]
    assert (net["name"], net["versionInfo"]) == ("golang.org/x/net", "v0.1.0")
    assert net["licenseDeclared"] == "BSD-3-Clause"
    assert net["externalRefs"][0]["referenceLocator"] == "pkg:golang/golang.org/x/net@v0.1.0"
    assert samples.H1 in net["comment"]
    shell = packages["SPDXRef-module-src-github.com-u-root-u-root-vendor-mvdan.cc-sh-v3"]
    assert shell["versionInfo"] == "v3.14.1"
    assert packages["SPDXRef-kernel-amd64"]["licenseDeclared"].startswith("LicenseRef-Debian-")
    # Runs in the build, and is on no image.
    assert packages["SPDXRef-input-bootstrap-amd64"]["filesAnalyzed"] is False


def test_programs_and_kernels_have_the_digest_of_their_file(store: Store) -> None:
    """Who reads the packages alone, or CycloneDX, which has no files, needs it there."""
    data = document(store)
    packages = {one["SPDXID"]: one for one in read(data)["packages"]}
    components = {one["bom-ref"]: one for one in read(cyclonedx.convert(data))["components"]}
    for path in ("linux_amd64/bin/init", "go/pkg/tool/linux_amd64/asm", "boot/amd64/vmlinuz"):
        content, owner = samples.FILES[path]
        own = str(digest.of_bytes(content))
        assert own in packages[f"SPDXRef-{owner}"]["comment"].split("; ")
        assert own in components[f"SPDXRef-{owner}"]["description"].split("; ")
    # Of several files there is no one digest; and an input has that of what was fetched.
    assert "blake3:" not in packages["SPDXRef-commands-amd64"]["comment"]
    fetched = samples.LOCK.find("kernel.amd64").blake3
    assert str(fetched) in packages["SPDXRef-input-kernel.amd64"]["comment"]


def test_what_programs_and_kernels_are_made_from_is_said(store: Store) -> None:
    made = {
        (one["spdxElementId"], one["relatedSpdxElement"])
        for one in read(document(store))["relationships"]
        if one["relationshipType"] == "GENERATED_FROM"
    }
    assert ("SPDXRef-program-linux-amd64-bin-init", "SPDXRef-userland") in made
    assert ("SPDXRef-program-go-pkg-tool-linux-amd64-asm", "SPDXRef-go-source") in made
    assert ("SPDXRef-kernel-amd64", "SPDXRef-input-kernel.amd64") in made


def test_equal_images_have_equal_documents(store: Store) -> None:
    first = documents(store)
    later = samples.subject(
        contents=samples.contents(store), finished=1, result=samples.result(seconds=99.5)
    )
    for name, data in first.items():
        assert WRITERS[name](later) == data
        assert read(data)["creationInfo"]["created"] == "2023-11-14T22:13:20Z"


def test_without_contents_there_is_no_document() -> None:
    for name in (names.SBOM, names.SBOM_FILES):
        with pytest.raises(ValueError, match="no contents"):
            WRITERS[name](samples.subject())


def test_what_was_worked_out_is_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = samples.contents(store)

    def forbidden(*_: object) -> object:
        raise AssertionError

    monkeypatch.setattr(digest, "sha1_of_file", forbidden)
    monkeypatch.setattr(licences, "recognised", forbidden)
    assert samples.contents(store) == first


@pytest.mark.parametrize("harm", [b"", b"[]", b"{}", b"no JSON"])
def test_a_damaged_table_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, harm: bytes
) -> None:
    first = samples.contents(store)
    key = digest.of_bytes(b"sha1")
    store.remember("sha1", key, {"table": str(store.put_bytes(harm))})
    assert samples.contents(store) == first
    store.remember("sha1", key, {"table": str(digest.of_bytes(b"gone"))})
    assert samples.contents(store) == first
    del monkeypatch


def test_cyclonedx_is_valid_and_has_the_same_components(store: Store) -> None:
    data = document(store)
    made = cyclonedx.convert(data)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None
    assert cyclonedx.convert(data) == made
    found = json.loads(made)
    names = {one["SPDXID"] for one in read(data)["packages"]} - {"SPDXRef-Image"}
    assert {one["bom-ref"] for one in found["components"]} == names
    assert found["metadata"]["component"]["name"] == "sourcery.img"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"packages": [1], "relationships": []}'])
def test_another_document_is_not_converted(data: bytes) -> None:
    with pytest.raises(InputError):
        cyclonedx.convert(data)


def test_a_name_that_json_must_escape_stays_itself() -> None:
    strange = Component("a", "files", 'a "quoted"\u202e name\n', "")
    found = read(sbom.document(samples.subject(contents=(strange,)), b""))
    assert found["packages"][1]["name"] == strange.name
    assert replace(strange, id="b") != strange
