"""What a lock says of the public log: read without question, and verified in one place, as checks.

Everything here is planted in the lock itself, with a checksum that fits, as somebody who means harm
would do it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.lock import file as locks
from orchestrator.lock import logged
from reproducibility import codes
from reproducibility.compare import Check, Verdict
from reproducibility.errors import ComparisonError, InputError
from tests.unit.orchestrator.lock.default import DATA, changed, named

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = "h1:" + "A" * 43 + "="
SOURCE = "github.com/u-root/u-root@"


def toolchain(document: dict[str, Any]) -> dict[str, Any]:
    """The record of a toolchain that is no input of this machine's."""
    found: dict[str, Any] = document["toolchain"]["log"]["arm64"]
    return found


def source(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = named(document, "u-root")["log"]
    return found


def checks(lock: locks.Lock) -> dict[str, Check]:
    """Every check of the log by subject."""
    found = [logged.toolchain(lock, name) for name in lock.toolchain.log]
    found += [logged.source(pinned) for pinned in logged.sources(lock)]
    return {one.check.subject: one.check for one in found if one.check is not None}


def test_everything_that_the_default_lock_says_of_the_log_holds() -> None:
    lock = locks.parse(DATA)
    found = checks(lock)
    assert {"amd64", "arm64"} < set(found)
    assert any(subject.startswith(SOURCE) for subject in found)
    assert {check.verdict for check in found.values()} == {Verdict.PASS}
    assert {check.kind for check in found.values()} == {codes.LOG}
    assert list(logged.failures(lock)) == []
    for pinned in logged.sources(lock):
        assert logged.source(pinned).h1 == pinned.h1
    go = next(
        found
        for found in lock.inputs
        if isinstance(found, locks.GoModule) and (found.name, found.host) == ("go", "amd64")
    )
    assert logged.toolchain(lock, "amd64").h1 == go.h1


RECORDS: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("place in the log", lambda r: r.update(number=7), "proof is too|does not lead"),
    ("next place", lambda r: r.update(number=r["number"] ^ 1), "does not lead"),
    (
        "record",
        lambda r: r["record"].__setitem__(0, r["record"][0].replace("h1:", "h1:A")[:-2] + "="),
        "the inclusion proof does not lead to the root",
    ),
    ("no record", lambda r: r["record"].clear(), ""),
    ("proof cut short", lambda r: r["proof"].pop(), "proof is too short"),
    ("proof changed", lambda r: r["proof"].reverse(), "does not lead to the root"),
    ("proof is no base64", lambda r: r["proof"].append("?"), "not base64"),
    (
        "larger tree",
        lambda r: r["tree_head"].__setitem__(1, "99999999"),
        "signature of sum.golang.org does not fit",
    ),
    ("signed by nobody", lambda r: r["tree_head"].pop(), "not a signed note"),
    (
        "signed by another",
        lambda r: r["tree_head"].__setitem__(-1, "\u2014 else AAAAAAAA"),
        "not signed by sum.golang.org",
    ),
]


@pytest.mark.parametrize("whose", [toolchain, source])
@pytest.mark.parametrize(
    ("change", "words"), [pytest.param(*rest, id=name) for name, *rest in RECORDS]
)
def test_a_record_that_was_tampered_with_is_read_and_fails(
    whose: Callable[[dict[str, Any]], dict[str, Any]],
    change: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    lock = changed(lambda document: change(whose(document)))
    failed = [check for check in checks(lock).values() if check.verdict is Verdict.FAIL]
    (check,) = failed
    assert check.subject.startswith("arm64" if whose is toolchain else SOURCE)
    assert re.search(words, check.reason), check.reason
    assert list(logged.failures(lock)) == failed
    # And no such lock is made.
    with pytest.raises(ComparisonError, match="does not agree with the public log") as refused:
        logged.refuse_contradictions(lock)
    assert refused.value.subject == check.subject
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("change", "subject", "words"),
    [
        (
            lambda d: d["toolchain"]["log"].update(arm64=d["toolchain"]["log"]["amd64"]),
            "arm64",
            "the log's record is not about golang.org/toolchain .*arm64",
        ),
        (lambda d: named(d, "go").update(h1=OTHER), "amd64", "has h1:AAA.*the log says h1:"),
        (lambda d: named(d, "u-root").update(h1=OTHER), SOURCE, "has h1:AAA.*the log says h1:"),
        (lambda d: named(d, "u-root").update(log=toolchain(d)), SOURCE, "is not about github.com"),
        (lambda d: named(d, "u-root").update(log=None), SOURCE, "says nothing of it"),
    ],
)
def test_a_record_of_something_else_fails(
    change: Callable[[dict[str, Any]], object], subject: str, words: str
) -> None:
    lock = changed(change)
    (check,) = (check for check in checks(lock).values() if check.verdict is Verdict.FAIL)
    assert check.subject.startswith(subject)
    assert re.search(words, check.reason), check.reason


def test_what_the_log_does_not_have_is_no_check_and_says_why() -> None:
    absent = {"state": "absent", "reason": "never asked"}

    def change(document: dict[str, Any]) -> None:
        document["toolchain"]["log"]["riscv64"] = absent
        named(document, "u-root")["log"] = absent

    lock = changed(change)
    (pinned,) = logged.sources(lock)
    for found in (logged.toolchain(lock, "riscv64"), logged.source(pinned)):
        assert (found.check, found.h1, found.absence) == (None, "", "never asked")


def test_an_architecture_that_the_lock_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="says nothing of mips"):
        logged.toolchain(locks.parse(DATA), "mips")  # type: ignore[arg-type]
