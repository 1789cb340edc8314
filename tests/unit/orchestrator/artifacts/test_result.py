"""`result.json` as a value: what goes into it, and that its file form gives it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.engine import Identity
from orchestrator.artifacts import image as making
from orchestrator.artifacts import model, result, root
from orchestrator.execution.step import Provenance, Result, Step
from orchestrator.lock import file as locks
from orchestrator.resources import VERSION
from reproducibility import canonical, codes, digest
from reproducibility.compare import KEPT, Check, Difference, Verdict, trees
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, file
from tests import results as samples
from tests.unit.orchestrator import samples as plans

if TYPE_CHECKING:
    from orchestrator.lock.file import Lock

ROOT = Path(__file__).resolve().parents[4]
LOCK: Lock = locks.load(ROOT / "sourcery.lock")
HERE = digest.of_bytes(b"here")
ISOLATION: dict[str, Any] = {
    "limits": {"memory_bytes": 5},
    "enforcement": [{"rule": "no-network", "state": "enforced", "means": "a namespace"}],
}
PROVENANCE = Provenance(
    Identity("fake", "a", "1"), ISOLATION, "9.9", "2026-01-01T00:00:00Z", "{}\n", cpus=2
)
COMPUTED = replace(PROVENANCE, cpus=None, isolation={"limits": {}, "enforcement": []})
TREE = Tree([file("bin/go", HERE, 4, executable=True)])


def ran(key: bytes, provenance: Provenance | None, *, cached: bool = False) -> Result:
    own = digest.of_bytes(key)
    made = Result(own, TREE, HERE, HERE, 1.23456, 7, cached=cached, provenance=provenance)
    return replace(made, action=digest.of_bytes(b"what %b does" % key))


def put_together(checks: tuple[Check, ...] = (), **changes: Any) -> model.BuildResult:  # noqa: ANN401 - parts of a result
    results = {
        "a": replace(ran(b"a", PROVENANCE), conditions={"host": "elsewhere"}),
        "b": ran(b"b", PROVENANCE, cached=True),
        "c": ran(b"c", None, cached=True),
        "image": replace(ran(b"i", COMPUTED), kind="computation"),
        "idle": replace(ran(b"", None, cached=True), kind="nothing", action=None),
    }
    artifact = making.Artifact(making.IMAGE, 5, HERE, digest.sha256_of_bytes(b"here"))
    counts = root.Counts(
        prebuilt={"amd64": 1},
        commands={"amd64": 2},
        constrained={"amd64": ("src/x",)},
        source_files=1,
        source_bytes=2,
        seed_files=3,
        seed_bytes=4,
        boot_files=5,
        boot_bytes=6,
        programs={"amd64": ("linux_amd64/bin/go",)},
    )
    parts: dict[str, Any] = {
        "verdict": Verdict.PASS,
        "image": making.Image(artifact, artifact, TREE.digest, ()),
        "checks": checks,
        "steps": [Step(name, f"stage of {name}", "", (), lambda _: None) for name in results],
        "results": results,
        "spec": HERE,
        "pinned": LOCK,
        "chain": plans.chain(),
        "assembled": root.Root(TREE, counts),
        "engine": Identity("fake", "b", "2"),
        "seconds": 2.00049,
        "peak_memory": 8,
    }
    return result.build_result(**{**parts, **changes})


def test_a_result_says_what_it_was_made_from_and_by_what() -> None:
    made = put_together().document()
    assert (made["schema"], made["tool"]) == (model.FORMAT, VERSION)
    assert (made["spec"], made["lock"]) == (str(HERE), str(LOCK.digest))
    assert made["inputs"] == LOCK.model_dump(mode="json")["inputs"]
    assert made["engine"] == {"name": "fake", "identity": "b", "version": "2"}
    assert made["host"]["architecture"] == "amd64"
    assert made["root"]["tree"] == str(TREE.digest)
    assert (made["root"]["files"], made["root"]["bytes"]) == (1, 4)
    assert made["seconds"] == 2.0
    assert [patch["file"] for patch in made["patches"]] == ["src/cmd/dist/build.go"]


def test_every_step_says_key_action_outputs_and_where_it_comes_from() -> None:
    made = put_together()
    one, two, three, image, idle = made.document()["steps"]
    (kept,) = made.isolation.enforced
    assert one == {
        "name": "a",
        "stage": "stage of a",
        "kind": "action",
        "key": str(digest.of_bytes(b"a")),
        "action": str(digest.of_bytes(b"what a does")),
        "conditions": {"host": "elsewhere"},
        "outputs": str(TREE.digest),
        "seconds": 1.235,
        "peak_memory": 7,
        "cached": False,
        "origin": "ran here",
        "provenance": {
            "engine": {"name": "fake", "identity": "a", "version": "1"},
            "isolation": str(kept.id),
            "tool": "9.9",
            "when": "2026-01-01T00:00:00Z",
            "observed": "{}",
            "cpus": 2,
        },
    }
    assert (two["origin"], two["provenance"]) == ("remembered", one["provenance"])
    assert (three["origin"], three["provenance"]) == ("remembered", None)
    assert (image["kind"], image["action"]) == ("computation", str(digest.of_bytes(b"what i does")))
    assert (image["origin"], image["provenance"]["isolation"]) == ("ran here", None)
    assert (idle["kind"], idle["action"], idle["origin"]) == ("nothing", None, "nothing to do")
    assert kept.id == digest.of_bytes(canonical.dumps(ISOLATION))


def test_checks_carry_their_codes_and_differences_as_values() -> None:
    other = Tree(file(f"f{n:03}", HERE, 4) for n in range(200))
    found = trees(codes.FIXED_POINT, "amd64", TREE, other)
    said = Check(codes.RELEASE["absent-record"], "riscv64", "no record")
    checks = put_together((found, said)).checks
    assert tuple(check.value() for check in checks) == (found, said)
    assert [check.code for check in checks] == ["fixed-point.differs", "release.absent-record"]
    assert [check.verdict for check in checks] == ["FAIL", "SKIP"]
    assert (len(checks[0].differences), checks[0].differences_total) == (KEPT, 201)
    assert checks[0].differences[0].model_dump() == {
        "path": "bin/go",
        "field": "kind",
        "first": "file",
        "second": None,
    }


VALUES = st.none() | st.booleans() | st.integers(0, 1 << 40) | st.text(max_size=5)


@given(
    st.sampled_from(sorted(codes.CODES)),
    st.text(),
    st.lists(st.builds(Difference, st.text(), st.text(), VALUES, VALUES), max_size=3),
    st.floats(0, 1e6),
    st.integers(0, 1 << 62),
)
def test_the_file_form_gives_the_value_back_and_the_value_its_bytes(
    code: str, words: str, differences: list[Difference], seconds: float, memory: int
) -> None:
    check = Check(codes.find(code), words, words, tuple(differences))
    made = put_together((check,), seconds=seconds, peak_memory=memory)
    data = model.dumps(made)
    again = model.parse(data)
    assert again == made
    assert model.dumps(again) == data
    # A value keeps its type: 1 is not true.
    assert [repr(one.first) for one in again.checks[0].differences] == [
        repr(one.first) for one in differences
    ]


def test_a_result_of_a_version_that_did_not_record_cpus_is_read() -> None:
    older = {name: value for name, value in samples.PROVENANCE.items() if name != "cpus"}
    document = samples.document(steps=[samples.step(provenance=older)])
    step = model.parse(canonical.pretty(document)).steps[0]
    assert step.provenance is not None
    assert step.provenance.cpus is None


def test_the_sample_is_a_whole_result() -> None:
    data = canonical.pretty(samples.document())
    assert model.dumps(model.parse(data)) == data


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"checks": [{**samples.check(), "verdict": "OK"}]}, "checks[0].verdict: "),
        ({"checks": [{**samples.check(), "differences": [{}]}]}, "checks[0].differences[0].path: "),
        ({"steps": [samples.step(kind="other")]}, "steps[0].kind: "),
        ({"steps": [samples.step(seconds=-1)]}, "steps[0].seconds: "),
        ({"steps": [samples.step(key="blake3:0")]}, "steps[0].key: "),
        ({"steps": [samples.step(key=f"sha256:{samples.ZEROS}")]}, "steps[0].key: "),
        ({"steps": [samples.step(action=7)]}, "steps[0].action: "),
        ({"steps": [samples.step(more=7)]}, "steps[0].more: "),
        ({"inputs": [{"kind": "other"}]}, "inputs[0]: "),
        ({"host": {"architecture": "vax"}}, "host.architecture: "),
        ({"engine": "sandbox"}, "engine: "),
        ({"spec": None}, "spec: "),
    ],
)
def test_what_is_of_another_type_is_refused_with_its_place(
    changes: dict[str, Any], place: str
) -> None:
    with pytest.raises(InputError) as refused:
        samples.build_result(**changes)
    assert f"this is not the result of a build: malformed at {place}" in refused.value.summary


def test_values_do_not_change() -> None:
    made = put_together()
    with pytest.raises(ValueError, match="frozen"):
        made.verdict = "PASS"


def test_the_document_names_every_field() -> None:
    text = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("result.md", "checks.md"))
    waiting: list[Any] = [samples.document()]
    names: set[str] = set()
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += here
        elif isinstance(here, dict):
            names |= here.keys()
            waiting += here.values()
    # Keys that are data: architectures, rules and limits.
    names -= {"amd64", "riscv64", "no-network", "memory_bytes"}
    assert {name for name in names if f"`{name}`" not in text} == set()
