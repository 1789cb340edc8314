"""Check codes: each is registered, used by the product, and explained in docs/checks.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reproducibility import codes
from reproducibility.compare import DIFFERS, NOT_CHECKED, NOTHING, SAME, CheckKind, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[3]
REGISTRY = ROOT / "reproducibility/codes.py"
PRODUCT = [
    path
    for package in ("containers", "orchestrator", "reproducibility")
    for path in sorted((ROOT / package).rglob("*.py"))
]
DOCUMENT = ROOT / "docs/checks.md"
NAMES = {name: kind for name, kind in vars(codes).items() if isinstance(kind, CheckKind)}
# What the functions that compare give for a kind that they are given, by what they are called.
RECORD = {"absent-record", SAME, DIFFERS}
GIVEN = {
    "trees": {SAME, DIFFERS, NOTHING},
    "_judged": {SAME, DIFFERS},
    "against_record": RECORD,
    "checks.against_record": RECORD,
}


def kind_of(node: ast.AST) -> str:
    """The registry's name for a kind, in `codes.RELEASE` or `RELEASE`; else nothing."""
    name = ""
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "codes":
        name = node.attr
    elif isinstance(node, ast.Name):
        name = node.id
    return name if name in NAMES else ""


def used(source: str) -> Iterator[str]:
    """Every code that a module can give to a check, by the kinds and outcomes that it names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if name := kind_of(node.value):
                yield f"{NAMES[name].code}.{node.slice.value!s}"
        elif isinstance(node, ast.Call) and node.args and (name := kind_of(node.args[0])):
            for outcome in GIVEN.get(ast.unparse(node.func), ()):
                yield f"{NAMES[name].code}.{outcome}"
        elif isinstance(node, ast.Tuple) and node.elts and (name := kind_of(node.elts[0])):
            # Expected of a build, or a rule of the session that proves a boot.
            yield f"{NAMES[name].code}.{NOT_CHECKED}"
            if len(node.elts) == 3 and isinstance(node.elts[1], ast.List):
                yield from (f"{NAMES[name].code}.{outcome}" for outcome in ("holds", "fails"))


def test_every_code_that_the_product_uses_is_registered() -> None:
    found = {code for path in PRODUCT for code in used(path.read_text("utf-8"))}
    assert found - codes.CODES.keys() == set()


def test_every_registered_code_is_used() -> None:
    found = {code for path in PRODUCT if path != REGISTRY for code in used(path.read_text("utf-8"))}
    unused = {text for text in codes.CODES if not text.endswith(f".{NOT_CHECKED}")} - found
    assert unused == set()


def test_the_search_for_codes_finds_them() -> None:
    source = """
Check(codes.BOOT_IMAGE["changed"], "image", "")
Check(RELEASE["no such outcome"], "amd64", "")
trees(codes.FIXED_POINT, "amd64", a, b)
[(codes.LOG, "amd64")]
other["differs"]
"""
    assert set(used(source)) == {
        "boot-image.changed",
        "release.no such outcome",
        "fixed-point.same",
        "fixed-point.differs",
        "fixed-point.nothing-compared",
        "transparency-log.not-checked",
    }


def test_only_the_registry_declares_kinds_and_codes() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in {"CheckKind", "Code"}
    }
    # `CheckKind.codes` makes the codes of a kind.
    assert found == {"reproducibility/codes.py", "reproducibility/compare.py"}


def test_codes_are_unique_dotted_lower_case_and_explained_in_a_line() -> None:
    every = [code for kind in codes.KINDS for code in kind.codes.values()]
    assert len({str(code) for code in every}) == len(every) == len(codes.CODES)
    assert len({kind.code for kind in codes.KINDS}) == len(codes.KINDS) == len(NAMES)
    assert len({kind.name for kind in codes.KINDS}) == len(codes.KINDS)
    part = "[a-z0-9]+(-[a-z0-9]+)*"
    for code in every:
        assert re.fullmatch(rf"{part}\.{part}", str(code))
        assert code.meaning
        assert "\n" not in code.meaning
        assert codes.find(str(code)) == code


def test_every_kind_can_pass_and_fail() -> None:
    for kind in codes.KINDS:
        verdicts = {code.verdict for code in kind.codes.values()}
        assert {Verdict.PASS, Verdict.FAIL} <= verdicts
        assert len(kind.codes) == len(kind.passes) + len(kind.skips) + len(kind.fails) + 1
        assert kind[NOT_CHECKED].verdict is Verdict.FAIL


def table() -> str:
    """The part of docs/checks.md that says every code."""
    lines = []
    for kind in codes.KINDS:
        lines += [f"### `{kind.code}`: {kind.name}", "", "| code | verdict | what it says |"]
        lines += ["| --- | --- | --- |"]
        lines += [
            f"| `{code}` | {code.verdict.name} | {code.meaning} |"
            for code in kind.codes.values()
            if code.outcome != NOT_CHECKED
        ]
        lines.append("")
    return "\n".join(lines)


def test_the_document_says_every_code() -> None:
    text = DOCUMENT.read_text("utf-8")
    _, _, rest = text.partition("<!-- codes -->\n")
    found, _, _ = rest.partition("<!-- end of codes -->")
    assert found.strip() == table().strip(), f"docs/checks.md should hold:\n{table()}"
    assert NOT_CHECKED in text
