"""The module hash: as the go command computes it, from zips, files and trees alike."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import digest as digests
from reproducibility import gomodule, manifest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# go.mod of golang.org/toolchain and its hash in every record of the public log: the hash of a
# module's go.mod is that of a module with this one file.
GO_MOD = b"module golang.org/toolchain\n"
GO_MOD_HASH = "h1:8wlg68NqwW7eMnI1aABk/C2pDYXj8mrMY4TyRfiLeS0="


def test_the_hash_is_that_of_the_public_log() -> None:
    assert gomodule.h1({"go.mod": digests.sha256_of_bytes(GO_MOD).hex}) == GO_MOD_HASH


def test_files_are_sorted_by_the_bytes_of_their_paths() -> None:
    pairs = [("m@v1.0.0/b", "11" * 32), ("m@v1.0.0/B", "22" * 32), ("m@v1.0.0/\u00e9", "33" * 32)]
    assert gomodule.h1(dict(pairs)) == gomodule.h1(dict(pairs[::-1]))
    text = "".join(f"{content}  {path}\n" for path, content in [pairs[1], pairs[0], pairs[2]])
    expected = digests.sha256_of_bytes(text.encode())
    assert gomodule.h1(dict(pairs)) != gomodule.h1({})
    assert gomodule.h1(dict(pairs)).startswith("h1:")
    assert expected.hex == decoded(gomodule.h1(dict(pairs)))


def test_a_tree_gives_the_hash_of_the_zip(tmp_path: Path) -> None:
    contents = {"bin/go": b"program", "src/go.mod": b"module std\n", "go.mod": GO_MOD, "e": b""}
    for path, content in contents.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    published = {
        f"m@v1/{gomodule.published_name(path)}": digests.sha256_of_bytes(content).hex
        for path, content in contents.items()
    }
    assert {"m@v1/_go.mod", "m@v1/src/_go.mod"} < set(published)
    tree = manifest.scan(tmp_path)

    def sha256_of(entry: manifest.Entry) -> str:
        return digests.sha256_of_file(tmp_path / entry.path).hex

    found = gomodule.h1_of_tree(tree, sha256_of, prefix="m@v1", rename=gomodule.published_name)
    assert found == gomodule.h1(published)
    assert gomodule.h1_of_tree(tree, sha256_of, prefix="m@v1") != found
    assert gomodule.h1_of_tree(manifest.Tree(), sha256_of, prefix="m@v1") == gomodule.h1({})


@pytest.mark.parametrize("change", ["content", "path", "one file less"])
def test_any_change_gives_another_hash(change: str) -> None:
    hashes = {"m@v1/a": "11" * 32, "m@v1/b": "22" * 32}
    before = gomodule.h1(hashes)
    if change == "content":
        hashes["m@v1/a"] = "12" + "11" * 31
    elif change == "path":
        hashes["m@v1/c"] = hashes.pop("m@v1/a")
    else:
        del hashes["m@v1/b"]
    assert gomodule.h1(hashes) != before


def test_a_line_break_in_a_name_is_refused() -> None:
    with pytest.raises(InputError, match="line break"):
        gomodule.h1({"m@v1/a\nb": "11" * 32})


@given(st.text(alphabet="/_go.mdx", max_size=20))
def test_names_go_to_the_published_module_and_back(path: str) -> None:
    if not path.endswith("_go.mod"):
        assert gomodule.installed_name(gomodule.published_name(path)) == path


def test_only_whole_names_are_renamed() -> None:
    assert gomodule.published_name("src/go.mod") == "src/_go.mod"
    assert gomodule.published_name("src/xgo.mod") == "src/xgo.mod"
    assert gomodule.published_name("go.mod/x") == "go.mod/x"
    assert gomodule.installed_name("_go.mod") == "go.mod"


def test_the_version_names_release_and_architecture() -> None:
    assert gomodule.toolchain_version("1.27.3", "arm64") == "v0.0.1-go1.27.3.linux-arm64"


def decoded(h1: str) -> str:
    return base64.b64decode(h1.removeprefix("h1:")).hex()
