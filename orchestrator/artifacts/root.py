"""Assembles the root: one tree merged from the toolchains, sources, commands and seeds.

Pure, but for the few small files (stubs, environment, merged indexes) that are written into the
store through `put`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.golang import commands, environment, handles, seed_index
from orchestrator.golang.compiling import BATCHES
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree, directory, file, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Results
    from orchestrator.golang.compiling import Compiling
    from reproducibility.digest import Digest


@dataclass(frozen=True)
class Counts:
    """Counts of what the root consists of, by the build itself.

    By architecture: `prebuilt` programs, `commands` (stubs), and `constrained`, the commands left
    out because their build constraints exclude it. Over all: files and bytes that are source (what
    people wrote: the Go source, the modules, the spec's files), that are the compile seed, and that
    are for booting (kernels, initramfs, loaders, menus, licences). `programs`: the prebuilt ones by
    architecture, as paths on the stick.
    """

    prebuilt: Mapping[str, int]
    commands: Mapping[str, int]
    constrained: Mapping[str, tuple[str, ...]]
    source_files: int
    source_bytes: int
    seed_files: int
    seed_bytes: int
    boot_files: int
    boot_bytes: int
    programs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Root:
    """The tree that becomes the file system, and its counts."""

    tree: Tree
    counts: Counts


def assemble(  # noqa: PLR0913 - the parts of a root
    compiling: Compiling,
    results: Results,
    toolchains: Mapping[Architecture, Tree],
    files: Tree,
    put: Callable[[bytes], Digest],
    boot: Tree | None = None,
) -> Root:
    """Merge everything.

    `toolchains`: architecture -> programs as placed in a GOROOT. `files`: the spec's own files at
    their places on the stick; `boot`: the boot files at theirs.

    Raises:
        InputError: two parts bring different files to one path, or two commands have one name.
    """
    chain = compiling.chain
    parts = [
        ("the Go source", chain.source.at("go")),
        ("the userland's source", compiling.chain.userland.at(device.source(device.USERLAND))),
        *(
            (module, tree.at(device.source(module)))
            for module, (_, tree) in compiling.sources.items()
        ),
        ("the mount points", Tree(directory(name) for name in device.MOUNT_POINTS)),
        ("the spec's files", files),
    ]
    sources = {name for name, _ in parts}
    boot = boot or Tree()
    prebuilt: dict[str, tuple[str, ...]] = {}
    stubs: dict[str, int] = {}
    constrained: dict[str, tuple[str, ...]] = {}
    for architecture, toolchain in toolchains.items():
        own = device.folder(architecture)
        programs = _prebuilt(results, toolchain, architecture)
        tools = toolchain.under("pkg").at("go/pkg")
        stubbed, left_out = _stubs(compiling, results, architecture, put)
        parts += [
            (f"the programs for {architecture}", programs.at(f"{own}/bin")),
            (f"the Go tools for {architecture}", tools),
            (f"the commands for {architecture}", stubbed.at(f"{own}/bin")),
            (f"the environment for {architecture}", _environment(architecture, put).at(own)),
        ]
        if compiling.seeded:
            parts.append(
                (
                    f"the seed for {architecture}",
                    _seed(compiling, results, architecture, put).at(f"{own}/seed"),
                )
            )
        prebuilt[architecture] = _paths(programs.at(f"{own}/bin"), tools)
        stubs[architecture] = len(stubbed)
        constrained[architecture] = left_out
    seeds = {f"the seed for {architecture}" for architecture in toolchains}
    tree = merge([*parts, ("the boot files", boot)])
    return Root(
        tree,
        Counts(
            {architecture: len(paths) for architecture, paths in prebuilt.items()},
            stubs,
            constrained,
            *_count(part for name, part in parts if name in sources),
            *_count(part for name, part in parts if name in seeds),
            *_count([boot]),
            prebuilt,
        ),
    )


def _count(trees: Iterable[Tree]) -> tuple[int, int]:
    """Files and bytes."""
    found = [entry.size for tree in trees for entry in tree.files()]
    return len(found), sum(found)


def _paths(*trees: Tree) -> tuple[str, ...]:
    return tuple(sorted(entry.path for tree in trees for entry in tree.files()))


def _prebuilt(results: Results, toolchain: Tree, architecture: str) -> Tree:
    own = handles.programs(architecture).tree(results)
    own = own.where(lambda entry: entry.path != device.STICK_INIT)
    return merge([("the userland", own), ("the toolchain", toolchain.under("bin"))])


def _stubs(
    compiling: Compiling, results: Results, architecture: str, put: Callable[[bytes], Digest]
) -> tuple[Tree, tuple[str, ...]]:
    prebuilt = commands.prebuilt(compiling.chain.programs.binaries)
    parts, left_out = [], []
    for module in compiling.sources:
        listing = compiling.listing(results, module, architecture)
        parts.append(commands.names(module, listing.commands))
        left_out += [f"{device.source(module)}/{folder}" for folder in listing.constrained]
        if not listing.commands:
            raise InputError(
                f"no command of {module} can be built for {architecture}",
                subject=f"source {module}, commands",
                remedy="correct the patterns, or remove the source",
            )
    entries = []
    for name, package in commands.combine(parts, prebuilt).items():
        content = device.stub(architecture, package)
        entries.append(file(name, put(content), len(content), executable=True))
    return Tree(entries), tuple(sorted(left_out))


def _environment(architecture: str, put: Callable[[bytes], Digest]) -> Tree:
    content = environment.device_file(architecture)
    return Tree([file("environment", put(content), len(content))])


def _seed(
    compiling: Compiling, results: Results, architecture: str, put: Callable[[bytes], Digest]
) -> Tree:
    found = [handles.standard(architecture)]
    found += [
        handle
        for module in compiling.sources
        for handle in (
            handles.seed(module, architecture),
            *(handles.batch(module, architecture, number) for number in range(BATCHES)),
        )
    ]
    recorded = [(handle, handle.tree(results)) for handle in found]
    indexes = [
        compiling.chain.read(entry.content)
        for _, tree in recorded
        if (entry := tree.get(seed_index.INDEX))
    ]
    content = seed_index.merge(indexes)
    wanted = seed_index.outputs(content)
    parts = []
    for name, tree in recorded:
        objects = tree.where(lambda entry: entry.path != seed_index.INDEX)
        stray = [entry.path for entry in objects if entry.path not in wanted]
        if stray:
            raise InfrastructureError(
                f"{name} recorded files that its index does not name: {stray[:3]}", subject=name
            )
        parts.append((name, objects))
    index = Tree([file(seed_index.INDEX, put(content), len(content))])
    merged = merge([*parts, ("the index", index)])
    missing = [
        path
        for path, size in sorted(wanted.items())
        if (entry := merged.get(path)) is None or entry.size != size
    ]
    if missing:
        raise InfrastructureError(
            f"the seed for {architecture} lacks what its index names: {missing[:3]}",
            subject=architecture,
        )
    return merged
