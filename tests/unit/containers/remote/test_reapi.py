"""Our definition of the API's messages against the public ones.

`public_definitions.json` has number, type and whether it is repeated of each field of the messages
that are used, as the public packages of remote_execution.proto (2.3 and later), operations.proto,
bytestream.proto, status.proto and error_details.proto have them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containers.remote import reapi_pb2 as api

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).with_name("public_definitions.json")).read_bytes()
)
PACKAGES = (
    *("build.bazel.remote.execution.v2.", "build.bazel.semver.", "google.longrunning."),
    *("google.rpc.", "google.bytestream."),
)
OURS = "sourcery.remote."
OWN = {"TreeBytes"}
TYPES = {3: "int64", 5: "int32", 8: "bool", 9: "string", 12: "bytes"}


def found(message: Any, start: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - descriptors
    yield start + message.name, message
    for inner in message.nested_types:
        yield from found(inner, f"{start}{message.name}.")


MESSAGES = {
    name: message
    for top in api.DESCRIPTOR.message_types_by_name.values()
    for name, message in found(top)
    if name not in OWN
}


def public(name: str) -> str:
    """The public name of one of ours."""
    (one,) = (package + name for package in PACKAGES if package + name in PUBLIC)
    return one


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_fields_are_the_public_ones(name: str) -> None:
    theirs = PUBLIC[public(name)]
    for field in MESSAGES[name].fields:
        kind = TYPES.get(field.type)
        if field.message_type is not None:
            kind = field.message_type.full_name
        if field.enum_type is not None:
            kind = field.enum_type.full_name
        kind = str(kind)
        if kind.startswith(OURS):
            inner = kind.removeprefix(OURS)
            kind = f"{'enum ' if field.enum_type else ''}{public(inner)}"
        assert [field.number, kind, field.is_repeated] == theirs[field.name], field.name


def test_enumerations_have_the_public_numbers() -> None:
    seen = 0
    for name, message in MESSAGES.items():
        for enum in message.enum_types:
            theirs = PUBLIC[public(f"{name}.{enum.name}")]
            for one in enum.values:
                assert theirs[one.name] == one.number
                seen += 1
    assert seen > 10


def test_a_wrong_number_is_seen() -> None:
    theirs = PUBLIC[public("Digest")]
    assert theirs["hash"] == [1, "string", False]
    assert theirs["size_bytes"] != [3, "int64", False]


def test_the_tree_of_bytes_is_a_tree() -> None:
    tree = api.Tree(root=api.Directory(files=[api.FileNode(name="a")]))
    tree.children.add().symlinks.add(name="b")
    read = api.TreeBytes.FromString(tree.SerializeToString())
    assert api.Directory.FromString(read.root) == tree.root
    assert [api.Directory.FromString(one) for one in read.children] == list(tree.children)


def test_it_is_generated_from_the_definition() -> None:
    text = Path(api.__file__).with_name("reapi.proto").read_text("utf-8")
    for name, message in MESSAGES.items():
        assert f"message {message.name} {{" in text, name
        for field in message.fields:
            assert f" {field.name} = {field.number};" in text, (name, field.name)
