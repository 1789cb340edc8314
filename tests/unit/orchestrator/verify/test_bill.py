"""The bill of materials must list the image's files, each in exactly one package."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import names
from orchestrator.evidence import sbom
from orchestrator.verify import bill
from orchestrator.verify.model import Findings
from reproducibility import digest
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store import Store
    from reproducibility.manifest import Tree
    from tests.unit.orchestrator.verify.conftest import Court

    Document = dict[str, Any]
    Harm = Callable[[Document, Document], object]


@pytest.fixture
def root(store: Store, tmp_path: Path) -> Tree:
    """Writes both documents of an image; gives its tree."""
    subject = samples.subject(contents=samples.contents(store))
    files = sbom.files(subject)
    (tmp_path / names.SBOM_FILES).write_bytes(files)
    (tmp_path / names.SBOM).write_bytes(sbom.document(subject, files))
    return samples.root(store)


def checked(folder: Path, tree: Tree) -> tuple[bool, list[tuple[str, str]]]:
    findings = Findings()
    held = bill.check(folder, {path.name for path in folder.iterdir()}, tree, findings)
    return held, [(one.file, one.reason) for one in findings]


def harmed(folder: Path, harm: Harm) -> None:
    """Change both documents, and let the first refer to the second as it is then."""
    places = [folder / name for name in (names.SBOM, names.SBOM_FILES)]
    first, second = (json.loads(place.read_bytes()) for place in places)
    harm(first, second)
    places[1].write_text(json.dumps(second))
    if first.get("externalDocumentRefs"):
        own = digest.sha1_of_bytes(places[1].read_bytes())
        first["externalDocumentRefs"][0]["checksum"]["checksumValue"] = own
    places[0].write_text(json.dumps(first))


def test_what_a_build_writes_holds(root: Tree, tmp_path: Path) -> None:
    assert checked(tmp_path, root) == (True, [])


def _contained(first: Document) -> list[Document]:
    found = [
        one
        for one in first["relationships"]
        if one["relatedSpdxElement"].startswith(f"{sbom.FILES}:")
    ]
    assert found
    return found


def _disowned(first: Document, _: Document) -> None:
    first["relationships"].remove(_contained(first)[0])


def _owned_twice(first: Document, _: Document) -> None:
    one = _contained(first)[0]
    other = next(
        each for each in _contained(first) if each["spdxElementId"] != one["spdxElementId"]
    )
    first["relationships"].append({**one, "spdxElementId": other["spdxElementId"]})


def _owned_by_nobody(first: Document, _: Document) -> None:
    _contained(first)[0]["spdxElementId"] = "SPDXRef-nobody"


def _owned_otherwise(first: Document, _: Document) -> None:
    """Some readers take it for the same, the other way round."""
    one = _contained(first)[0]
    ends = {
        "spdxElementId": one["relatedSpdxElement"],
        "relatedSpdxElement": "SPDXRef-Image",
        "relationshipType": "CONTAINED_BY",
    }
    first["relationships"].append(ends)


def _one_more_owned(first: Document, _: Document) -> None:
    one = dict(_contained(first)[0])
    one["relatedSpdxElement"] = f"{sbom.FILES}:{sbom.FILE}999"
    first["relationships"].append(one)


def _left_out(first: Document, second: Document) -> None:
    gone = second["files"].pop()
    first["relationships"] = [
        one
        for one in first["relationships"]
        if one["relatedSpdxElement"] != f"{sbom.FILES}:{gone['SPDXID']}"
    ]


def _other_bytes(_: Document, second: Document) -> None:
    second["files"][0]["comment"] = f"blake3:{'0' * 64}"


def _other_name(_: Document, second: Document) -> None:
    second["files"][0]["fileName"] = "./another"


def _listed_twice(_: Document, second: Document) -> None:
    second["files"].append(second["files"][0])


def _no_reference(first: Document, _: Document) -> None:
    first["externalDocumentRefs"] = []


def _no_list(_: Document, second: Document) -> None:
    del second["files"]


@pytest.mark.parametrize(
    ("harm", "file", "reason"),
    [
        (_disowned, names.SBOM, "1 files are not in exactly one package: ./"),
        (_owned_twice, names.SBOM, "1 files are not in exactly one package: ./"),
        (_owned_by_nobody, names.SBOM, "it says of a file what no build says"),
        (_owned_otherwise, names.SBOM, "it says of a file what no build says"),
        (_one_more_owned, names.SBOM, "1 files are not in exactly one package: SPDXRef-File-999"),
        (_left_out, names.SBOM_FILES, "1 files are not those of the image: ./"),
        (_other_bytes, names.SBOM_FILES, "1 files are not those of the image: ./"),
        (_other_name, names.SBOM_FILES, "2 files are not those of the image: ./"),
        (_listed_twice, names.SBOM_FILES, "a file, or an id, is there twice"),
        (_no_reference, names.SBOM, f"it does not refer to the {names.SBOM_FILES} that is here"),
        (_no_list, names.SBOM, "one of its two documents has not the form"),
    ],
)
def test_what_is_not_so_is_found(
    root: Tree, tmp_path: Path, harm: Harm, file: str, reason: str
) -> None:
    harmed(tmp_path, harm)
    held, found = checked(tmp_path, root)
    assert not held
    ((where, why),) = found
    assert where == file
    assert why.startswith(reason)


def test_another_list_of_files_is_found(root: Tree, tmp_path: Path) -> None:
    place = tmp_path / names.SBOM_FILES
    place.write_bytes(place.read_bytes() + b"\n")
    _, found = checked(tmp_path, root)
    assert found == [(names.SBOM, f"it does not refer to the {names.SBOM_FILES} that is here")]


@pytest.mark.parametrize("name", [names.SBOM, names.SBOM_FILES])
@pytest.mark.parametrize("data", [b"", b"[]", b"[" * 100_000, b'"text"', b"{}", b"1"])
def test_another_document_is_found(root: Tree, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    held, found = checked(tmp_path, root)
    assert not held
    assert found


def test_more_values_than_such_an_image_needs_are_not_read(
    root: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bill, "_VALUES_BESIDE", 1000)
    (tmp_path / names.SBOM).write_bytes(b"[" + b"[]," * 3000 + b"[]]")
    assert checked(tmp_path, root)[1] == [
        (names.SBOM, f"holds more than {1000 + 16 * len(root)} values")
    ]


def test_more_bytes_than_such_an_image_needs_are_not_read(
    root: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bill, "_BYTES_BESIDE", 1000)
    (tmp_path / names.SBOM_FILES).write_bytes(b" " * (1001 + (2 << 10) * len(root)))
    ((where, why),) = checked(tmp_path, root)[1]
    assert where == names.SBOM_FILES
    assert "it has more than" in why


def test_a_bill_in_one_document_is_not_compared(root: Tree, tmp_path: Path) -> None:
    (tmp_path / names.SBOM_FILES).unlink()
    assert checked(tmp_path, root) == (False, [])
    (note,) = bill.notes({names.SBOM})
    assert names.SBOM_FILES in note
    assert [*bill.notes({names.SBOM, names.SBOM_FILES})] == []


@pytest.mark.once
def test_a_folder_whose_bill_holds_says_so(court: Court, folder: Path) -> None:
    honest = court.honest.copy().write(folder / "honest", court.alice)
    told = {(one.what, one.how) for one in court.judge(honest).folders[0].claims}
    assert {("bill of materials", "derived here"), ("bill of materials", "signed")} <= told


@pytest.mark.once
def test_a_file_of_the_image_that_the_bill_hides(court: Court, folder: Path) -> None:
    """The builder leaves a file out of the bill, and signs."""
    forged = court.honest.copy()
    forged.listed = forged.listed[:-1]
    out = forged.write(folder, court.alice)
    judged = court.judge(out)
    assert judged.refused_for() == {("bill-differs", names.SBOM_FILES), ("sound", "")}
    assert ("bill of materials", "derived here") not in {
        (one.what, one.how) for one in judged.folders[0].claims
    }
