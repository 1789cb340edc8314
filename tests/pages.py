"""Builds and audits that a report is made of in tests: plain, failing, and with hostile names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import model
from orchestrator.audit import model as audits
from orchestrator.report.packages import Package
from reproducibility import canonical, digest
from tests import results
from tests.unit.orchestrator.audit import test_model as audit_samples

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult

# Each would do something if it were taken for anything but text.
HOSTILE = (
    "<script>fetch('//evil.example')</script>",
    '"><img src=x onerror=alert(1)>',
    "'></title></style></svg><script>alert(1)</script>",
    "<!--", "-->", "]]>", "&lt;b&gt;", "javascript:alert(1)",
    "\x1b]0;title\x07\x1b[2J", "\x00\x7f\x85", "line\nfeed\rtab\t",
    "\u202egnp.exe\u202c", "\u2066isolated\u2069", "\u2028\u2029", "\ufeff",
    "עברית/العربية", "a" * 10_000, "<" * 10_000,
)  # fmt: skip
DIGESTS = [str(digest.of_bytes(str(number).encode())) for number in range(40)]
MATRIX_CELL: dict[str, Any] = {
    "host": "amd64",
    "target": "riscv64",
    "root": "go 1.26.6",
    "engine": "sandbox",
    "how": "native emulated",
    "comparison": "release",
    "verdict": "SKIP",
    "reason": "nobody has filled this cell",
    "evidence": None,
    "when": "",
    "command": "orchestrate audit --native riscv64",
}


def build(**changes: Any) -> BuildResult:  # noqa: ANN401 - JSON
    """A build with every stage; `changes`: of its JSON object."""
    names = (
        ("T1/dist", "T1"), ("T1/toolchain", "T1"), ("F1", "F1"),
        ("std/amd64/list", "standard library"), ("std/amd64", "standard library"), ("F2", "F2"),
        ("cross/riscv64", "cross"), ("cross-by-F2/riscv64", "cross by F2"),
        ("commands/example.com/tools/amd64/0", "commands"),
        ("commands/example.com/tools/amd64/1", "commands"),
        ("boot files/amd64", "boot files"), ("image", "image"),
    )  # fmt: skip
    steps = [
        results.step(
            name,
            stage=stage,
            outputs=DIGESTS[number],
            provenance={**results.PROVENANCE, "when": f"2026-01-01T00:{number:02}:10Z"},
        )
        for number, (name, stage) in enumerate(names)
    ]
    return results.build_result(**{"steps": steps, **changes})


def failing() -> BuildResult:
    """A build of which F2 is not F1, a record is missing, and a rule was not enforced."""
    difference = {"path": "bin/go", "field": "blake3", "first": "a" * 64, "second": None}
    checks = [
        {
            **results.check(
                verdict="FAIL",
                code="fixed-point.differs",
                reason="1 paths differ: bin/go: blake3 aaaaaaaaaaaaaaaa and bbbbbbbbbbbbbbbb",
            ),
            "differences": [difference, {**difference, "path": "bin/gofmt"}],
            "differences_total": 12,
        },
        results.check(
            "== published release",
            "riscv64",
            "SKIP",
            "the public log has no record",
            "release.absent-record",
        ),
        results.check("read back by pyfatfs == root", "sourcery.img", code="image-read-back.same"),
    ]
    way = {
        "id": results.NOTHING,
        "limits": {"memory_bytes": 6 << 30, "seconds": 3600, "cpus": 0},
        "enforcement": [
            {"rule": "no-network", "state": "enforced", "means": "a network namespace"},
            {"rule": "memory", "state": "not enforced", "means": "no cgroup is delegated"},
        ],
    }
    rules = {"no-network": "no interface but loopback", "memory": "a limit on memory"}
    return build(verdict="FAIL", checks=checks, isolation={"rules": rules, "enforced": [way]})


def audit(result: BuildResult, **changes: Any) -> AuditResult:  # noqa: ANN401 - JSON
    """An audit of a build in which a step is guilty; `changes`: of its JSON object."""
    explanation = {
        "lines": [
            "bin/go: section .note.go.buildid, 83 of 100 bytes differ",
            "  first  host=builder",
            "  second host=another-host-name",
            "class of the cause: user (certain)",
        ],
        "document": {},
    }
    rounds = [{**audit_samples.ROUND, "explanation": explanation}]
    made = audit_samples.document(
        steps=[{**audit_samples.STEP, "name": "F2", "rounds": rounds}], matrix=[MATRIX_CELL]
    )
    made["audited"]["result"] = str(digest.of_bytes(model.dumps(result)))
    made["variations"][0]["guilty"] = ["F2"]
    return audits.parse(canonical.pretty({**made, **changes}))


def hostile(words: str) -> tuple[BuildResult, AuditResult, tuple[Package, ...]]:
    """A build, its audit and packages in which every foreign text is `words`."""
    document = _replaced(failing().document(), words)
    made = model.BuildResult.model_validate(document)
    told = _replaced(audit(made).document(), words)
    packages = (Package(words, words, words, "module"),)
    return made, audits.AuditResult.model_validate(told), packages


# Fields of both models whose text anybody may have written.
_FOREIGN = frozenset({
    "name", "stage", "subject", "reason", "path", "first", "second", "kernel", "python",
    "identity", "version", "when", "means", "change", "file", "archive", "initramfs", "meaning",
    "observed", "tool", "step", "last", "root", "engine", "command", "only",
})  # fmt: skip


def _replaced(value: Any, words: str, name: str = "") -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _replaced(inner, words, key) for key, inner in value.items()}
    if isinstance(value, list):
        if name in {"lines", "guilty", "variations", "surroundings", "missing"} and all(
            isinstance(one, str) for one in value
        ):
            return [words for _ in value]
        return [_replaced(inner, words, name) for inner in value]
    if name not in _FOREIGN or not isinstance(value, str):
        return value
    # Some have a narrower form: what is not of it never gets so far.
    narrow = value.startswith("sourcery.") or (name == "archive" and value == results.ZEROS)
    return value if narrow else words
