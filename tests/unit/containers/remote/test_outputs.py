"""Outputs as a farm describes them: bounded, and nothing that no tree can hold."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.policy import Limits
from containers.remote import naming, outputs
from containers.remote import reapi_pb2 as api
from containers.remote.naming import Name
from reproducibility.errors import ActionError, InfrastructureError, SourceryError

FILE = naming.of_bytes("blake3", b"content").message


def listed(tree: api.Tree, limits: Limits | None = None) -> list[outputs.Output]:
    return outputs.listed(tree.SerializeToString(), "blake3", limits or Limits())


def child(tree: api.Tree, folder: api.Directory) -> api.Digest:
    """Put a folder into a tree; its digest."""
    tree.children.append(folder)
    return naming.of_bytes("blake3", folder.SerializeToString()).message


def test_files_and_empty_folders_are_listed() -> None:
    tree = api.Tree()
    inner = api.Directory()
    inner.files.add(name="c", digest=FILE, is_executable=True)
    tree.root.files.add(name="z", digest=FILE)
    tree.root.directories.add(name="a", digest=child(tree, inner))
    tree.root.directories.add(name="b", digest=child(tree, api.Directory()))
    name = Name.parse(FILE)
    assert listed(tree) == [
        outputs.Output("a/c", name, executable=True),
        outputs.Output("b", None),
        outputs.Output("z", name),
    ]


def test_a_small_message_cannot_stand_for_an_endless_tree() -> None:
    tree = api.Tree()
    folder = api.Directory()
    folder.files.add(name="f", digest=FILE)
    for _ in range(40):
        digest = child(tree, folder)
        folder = api.Directory()
        for name in ("a", "b"):
            folder.directories.add(name=name, digest=digest)
    tree.root.CopyFrom(folder)
    with pytest.raises(outputs.ExceededError) as caught:
        listed(tree, Limits(files=1000))
    assert caught.value.limit == "files"


def test_folders_too_deep_are_refused() -> None:
    tree = api.Tree()
    folder = api.Directory()
    folder.files.add(name="f", digest=FILE)
    for _ in range(300):
        digest = child(tree, folder)
        folder = api.Directory()
        folder.directories.add(name="a", digest=digest)
    tree.root.CopyFrom(folder)
    with pytest.raises(ActionError, match="nested more than"):
        listed(tree)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/"])
def test_names_that_are_none_are_refused(name: str) -> None:
    tree = api.Tree()
    tree.root.files.add(name=name, digest=FILE)
    with pytest.raises(InfrastructureError, match="not understood"):
        listed(tree)


def test_a_folder_that_is_not_there_is_refused() -> None:
    tree = api.Tree()
    tree.root.directories.add(name="a", digest=FILE)
    with pytest.raises(InfrastructureError, match="is not in it"):
        listed(tree)


def test_a_link_is_refused_wherever_it_is() -> None:
    tree = api.Tree()
    inner = api.Directory()
    inner.symlinks.add(name="link", target="/etc/passwd")
    tree.root.directories.add(name="a", digest=child(tree, inner))
    with pytest.raises(ActionError, match="no links") as caught:
        listed(tree)
    assert caught.value.subject == "a/link"


def test_sizes_are_counted_before_anything_is_brought() -> None:
    tree = api.Tree()
    tree.root.files.add(name="a", digest=api.Digest(hash="a" * 64, size_bytes=1 << 40))
    with pytest.raises(outputs.ExceededError) as caught:
        listed(tree, Limits(work=1 << 30))
    assert caught.value.limit == "work"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_refused(data: bytes) -> None:
    with contextlib.suppress(SourceryError, outputs.ExceededError):
        outputs.listed(data, "sha256", Limits())


def test_outputs_are_found_by_their_paths() -> None:
    result = api.ActionResult()
    result.output_directories.add(path="outputs", tree_digest=FILE)
    result.output_files.add(path="report", digest=FILE, contents=b"content")
    result.output_files.add(path="other", digest=FILE, contents=b"cont")
    assert outputs.folder(result, "outputs") == Name.parse(FILE)
    assert outputs.folder(result, "report") is None
    assert outputs.file(result, "report", "blake3") == (Name.parse(FILE), b"content")
    assert outputs.file(result, "other", "blake3") == (Name.parse(FILE), None)
    assert outputs.file(result, "none", "blake3") is None


def test_bytes_at_hand_are_taken_only_if_they_are_those_of_the_name() -> None:
    result = api.ActionResult()
    result.output_files.add(path="report", digest=FILE, contents=b"forged!")
    assert outputs.file(result, "report", "blake3") == (Name.parse(FILE), None)
    assert outputs.words(b"forged!", FILE, "blake3") == (Name.parse(FILE), None)
    assert outputs.words(b"", FILE, "blake3") == (Name.parse(FILE), None)
    assert outputs.words(b"content", FILE, "blake3") == (Name.parse(FILE), b"content")
    # Without a name they have none but their own.
    assert outputs.words(b"content", api.Digest(), "blake3") == (Name.parse(FILE), b"content")
    nothing = naming.of_bytes("blake3", b"")
    assert outputs.words(b"", api.Digest(), "blake3") == (nothing, b"")
    assert outputs.words(b"", nothing.message, "blake3") == (nothing, b"")
    none = api.Digest(hash=FILE.hash)
    assert outputs.words(b"", none, "blake3") == (Name(FILE.hash, 0), None)


def test_of_two_at_one_path_none_is_taken() -> None:
    result = api.ActionResult()
    for _ in range(2):
        result.output_directories.add(path="outputs", tree_digest=FILE)
        result.output_files.add(path="report", digest=FILE)
    with pytest.raises(InfrastructureError, match="report is there 2 times"):
        outputs.file(result, "report", "blake3")
    with pytest.raises(InfrastructureError, match="outputs is there 2 times"):
        outputs.folder(result, "outputs")
