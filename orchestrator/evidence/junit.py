"""JUnit XML of a build: its checks and its steps as test cases, as CI services show them.

A FAIL is a failure, a SKIP is skipped; a step that is there has passed, since a build with a failed
step leaves no folder. A step's time is that of the run that made its result.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from reproducibility import visible

if TYPE_CHECKING:
    from orchestrator.artifacts.model import Check, Step
    from orchestrator.evidence.subject import Subject

# Section 2.2 of XML 1.0: neither is a character.
_NO_CHARACTERS = re.compile("[\ufffe\uffff]")


def document(subject: Subject) -> bytes:
    """Return the XML document, in UTF-8."""
    result = subject.result
    whole = JUnitXml("sourcery")
    for name, cases in (
        ("checks", [_check(check) for check in result.checks]),
        ("steps", [_step(step) for step in result.steps]),
    ):
        suite = TestSuite(name)
        for case in cases:
            suite.add_testcase(case)
        whole.add_testsuite(suite)
    stream = BytesIO()
    whole.write(stream, pretty=True)
    return stream.getvalue().rstrip(b"\n") + b"\n"


def _check(check: Check) -> TestCase:
    family, _, _ = check.code.partition(".")
    case = TestCase(_text(f"{check.name}: {check.subject}"), f"checks.{family}", 0)
    reason = _text(check.reason)
    if check.verdict == "FAIL":
        case.result = [Failure(f"{check.code}: {reason}", check.code)]
    elif check.verdict == "SKIP":
        case.result = [Skipped(f"{check.code}: {reason}", check.code)]
    return case


def _step(step: Step) -> TestCase:
    case = TestCase(_text(step.name), _text(f"steps.{step.stage}"), step.seconds)
    case.system_out = _text(f"{step.origin}; outputs {step.outputs}")
    return case


def _text(text: str) -> str:
    """Return a text without what XML 1.0 cannot hold: such characters are shown as escapes."""
    return _NO_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", visible.line(text))
