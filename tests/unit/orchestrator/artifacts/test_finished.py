"""A finished build as others use it: its root comes from the store, or from the archive beside."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts.finished import Finished, UnfinishedError
from orchestrator.image.cpio import writer as cpio
from orchestrator.resources import VERSION
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.errors import ComparisonError, InputError
from reproducibility.manifest import Tree, file, scan
from tests import results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EPOCH = 1_767_225_600
IMAGE: dict[str, Any] = results.document()["image"]
ROOT: dict[str, Any] = results.document()["root"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with nothing in it."""
    with closing(Store(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return archived(tmp_path, b"package main\n")


def archived(tmp_path: Path, content: bytes) -> Tree:
    """An output directory with an archive of a tree."""
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    with closing(Store(tmp_path / "builder")) as builder:
        entry = file("src/main.go", builder.put_bytes(content), len(content))
        tree = Tree([entry, file("bin/x", builder.put_bytes(b"x"), 1, executable=True)])
        cpio.write(tree, builder.path, out / "sourcery.cpio.zst", epoch=_EPOCH)
    return tree


def load(tmp_path: Path, tree: Tree, **changes: Any) -> Finished:  # noqa: ANN401 - JSON
    out = tmp_path / "out"
    archive = out / "sourcery.cpio.zst"
    own = {"cpio": {"blake3": digest.of_file(archive).hex}, "root": {"tree": str(tree.digest)}}
    document = {**results.document(**own), **changes}
    (out / "result.json").write_text(json.dumps(document))
    return Finished.load(out)


def test_from_the_archive_then_from_the_store(tmp_path: Path, tree: Tree, store: Store) -> None:
    finished = load(tmp_path, tree)
    root = finished.root(store)
    assert scan(root).digest == tree.digest
    assert {path.stat().st_mtime for path in root.rglob("*")} == {_EPOCH}
    inode = root.stat().st_ino
    assert finished.root(store).stat().st_ino == inode
    assert store.load_tree(tree.digest) == tree


def test_a_tree_that_the_store_has_is_not_unpacked(
    tmp_path: Path, tree: Tree, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = load(tmp_path, tree)
    source = finished.root(store)
    with closing(Store(tmp_path / "other")) as other:
        other.put_tree(source)
        monkeypatch.setattr("orchestrator.image.cpio.reader.unpack", None)
        assert scan(finished.root(other)).digest == tree.digest


def test_another_archive_is_refused(tmp_path: Path, tree: Tree, store: Store) -> None:
    finished = load(tmp_path, tree)
    archived(tmp_path, b"package other\n")
    with pytest.raises(ComparisonError, match="not the one that the result names"):
        finished.root(store)


def test_another_tree_is_refused(tmp_path: Path, tree: Tree, store: Store) -> None:
    archived(tmp_path, b"package other\n")
    finished = load(tmp_path, tree)
    with pytest.raises(ComparisonError, match="the archive holds the tree"):
        finished.root(store)


def test_no_archive(tmp_path: Path, tree: Tree, store: Store) -> None:
    finished = load(tmp_path, tree)
    finished.archive.unlink()
    with pytest.raises(InputError, match=r"sourcery\.cpio\.zst"):
        finished.root(store)


def test_what_a_result_says(tmp_path: Path, tree: Tree) -> None:
    finished = load(tmp_path, tree)
    assert finished.architectures == ["amd64", "riscv64"]
    assert finished.image == tmp_path / "out" / "sourcery.img"
    assert finished.image_digest.hex == "b" * 64


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "image": {}}'])
def test_what_is_no_result(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError):
        Finished.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"image": []}, "image: "),
        ({"image": {"path": "a", "size": 1}}, "image.blake3: Field required"),
        ({"image": {**IMAGE, "path": 7}}, "image.path: "),
        ({"image": {**IMAGE, "blake3": "0" * 63}}, "image.blake3: "),
        ({"image": {**IMAGE, "size": "1"}}, "image.size: "),
        ({"image": {**IMAGE, "path": "../a"}}, "image.path: "),
        ({"image": {**IMAGE, "path": "a/b"}}, "image.path: "),
        ({"image": {**IMAGE, "path": ".."}}, "image.path: "),
        ({"image": {**IMAGE, "more": 1}}, "image.more: "),
        ({"cpio": "sourcery.cpio.zst"}, "cpio: "),
        ({"cpio": {"path": "/etc/passwd"}}, "cpio.path: "),
        ({"cpio": {"path": "sourcery.cpio.zst"}}, "cpio.size: Field required"),
        ({"root": {**ROOT, "tree": 1}}, "root.tree: "),
        ({"root": {**ROOT, "tree": "blake3:0"}}, "root.tree: "),
        ({"root": {**ROOT, "commands": 5}}, "root.commands: "),
        ({"root": {**ROOT, "commands": {"amd64": [1]}}}, "root.commands.amd64: "),
        ({"root": None}, "root: "),
        ({"verdict": {"PASS": 1}}, "verdict: "),
        ({"verdict": []}, "verdict: "),
        ({"verdict": "fail"}, "verdict: "),
        ({"steps": [results.step(seconds="1")]}, "steps[0].seconds: "),
        ({"steps": [results.step(provenance={})]}, "steps[0].provenance.engine: Field required"),
        ({"checks": [results.check(code="no code")]}, "checks[0].code: "),
        ({"schema": True}, "schema: "),
        ({"schema": "1"}, "schema: "),
        ({"schema": 10**50}, "schema: a number of more than 64 bits"),
    ],
)
def test_a_result_with_other_types_is_the_persons_matter(
    tmp_path: Path, tree: Tree, changes: dict[str, Any], place: str
) -> None:
    with pytest.raises(InputError) as refused:
        load(tmp_path, tree, **changes)
    assert f"this is not the result of a build: malformed at {place}" in refused.value.summary
    assert refused.value.subject == str(tmp_path / "out" / "result.json")
    assert "orchestrate build" in refused.value.remedy


@pytest.mark.parametrize(
    ("document", "maker"),
    [
        ({"stages": [{"provenance": {"origin": "ran here", "tool": "0.0.9"}}]}, "version 0.0.9"),
        ({"stages": [{"provenance": {"origin": "remembered", "tool": "0.0.8"}}]}, "another"),
        ({"stages": [7, {}, {"provenance": None}]}, "another version"),
        ({"stages": 7}, "another version"),
        ({"schema": 3, "tool": "2.1.0", "stages": []}, "version 2.1.0"),
        ({"schema": 3, "tool": "\x1b[31m"}, "another version"),
    ],
)
def test_a_result_of_another_version_says_of_which(
    tmp_path: Path, document: dict[str, Any], maker: str
) -> None:
    older = {"schema": 1, "verdict": "PASS", "image": {"path": "sourcery.img"}, **document}
    (tmp_path / "result.json").write_text(json.dumps(older))
    with pytest.raises(InputError) as refused:
        Finished.load(tmp_path)
    assert f"by {maker}" in refused.value.summary
    assert f"in format {older['schema']}; version {VERSION} reads format 2" in refused.value.summary
    assert refused.value.status == 2
    assert refused.value.subject == str(tmp_path / "result.json")
    assert "orchestrate build" in refused.value.remedy


def test_files_without_a_result_are_not_finished(tmp_path: Path, tree: Tree) -> None:
    finished = load(tmp_path, tree)
    (finished.out / "SHA256SUMS").write_text("")
    (finished.out / "result.json").unlink()
    with pytest.raises(InputError, match="not a finished build") as caught:
        Finished.load(finished.out)
    assert caught.value.remedy.startswith("build again")
    (finished.out / ".sourcery-unfinished").write_text("")
    with pytest.raises(UnfinishedError, match="not finished"):
        Finished.load(finished.out)
