"""Tree manifests: one form for one tree, every operation gives a well-formed tree again."""

from __future__ import annotations

import os
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.host import scratch
from reproducibility import digest, manifest
from reproducibility.errors import InputError
from reproducibility.manifest import Entry, Tree

if TYPE_CHECKING:
    from pathlib import Path

# Few parts, so that paths collide, lie in each other and sort in surprising ways: "a.b" comes
# before "a/b" by code point.
PARTS = st.sampled_from(["a", "b", "a.b", "A", "é", "a b", "d"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
CONTENT = st.binary(max_size=2)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    path = draw(PATHS)
    if draw(st.integers(0, 4)) == 0:
        return manifest.directory(path)
    content = draw(CONTENT)
    return manifest.file(
        path, digest.of_bytes(content), len(content), executable=draw(st.booleans())
    )


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    found: dict[str, Entry] = {}
    for entry in draw(st.lists(entries(), max_size=8)):
        parents = {str(parent) for parent in PurePosixPath(entry.path).parents}
        below = any(entry.path in map(str, PurePosixPath(path).parents) for path in found)
        if below or any(parent in found and found[parent].size >= 0 for parent in parents):
            continue
        found.setdefault(entry.path, entry)
    return Tree(found.values())


def one(path: str, content: bytes = b"", *, executable: bool = False) -> Entry:
    return manifest.file(path, digest.of_bytes(content), len(content), executable=executable)


def well_formed(tree: Tree) -> bool:
    return Tree.parse(tree.serialize()) == tree


# -- the text form ---------------------------------------------------------------------------------


def test_the_text_form_is_fixed() -> None:
    tree = Tree([one("b/x", b"go", executable=True), manifest.directory("c"), one("a.b")])
    empty, go = digest.of_bytes(b"").hex, digest.of_bytes(b"go").hex
    text = f"sourcery-tree 1\nf 0 {empty} a.b\nx 2 {go} b/x\nd 0 - c\n"
    assert tree.serialize() == text.encode()
    assert tree.digest == digest.of_bytes(text.encode())
    assert Tree().serialize() == b"sourcery-tree 1\n"


@given(trees())
def test_reads_back_what_it_wrote(tree: Tree) -> None:
    again = Tree.parse(tree.serialize())
    assert again == tree
    assert again.digest == tree.digest
    assert hash(again) == hash(tree)


@given(trees(), trees())
def test_equal_digests_mean_equal_trees(first: Tree, second: Tree) -> None:
    assert (first == second) == (first.digest == second.digest)


@given(st.lists(entries(), max_size=6))
def test_the_order_of_entries_does_not_matter(found: list[Entry]) -> None:
    try:
        tree = Tree(found)
    except InputError:
        with pytest.raises(InputError):
            Tree(reversed(found))
        return
    assert Tree(reversed(found)) == tree
    assert [entry.path for entry in tree] == sorted(entry.path for entry in tree)


EMPTY = digest.of_bytes(b"").hex


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sourcery-tree 2\n",
        "sourcery-tree 1",
        f"sourcery-tree 1\nf 0 {EMPTY} a",
        f"sourcery-tree 1\nf 0 {EMPTY} a\n\n",
        f"sourcery-tree 1\nf 0 {EMPTY} b\nf 0 {EMPTY} a\n",
        f"sourcery-tree 1\nf 0 {EMPTY} a\nf 0 {EMPTY} a\n",
        f"sourcery-tree 1\nf 00 {EMPTY} a\n",
        f"sourcery-tree 1\nf +1 {EMPTY} a\n",
        f"sourcery-tree 1\nf 1_0 {EMPTY} a\n",
        f"sourcery-tree 1\nf -1 {EMPTY} a\n",
        f"sourcery-tree 1\nf ٣ {EMPTY} a\n",
        f"sourcery-tree 1\nl 0 {EMPTY} a\n",
        "sourcery-tree 1\nf 0 - a\n",
        f"sourcery-tree 1\nf 0 {EMPTY[1:]} a\n",
        f"sourcery-tree 1\nf 0 {EMPTY} \n",
        f"sourcery-tree 1\nf 0 {EMPTY} ../a\n",
        f"sourcery-tree 1\nf 0 {EMPTY} /a\n",
        f"sourcery-tree 1\nf 0 {EMPTY} a\r\n",
        f"sourcery-tree 1\nd 0 {EMPTY} a\n",
        "sourcery-tree 1\nd 1 - a\n",
        f"sourcery-tree 1\nd 0 - a\nf 0 {EMPTY} a/b\n",
        f"sourcery-tree 1\nf 0 {EMPTY} a\nf 0 {EMPTY} a/b\n",
    ],
)
def test_refuses_any_other_form(text: str) -> None:
    with pytest.raises(InputError):
        Tree.parse(text.encode())


@given(trees(), st.data())
def test_one_changed_byte_is_another_tree_or_none(tree: Tree, data: st.DataObject) -> None:
    text = bytearray(tree.serialize())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = Tree.parse(bytes(text))
    except InputError:
        return
    assert changed != tree
    assert changed.serialize() == text


@given(st.binary())
def test_reading_anything_gives_a_tree_or_an_input_error(data: bytes) -> None:
    for text in (data, manifest.MAGIC + data, manifest.MAGIC + data + b"\n"):
        try:
            assert Tree.parse(text).serialize() == text
        except InputError:
            continue


# -- what a tree can hold --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "a/..",
        "./a",
        "/a",
        "a/",
        "a//b",
        "a/./b",
        "a\nb",
        "a\x00",
        "a\x7f",
        "a\udcff",
    ],
)
def test_refuses_paths_that_lead_elsewhere_or_are_no_text(path: str) -> None:
    with pytest.raises(InputError):
        Tree([one(path)])
    with pytest.raises(InputError):
        Tree([manifest.directory(path)])


@pytest.mark.parametrize(
    "found",
    [
        [one("a"), one("a", b"1")],
        [one("a"), manifest.directory("a")],
        [one("a"), one("a/b")],
        [one("a"), one("a.b"), one("a/b/c")],
        [one("a"), manifest.directory("a/b")],
        [Entry("a", "file", executable=False, size=-1, digest=EMPTY)],
        [Entry("a", "file", executable=False, size=0, digest="")],
        [Entry("a", "directory", executable=True, size=0, digest="")],
        [Entry("a", "directory", executable=False, size=1, digest="")],
        [Entry("a", "directory", executable=False, size=0, digest=EMPTY)],
    ],
)
def test_refuses_entries_that_no_folder_could_hold(found: list[Entry]) -> None:
    with pytest.raises(InputError):
        Tree(found)


def test_a_directory_with_something_in_it_is_not_listed() -> None:
    assert Tree([manifest.directory("a"), one("a/b")]) == Tree([one("a/b")])
    nested = Tree([manifest.directory("a"), manifest.directory("a/b")])
    assert [entry.path for entry in nested] == ["a/b"]


def test_looking_into_a_tree() -> None:
    tree = Tree([one("b", b"12"), one("a", b"3"), manifest.directory("c")])
    assert len(tree) == 3
    assert tree.size == 3
    assert [entry.path for entry in tree.files()] == ["a", "b"]
    assert tree.get("a") == one("a", b"3")
    assert tree.get("c") == manifest.directory("c")
    assert tree.get("none") is None
    assert one("a", b"3").content == digest.of_bytes(b"3")
    with pytest.raises(InputError):
        _ = manifest.directory("c").content
    assert "3 entries" in repr(tree)


# -- moving and cutting ----------------------------------------------------------------------------


@given(trees(), PATHS)
def test_at_and_under_undo_each_other(tree: Tree, prefix: str) -> None:
    moved = tree.at(prefix)
    assert well_formed(moved)
    assert moved.under(prefix) == tree
    assert moved.under(f"/{prefix}/") == tree
    assert all(entry.path.startswith(f"{prefix}/") for entry in moved)


@given(trees(), PATHS)
def test_under_takes_exactly_what_lies_below(tree: Tree, prefix: str) -> None:
    below = tree.under(prefix)
    assert well_formed(below)
    assert {f"{prefix}/{entry.path}" for entry in below} == {
        entry.path for entry in tree if prefix in map(str, PurePosixPath(entry.path).parents)
    }


@given(trees())
def test_the_top_is_the_tree_itself(tree: Tree) -> None:
    assert tree.at("") == tree.under("") == tree.at("/") == tree


def test_under_does_not_take_a_neighbour_with_a_longer_name() -> None:
    tree = Tree([one("bin/go"), one("binary/go"), one("bin.old")])
    assert [entry.path for entry in tree.under("bin")] == ["go"]


@pytest.mark.parametrize("prefix", ["..", "a/../b", "a//b", "./a", "a\n"])
def test_at_refuses_to_lead_out(prefix: str) -> None:
    with pytest.raises(InputError):
        Tree([one("a")]).at(prefix)


@given(trees())
def test_where_keeps_a_tree_well_formed(tree: Tree) -> None:
    files = tree.where(lambda entry: entry.kind == "file")
    assert files.entries == tuple(tree.files())
    assert well_formed(files)


def test_renamed_refuses_two_entries_in_one_place() -> None:
    tree = Tree([one("a"), one("b")])
    assert [entry.path for entry in tree.renamed(str.upper)] == ["A", "B"]
    with pytest.raises(InputError):
        tree.renamed(lambda _: "same")


# -- putting together ------------------------------------------------------------------------------


@given(trees(), trees())
def test_the_upper_tree_counts(lower: Tree, upper: Tree) -> None:
    try:
        both = lower.overlaid(upper)
    except InputError:
        # A file of one stands where the other has a folder.
        with pytest.raises(InputError):
            Tree({entry.path: entry for tree in (lower, upper) for entry in tree}.values())
        return
    assert well_formed(both)
    assert all(both.get(entry.path) == entry for entry in upper.files())
    assert all(
        both.get(entry.path) == entry for entry in lower.files() if upper.get(entry.path) is None
    )
    assert {entry.path for entry in both.files()} <= {e.path for t in (lower, upper) for e in t}


@given(trees())
def test_overlaying_with_nothing_or_itself_changes_nothing(tree: Tree) -> None:
    assert tree.overlaid(Tree()) == tree
    assert Tree().overlaid(tree) == tree
    assert tree.overlaid(tree) == tree


def test_a_file_in_an_empty_folder_takes_its_entry_away() -> None:
    lower, upper = Tree([manifest.directory("tmp")]), Tree([one("tmp/a")])
    assert lower.overlaid(upper) == upper
    assert upper.overlaid(lower) == upper
    assert manifest.merge([("one", lower), ("two", upper)]) == upper


@given(st.lists(trees(), max_size=3))
def test_merging_does_not_depend_on_the_order(parts: list[Tree]) -> None:
    named = [(f"part {number}", tree) for number, tree in enumerate(parts)]
    try:
        merged = manifest.merge(named)
    except InputError:
        with pytest.raises(InputError):
            manifest.merge(reversed(named))
        return
    assert well_formed(merged)
    assert manifest.merge(reversed(named)) == merged
    assert {entry.path for entry in merged.files()} == {e.path for t in parts for e in t.files()}
    assert all(merged.get(entry.path) == entry for tree in parts for entry in tree.files())


@given(trees(), PATHS)
def test_merging_never_loses_a_file_that_differs(tree: Tree, path: str) -> None:
    tree = tree if any(tree.files()) else Tree([one(path, b"1")])
    changed = Tree([one(next(tree.files()).path, b"another")])
    with pytest.raises(InputError):
        manifest.merge([("one", tree), ("two", changed)])


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        (one("etc/motd", b"1"), one("etc/motd", b"2"), "etc/motd"),
        (one("etc/motd", b"1"), one("etc/motd", b"1", executable=True), "etc/motd"),
        (one("etc"), one("etc/motd"), "etc"),
        (one("etc/motd"), one("etc"), "etc"),
        (one("etc"), manifest.directory("etc"), "etc"),
        (one("etc/a"), one("etc/a/b/c/d"), "etc/a"),
    ],
)
def test_a_conflict_names_both_parts_and_the_path(first: Entry, second: Entry, path: str) -> None:
    parts = [("the Go source", Tree([first])), ("the spec's files", Tree([second]))]
    with pytest.raises(InputError) as caught:
        manifest.merge(parts)
    assert caught.value.subject == path
    assert "the Go source" in caught.value.summary
    assert "the spec's files" in caught.value.summary
    assert caught.value.remedy


# -- reading a folder ------------------------------------------------------------------------------


@given(content=st.dictionaries(PATHS, CONTENT, max_size=6))
def test_scan_sees_what_lies_in_a_folder(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("scanned")
    expected = {}
    for path, data in content.items():
        place = folder / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError:
            continue
        expected[path] = data
    tree = manifest.scan(folder)
    assert well_formed(tree)
    assert {e.path: e.digest for e in tree.files()} == {
        path: digest.of_bytes(data).hex for path, data in expected.items()
    }
    assert all(entry.size == len(expected[entry.path]) for entry in tree.files())


def test_scan_sees_executable_bits_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "empty/in/side").mkdir(parents=True)
    (tmp_path / "plain").write_bytes(b"1")
    (tmp_path / "program").write_bytes(b"2")
    (tmp_path / "program").chmod(0o700)
    assert manifest.scan(tmp_path) == Tree(
        [
            manifest.directory("empty/in/side"),
            one("plain", b"1"),
            one("program", b"2", executable=True),
        ]
    )


def test_scanning_an_empty_folder_gives_the_empty_tree(tmp_path: Path) -> None:
    assert manifest.scan(tmp_path) == Tree()


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "dangling link", "fifo"])
def test_scan_refuses_what_a_tree_cannot_hold(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "top" / "it"
    place.parent.mkdir()
    (tmp_path / "file").write_bytes(b"")
    if kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(
            {"link to a file": "../file", "link to a folder": "..", "dangling link": "no"}[kind]
        )
    with pytest.raises(InputError) as caught:
        manifest.scan(tmp_path)
    assert caught.value.subject == str(place)


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"\x7f"])
def test_scan_refuses_names_that_are_no_text(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(InputError):
        manifest.scan(tmp_path)


def test_scan_does_not_go_as_deep_as_a_hostile_action(tmp_path: Path) -> None:
    deep = sys.getrecursionlimit() + 1
    top = tmp_path / "top"
    top.mkdir()
    for depth in range(1, deep + 1):
        (top / "/".join("d" * depth)).mkdir()
    try:
        with pytest.raises(InputError, match="200 deep; a path can have 200 parts"):
            manifest.scan(top)
    finally:
        scratch.remove(top)
    least = tmp_path / "least"
    (least / "/".join("d" * manifest.MOST_PARTS)).mkdir(parents=True)
    assert len(manifest.scan(least)) == 1


# -- names that steer how they are shown -----------------------------------------------------------

STEERING = [*"\x00\n\r\x08\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"]


@pytest.mark.parametrize("sign", STEERING)
def test_names_that_steer_how_they_are_shown_are_refused(sign: str) -> None:
    shown = sign.encode("unicode_escape").decode()
    for path in (f"a{sign}", f"{sign}/a", f"a/b{sign}c/d"):
        with pytest.raises(InputError, match=r"^not a clean relative path") as refused:
            Tree([one(path)])
        assert shown in refused.value.summary
        assert refused.value.subject.isprintable()
        with pytest.raises(InputError):
            Tree.parse(manifest.MAGIC + f"f 0 {EMPTY} {path}\n".encode())


@pytest.mark.parametrize("sign", [sign for sign in STEERING if sign != "\x00"])
def test_such_names_in_a_folder_are_refused(tmp_path: Path, sign: str) -> None:
    (tmp_path / f"a{sign}b").write_text("")
    with pytest.raises(InputError) as refused:
        manifest.scan(tmp_path)
    assert refused.value.diagnostics().replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "name", ["👩\u200d💻", "a\u00a0b", "\u3000", "a\u00adb", "\ufeff", "é", "ي"]
)
def test_other_names_stay_and_keep_their_digest(name: str) -> None:
    tree = Tree([one(name)])
    assert tree.serialize() == manifest.MAGIC + f"f 0 {EMPTY} {name}\n".encode()
    assert well_formed(tree)
