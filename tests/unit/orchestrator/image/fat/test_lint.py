"""What VFAT cannot hold is found before anything is written, and both paths are named."""

from __future__ import annotations

import pytest

from orchestrator.image.fat import lint
from orchestrator.image.fat.layout import lay_out
from reproducibility import digest, manifest
from reproducibility.errors import InputError
from reproducibility.manifest import Entry, Tree
from tests.unit.orchestrator.image.samples import VOLUME, listed

_EMPTY = digest.of_bytes(b"")


def _found(tree: Tree) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.rule, finding.paths) for finding in lint.findings(tree)]


def test_nothing_wrong() -> None:
    tree = listed(
        "go/src/main.go", "go/src/main_test.go", "README", "a/b/c.d", "größe/ß", "größe/ss"
    )
    assert lint.findings(tree) == ()
    lint.check(tree)


def test_two_files_that_differ_in_case() -> None:
    assert _found(listed("go/Makefile", "go/makefile")) == [
        ("collision", ("go/Makefile", "go/makefile"))
    ]


def test_two_folders_that_differ_in_case() -> None:
    assert _found(listed("src/Foo/a", "src/foo/b")) == [("collision", ("src/Foo", "src/foo"))]


def test_a_file_and_an_empty_folder_that_differ_in_case() -> None:
    tree = Tree([manifest.directory("TMP"), manifest.file("tmp", _EMPTY, 0)])
    assert _found(tree) == [("collision", ("TMP", "tmp"))]


def test_letters_beyond_ascii_collide_too() -> None:
    assert _found(listed("Ж", "ж")) == [("collision", ("Ж", "ж"))]
    assert _found(listed("ǆ", "ǅ", "Ǆ")) == [
        ("collision", ("Ǆ", "ǅ")),
        ("collision", ("Ǆ", "ǆ")),
    ]


def test_the_same_name_in_two_folders_is_none() -> None:
    assert _found(listed("a/x", "b/X")) == []


@pytest.mark.parametrize("name", ['a"b', "what?", "a:b", "end.", "end ", "aux.c", "😀", "n" * 256])
@pytest.mark.parametrize("path", ["{}", "folder/{}", "folder/{}/file"])
def test_a_name_is_found_wherever_it_stands(name: str, path: str) -> None:
    found = [
        finding for finding in lint.findings(listed(path.format(name))) if finding.rule == "name"
    ]
    assert [finding.paths for finding in found] == [(path.format(name).removesuffix("/file"),)]


def test_an_empty_folder_with_a_bad_name() -> None:
    assert _found(Tree([manifest.directory("a/what?")])) == [("name", ("a/what?",))]


def test_path_length() -> None:
    longest = "/".join(["d" * 64] * 3 + ["f" * 63])
    assert len(longest) == lint.MAX_PATH
    assert _found(listed(longest)) == []
    assert _found(listed(longest + "f")) == [("path length", (longest + "f",))]
    assert _found(listed(longest.replace("f", "ж") + "ж")) != []


def test_file_size() -> None:
    assert _found(listed("large", size=lint.MAX_FILE)) == []
    assert _found(listed("large", size=lint.MAX_FILE + 1)) == [("file size", ("large",))]


def test_directory_size_counts_entries_not_names() -> None:
    # Three entries a name, and two for the folder itself.
    most = (65_536 - 2) // 3
    paths = [f"folder/n{number:013}" for number in range(most + 1)]
    assert _found(listed(*paths[:most])) == []
    assert _found(listed(*paths)) == [("directory size", ("folder",))]


def test_directory_size_of_the_root_counts_the_label() -> None:
    paths = [f"{number:08X}" for number in range(65_536)]
    assert _found(listed(*paths[:-1])) == []
    assert _found(listed(*paths)) == [("directory size", ("/",))]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"#!/" + b"x" * 252 + b"\n", False),
        (b"#!/" + b"x" * 253 + b"\n", True),
        (b"#!/" + b"x" * 300, True),
        (b"#!/" + b"x" * 252, False),
        (b"\x7fELF" + b"x" * 300, False),
        (b"#!/bin/sh\n" + b"x" * 4000, False),
        (b"#!/" + b"x" * 4093, False),  # not below 4 KiB: no stub
    ],
)
def test_stub_lines(content: bytes, *, wrong: bool) -> None:
    asked = []

    def head(entry: Entry) -> bytes:
        asked.append(entry.path)
        return content[:256]

    paths = ["linux_amd64/bin/ls", "src/linux_amd64/bin/ls", "linux_amd64/seed/x", "bin/x"]
    tree = listed(*paths, size=len(content))
    found = lint.findings(tree, head)
    assert [finding.paths for finding in found] == ([("linux_amd64/bin/ls",)] if wrong else [])
    assert set(asked) <= {"linux_amd64/bin/ls"}
    if wrong:
        with pytest.raises(InputError, match="255 bytes that the kernel reads"):
            lint.check(tree, head)


def test_the_message_names_the_first_ones_and_counts_all() -> None:
    tree = listed(*(f"a{number:02}?" for number in range(20)), "B", "b")
    with pytest.raises(InputError) as caught:
        lint.check(tree)
    text = caught.value.diagnostics()
    assert "21 finding(s)" in text
    assert "and 13 more" in text
    assert text.count("forbidden") + text.count("upper from lower") == 8
    assert caught.value.status == 2
    assert caught.value.remedy


def test_a_collision_is_told_with_both_paths() -> None:
    with pytest.raises(InputError, match="go/Makefile and go/makefile: VFAT does not tell"):
        lint.check(listed("go/Makefile", "go/makefile"))


def test_nothing_with_findings_is_laid_out() -> None:
    with pytest.raises(InputError, match="B and b"):
        lay_out(listed("B", "b"), VOLUME)
    stub = listed("linux_arm64/bin/ls", size=300)
    lay_out(stub, VOLUME)
    with pytest.raises(InputError, match="linux_arm64/bin/ls: the #! line"):
        lay_out(stub, VOLUME, lambda _: b"#!" + b"x" * 254)
