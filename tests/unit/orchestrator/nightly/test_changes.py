"""What changed between two builds, and the way from there to each output that changed."""

from __future__ import annotations

from typing import Any

from orchestrator.history.model import Tool
from orchestrator.nightly import changes
from reproducibility import digest
from tests import results

TOOL = Tool(version="0.1.0", digest=digest.of_bytes(b"tool"))
OTHER_TOOL = Tool(version="0.1.0", digest=digest.of_bytes(b"other tool"))


def name(text: str) -> str:
    """A digest for a name."""
    return str(digest.of_bytes(text.encode()))


def source(content: str, version: str = "v1.0.0") -> dict[str, Any]:
    """An input: a published module."""
    return {
        "kind": "go-module",
        "name": "hello",
        "host": None,
        "version": version,
        "where": "github.com/example/hello",
        "size": 10,
        "blake3": name(f"archive {content}"),
        "tree": name(f"tree {content}"),
        "module": "github.com/example/hello",
        "h1": f"h1:{'A' * 43}=",
        "vendored": name(f"vendored {content}"),
        "replace": None,
        "log": None,
    }


def build(content: str = "one", **parts: Any) -> Any:  # noqa: ANN401 - JSON
    """A build of three steps, one after the other, the first made from the input."""
    made = parts.pop("outputs", content)
    version = parts.pop("version", "v1.0.0")
    root_key = parts.pop("root_key", f"root of {content}")
    steps = [
        results.step("apart", key=name("apart"), outputs=name("out apart"), action=name("doing")),
        results.step(
            "commands/amd64",
            key=name(f"commands of {content}"),
            action=name(f"do commands of {content}"),
            outputs=name(f"out commands {made}"),
        ),
        results.step(
            "root",
            kind="computation",
            key=name(root_key),
            action=name(f"do root of {content}"),
            outputs=name(f"out root {made}"),
        ),
    ]
    document = {"inputs": [source(content, version)], "steps": steps, **parts}
    return results.build_result(**document)


def actions(content: str) -> dict[str, object]:
    """What each action of such a build names."""
    return {
        name("doing"): {"command": ["go"]},
        name(f"do commands of {content}"): {
            "inputs": [{"path": "/src", "tree": name(f"vendored {content}")}]
        },
        name(f"do root of {content}"): {"trees": {"bin": name(f"out commands {content}")}},
    }


def test_nothing_changed() -> None:
    found = changes.between(build(), build(), (TOOL, TOOL), actions("one"))
    assert not found.inputs
    assert not found.consequences
    assert not found.varying
    assert not found.tool


def test_each_changed_output_leads_back_to_the_input() -> None:
    before, now = build(), build("two", version="v1.0.1")
    found = changes.between(before, now, (TOOL, TOOL), actions("two"))
    assert [(one.what, one.first, one.second) for one in found.others] == [
        ("input hello", "v1.0.0", "v1.0.1")
    ]
    assert {one.step: one.chain for one in found.consequences} == {
        "commands/amd64": ("input hello", "commands/amd64"),
        "root": ("input hello", "commands/amd64", "root"),
    }
    assert not found.varying


def test_the_change_of_a_published_module_can_be_read() -> None:
    found = changes.between(build(), build("two", version="v1.0.1"), (TOOL, TOOL), actions("two"))
    assert found.inputs[0].link == "https://github.com/example/hello/compare/v1.0.0...v1.0.1"


def test_no_address_is_made_of_what_is_no_release() -> None:
    odd = 'v1.0.1"onclick="x'
    found = changes.between(build(), build("two", version=odd), (TOOL, TOOL), actions("two"))
    assert not found.inputs[0].link


def test_an_input_without_an_effect_has_no_consequence() -> None:
    found = changes.between(build(), build("two", outputs="one"), (TOOL, TOOL), actions("two"))
    assert found.inputs
    assert not found.consequences


def test_a_step_that_was_given_the_same_varies() -> None:
    found = changes.between(build(), build(outputs="two"), (TOOL, TOOL), actions("one"))
    assert [one.name for one in found.varying] == ["commands/amd64", "root"]
    assert not found.consequences


def test_another_tool_may_compute_otherwise_but_no_action_may_differ() -> None:
    found = changes.between(build(), build(outputs="two"), (TOOL, OTHER_TOOL), actions("one"))
    assert found.tool
    assert not found.others
    assert [one.name for one in found.varying] == ["commands/amd64"]
    assert [one.step for one in found.consequences] == ["root"]


def test_a_lock_that_says_the_same_of_every_input_is_named_itself() -> None:
    other = build(lock=name("another lock"))
    found = changes.between(build(), other, (TOOL, TOOL), actions("one"))
    assert [one.what for one in found.inputs] == ["lock"]


def test_an_output_without_a_way_back_is_the_specs() -> None:
    now = build("two", spec=name("another spec"))
    found = changes.between(build(), now, (TOOL, TOOL), {})
    assert {one.chain[0] for one in found.consequences} == {"spec"}
