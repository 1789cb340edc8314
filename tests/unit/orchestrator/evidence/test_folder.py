from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import names, sums
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse, folder, keys, placing, signable, statements
from orchestrator.evidence.building import Evidence
from orchestrator.evidence.writers import WRITERS
from reproducibility import canonical, digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError
from tests import results
from tests.unit.orchestrator.audit.test_model import document as audit_document
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.store import Store


@pytest.fixture
def out(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


@pytest.fixture
def built(out: Path) -> BuildResult:
    result = samples.output(out)
    folder.write(out, samples.stated(result), made=samples.BILLS)
    return result


def files(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def check_sums(out: Path) -> None:
    found = files(out)
    listed = found.keys() - {*names.SUMS}
    sha256 = sums.parse(found[names.SHA256SUMS], "")
    blake3 = sums.parse(found[names.B3SUMS], "")
    assert sha256 == {name: digest.sha256_of_bytes(found[name]).hex for name in listed}
    assert blake3 == {name: digest.of_bytes(found[name]).hex for name in listed}


def test_everything_is_written_and_summed(out: Path, built: BuildResult) -> None:
    assert WRITERS.keys() <= files(out).keys()
    check_sums(out)
    assert (out / names.SPEC).read_bytes() == samples.SPEC_FILE
    assert (out / names.LOCK).read_bytes() == samples.LOCK_FILE
    actions = canonical.loads((out / names.ACTIONS).read_bytes())
    assert actions == {results.NOTHING: {"command": ["true"]}}
    provenance, *_ = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    stated = signable.subjects(provenance, "")
    # An audit makes the page anew.
    after = {names.PROVENANCE, names.REPORT, *names.SUMS}
    assert stated.keys() == files(out).keys() - after
    assert built.image.path in stated


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="GNU coreutils")
def test_sha256sum_accepts_it(out: Path, built: BuildResult) -> None:
    del built
    strange = out / "logs" / "a\\b c\u00e4.log"
    strange.write_text("")
    line = sums.dumps({"logs/a\\b c\u00e4.log": digest.sha256_of_bytes(b"").hex})
    (out / names.SHA256SUMS).write_bytes((out / names.SHA256SUMS).read_bytes() + line)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", names.SHA256SUMS],  # noqa: S607 - on PATH
        cwd=out,
        check=True,
    )


def audit_of(out: Path) -> bytes:
    """An audit of the build that lies there."""
    made = audit_document()
    made["audited"]["result"] = str(digest.of_file(out / names.RESULT))
    return canonical.pretty(made)


def test_a_statement_for_an_audit_is_added(out: Path, built: BuildResult) -> None:
    before = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    data = audit_of(out)
    assert folder.add_audit(out, built, audits.parse(data), 5)
    assert (out / names.AUDIT).read_bytes() == data
    after = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    told = placing.of_bytes(data)
    assert after == (*before, statements.audit(built, audits.parse(data), told, 5))
    check_sums(out)


def test_a_build_without_evidence_can_be_audited(out: Path) -> None:
    result = samples.output(out)
    before = files(out)
    data = audit_of(out)
    assert not folder.add_audit(out, result, audits.parse(data), 5)
    assert files(out) == {**before, names.AUDIT: data}


@pytest.mark.parametrize("taken", [b"{}", None])
def test_an_audit_is_not_filed_under_another_build(
    out: Path, built: BuildResult, taken: bytes | None
) -> None:
    audit = audits.parse(audit_of(out))
    (out / names.RESULT).unlink()
    if taken is not None:
        (out / names.RESULT).write_bytes(taken)
    before = files(out)
    with pytest.raises(InfrastructureError, match="another build has taken") as caught:
        folder.add_audit(out, built, audit, 5)
    assert (caught.value.subject, "--out" in caught.value.remedy) == (str(out), True)
    assert files(out) == before


def test_several_sign_and_signing_twice_changes_nothing(out: Path, built: BuildResult) -> None:
    one, other = keys.generate(), keys.generate()
    count = len(dsse.parse_lines((out / names.PROVENANCE).read_bytes()))
    assert folder.sign(out, built, one).count == count
    assert folder.sign(out, built, other).count == count
    check_sums(out)
    signed = files(out)
    assert folder.sign(out, built, one).count == 0
    assert files(out) == signed
    for envelope in dsse.parse_lines(signed[names.PROVENANCE]):
        assert keys.verify(envelope, one.public)
        assert keys.verify(envelope, other.public)


@pytest.mark.parametrize("name", ["sourcery.img", "result.json", "logs/T1-dist.log", names.SPEC])
def test_what_is_not_so_is_not_signed(out: Path, built: BuildResult, name: str) -> None:
    (out / name).write_bytes((out / name).read_bytes() + b" ")
    before = files(out)
    with pytest.raises(ComparisonError, match="not what a statement says") as caught:
        folder.sign(out, built, keys.generate())
    assert caught.value.subject == str(out / name)
    assert files(out) == before


def cut(data: bytes) -> bytes:
    return data[:-1]


def nothing(_: bytes) -> bytes:
    return b""


def of_another_file(_: bytes) -> bytes:
    statement = {"subject": [{"name": "../a", "digest": {"sha256": "0" * 64}}]}
    return dsse.dumps([dsse.Envelope(canonical.dumps(statement))])


@pytest.mark.parametrize("harm", [cut, nothing, of_another_file])
def test_other_evidence_is_not_signed(
    out: Path, built: BuildResult, harm: Callable[[bytes], bytes]
) -> None:
    (out / names.PROVENANCE).write_bytes(harm((out / names.PROVENANCE).read_bytes()))
    before = files(out)
    with pytest.raises(InputError):
        folder.sign(out, built, keys.generate())
    assert files(out) == before


def test_a_missing_file_is_named(out: Path, built: BuildResult) -> None:
    (out / "logs" / "T1-dist.log").unlink()
    with pytest.raises(InputError, match="cannot read") as caught:
        folder.sign(out, built, keys.generate())
    assert caught.value.subject == str(out / "logs" / "T1-dist.log")


def test_a_path_out_of_the_folder_is_not_followed(out: Path, built: BuildResult) -> None:
    statement = {
        "subject": [
            {"name": name, "digest": {"sha256": "0" * 64}}
            for name in ("../secret", built.image.path, built.cpio.path, names.RESULT)
        ]
    }
    line = dsse.dumps([dsse.Envelope(canonical.dumps(statement))])
    (out / names.PROVENANCE).write_bytes(line)
    with pytest.raises(InputError, match="elsewhere"):
        folder.sign(out, built, keys.generate())


def evidence(store: Store, *sign: keys.Private) -> Evidence:
    return Evidence(
        sign=sign,
        spec=samples.SPEC_FILE,
        lock_file=samples.LOCK_FILE,
        lock=samples.LOCK,
        epoch=samples.EPOCH,
        boot=samples.boot(store),
        store=store,
        clock=lambda: samples.FINISHED + 0.9,
    )


def prepared(out: Path, store: Store) -> BuildResult:
    tree = samples.root(store)
    store.save_tree(tree)
    action = store.put_bytes(canonical.dumps({"command": ["true"]}))
    result = samples.output(out)
    root = result.root.model_copy(update={"tree": tree.digest})
    step = result.steps[0].model_copy(update={"action": action})
    return result.model_copy(update={"root": root, "steps": (step,)})


def test_a_build_writes_the_same_evidence_twice(
    out: Path, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence(store).write(out, result := prepared(out, store))
    check_sums(out)
    actions = canonical.loads((out / names.ACTIONS).read_bytes())
    assert actions == {str(result.steps[0].action): {"command": ["true"]}}
    again = tmp_path / "again"
    again.mkdir()
    samples.output(again)
    # The bill of materials comes out of the store.
    monkeypatch.setattr(store, "load_tree", lambda _: pytest.fail("worked out again"))
    evidence(store).write(again, result)
    assert files(again) == files(out)


def test_a_build_signs_each_statement_with_each_key(out: Path, store: Store) -> None:
    one, other = keys.generate(), keys.generate()
    evidence(store, one, other).write(out, prepared(out, store))
    check_sums(out)
    found = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    assert len(found) > 1
    for envelope in found:
        assert len(envelope.signatures) == 2
        assert keys.verify(envelope, one.public)
        assert keys.verify(envelope, other.public)


def test_a_full_disk_is_an_error_of_the_build(
    out: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = prepared(out, store)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "write", full)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        evidence(store).write(out, result)
