"""A tree has bounds, so that a small manifest cannot stand for one that fills the memory."""

from __future__ import annotations

import pytest

from reproducibility import digest, manifest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/".join("d" * 201), "200 deep"),
        ("d/" * 100_000 + "f", "100000 deep"),
        ("n" * 1025, "its longest part of 1025"),
        ("a/" + "ä" * 513, "its longest part of 1026"),
        ("/".join(["n" * 1000] * 5), "a path of 5004 bytes"),
    ],
)
def test_a_path_has_bounds(path: str, words: str) -> None:
    entry = manifest.file(path, digest.of_bytes(b""), 0)
    with pytest.raises(InputError, match=words) as caught:
        Tree([entry])
    assert len(caught.value.subject) < 100
    with pytest.raises(InputError, match=words):
        Tree.parse(manifest.MAGIC + f"f 0 {entry.digest} {path}\n".encode())


def test_moving_a_tree_keeps_the_bounds() -> None:
    tree = Tree([manifest.directory("/".join("d" * 198))])
    assert len(tree.at("a/b")) == 1
    with pytest.raises(InputError, match="200 deep"):
        tree.at("a/b/c")


def test_a_tree_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(manifest.directory(f"{letter}/{letter * 9}") for letter in "abc")
    for name, words in (
        ("MOST_ENTRIES", "a tree can have 1"),
        ("MOST_NAMES", "too long, all together"),
        ("MOST_FOLDERS", "too long, all together"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(manifest, name, 1)
            with pytest.raises(InputError, match=words):
                Tree(tree)
    monkeypatch.setattr(manifest, "MOST_ENTRIES", 1)
    with pytest.raises(InputError, match="more than 1 entries"):
        Tree.parse(tree.serialize())


def test_a_tree_of_too_many_files_says_what_to_do_and_looks_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert manifest.MOST_ENTRIES >= 1_000_000
    monkeypatch.setattr(manifest, "MOST_ENTRIES", 3)
    entries = (manifest.directory(str(number)) for number in range(100))
    with pytest.raises(InputError, match="a tree can have 3") as caught:
        Tree(entries)
    assert "`exclude`" in caught.value.remedy
    assert next(entries).path == "4"
