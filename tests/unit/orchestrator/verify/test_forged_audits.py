"""Forged audits: invented, contradicting each other, taken away or put in the place of another."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import names
from orchestrator.evidence import dsse
from orchestrator.report import folder as pages
from orchestrator.verify import audited
from reproducibility import canonical, codes
from tests.conftest import ROOT
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.evidence.keys import Private
    from tests.unit.orchestrator.verify.conftest import Court
    from tests.unit.orchestrator.verify.world import Build

pytestmark = pytest.mark.once

AUDIT, PROVENANCE = names.AUDIT, names.PROVENANCE


def audited_by(court: Court, folder: Path, forged: Build, *auditors: Private) -> Path:
    """A folder that alice signed, but for the last statement, the audit's, which others did."""
    out = forged.write(folder, court.alice)
    envelopes = list(dsse.parse_lines((out / PROVENANCE).read_bytes()))
    last = dsse.Envelope(envelopes[-1].payload)
    for key in auditors:
        last = key.sign(last)
    world.write_statements(out, [*envelopes[:-1], last])
    return out


def test_an_invented_audit_that_nobody_signed(court: Court, folder: Path) -> None:
    """A stranger adds an audit, true in all that can be derived, to a folder that alice signed."""
    demanded = "[checks]\npass = ['audit-coverage']\naccept = ['release.absent-record']\n"
    loaded = court.policy("alice", text=demanded)
    out = audited_by(court, folder / "none", court.honest.copy())
    assert court.judge(out, loaded=loaded).refused_for() == {("check-passed", "")}
    out = audited_by(court, folder / "stranger", court.honest.copy(), court.mallory)
    assert court.judge(out, loaded=loaded).refused_for() == {("check-passed", "")}
    out = audited_by(court, folder / "alice", court.honest.copy(), court.alice)
    assert court.judge(out, loaded=loaded).judgement.held


def test_a_check_of_the_build_in_an_audit(court: Court, folder: Path) -> None:
    """The build says SKIP of its release; a stranger's audit says PASS."""
    forged = court.honest.copy()
    assert forged.audit is not None
    forged.audit["checks"].insert(0, world.check("release.same", "amd64"))
    out = audited_by(court, folder, forged)
    text = "[checks]\npass = ['release']\naccept = ['release.absent-record']\n"
    found = court.judge(out, loaded=court.policy("alice", text=text)).refused_for()
    assert found == {("audit-differs", AUDIT), ("sound", ""), ("check-passed", "")}


def test_a_check_of_an_audit_that_is_there_twice(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    assert forged.audit is not None
    forged.audit["checks"].insert(0, forged.audit["checks"][1])
    out = forged.write(folder, court.alice)
    judged = court.judge(out)
    assert judged.refused_for() == {("audit-differs", AUDIT), ("sound", "")}
    assert "two checks conditions of" in judged.folders[0].findings[0].reason


def test_rounds_that_were_not_run_are_not_covered(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    assert forged.audit is not None
    forged.audit["asked"]["rounds"] = 2
    judged = court.judge(forged.write(folder, court.alice))
    assert judged.refused_for() == {("audit-differs", AUDIT), ("sound", "")}
    assert "coverage.audited" in judged.folders[0].findings[0].reason


def test_kinds_of_checks_that_audits_make_are_known() -> None:
    """Whatever kind a module of the audit imports is one that an audit may hold, or compares."""
    imported = set()
    for path in (ROOT / "orchestrator" / "audit").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "reproducibility.codes":
                imported |= {getattr(codes, alias.name) for alias in node.names}
    named_in_cells = {codes.CROSS_AGAIN, codes.FIXED_POINT, codes.RELEASE}
    assert imported - named_in_cells == audited.KINDS


def changed(envelope: dsse.Envelope, **changes: object) -> dsse.Envelope:
    """An unsigned statement with other fields in its predicate."""
    said = canonical.loads(envelope.payload)
    said["predicate"] |= changes
    return dsse.Envelope(canonical.dumps(said))


def test_two_statements_about_one_audit(court: Court, folder: Path) -> None:
    """Both are signed, and contradict each other; the last one is the true one."""
    out = court.honest.copy().write(folder, court.alice)
    envelopes = list(dsse.parse_lines((out / PROVENANCE).read_bytes()))
    other = court.alice.sign(changed(envelopes[-1], verdict="FAIL", checks=[]))
    world.write_statements(out, [*envelopes[:-1], other, envelopes[-1]])
    assert court.judge(out).refused_for() == {("statement-differs", PROVENANCE), ("sound", "")}
    # Of another form, which cannot be written anew, it may not contradict the audit either.
    other = court.alice.sign(changed(envelopes[-1], verdict="SKIP", form="77"))
    world.write_statements(out, [*envelopes, other])
    assert court.judge(out).refused_for() == {("statement-differs", PROVENANCE), ("sound", "")}
    # Nor may the two say different times.
    other = court.alice.sign(changed(envelopes[-1], finishedOn="2020-01-01T00:00:00Z"))
    world.write_statements(out, [*envelopes, other])
    assert court.judge(out).refused_for() == {("statement-differs", PROVENANCE), ("sound", "")}
    # Said twice, by two, it is one statement.
    again = court.bob.sign(dsse.Envelope(envelopes[-1].payload))
    world.write_statements(out, [*envelopes, again])
    judged = court.judge(out)
    assert judged.judgement.held
    assert len(judged.folders[0].audit_signers) == 2


@pytest.mark.parametrize("verdict", ["PASS", "FAIL"])
def test_an_audit_that_was_taken_away(court: Court, folder: Path, verdict: str) -> None:
    """The statement that alice signed of it stays, and is told; a FAIL is one without its file."""
    out = court.honest.copy().write(folder, court.alice)
    envelopes = list(dsse.parse_lines((out / PROVENANCE).read_bytes()))
    gone = {"name": AUDIT, "sha256": "0" * 64, "blake3": "0" * 64}
    taken = changed(envelopes[-1], verdict=verdict, evidence=gone)
    world.write_statements(out, [*envelopes[:-1], court.alice.sign(taken), envelopes[-1]])
    judged = court.judge(out)
    refused = {("audit-failed", PROVENANCE), ("sound", "")} if verdict == "FAIL" else set()
    assert judged.refused_for() == refused
    claim = next(one for one in judged.folders[0].claims if one.what.startswith("another audit"))
    assert (claim.what, claim.how) == (f"another audit ({verdict})", "signed")
    # Without audit.json there is no present one.
    (out / AUDIT).unlink()
    (out / names.REPORT).write_bytes(pages.made(out).data)
    world.seal(out)
    text = "[checks]\npass = ['fixed-point']\naccept = ['release.absent-record']\n"
    loaded = court.policy("alice", text=text)
    assert court.judge(out, loaded=loaded).refused_for() == refused
    # Who is unknown cannot refuse anything.
    world.write_statements(out, [*envelopes[:-1], court.mallory.sign(taken)])
    assert court.judge(out, loaded=loaded).judgement.held
