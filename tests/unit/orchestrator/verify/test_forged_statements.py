"""Statements, JUnit and page that avoid being written anew, or say what nobody can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import names
from orchestrator.artifacts.form import FORM, GENERATOR
from orchestrator.evidence import dsse
from reproducibility import canonical
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.orchestrator.verify.conftest import Court

pytestmark = pytest.mark.once

PROVENANCE, REPORT = names.PROVENANCE, names.REPORT
OTHER_FORM = str(FORM + 1)


def restate(
    court: Court, out: Path, change: Callable[[dict[str, Any]], None], line: int = 0
) -> None:
    """Change what the statement in a line says, which alice signs then."""
    envelopes = list(dsse.parse_lines((out / PROVENANCE).read_bytes()))
    said = canonical.loads(envelopes[line].payload)
    change(said)
    envelopes[line] = court.alice.sign(dsse.Envelope(canonical.dumps(said)))
    world.write_statements(out, envelopes)


def of_another_form(said: dict[str, Any]) -> None:
    said["predicate"]["runDetails"]["builder"]["version"]["form"] = OTHER_FORM


TIMES = (
    None, 7, "yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z",
)  # fmt: skip


@pytest.mark.parametrize("finished", TIMES)
def test_a_build_that_ended_at_no_time(court: Court, folder: Path, finished: object) -> None:
    """Without an end nothing can be written anew, so nothing would be compared."""
    out = court.honest.copy().write(folder, court.alice)

    def change(said: dict[str, Any]) -> None:
        metadata = said["predicate"]["runDetails"]["metadata"]
        metadata["finishedOn"] = finished
        if finished is None:
            del metadata["finishedOn"]

    restate(court, out, change)
    found = court.judge(out).refused_for()
    assert {("statement-differs", PROVENANCE), ("signed", ""), ("evidence-age", "")} <= found


@pytest.mark.parametrize("finished", TIMES)
def test_an_audit_that_ended_at_no_time(court: Court, folder: Path, finished: object) -> None:
    out = court.honest.copy().write(folder, court.alice)
    restate(court, out, lambda said: said["predicate"].update(finishedOn=finished), -1)
    assert ("statement-differs", PROVENANCE) in court.judge(out).refused_for()


def test_statements_of_another_form_are_only_stated(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    restate(court, out, of_another_form)
    judged = court.judge(out)
    assert judged.judgement.held
    (found,) = judged.folders
    (note,) = found.notes
    assert note.startswith("statements and JUnit were not written anew")
    assert note.endswith(f"their form is {OTHER_FORM}, and {FORM} is this program's")
    how = {one.what: one.how for one in found.claims}
    assert (how["statements"], how["JUnit"], how["page"]) == ("signed", "signed", "derived here")


EVIL = {"sha512": "0" * 128}


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["subject"][0]["digest"].update(EVIL),
        lambda said: said["subject"][0].update(uri="https://example.org/evil"),
        lambda said: said["subject"].append(said["subject"][0]),
        lambda said: said.update(subjects=[]),
    ],
)
def test_a_statement_names_each_file_once_and_by_one_digest(
    court: Court, folder: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Another program goes by any digest of a subject; these are compared with nothing."""
    out = court.honest.copy().write(folder, court.alice)

    def both(said: dict[str, Any]) -> None:
        of_another_form(said)
        change(said)

    restate(court, out, both)
    found = court.judge(out).refused_for()
    assert {("file-unreadable", PROVENANCE), ("signed", ""), ("sound", "")} <= found


def test_a_page_of_another_form_is_only_stated(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    (out / REPORT).write_bytes(
        b'<meta name="generator" content="%b %d"><script>steal()</script>'
        % (GENERATOR.encode(), FORM + 1)
    )
    world.seal(out)
    judged = court.judge(out)
    assert judged.judgement.held
    (found,) = judged.folders
    assert "the page was not made anew" in found.notes[0]
    assert {one.what: one.how for one in found.claims}["page"] == "only stated"
    # One that says no form is none of ours, whatever the result says of its version.
    (out / REPORT).write_bytes(b"<script>steal()</script>")
    world.seal(out)
    assert court.judge(out).refused_for() == {("statement-differs", REPORT), ("sound", "")}


def test_another_version_of_the_same_form_is_written_anew(court: Court, folder: Path) -> None:
    """What counts is the form of what is written, not the name of the version."""
    build = court.honest.copy()
    build.result["tool"] = "0.0.9"
    assert build.audit is not None
    build.audit["audited"]["tool"] = "0.0.9"
    out = build.write(folder, court.alice)
    judged = court.judge(out)
    assert judged.judgement.held
    assert judged.folders[0].notes == ()
    assert {one.what: one.how for one in judged.folders[0].claims}["page"] == "derived here"


@pytest.mark.parametrize(
    "change",
    [
        {"predicateType": "https://example.org/transfer"},
        {"predicate": {"comparison": "fixed-point", "verdict": "FAIL", "checks": []}},
        {"predicate": {"comparison": "fixed-point", "verdict": "PASS", "checks": []}},
        {"predicate": {"comparison": "boots-on-mars", "verdict": "PASS", "checks": []}},
        {"predicate": {"comparison": ["fixed-point"], "verdict": {}}},
    ],
)
def test_a_further_statement_whatever_the_form(
    court: Court, folder: Path, change: dict[str, Any]
) -> None:
    out = court.honest.copy().write(folder, court.alice)
    restate(court, out, of_another_form)
    envelopes = list(dsse.parse_lines((out / PROVENANCE).read_bytes()))
    said = canonical.loads(envelopes[1].payload) | change
    world.write_statements(out, [*envelopes, dsse.Envelope(canonical.dumps(said))])
    assert court.judge(out).refused_for() == {("statement-differs", PROVENANCE), ("sound", "")}
