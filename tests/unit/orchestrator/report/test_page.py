"""The whole page: what it says, that it is one document, and that nothing foreign steers it."""

from __future__ import annotations

import base64
import functools
import re
from typing import TYPE_CHECKING

import pytest

from orchestrator.report.packages import Package
from orchestrator.report.page import page
from orchestrator.report.style import SHEET
from reproducibility import digest, visible
from tests import pages, results
from tests.unit.orchestrator.markup.parsing import parsed

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult

PLAIN = pages.build()
FAILING = pages.failing()
CASES = {
    "plain": (PLAIN, None, ()),
    "failing": (FAILING, pages.audit(FAILING), ()),
    **{f"hostile {number}": pages.hostile(words) for number, words in enumerate(pages.HOSTILE)},
}


@functools.cache
def made(case: str) -> bytes:
    return page(*CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_it_is_one_document_that_loads_nothing(case: str) -> None:
    data = made(case)
    found = parsed(data)
    assert data.startswith(b"<!DOCTYPE html>\n")
    tags = {tag for tag, _ in found.elements}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "object", "form", "base", "input"})
    names = {name for _, attributes in found.elements for name in attributes}
    assert not any(name.startswith("on") for name in names)
    assert names.isdisjoint({"style", "src", "srcdoc", "action"})
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {str(attributes["href"]) for attributes in found.named("a")}
    assert links <= {f"#{name}" for name in ids}
    labels = " ".join(
        str(a["aria-labelledby"]) for _, a in found.elements if "aria-labelledby" in a
    )
    assert set(labels.split()) <= set(ids)
    # A control character that a browser or a reader of the source would obey.
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found.text)
    if case.startswith("hostile"):
        shown = visible.line(CASES[case][0].steps[0].name)
        assert shown in found.text


@pytest.mark.parametrize("case", ["plain", "failing"])
def test_the_same_values_give_the_same_bytes(case: str) -> None:
    assert page(*CASES[case]) == made(case)


def test_the_policy_allows_the_pages_own_style_sheet_and_nothing_else() -> None:
    (policy,) = [
        str(one["content"]) for one in parsed(page(PLAIN)).named("meta") if "http-equiv" in one
    ]
    sheet = bytes.fromhex(digest.sha256_of_bytes(SHEET.encode()).hex)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{base64.b64encode(sheet).decode()}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert f"<style>{SHEET}</style>".encode() in page(PLAIN)
    # Nothing in it is fetched either.
    assert not re.search(r"url\(|@import|image-set|expression", SHEET)


def test_the_verdict_comes_first_and_says_what_it_rests_on() -> None:
    text = parsed(page(PLAIN)).text
    assert "Everything that should be compared was compared, and is the same." in text
    assert text.index("PASS") < text.index("What it rests on") < text.rindex("Chain of steps")
    text = parsed(page(FAILING)).text
    assert "1 comparison failed." in text
    assert text.index("✕ FAIL") < text.index("1 paths differ") < text.index("What it rests on")
    assert "3 comparisons: 1 PASS, 1 SKIP, 1 FAIL" in text


def test_a_stated_verdict_is_not_believed() -> None:
    spoiled = FAILING.model_copy(update={"verdict": "PASS"})
    text = parsed(page(spoiled)).text
    assert "result.json states the verdict PASS, and its checks say FAIL" in text
    assert parsed(page(PLAIN.model_copy(update={"checks": ()}))).text.startswith("\nFAIL: image")
    audit = pages.audit(FAILING).model_copy(update={"verdict": "PASS"})
    assert "audit.json states the verdict PASS" in parsed(page(FAILING, audit)).text


def test_an_audit_of_another_build_is_told_apart() -> None:
    words = "audit.json is of another build"
    assert words in parsed(page(PLAIN, pages.audit(FAILING))).text
    assert words not in parsed(page(FAILING, pages.audit(FAILING))).text


def test_a_guilty_step_is_told_with_cause_and_explanation() -> None:
    text = parsed(page(FAILING, pages.audit(FAILING))).text
    assert "Steps that gave something else (1)" in text
    assert "The smallest cause: host (9 runs); class of the cause: user (certain)" in text
    assert "bin/go: section .note.go.buildid, 83 of 100 bytes differ" in text
    assert "✕ audit" in text
    assert "orchestrate audit --native riscv64" in text
    assert "0 of 1 cell are filled" in text


def test_a_build_without_an_audit_says_so() -> None:
    assert "This build was not audited" in parsed(page(PLAIN)).text


def test_every_digest_of_every_step_and_every_reason_is_there() -> None:
    data = page(FAILING, pages.audit(FAILING)).decode()
    for step in FAILING.steps:
        assert str(step.outputs) in data
        assert str(step.key) in data
    text = parsed(data.encode()).text
    for check in FAILING.checks:
        assert check.reason in text
        assert check.code in text
    assert "What differs: the first 2 of 12" in text
    assert "no cgroup is delegated" in text
    assert "1 not enforced" in text


def test_licences_are_shown_where_the_bill_of_materials_has_them() -> None:
    pinned = {
        "kind": "local-path", "name": "own", "host": None, "version": "local", "where": "files",
        "size": 1, "blake3": results.NOTHING, "tree": results.NOTHING, "module": None,
        "vendored": None, "replace": None, "destination": "x", "single": False, "exclude": None,
        "nested": None,
    }  # fmt: skip
    build = pages.build(inputs=[pinned])
    assert "Licence" not in parsed(page(build)).text
    listed = (
        Package("own", "local", "MIT", "", frozenset({results.ZEROS})),
        Package("example.com/module", "v1.2.3", "BSD-3-Clause", "module"),
    )
    text = parsed(page(build, None, listed)).text
    assert "MIT" in text
    assert "Go modules on the image, with licences: 1" in text
    assert "BSD-3-Clause" in text


def spoiled(result: BuildResult, **changes: object) -> BuildResult:
    steps = tuple(step.model_copy(update=changes) for step in result.steps)
    return result.model_copy(update={"steps": steps})


@pytest.mark.parametrize("when", ["", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "no time"])
@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e9, 1e300])
def test_impossible_times_are_drawn_or_left_out(when: str, seconds: float) -> None:
    ran = PLAIN.steps[0].provenance
    assert ran is not None
    provenance = ran.model_copy(update={"when": when})
    parsed(page(spoiled(PLAIN, provenance=provenance, seconds=seconds)))


def test_a_build_of_nothing_and_one_of_everything_are_drawn() -> None:
    empty: dict[str, object] = {"steps": (), "inputs": (), "checks": (), "patches": ()}
    parsed(page(PLAIN.model_copy(update=empty)))
    large = PLAIN.root.model_copy(update={"bytes": 0, "source_bytes": 1 << 70})
    parsed(page(PLAIN.model_copy(update={"root": large})))
    idle = spoiled(PLAIN, kind="nothing", action=None, provenance=None, origin="nothing to do")
    assert "Without a recorded time: T1/dist" in parsed(page(idle)).text
