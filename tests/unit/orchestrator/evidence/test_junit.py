from __future__ import annotations

from junitparser import JUnitXml

from orchestrator.evidence import junit
from tests import results
from tests.unit.orchestrator.evidence import samples


def test_checks_and_steps_are_cases() -> None:
    checks = [
        results.check(),
        results.check(verdict="SKIP", code="release.absent-record", reason="no record"),
        results.check(verdict="FAIL", code="fixed-point.differs", reason="10 < 11 & more"),
    ]
    made = junit.document(samples.subject(result=samples.result(checks=checks)))
    read = JUnitXml.fromstring(made)
    found = {suite.name: list(suite) for suite in read}
    assert [case.is_passed for case in found["checks"]] == [True, False, False]
    assert [case.is_skipped for case in found["checks"]] == [False, True, False]
    assert found["checks"][2].result[0].message == "fixed-point.differs: 10 < 11 & more"
    assert found["checks"][2].result[0].type == "fixed-point.differs"
    assert [(case.name, case.time) for case in found["steps"]] == [("T1/dist", 1.5)]
    assert (read.tests, read.failures, read.skipped) == (4, 1, 1)


def test_any_text_makes_a_document() -> None:
    reason = "a\x00b\x1b[31m\n\ufffe\U0001f600 ]]> <!--"
    checks = [results.check(verdict="FAIL", code="fixed-point.differs", reason=reason)]
    made = junit.document(samples.subject(result=samples.result(checks=checks)))
    (case,) = next(iter(JUnitXml.fromstring(made)))
    assert "\\x00b\\x1b[31m" in case.result[0].message
    assert "\U0001f600 ]]> <!--" in case.result[0].message
