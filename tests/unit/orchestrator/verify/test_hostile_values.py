"""Values that a reader takes and something behind it could fail at, or fill the memory with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import model, names
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse
from orchestrator.lock import file as locks
from orchestrator.report import packages
from orchestrator.verify import files
from orchestrator.verify.documents import read
from orchestrator.verify.model import Findings
from orchestrator.verify.statements import check, moment
from reproducibility import canonical
from reproducibility.errors import InputError
from tests import results
from tests.unit.orchestrator.verify import world
from tests.unit.orchestrator.verify.conftest import POLICY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.verify.conftest import Court

pytestmark = pytest.mark.once

SPOOFED = "sourcery\u202egmi.exe"


def refused(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        model.parse(data)
    return caught.value.diagnostics()


@pytest.mark.parametrize("seconds", [1e300, 1.1e9, -1.0])
def test_a_span_is_bounded(seconds: float) -> None:
    """A sum of them must be a number, and what began so long ago a time."""
    steps = [results.step(seconds=seconds)]
    for document in (results.document(seconds=seconds), results.document(steps=steps)):
        assert "seconds" in refused(canonical.pretty(document))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("9998-12-31T23:59:59Z", 253_370_764_799),
        ("9999-01-01T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
    ],
)
def test_a_moment_is_bounded(text: str, seconds: int | None) -> None:
    assert moment(text) == seconds


@pytest.mark.parametrize("name", [SPOOFED, "a\x85b", "é" + "\u2028"])
def test_an_artifact_has_a_name_that_trees_take(name: str) -> None:
    assert "image.path" in refused(canonical.pretty(results.document(image={"path": name})))


def test_image_and_archive_are_two_files(court: Court, folder: Path) -> None:
    """And none of the others that a build leaves."""
    out = court.honest.copy().write(folder, court.alice)
    document = json.loads((out / names.RESULT).read_bytes())
    document["cpio"] = document["image"]
    (out / names.RESULT).write_bytes(canonical.pretty(document))
    world.seal(out)
    assert ("link-broken", names.RESULT) in court.judge(out).refused_for()
    document["cpio"] = {**document["image"], "path": names.AUDIT}
    (out / names.RESULT).write_bytes(canonical.pretty(document))
    assert ("link-broken", names.RESULT) in court.judge(out).refused_for()


def test_a_file_in_the_place_of_an_architecture(court: Court, folder: Path) -> None:
    forged = world.made(court.scratch / "flat", {"linux_x": b"no folder"})
    out = forged.write(folder, court.alice)
    assert court.judge(out).folders[0].result is not None


def test_a_program_that_the_lock_names_twice() -> None:
    lock = world.lock_of(world.tree_of(world.contents()))
    programs = (*lock.toolchain.tool, lock.toolchain.bin[0])
    twice = lock.toolchain.model_copy(update={"tool": programs})
    forged = lock.model_copy(update={"toolchain": twice})
    with pytest.raises(InputError, match="a program of the toolchain is there twice"):
        locks.parse(locks.dump(forged))


def many(count: int) -> bytes:
    return b'{"a":[' + b",".join([b"{}"] * count) + b"]}"


def test_values_are_counted_before_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds more than 100 values"):
        canonical.loads(many(100), most=100)
    with pytest.raises(InputError, match="holds more than 100 values"):
        canonical.loads(many(100).decode(), most=100)
    assert len(canonical.loads(many(40), most=100)["a"]) == 40
    for parse in (model.parse, audits.parse):
        with pytest.raises(InputError, match="more than 1000000 values"):
            parse(many(500_001))
    (tmp_path / names.ACTIONS).write_bytes(many(200_001))
    findings = Findings()
    read(tmp_path, {names.ACTIONS: None}, findings)
    (told,) = [one for one in findings if one.file == names.ACTIONS]
    assert (told.code, told.reason[:10]) == ("file-unreadable", "holds more")


def test_statements_and_envelopes_are_bounded() -> None:
    result = results.build_result()
    for payload in (many(150_000), b" " * (5 << 20)):
        findings = Findings()
        check([dsse.Envelope(payload)], result, {}, {}, findings)
        assert {"file-unreadable"} <= {one.code for one in findings}
        assert any("more than" in one.reason for one in findings)
    line = b'{"payload":"","payloadType":"x","signatures":[' + b"{}," * 3000 + b"{}]}\n"
    with pytest.raises(InputError, match="more than 2048 values"):
        dsse.parse_lines(line)


@pytest.mark.parametrize(
    "inside",
    [b"[" + b"{}," * 5000 + b"{}]", b'{"name":"' + b"a" * 70_000 + b'"}', b"{}\n" * 20_001],
)
def test_packages_of_a_bill_are_bounded(inside: bytes) -> None:
    with pytest.raises(InputError, match="more than"):
        packages.parse(b'{\n"packages": [\n' + inside + b"\n]\n}\n")


def test_an_audit_has_one_form(court: Court, folder: Path) -> None:
    """As a result has: bytes that a reader skips could say anything to who looks."""
    out = court.honest.copy().write(folder, court.alice)
    (out / names.AUDIT).write_bytes(b"\n\n" + (out / names.AUDIT).read_bytes())
    world.seal(out)
    assert ("file-unreadable", names.AUDIT) in court.judge(out).refused_for()


def test_evidence_that_is_not_there_is_missed(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    gone = (names.REPORT, names.JUNIT, names.SBOM)
    for name in gone:
        (out / name).unlink()
    world.seal(out)
    assert {("file-missing", name) for name in gone} <= court.judge(out).refused_for()


def test_what_is_no_file_is_told_once(tmp_path: Path) -> None:
    findings = Findings()
    (tmp_path / SPOOFED).touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in names.SUMS:
        lines = "".join(f"{'0' * 64}  {one}\n" for one in sorted(("link", SPOOFED)))
        (tmp_path / name).write_text(lines)
    files.sums(tmp_path, files.measured(tmp_path, findings), findings)
    assert [one.code for one in findings] == ["file-irregular", "file-irregular"]


def test_a_folder_that_ends_the_work_is_in_nobodys_way(
    court: Court, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot be read as a whole is refused, and two others still agree."""
    other = court.honest.copy()
    other.result["seconds"] += 1
    one = court.honest.copy().write(folder / "one", court.alice)
    two = other.write(folder / "two", court.bob)
    bad = folder / "bad"
    bad.mkdir()
    monkeypatch.setattr(files, "_MOST", 40)
    for number in range(41):
        (bad / str(number)).touch()
    loaded = court.policy("alice", "bob", text=POLICY, more="[builders]\nagree = 2\n")
    judged = court.judge(bad, one, two, loaded=loaded)
    assert judged.judgement.held
    assert judged.judgement.accepted == (str(one), str(two))
    (finding,) = judged.folders[0].findings
    assert (finding.code, finding.file) == ("file-unreadable", str(bad))
