"""What somebody else put into a folder is not signed: each statement must follow from its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import model, names
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse, folder, keys, placing, statements, uris
from reproducibility import canonical, digest
from reproducibility.errors import ComparisonError, InputError
from tests.unit.orchestrator.audit.test_model import document as audit_document
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult

KEY = keys.generate()
OTHER_VERSION = "9.9.9"
OTHER = f"blake3:{'0' * 63}1"
IMAGE, IMAGE_SHA256 = "sourcery.img", digest.sha256_of_bytes(b"image").hex


@pytest.fixture
def out(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


@pytest.fixture
def built(out: Path) -> BuildResult:
    return written(out, samples.output(out))


def written(out: Path, result: BuildResult) -> BuildResult:
    (out / names.RESULT).write_bytes(model.dumps(result))
    folder.write(out, samples.stated(result), made=samples.BILLS)
    return result


def said(out: Path) -> list[dict[str, Any]]:
    envelopes = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    return [json.loads(one.payload) for one in envelopes]


def state(out: Path, documents: list[dict[str, Any]], kind: str = dsse.PAYLOAD_TYPE) -> None:
    lines = [dsse.Envelope(canonical.dumps(one), kind) for one in documents]
    (out / names.PROVENANCE).write_bytes(dsse.dumps(lines))


def audited(out: Path, built: BuildResult, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Add an audit of this build; gives its document. `about`: what it says of the build."""
    about = changes.pop("about", {})
    made = audit_document(**changes)
    own = {"spec": str(built.spec), "lock": str(built.lock), "tool": built.tool}
    own |= {"image": built.image.blake3, "archive": built.cpio.blake3}
    made["audited"] |= {"result": str(digest.of_file(out / names.RESULT)), **own, **about}
    result, data = (out / names.RESULT).read_bytes(), canonical.pretty(made)
    if made["audited"]["result"] == str(digest.of_bytes(result)):
        assert folder.add_audit(out, built, audits.parse(data), 5)
    else:
        add_of_another(out, built, data)
    return made


def add_of_another(out: Path, built: BuildResult, data: bytes) -> None:
    """Add an audit of another build, which is refused, by hand."""
    audit, told = audits.parse(data), placing.of_bytes(data)
    there = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    added = dsse.dumps([*there, statements.audit(built, audit, told, 5)])
    (out / names.AUDIT).write_bytes(data)
    placing.put(out, {names.AUDIT: data, names.PROVENANCE: added})


def refused(out: Path, built: BuildResult, kind: type[Exception], words: str) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(kind, match=words) as caught:
        folder.sign(out, built, KEY)
    assert "line " in getattr(caught.value, "subject", ""), "the statement is named"
    assert {path: path.read_bytes() for path in before} == before


def changed(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("line", "change"),
    [
        (0, changed("predicate", "buildDefinition", "internalParameters", "epoch", to=1)),
        (0, changed("predicate", "buildDefinition", "resolvedDependencies", to=[])),
        (0, changed("predicate", "runDetails", "metadata", "startedOn", to="2020-01-01T00:00:00Z")),
        (0, changed("predicate", "runDetails", "metadata", "finishedOn", to="some day")),
        (
            0,
            changed("predicate", "runDetails", "metadata", "finishedOn", to="0001-01-01T00:00:00Z"),
        ),
        (0, changed("predicate", "also", to="and I owe you money")),
        (1, changed("predicate", "verdict", to="SKIP")),
        (1, changed("predicate", "checks", to=[])),
        (1, changed("predicate", "comparison", to="reproducible-everywhere")),
    ],
)
def test_a_statement_that_says_otherwise_than_the_files(
    out: Path, built: BuildResult, line: int, change: Callable[[dict[str, Any]], None]
) -> None:
    documents = said(out)
    change(documents[line])
    state(out, documents)
    refused(out, built, ComparisonError, "the statement is not signed")


def test_a_statement_of_another_kind(out: Path, built: BuildResult) -> None:
    documents = said(out)
    other = {**documents[1], "predicateType": "https://example.com/contract/v1"}
    state(out, [*documents, other])
    refused(out, built, InputError, "neither a build nor an audit")


def test_a_payload_of_another_type(out: Path, built: BuildResult) -> None:
    state(out, said(out), "text/plain")
    refused(out, built, InputError, "neither a build nor an audit")


def test_a_file_that_no_build_writes(out: Path, built: BuildResult) -> None:
    (out / "virus").write_bytes(b"")
    documents = said(out)
    documents[0]["subject"].append(
        {"name": "virus", "digest": {"sha256": digest.sha256_of_bytes(b"").hex}}
    )
    state(out, documents)
    refused(out, built, ComparisonError, "virus, which no build writes")


@pytest.mark.parametrize("name", [names.LOCK, names.JUNIT, "logs/T1-dist.log"])
def test_a_file_that_was_left_out(out: Path, built: BuildResult, name: str) -> None:
    documents = said(out)
    documents[0]["subject"] = [one for one in documents[0]["subject"] if one["name"] != name]
    state(out, documents)
    refused(out, built, ComparisonError, f"it is not about {name}")


def test_a_statement_twice(out: Path, built: BuildResult) -> None:
    documents = said(out)
    state(out, [*documents, documents[1]])
    refused(out, built, ComparisonError, "says otherwise")


def test_a_missing_comparison(out: Path, built: BuildResult) -> None:
    state(out, said(out)[:1])
    with pytest.raises(ComparisonError, match="1 statements that such a build makes are missing"):
        folder.sign(out, built, KEY)


def test_what_was_signed_is_named(out: Path, built: BuildResult) -> None:
    audited(out, built)
    signed = folder.sign(out, built, KEY)
    assert signed.count == 3
    named = ["provenance", "comparison fixed-point", "audit"]
    assert list(signed.statements.names.values()) == named
    assert (signed.statements.earlier, signed.statements.version) == ((), "")


def test_an_earlier_audit_is_left_unsigned(out: Path, built: BuildResult) -> None:
    audited(out, built)
    audited(out, built, seconds=7.0)
    signed = folder.sign(out, built, KEY)
    assert signed.statements.earlier == (3,)
    envelopes = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    assert [keys.verify(one, KEY.public) for one in envelopes] == [True, True, False, True]


def test_an_audit_without_its_file(out: Path, built: BuildResult) -> None:
    audited(out, built)
    (out / names.AUDIT).unlink()
    with pytest.raises(InputError, match="cannot read") as caught:
        folder.sign(out, built, KEY)
    assert caught.value.subject == str(out / names.AUDIT)


def test_an_audit_with_another_file(out: Path, built: BuildResult) -> None:
    audited(out, built)
    (out / names.AUDIT).write_bytes(canonical.pretty(audit_document(seconds=8.0)))
    refused(out, built, ComparisonError, "it is of another audit")


def test_an_audit_that_says_otherwise_than_its_file(out: Path, built: BuildResult) -> None:
    audited(out, built)
    documents = said(out)
    documents[2]["predicate"]["verdict"] = "PASS"
    state(out, documents)
    refused(out, built, ComparisonError, "says otherwise than audit.json")


def test_an_audit_of_another_build(out: Path, built: BuildResult) -> None:
    add_of_another(out, built, canonical.pretty(audit_document()))
    refused(out, built, ComparisonError, "of another build")


@pytest.mark.parametrize(
    "about",
    [{"image": "0" * 64}, {"archive": "0" * 64}, {"spec": OTHER}, {"lock": OTHER}],
)
def test_an_audit_whose_file_names_another_build(
    out: Path, built: BuildResult, about: dict[str, str]
) -> None:
    audited(out, built, about=about)
    refused(out, built, ComparisonError, "of another build")


# -- of what claims to be of another version, and so is not written anew ---------------------------


@pytest.fixture
def other(out: Path) -> BuildResult:
    return written(out, samples.output(out).model_copy(update={"tool": OTHER_VERSION}))


def test_of_another_version_what_it_wrote_is_not_written_anew(
    out: Path, other: BuildResult
) -> None:
    documents = said(out)
    documents[1]["predicate"]["verdict"] = "known otherwise there"
    state(out, documents)
    signed = folder.sign(out, other, KEY)
    assert (signed.count, signed.statements.version) == (2, OTHER_VERSION)
    assert signed.statements.unwritten == (1, 2)


def test_that_another_version_audited_is_told(out: Path, built: BuildResult) -> None:
    audited(out, built, tool=OTHER_VERSION)
    documents = said(out)
    documents[2]["predicate"]["coverage"] = "known otherwise there"
    state(out, documents)
    signed = folder.sign(out, built, KEY)
    assert (signed.statements.version, signed.statements.unwritten) == (OTHER_VERSION, (3,))


@pytest.mark.parametrize(
    ("build", "audit", "version"),
    [("9.9.9", "9.9.9", "9.9.9"), ("9.9.9", "8.8.8", "9.9.9 and 8.8.8")],
)
def test_each_other_version_is_told(out: Path, build: str, audit: str, version: str) -> None:
    result = written(out, samples.output(out).model_copy(update={"tool": build}))
    audited(out, result, tool=audit)
    signed = folder.sign(out, result, KEY)
    assert (signed.statements.version, signed.statements.unwritten) == (version, (1, 2, 3))


PROVENANCE = ("predicate", "buildDefinition")
OTHER_DIGEST = {"sha256": "0" * 64}


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ((0, "predicate", "runDetails", "byproducts", 0, "annotations", "blake3", IMAGE), "0" * 64),
        ((0, "predicate", "runDetails", "byproducts", 0, "annotations", "blake3"), "0" * 64),
        ((0, "predicate", "runDetails", "byproducts", 0, "annotations", "root"), OTHER),
        ((0, "predicate", "runDetails", "byproducts", 0, "digest"), OTHER_DIGEST),
        ((0, "predicate", "runDetails", "byproducts", 0, "digest"), None),
        ((0, "predicate", "runDetails", "byproducts", 0, "digest", "sha512"), "0" * 128),
        ((0, "predicate", "runDetails", "byproducts", 1, "name"), names.RESULT),
        ((0, "predicate", "runDetails", "byproducts", 1, "name"), "virus"),
        ((0, "predicate", "runDetails", "byproducts"), {"a": {"digest": OTHER_DIGEST}}),
        ((0, "predicate", "runDetails", "byproducts", 1), {"digest": {"sha256": None}}),
        ((0, *PROVENANCE, "externalParameters", "spec", "digest"), OTHER_DIGEST),
        ((0, *PROVENANCE, "externalParameters", "lock", "digest", "sha256"), "0" * 64),
        ((0, *PROVENANCE, "externalParameters", "also"), {"name": IMAGE, "digest": OTHER_DIGEST}),
        ((0, *PROVENANCE, "internalParameters", "spec"), OTHER),
        ((0, *PROVENANCE, "internalParameters", "lock"), OTHER),
        ((0, *PROVENANCE, "resolvedDependencies", 0, "digest", "blake3"), "0" * 64),
        ((0, *PROVENANCE, "resolvedDependencies", 0, "name"), "go-source 0"),
        ((0, *PROVENANCE, "resolvedDependencies", 0, "annotations", "tree"), OTHER),
        ((1, "predicate", "build", "blake3", IMAGE), "0" * 64),
        ((1, "predicate", "build", "root"), OTHER),
        ((2, "predicate", "build", "blake3", IMAGE), "0" * 64),
        ((2, "predicate", "build", "spec"), OTHER),
        ((2, "predicate", "audited", "image"), "0" * 64),
    ],
)
def test_of_another_version_digests_must_be_of_what_they_name(
    out: Path, other: BuildResult, path: tuple[str | int, ...], to: object
) -> None:
    audited(out, other, tool=OTHER_VERSION)
    documents: Any = said(out)
    changed(*path, to=to)(documents)
    state(out, documents)
    refused(out, other, ComparisonError, r"is not signed \(.*it names another")


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(
    "further",
    [
        {"name": IMAGE, "sha256": "7" * 64},
        {"uri": f"https://example.org/sourcery.img?checksum={'0' * 128}"},
        {"sha1": "0" * 40},
        ["text with h1:" + "A" * 43 + "= in it"],
        "sha256:" + "ABCDEF12" * 8,
    ],
)
def test_of_another_version_no_hash_may_stand_anywhere_that_nothing_has(
    out: Path, other: BuildResult, at: int, further: object
) -> None:
    audited(out, other, tool=OTHER_VERSION)
    documents: Any = said(out)
    documents[at]["predicate"]["further"] = further
    state(out, documents)
    refused(out, other, ComparisonError, r"is not signed \(.*it names a hash that nothing here has")


def test_of_another_version_kinds_are_the_same(out: Path, other: BuildResult) -> None:
    state(out, [*said(out), {**said(out)[1], "predicateType": f"{uris.COMPARISON}0"}])
    refused(out, other, InputError, "neither a build nor an audit")


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_no_subject_is_there_twice(
    out: Path, other: BuildResult, line: int, *, first: bool
) -> None:
    """Who verifies takes any of them, so the one with other bytes would be signed too."""
    audited(out, other, tool=OTHER_VERSION)
    documents = said(out)
    evil = {"name": IMAGE, "digest": OTHER_DIGEST}
    documents[line]["subject"].insert(0 if first else len(documents[line]["subject"]), evil)
    state(out, documents)
    refused(out, other, InputError, "about sourcery.img twice")


@pytest.mark.parametrize(
    "more",
    [
        {"digest": {"sha256": IMAGE_SHA256, "sha512": "0" * 128}},
        {"digest": {"sha256": IMAGE_SHA256, "": ""}},
        {"digest": {"sha512": "0" * 128}},
        {"digest": IMAGE_SHA256},
        {"digest": {"sha256": 7}},
        {"name": 7},
        {"uri": "https://example.com/sourcery.img"},
        {"content": "YW5vdGhlcg=="},
    ],
)
def test_a_subject_has_one_digest_and_nothing_else(
    out: Path, other: BuildResult, more: dict[str, object]
) -> None:
    documents = said(out)
    (image,) = [one for one in documents[0]["subject"] if one["name"] == IMAGE]
    image |= more
    state(out, documents)
    refused(out, other, InputError, "not about files with SHA-256 and nothing else")


@pytest.mark.parametrize("change", [{"subject": []}, {"subject": {}}, {"subject": None}])
def test_a_statement_about_nothing(
    out: Path, other: BuildResult, change: dict[str, object]
) -> None:
    state(out, [*said(out), {**said(out)[1], **change}])
    refused(out, other, InputError, "not an in-toto statement about files with SHA-256")


@pytest.mark.parametrize("change", [{"_type": "https://example.com"}, {"also": {"subject": []}}])
def test_what_is_no_statement_of_in_toto(
    out: Path, other: BuildResult, change: dict[str, object]
) -> None:
    state(out, [*said(out), {**said(out)[1], **change}])
    refused(out, other, InputError, "not an in-toto Statement v1")


@pytest.mark.parametrize("name", ["\ud800", "", ".", "logs", "a" * 5000])
def test_a_name_that_no_file_can_have(out: Path, built: BuildResult, name: str) -> None:
    documents = said(out)
    documents[1]["subject"].append({"name": name, "digest": {"sha256": "0" * 64}})
    line = json.dumps(documents[1]).encode()
    whole = [*dsse.parse_lines((out / names.PROVENANCE).read_bytes())[:1], dsse.Envelope(line)]
    (out / names.PROVENANCE).write_bytes(dsse.dumps(whole))
    with pytest.raises(InputError):
        folder.sign(out, built, KEY)
