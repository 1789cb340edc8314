"""What the go command says of candidates: which are commands, what they need, what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.golang import listing as listings
from reproducibility import digest, manifest
from reproducibility.errors import ActionError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MODULE = "example.com/tools"
FOLDERS = st.lists(
    st.sampled_from(["a", "b", "c", "a-b", "core", "x1"]), min_size=1, max_size=4
).map("/".join)
STANDARD = {
    "ImportPath": "fmt",
    "Name": "fmt",
    "Dir": "/go/src/fmt",
    "GoFiles": ["print.go"],
    "Imports": ["unsafe"],
}
UNSAFE = {**STANDARD, "ImportPath": "unsafe", "Name": "unsafe", "Imports": None}


def package(folder: str, *, asked: bool = True, **fields: object) -> dict[str, Any]:
    """A package of the module as the go command lists it; `asked`: by name too."""
    place = f"/src/{MODULE}" if folder == "." else f"/src/{MODULE}/{folder}"
    return {
        "ImportPath": place.removeprefix("/src/"),
        "Name": "main",
        "Dir": place,
        "Match": [f"./{folder}", "./..."] if asked else ["./..."],
        "GoFiles": ["a.go"],
        **fields,
    }


def listing(
    *packages: dict[str, Any], asked: Iterable[str], named: Collection[str] = ()
) -> listings.Listing:
    text = "".join(json.dumps(one, indent="\t") + "\n" for one in packages)
    return listings.parse(text, MODULE, list(asked), "list/it/amd64", named=named)


def constrained(folder: str) -> dict[str, Any]:
    match = [f"./{folder}"]
    return package(
        folder, GoFiles=None, IgnoredGoFiles=["w_windows.go"], Error={"Err": "no"}, Match=match
    )


def test_a_listing() -> None:
    vendored = f"{MODULE}/vendor/x.org/v"
    found = listing(
        STANDARD,
        UNSAFE,
        {**STANDARD, "ImportPath": "runtime", "Name": "runtime"},
        {**STANDARD, "ImportPath": "os", "Name": "os"},
        package(
            "pkg/lib",
            asked=False,
            Name="lib",
            EmbedFiles=["data/a.txt", "b.txt"],
            SFiles=["lib_amd64.s"],
            Imports=["x.org/v", "fmt", "C"],
            ImportMap={"x.org/v": vendored},
        ),
        package("pkg/unused", asked=False, Name="unused", Imports=["os"]),
        package("cmd/unused", asked=False, Imports=["os"]),
        package("vendor/x.org/v", Name="v", ImportPath=vendored, Match=None),
        package("cmds/ls", EmbedFiles=["help.txt"], Imports=[f"{MODULE}/pkg/lib"]),
        constrained("cmds/w"),
        package("cmds/lib", Name="lib"),
        package("."),
        asked=[".", "cmds/ls", "cmds/w", "cmds/lib"],
    )
    assert found == listings.Listing(
        commands={"cmds/ls": ("cmds/ls/help.txt",), ".": ()},
        constrained=("cmds/w",),
        imports=(f"{MODULE}/cmds/lib", f"{MODULE}/pkg/lib", vendored, "fmt", "runtime"),
        needed={
            "pkg/lib": ("pkg/lib/data/a.txt", "pkg/lib/b.txt"),
            "vendor/x.org/v": (),
            "cmds/lib": (),
        },
        assembly={"pkg/lib": ("pkg/lib/lib_amd64.s",)},
    )


def test_no_command_is_a_listing_too() -> None:
    assert listing(asked=[]) == listings.Listing({}, (), (), {})


def test_what_the_go_command_does_not_count_to_the_module_is_no_command() -> None:
    # A folder that go.mod ignores, asked for because a pattern with wildcards selects it.
    ignored = package("ign/x", Match=["./ign/x"], Error={"Err": "whatever is wrong with it"})
    nested = {
        "ImportPath": f"{MODULE}/nested",
        "Match": ["./nested"],
        "Error": {"Err": "main module does not contain package"},
    }
    asked = ["ign/x", "nested", "cmds/ls"]
    found = listing(ignored, nested, package("cmds/ls"), asked=asked)
    assert set(found.commands) == {"cmds/ls"}
    assert found.dropped == ("ign/x", "nested")
    # One that is named in full is wanted as it is, and then counts with its errors.
    with pytest.raises(ActionError, match="whatever is wrong"):
        listing(ignored, nested, package("cmds/ls"), asked=asked, named=["ign/x"])
    good = package("testdata/x", Match=["./testdata/x"])
    assert set(listing(good, asked=["testdata/x"], named=["testdata/x"]).commands) == {"testdata/x"}


def test_what_no_command_imports_may_be_broken() -> None:
    broken = package("pkg/broken", asked=False, Name="b", Error={"Err": "syntax error"})
    found = listing(broken, package("cmds/ls"), asked=["cmds/ls"])
    assert set(found.commands) == {"cmds/ls"}
    assert found.needed == {}


def lib(**fields: object) -> dict[str, Any]:
    return package("pkg/lib", asked=False, Name="lib", **fields)


@pytest.mark.parametrize(
    "broken",
    [
        package("cmds/ls", Error={"Err": "\nfound packages main and ls\n"}),
        lib(Error={"Err": "build constraints exclude"}),
        # A dependency that the constraints exclude is no command that is left out.
        lib(GoFiles=None, IgnoredGoFiles=["w.go"], Error={}, Match=None),
        {"ImportPath": "x.org/missing", "Error": {"Err": "no required module"}},
        {**STANDARD, "ImportPath": "crypto/none", "Error": {"Err": "is not in std"}},
    ],
)
def test_a_package_that_cannot_be_loaded_is_named_with_the_compilers_words(
    broken: dict[str, Any],
) -> None:
    imports = [] if broken["ImportPath"].endswith("cmds/ls") else [broken["ImportPath"]]
    ip = package("cmds/ip", Imports=imports)
    asked = ["cmds/ls", "cmds/ip"]
    others = [] if broken["ImportPath"].endswith("cmds/ls") else [package("cmds/ls")]
    with pytest.raises(ActionError) as caught:
        listing(ip, broken, *others, asked=asked)
    assert broken["ImportPath"] in caught.value.summary
    assert broken["Error"].get("Err", "").strip() in caught.value.summary
    assert "list/it/amd64" in caught.value.summary
    assert MODULE in caught.value.subject
    assert "exclude the command" in caught.value.remedy


def test_a_list_that_was_cut_is_noticed() -> None:
    with pytest.raises(ActionError, match="says nothing of cmds/ls"):
        listing(package("cmds/ip"), asked=["cmds/ip", "cmds/ls"])
    # Being needed by another command is no answer.
    with pytest.raises(ActionError, match="says nothing of cmds/ip"):
        listing(package("cmds/ip", asked=False, Name="ip"), asked=["cmds/ip"])
    with pytest.raises(ActionError, match="says nothing of fmt"):
        listing(package("cmds/ip", Imports=["fmt"]), asked=["cmds/ip"])
    text = json.dumps(package("cmds/ls")) + json.dumps(package("cmds/ip"))[:-4]
    with pytest.raises(ActionError, match="not JSON"):
        listings.parse(text, MODULE, ["cmds/ls"], "list")


@given(st.lists(FOLDERS, unique=True), st.sampled_from(["", "\n", "\n\n  "]))
def test_documents_follow_each_other_with_any_white_space(folders: list[str], gap: str) -> None:
    text = gap.join(json.dumps(package(folder)) for folder in folders)
    found = listings.parse(gap + text + gap, MODULE, folders, "list")
    assert set(found.commands) == set(folders)


# -- the files that compiling needs ----------------------------------------------------------------


def tree(*paths: str) -> Tree:
    return Tree(manifest.file(path, digest.of_bytes(b""), 0) for path in paths)


def test_only_the_wanted_folders_their_embedded_files_and_the_module_files_are_kept() -> None:
    everything = tree(
        "go.mod",
        "go.sum",
        "vendor/modules.txt",
        "main.go",
        "cmds/ls/ls.go",
        "cmds/ls/ls_test.go",
        "cmds/ls/ls_windows.go",
        "cmds/ls/data/help.txt",
        "cmds/ls/data/other.txt",
        "cmds/lsx/x.go",
        "cmds/ip/ip.go",
    )
    none = listings.Listing({}, (), (), {})
    folders = {"cmds/ls": ("cmds/ls/data/help.txt",)}
    kept = listings.only(everything, folders, none, lambda _: b"")
    assert [entry.path for entry in kept] == [
        "cmds/ls/data/help.txt",
        "cmds/ls/ls.go",
        "cmds/ls/ls_test.go",
        "cmds/ls/ls_windows.go",
        "go.mod",
        "go.sum",
        "vendor/modules.txt",
    ]
    top = listings.only(everything, {".": ()}, none, lambda _: b"")
    assert top.get("main.go") is not None
