"""Commands: what the patterns select, and whose name is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.golang import commands
from orchestrator.spec.model import Source
from reproducibility import digest, manifest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable

MODULE = "example.com/tools"
FOLDERS = st.lists(
    st.sampled_from(["a", "b", "c", "a-b", "core", "x1"]), min_size=1, max_size=4
).map("/".join)


def tree(*paths: str) -> Tree:
    return Tree(manifest.file(path, digest.of_bytes(b""), 0) for path in paths)


def source(*patterns: str, exclude: Iterable[tuple[str, tuple[str, ...]]] = ()) -> Source:
    return Source.model_validate(
        {
            "module": MODULE,
            "version": "v1.0.0",
            "commands": list(patterns),
            "exclude": [
                {"command": name, "reason": "a test", "architectures": list(architectures)}
                for name, architectures in exclude
            ],
        }
    )


# -- patterns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "pattern", "expected"),
    [
        ("cmds/core/ls", "cmds/core/ls", True),
        ("cmds/core/ls", "./cmds/core/ls", True),
        ("cmds/core/ls", "cmds/core/*", True),
        ("cmds/core/ls", "cmds/*/ls", True),
        ("cmds/core/ls", "cmds/core/l*", True),
        ("cmds/core/ls", "cmds/...", True),
        ("cmds/core/ls", "cmds/core/ls/...", True),
        ("cmds/core/ls", "...", True),
        ("cmds/core/ls", "./...", True),
        (".", ".", True),
        (".", "...", True),
        (".", "*", False),
        ("cmds/core/ls", "cmds/*", False),
        ("cmds/core/ls", "cmds", False),
        ("cmds/core/ls", "*", False),
        ("cmds/core/ls", "core/...", False),
        ("cmdsother/ls", "cmds/...", False),
        ("cmds/core/LS", "cmds/core/ls", False),
        ("cmds/core/ls", "cmds/core/ls/*", False),
        ("a", ".", False),
    ],
)
def test_patterns(folder: str, pattern: str, *, expected: bool) -> None:
    assert commands.matches(folder, pattern) is expected


@given(FOLDERS)
def test_a_folder_matches_itself_and_every_pattern_above_it(folder: str) -> None:
    parts = folder.split("/")
    assert commands.matches(folder, folder)
    assert commands.matches(folder, "/".join("*" * len(parts)))
    for depth in range(len(parts) + 1):
        assert commands.matches(folder, "/".join([*parts[:depth], "..."]))
    for depth in range(1, len(parts)):
        assert not commands.matches(folder, "/".join(parts[:depth]))


@given(FOLDERS, FOLDERS)
def test_without_wildcards_only_the_same_folder_matches(folder: str, pattern: str) -> None:
    assert commands.matches(folder, pattern) == (folder == pattern)


@given(FOLDERS, FOLDERS)
def test_three_dots_match_what_lies_below(folder: str, above: str) -> None:
    below = f"{folder}/".startswith(f"{above}/")
    assert commands.matches(folder, f"{above}/...") == below


@given(FOLDERS, FOLDERS)
def test_a_star_stays_within_its_part(folder: str, pattern: str) -> None:
    stars = "/".join("*" if part == "c" else part for part in pattern.split("/"))
    expected = len(folder.split("/")) == len(stars.split("/")) and all(
        want in {"*", part} for part, want in zip(folder.split("/"), stars.split("/"), strict=True)
    )
    assert commands.matches(folder, stars) == expected


# -- candidates ------------------------------------------------------------------------------------

TREE = tree(
    "go.mod",
    "main.go",
    "cmds/ls/ls.go",
    "cmds/ls/ls_test.go",
    "cmds/ip/ip_linux.go",
    "cmds/doc/README.md",
    "cmds/tested/only_test.go",
    "cmds/_old/old.go",
    "cmds/.git/x.go",
    "cmds/ls/testdata/x.go",
    "vendor/example.com/v/cmds/x/x.go",
    "pkg/lib/lib.go",
)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["..."], (".", "cmds/ip", "cmds/ls", "pkg/lib")),
        (["cmds/*"], ("cmds/ip", "cmds/ls")),
        (["cmds/ls", "cmds/*"], ("cmds/ip", "cmds/ls")),
        (["."], (".",)),
    ],
)
def test_candidates_are_folders_with_go_files(
    patterns: list[str], expected: tuple[str, ...]
) -> None:
    assert commands.candidates(source(*patterns), TREE, "amd64") == expected


def test_a_folder_named_in_full_counts_wherever_it_lies() -> None:
    assert commands.candidates(source("cmds/ls/testdata"), TREE, "amd64") == ("cmds/ls/testdata",)
    assert commands.candidates(source("./cmds/_old"), TREE, "amd64") == ("cmds/_old",)
    assert commands.named(source("cmds/ls/testdata", "./cmds/_old", "cmds/*", "x/...")) == {
        "cmds/ls/testdata",
        "cmds/_old",
    }


def test_a_pattern_of_which_the_go_command_takes_nothing_is_an_error() -> None:
    chosen = source("cmds/*", "pkg/...")
    folders = commands.candidates(chosen, TREE, "amd64")
    commands.check_chosen(chosen, folders, ["cmds/ip"])
    with pytest.raises(InputError, match=r"'pkg/\.\.\.'") as refused:
        commands.check_chosen(chosen, folders, ["pkg/lib"])
    assert "ignore" in refused.value.remedy


def test_path_patterns_are_no_exclusions_of_commands() -> None:
    chosen = source("cmds/*").model_copy(update={"exclude": ("cmds/ls", "nothing")})
    assert commands.candidates(chosen, TREE, "amd64") == ("cmds/ip", "cmds/ls")


def test_an_exclusion_can_be_for_some_architectures() -> None:
    chosen = source("cmds/*", exclude=[("cmds/ls", ("riscv64",)), ("cmds/ip", ())])
    assert commands.candidates(chosen, TREE, "amd64") == ("cmds/ls",)
    assert commands.candidates(chosen, TREE, "riscv64") == ()


@pytest.mark.parametrize("pattern", ["cmds/doc", "cmds/none", "cmds/tested", "vendor/...", "x/*"])
def test_a_pattern_that_selects_nothing_is_an_error(pattern: str) -> None:
    with pytest.raises(InputError, match="matches no folder") as caught:
        commands.candidates(source("cmds/*", pattern), TREE, "amd64")
    assert pattern in caught.value.summary
    assert MODULE in caught.value.subject


def test_an_exclusion_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="exclusion 'cmds/lss'"):
        commands.candidates(source("cmds/*", exclude=[("cmds/lss", ())]), TREE, "amd64")


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "folder", "name"),
    [
        ("github.com/u-root/u-root", "cmds/core/ls", "ls"),
        ("example.com/tool", ".", "tool"),
        ("example.com/tool/v2", ".", "tool"),
        ("example.com/tool/v2", "cmd/x", "x"),
        ("example.com/tool", "cmd/x/v10", "x"),
        ("example.com/tool", "cmd/v1", "v1"),
        ("example.com/tool", "cmd/v0", "v0"),
        ("example.com/tool", "cmd/v02", "v02"),
        ("example.com/tool", "cmd/v2x", "v2x"),
        ("example.com/tool", "cmd/v٢", "v٢"),
        ("example.com/tool", "cmd/v", "v"),
    ],
)
def test_a_program_is_named_as_the_go_command_would(module: str, folder: str, name: str) -> None:
    (found,) = commands.names(module, [folder]).items()
    place = f"src/{module}" if folder == "." else f"src/{module}/{folder}"
    assert found == (name, place)


def test_two_commands_of_one_source_with_one_name() -> None:
    with pytest.raises(InputError, match="two programs have the name 'ip'") as caught:
        commands.names(MODULE, ["cmds/core/ip", "cmds/exp/ip", "cmds/core/ls"])
    assert caught.value.subject == f"src/{MODULE}/cmds/core/ip and src/{MODULE}/cmds/exp/ip"
    with pytest.raises(InputError, match="'ip'"):
        commands.names(MODULE, ["cmds/ip", "cmds/ip/v2"])


def test_two_commands_of_two_sources_with_one_name() -> None:
    parts = [{"ls": "src/a/ls", "ip": "src/a/ip"}, {"ls": "src/b/ls"}]
    with pytest.raises(InputError) as caught:
        commands.combine(parts, {})
    assert caught.value.subject == "src/a/ls and src/b/ls"
    assert "exclude one of them" in caught.value.remedy


def test_a_command_with_the_name_of_a_prebuilt_program() -> None:
    with pytest.raises(InputError) as caught:
        commands.combine([{"init": "src/a/init"}], {"init": "src/sourcery/userland/cmd/init"})
    assert caught.value.subject == "src/sourcery/userland/cmd/init and src/a/init"


def test_names_that_differ_are_put_together() -> None:
    assert commands.combine([{"a": "1"}, {"b": "2"}], {"c": "3"}) == {"a": "1", "b": "2"}


# -- batches ---------------------------------------------------------------------------------------


@given(st.sets(FOLDERS), st.integers(1, 9))
def test_batches_hold_every_command_once(found: set[str], count: int) -> None:
    groups = commands.batches(found, count)
    assert len(groups) == count
    assert sorted(name for group in groups for name in group) == sorted(found)
    assert all(list(group) == sorted(group) for group in groups)
    assert commands.batches(sorted(found, reverse=True), count) == groups


@given(st.sets(FOLDERS), FOLDERS, st.integers(1, 9))
def test_a_command_that_comes_or_goes_changes_its_own_batch_only(
    found: set[str], changed: str, count: int
) -> None:
    without = commands.batches(found - {changed}, count)
    with_it = commands.batches(found | {changed}, count)
    different = [n for n in range(count) if without[n] != with_it[n]]
    assert len(different) == 1
    (number,) = different
    assert set(with_it[number]) - set(without[number]) == {changed}
