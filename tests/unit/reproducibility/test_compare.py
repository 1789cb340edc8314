"""Verdicts and comparisons: every difference is seen and said, and nothing checked is a FAIL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import compare, digest, manifest
from reproducibility.compare import NOTHING, Check, CheckKind, Difference, Verdict
from reproducibility.manifest import Entry, Tree

ONE = Tree([manifest.file("bin/go", digest.of_bytes(b"go"), 2, executable=True)])


A = CheckKind("a", "a check", {"same": "x"}, {"lost": "x"}, {"differs": "x", NOTHING: "x"})
CODES = {code.verdict: code for code in reversed(A.codes.values())}


def check(verdict: Verdict) -> Check:
    return Check(CODES[verdict], "amd64", "a reason")


@given(st.lists(st.sampled_from(Verdict), min_size=1))
def test_fold_gives_the_worst(verdicts: list[Verdict]) -> None:
    folded = compare.fold(map(check, verdicts))
    if Verdict.FAIL in verdicts:
        assert folded is Verdict.FAIL
    else:
        assert folded is (Verdict.SKIP if Verdict.SKIP in verdicts else Verdict.PASS)


def test_nothing_checked_is_a_failure() -> None:
    assert compare.fold([]) is Verdict.FAIL


def test_an_expected_check_that_nobody_made_is_a_failure() -> None:
    made = [check(Verdict.PASS)]
    complete = compare.complete(made, [(A, "amd64"), (A, "arm64")])
    assert complete[:1] == made
    assert complete[1] == Check(A["not-checked"], "arm64", "not checked")
    assert complete[1].verdict is Verdict.FAIL
    assert compare.fold(complete) is Verdict.FAIL


def test_complete_adds_nothing_where_all_were_made() -> None:
    made = [check(Verdict.SKIP)]
    assert compare.complete(made, [(A, "amd64")]) == made


def test_equal_trees_pass() -> None:
    found = compare.trees(A, "amd64", ONE, Tree(ONE.entries))
    assert (found.verdict, found.name, found.subject) == (Verdict.PASS, "a check", "amd64")
    assert str(found.code) == "a.same"
    assert "1 file" in found.reason


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (manifest.file("bin/go", digest.of_bytes(b"gO"), 2, executable=True), "blake3"),
        (manifest.file("bin/go", digest.of_bytes(b"go"), 2), "only one is executable"),
        (manifest.file("bin/go", digest.of_bytes(b"g"), 1, executable=True), "2 and 1 bytes"),
        (manifest.file("bin/Go", digest.of_bytes(b"go"), 2, executable=True), "only in the second"),
        (manifest.directory("bin/go"), "file and directory"),
    ],
)
def test_every_kind_of_difference_fails_and_is_named(changed: Entry, said: str) -> None:
    found = compare.trees(A, "amd64", ONE, Tree([changed]))
    assert found.verdict is Verdict.FAIL
    assert said in found.reason
    assert "bin/go" in found.reason


@pytest.mark.parametrize("nothing", [Tree(), Tree([manifest.directory("out")])])
def test_two_trees_without_files_fail(nothing: Tree) -> None:
    found = compare.trees(A, "amd64", nothing, nothing)
    assert found.verdict is Verdict.FAIL
    assert "nothing was compared" in found.reason


def test_a_tree_against_nothing_fails() -> None:
    assert compare.trees(A, "", ONE, Tree()).verdict is Verdict.FAIL
    assert compare.trees(A, "", Tree(), ONE).verdict is Verdict.FAIL


def test_many_differences_are_counted_and_cut() -> None:
    other = Tree(manifest.file(f"f{n}", digest.of_bytes(b""), 0) for n in range(100))
    found = compare.trees(A, "", ONE, other)
    assert (len(found.differences), found.total) == (compare.KEPT, 101)
    assert found.reason.startswith("101 paths differ")
    assert found.reason.endswith("; and 93 more")
    assert len(compare.differences(ONE, other)) == 101


@given(st.lists(st.sampled_from("abc"), unique=True), st.lists(st.sampled_from("abc"), unique=True))
def test_differences_are_the_paths_that_differ(first: list[str], second: list[str]) -> None:
    def tree(names: list[str], content: bytes) -> Tree:
        return Tree(
            manifest.file(name, digest.of_bytes(content if name == "b" else b""), 0)
            for name in names
        )

    found = compare.differences(tree(first, b"1"), tree(second, b"2"))
    expected = set(first) ^ set(second) | ({"b"} & set(first) & set(second))
    assert {difference.path for difference in found} == expected
    lines = compare.in_words(found)
    assert {line.partition(":")[0] for line in lines} == expected
    assert lines == sorted(lines)


def test_a_check_as_json() -> None:
    assert check(Verdict.SKIP).document() == {
        "code": "a.lost",
        "name": "a check",
        "subject": "amd64",
        "verdict": "SKIP",
        "reason": "a reason",
        "differences": [],
        "differences_total": 0,
    }


def test_differences_are_values_and_words() -> None:
    two = [
        manifest.file("bin/go", digest.of_bytes(b"g"), 1),
        manifest.directory("src"),
    ]
    found = compare.trees(A, "amd64", ONE, Tree(two))
    first, second = digest.of_bytes(b"go").hex, digest.of_bytes(b"g").hex
    assert found.differences == (
        Difference("bin/go", "size", 2, 1),
        Difference("bin/go", "executable", first=True, second=False),
        Difference("bin/go", "blake3", first, second),
        Difference("src", "kind", None, "directory"),
    )
    assert found.total == 4
    said = f"2 and 1 bytes, only one is executable, blake3 {first[:16]} and {second[:16]}"
    assert found.reason == f"2 paths differ: bin/go: {said}; src: only in the second"
    assert found.document()["differences"][3] == {
        "path": "src",
        "field": "kind",
        "first": None,
        "second": "directory",
    }


def test_a_check_has_no_outcome_but_those_of_its_kind() -> None:
    with pytest.raises(KeyError):
        A["other"]
