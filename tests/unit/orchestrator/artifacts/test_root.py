"""The root: everything in its place once, and every collision named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator import device
from orchestrator.artifacts import root
from orchestrator.golang import checks, environment, handles, seed_index
from orchestrator.golang.compiling import (
    BATCHES,
)
from reproducibility import digest, manifest
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.samples import MODULE, Blobs

if TYPE_CHECKING:
    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Result

BOTH: tuple[Architecture, ...] = ("amd64", "arm64")


class Parts:
    """What a root is assembled from, to be changed by a test before it is."""

    def __init__(
        self, architectures: tuple[Architecture, ...] = BOTH, *, seeded: bool = True
    ) -> None:
        self.blobs = Blobs()
        self.compiling = samples.compiling(self.blobs, seeded=seeded)
        self.architectures = architectures
        self.files = Tree()
        self.boot: Tree | None = None
        self.results: dict[str, Result] = samples.chain_results(self.blobs.put)
        for architecture in architectures:
            self.results |= samples.compiling_results(self.blobs, architecture)

    def assemble(self) -> root.Root:
        made = checks.toolchains(self.compiling.chain, self.results, self.architectures)
        return root.assemble(
            self.compiling, self.results, made, self.files, self.blobs.put, self.boot
        )

    def content(self, tree: Tree, path: str) -> bytes:
        entry = tree.get(path)
        assert entry is not None, path
        return self.blobs.read(entry.content)


def test_everything_is_in_its_place() -> None:
    parts = Parts()
    tree = parts.assemble().tree
    chain = parts.compiling.chain
    assert tree.under("go").where(lambda e: not e.path.startswith("pkg/")) == chain.source
    assert tree.under(f"src/{MODULE}") == samples.tree(samples.SOURCE)
    assert tree.under("src/sourcery/userland") == parts.compiling.chain.userland
    for architecture in BOTH:
        tools = {e.path for e in tree.under(f"go/pkg/tool/linux_{architecture}")}
        assert tools == set(samples.PROGRAMS.tools)
        programs = {e.path for e in tree.under(f"linux_{architecture}/bin")}
        assert programs == {"go", "gofmt", *device.PREBUILT, "ls", "ip"}
        stub = parts.content(tree, f"linux_{architecture}/bin/ls")
        assert stub == device.stub(architecture, f"src/{MODULE}/cmds/ls")
        content = parts.content(tree, f"linux_{architecture}/environment")
        assert content == environment.device_file(architecture)
    assert {e.path for e in tree if e.kind == "directory"} == set(device.MOUNT_POINTS)


def test_the_same_parts_give_the_same_root_whatever_was_done_first() -> None:
    first, second = Parts(BOTH), Parts(("arm64", "amd64"))
    second.results = dict(reversed(list(second.results.items())))
    assert first.assemble().tree == second.assemble().tree


def test_counts() -> None:
    parts = Parts()
    parts.files = samples.tree({"notes/a.txt": b"12345"}, parts.blobs.put)
    counts = parts.assemble().counts
    own = len(samples.RELEASE) - 10 + len(samples.SOURCE) + len(samples.USERLAND) + 1
    assert counts.source_files == own
    assert counts.prebuilt == dict.fromkeys(BOTH, 10 + len(device.PREBUILT))
    assert counts.commands == dict.fromkeys(BOTH, 2)
    assert counts.constrained == dict.fromkeys(BOTH, (f"src/{MODULE}/cmds/w",))
    assert counts.seed_files == 2 * (1 + 1 + 2 + BATCHES)
    assert counts.seed_bytes > 0
    assert (counts.boot_files, counts.boot_bytes) == (0, 0)
    for architecture in BOTH:
        paths = counts.programs[architecture]
        assert len(paths) == counts.prebuilt[architecture]
        assert f"linux_{architecture}/bin/init" in paths
        assert f"go/pkg/tool/linux_{architecture}/compile" in paths


def test_boot_files_are_neither_source_nor_seed() -> None:
    parts = Parts()
    before = parts.assemble()
    boot = {"boot/amd64/vmlinuz": b"kernel", "syslinux/ldlinux.sys": b"loader!"}
    parts.boot = samples.tree(boot, parts.blobs.put)
    found = parts.assemble()
    assert (found.counts.boot_files, found.counts.boot_bytes) == (2, 13)
    assert replace(found.counts, boot_files=0, boot_bytes=0) == before.counts
    assert found.tree.where(lambda entry: entry.path not in boot) == before.tree


def test_the_initramfs_s_program_is_no_program_of_the_stick() -> None:
    parts = Parts()
    before = parts.assemble()
    for architecture in BOTH:
        built = parts.results[f"programs/{architecture}"]
        more = samples.tree({f"out/{device.STICK_INIT}": b"init"}, parts.blobs.put)
        tree = built.tree.overlaid(more)
        parts.results[f"programs/{architecture}"] = replace(built, tree=tree)
    assert parts.assemble() == before


def test_a_persons_file_in_the_place_of_a_boot_file_is_refused() -> None:
    parts = Parts()
    parts.files = samples.tree({"boot/x": b"mine"}, parts.blobs.put)
    parts.boot = samples.tree({"boot/x": b"theirs"}, parts.blobs.put)
    with pytest.raises(InputError, match="the boot files both bring boot/x"):
        parts.assemble()


def test_the_seed_is_merged_from_everything_that_was_recorded() -> None:
    parts = Parts(("amd64",))
    tree = parts.assemble().tree
    index = parts.content(tree, "linux_amd64/seed/index")
    assert {action[0] for action in seed_index.records(index)} == {
        1,
        2,
        *range(3, 3 + BATCHES),
        100,
    }
    outputs = {e.path for e in tree.under("linux_amd64/seed")} - {"index"}
    assert outputs == {samples.output(number) for number in (*range(1, 3 + BATCHES), 100)}


def test_without_a_seed_there_is_none() -> None:
    parts = Parts(("amd64",), seeded=False)
    found = parts.assemble()
    assert len(found.tree.under("linux_amd64/seed")) == 0
    assert found.counts.seed_files == 0


def test_a_batch_with_nothing_to_do_is_no_trouble() -> None:
    parts = Parts(("amd64",))
    parts.results[handles.batch(MODULE, "amd64", 3)] = samples.result(Tree())
    tree = parts.assemble().tree
    assert tree.get(f"linux_amd64/seed/{samples.output(3 + 3)}") is None
    assert tree.get(f"linux_amd64/seed/{samples.output(3 + 2)}") is not None


def record(parts: Parts, content: dict[str, bytes]) -> str:
    """Let one of the batches have left this; its name."""
    name = handles.batch(MODULE, "amd64", 1)
    parts.results[name] = samples.result(samples.tree(content, parts.blobs.put))
    return name


@pytest.mark.parametrize("stray", [".part", "README", samples.output(200)])
def test_a_file_that_no_index_names_stops_the_build(stray: str) -> None:
    parts = Parts(("amd64",))
    name = record(parts, {**samples.recorded(2), f"out/{stray}": b"half"})
    with pytest.raises(InfrastructureError) as caught:
        parts.assemble()
    assert caught.value.subject == name
    assert stray in caught.value.summary


def test_an_output_that_is_named_and_not_there_stops_the_build() -> None:
    parts = Parts(("amd64",))
    record(parts, {"out/index": samples.seed_index(2, 200)})
    with pytest.raises(InfrastructureError) as caught:
        parts.assemble()
    assert samples.output(200) in caught.value.summary
    assert "amd64" in caught.value.summary


def test_two_outputs_of_one_compilation_stop_the_build() -> None:
    parts = Parts(("amd64",))
    other = seed_index.MAGIC + bytes([2]) * 32 + bytes([9]) * 32 + bytes(8)
    record(parts, {"out/index": other, f"out/{samples.output(9)}": b"other"})
    with pytest.raises(InfrastructureError, match="two different outputs"):
        parts.assemble()


def test_two_contents_of_one_output_name_both_steps() -> None:
    parts = Parts(("amd64",))
    name = record(parts, {**samples.recorded(2), f"out/{samples.output(2)}": b"not the same"})
    with pytest.raises(InputError) as caught:
        parts.assemble()
    assert caught.value.subject == samples.output(2)
    assert handles.seed(MODULE, "amd64") in caught.value.summary
    assert name in caught.value.summary


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("go/VERSION", "the Go source"),
        ("linux_arm64/bin/ls", "the commands for arm64"),
        ("linux_arm64/bin/go", "the programs for arm64"),
        ("linux_amd64/environment", "the environment for amd64"),
        ("linux_amd64/seed/index", "the seed for amd64"),
        (f"src/{MODULE}/go.mod", MODULE),
        ("linux_amd64/bin/ls/x", "the commands for amd64"),
        ("go/src", "the Go source"),
        ("tmp", "the mount points"),
    ],
)
def test_a_persons_file_in_the_way_of_a_part_names_both(path: str, part: str) -> None:
    parts = Parts()
    parts.files = samples.tree({path: b"a person's own"}, parts.blobs.put)
    with pytest.raises(InputError) as caught:
        parts.assemble()
    assert "the spec's files" in caught.value.summary
    assert part in caught.value.summary


def test_a_persons_file_in_an_empty_folder_is_fine() -> None:
    parts = Parts(("amd64",))
    parts.files = samples.tree({"etc/motd": b"hello"}, parts.blobs.put)
    tree = parts.assemble().tree
    assert tree.get("etc") is None
    assert parts.content(tree, "etc/motd") == b"hello"


def with_second_source(parts: Parts, module: str, command: str) -> None:
    """Another source module that brings one command."""
    content = {"go.mod": b"module\n", f"cmds/{command}/main.go": b"package main\n"}
    source = samples.source().model_copy(update={"module": module, "name": "second"})
    parts.compiling = replace(
        parts.compiling,
        sources={
            **parts.compiling.sources,
            module: (source, samples.tree(content, parts.blobs.put)),
        },
    )
    listing = (
        f'{{"ImportPath": "{module}/cmds/{command}", "Name": "main", '
        f'"Match": ["./cmds/{command}", "./..."], '
        f'"Dir": "/src/{module}/cmds/{command}", "GoFiles": ["main.go"]}}'
    )
    for architecture in parts.architectures:
        stdout = parts.blobs.put(listing.encode())
        parts.results[handles.listing(module, architecture)] = samples.result(Tree(), stdout)
        for name in (
            handles.seed(module, architecture),
            *(handles.batch(module, architecture, number) for number in range(BATCHES)),
        ):
            parts.results[name] = samples.result(Tree())


def test_two_sources_share_the_stick() -> None:
    parts = Parts(("amd64",))
    with_second_source(parts, "example.com/second", "cat")
    tree = parts.assemble().tree
    stub = parts.content(tree, "linux_amd64/bin/cat")
    assert stub == b"#!/linux_amd64/bin/installcommand #!/src/example.com/second/cmds/cat\n"


@pytest.mark.parametrize(
    ("command", "other"),
    [
        ("ls", f"src/{MODULE}/cmds/ls"),
        ("init", "src/sourcery/userland/cmd/init"),
        ("go", "go/src/cmd/go"),
        ("gofmt", "go/src/cmd/gofmt"),
    ],
)
def test_two_programs_with_one_name_are_both_named(command: str, other: str) -> None:
    parts = Parts(("amd64",))
    with_second_source(parts, "example.com/second", command)
    with pytest.raises(InputError, match=f"the name '{command}'") as caught:
        parts.assemble()
    assert caught.value.subject == f"{other} and src/example.com/second/cmds/{command}"


def test_a_source_without_any_command_is_an_error() -> None:
    parts = Parts(("amd64",))
    with_second_source(parts, "example.com/second", "w")
    listing = (
        b'{"ImportPath": "example.com/second/cmds/w", "Dir": "/src/example.com/second/cmds/w", '
        b'"Match": ["./cmds/w"], "IgnoredGoFiles": ["main.go"], '
        b'"Error": {"Err": "build constraints"}}'
    )
    parts.results[handles.listing("example.com/second", "amd64")] = samples.result(
        Tree(), parts.blobs.put(listing)
    )
    with pytest.raises(InputError, match="no command of example") as caught:
        parts.assemble()
    assert "amd64" in caught.value.summary


def test_every_file_of_the_root_is_known_by_its_content() -> None:
    parts = Parts()
    for entry in parts.assemble().tree.files():
        data = parts.blobs.read(entry.content)
        assert (digest.of_bytes(data).hex, len(data)) == (entry.digest, entry.size)


def test_stubs_fit_the_kernels_line() -> None:
    tree = Parts().assemble().tree
    stubs = [e for e in tree.files() if e.path.endswith(("/ls", "/ip")) and e.executable]
    assert len(stubs) == 4
    assert all(entry.size <= 255 for entry in stubs)
    assert manifest.Tree(tree.entries) == tree
