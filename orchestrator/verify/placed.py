"""Accounts for every file of the image: what a build puts there, by the image's own contract.

Architectures, programs, stubs of commands, seeds, sources, a person's own files and boot files lie
where `orchestrator/device.py`, `orchestrator/artifacts/root.py` and `orchestrator/boot/files.py`
put them. A file anywhere else is of no part of a build, whoever signed the tree's digest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.architecture import ARCHITECTURES
from orchestrator.artifacts import names
from orchestrator.boot import files as boot_files
from orchestrator.boot import step as boot_step
from orchestrator.golang import commands
from orchestrator.lock.model import LocalPath
from orchestrator.verify import starting, toolchains
from reproducibility import digest as digests
from reproducibility import visible
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.artifacts.model import BuildResult, Root
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from orchestrator.verify.model import Findings
    from orchestrator.verify.starting import Texts

_TOOLS = "go/pkg/tool/"
_SHOWN = 3
_WORDS = 120


@dataclass(frozen=True)
class Placed:
    """What was accounted for.

    `accounted`: whether every file was. `commands`: stubs by architecture. `own`: destinations of
    a person's files that are as the lock pins them; `boot`: architectures whose kernel, initramfs
    and loader are the outputs of their step. `texts`: boot menus and variables; None where they
    were not looked at.
    """

    accounted: bool = False
    commands: Mapping[str, int] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    boot: tuple[str, ...] = ()
    texts: Texts | None = None


def check(tree: Tree, result: BuildResult, spec: Spec, lock: Lock, findings: Findings) -> Placed:
    """Account for every file of the image's tree; what nothing accounts for is a finding."""
    _architectures(result.root, spec, lock, findings)
    named = [name for name in ARCHITECTURES if name in result.root.commands]
    programs = {name: _programs(name, lock) for name in named}
    for name in named:
        if {*result.root.prebuilt_programs.get(name, ())} != programs[name]:
            reason = f"root.prebuilt_programs of {name} are not those that a build puts there"
            findings.say("verdict-contradicts", names.RESULT, reason)
    stubs, others = _stubs(tree, named, programs)
    for name in named:
        if result.root.commands[name] != len(stubs[name]):
            reason = (
                f"root.commands of {name} is {result.root.commands[name]}, and the image has "
                f"{len(stubs[name])}"
            )
            findings.say("verdict-contradicts", names.RESULT, reason)
    wanted = {one.destination for one in spec.files}
    own = tuple(
        one for one in lock.inputs if isinstance(one, LocalPath) and one.destination in wanted
    )
    # Another architecture is a finding already, and the spec says nothing of it.
    own_order = [name for name in spec.image.architectures if name in result.root.commands]
    texts = starting.check(tree, spec, lock, own_order)
    if texts.differing:
        reason = f"not what spec and lock give: {_shown([*texts.differing])}"
        findings.say("tree-differs", result.image.path, reason)
    known = _Known(
        exact=frozenset(
            [
                *chain(*programs.values(), *stubs.values()),
                *texts.places,
                *map(_destination, own),
                *(boot_files.uefi_place(name) for name in named if spec.boot is not None),
            ]
        ),
        below=frozenset(_below(named, spec, own)),
    )
    stray = [entry.path for entry in tree.files() if not known.has(entry.path)]
    told = (
        ("are of no part of such a build", [path for path in stray if path not in others]),
        ("are neither programs nor stubs of commands", [path for path in stray if path in others]),
    )
    for what, those in told:
        if those:
            reason = f"{len(those)} files {what}: {_shown(those)}"
            findings.say("tree-differs", result.image.path, reason)
    return Placed(
        not stray,
        {name: len(paths) for name, paths in stubs.items()},
        tuple(_own(tree, own, result, findings)),
        tuple(_boot(tree, named, result, findings)),
        texts,
    )


def _architectures(root: Root, spec: Spec, lock: Lock, findings: Findings) -> None:
    """The root's must be some of the spec's, and the lock must say what the log has of each."""
    named = root.commands.keys()
    for name in ("prebuilt", "prebuilt_programs", "left_out_by_build_constraints"):
        if getattr(root, name).keys() != named:
            reason = f"root.{name} and root.commands are of other architectures"
            findings.say("verdict-contradicts", names.RESULT, reason)
    for name, known in (("spec", spec.image.architectures), ("lock", lock.toolchain.log)):
        if more := sorted(named - {*known}):
            reason = f"it is for {_shown(more)}, which the {name} does not name"
            findings.say("link-broken", names.RESULT, reason)


def _programs(architecture: str, lock: Lock) -> frozenset[str]:
    own = f"{device.folder(architecture)}/bin"
    tools = f"{_TOOLS}linux_{architecture}"
    return frozenset(
        [
            *(f"{own}/{name}" for name in (*device.PREBUILT, *lock.toolchain.bin)),
            *(f"{tools}/{name}" for name in lock.toolchain.tool),
        ]
    )


def _stubs(
    tree: Tree,
    architectures: Iterable[Architecture],
    programs: Mapping[Architecture, Collection[str]],
) -> tuple[dict[Architecture, list[str]], frozenset[str]]:
    """Paths of stubs by architecture; and what lies among them and is none.

    A stub is the line for a package that lies on the image and gives a program of that name.
    """
    packages: dict[str, set[str]] = defaultdict(set)
    for entry in tree.files():
        if entry.path.startswith("src/") and entry.path.endswith(".go"):
            folder = entry.path.rpartition("/")[0]
            packages[commands.program_name(folder)].add(folder)
    found: dict[Architecture, list[str]] = {}
    others = []
    for architecture in architectures:
        found[architecture] = []
        start = f"{device.folder(architecture)}/bin/"
        for entry in tree.files():
            if not entry.path.startswith(start) or entry.path in programs[architecture]:
                continue
            lines = (
                device.stub(architecture, package)
                for package in sorted(packages[entry.path.removeprefix(start)])
            )
            if any(digests.of_bytes(line).hex == entry.digest for line in lines):
                found[architecture].append(entry.path)
            else:
                others.append(entry.path)
    return found, frozenset(others)


@dataclass(frozen=True)
class _Known:
    """Places of a build's files: `exact` paths, and folders that all lies `below`."""

    exact: frozenset[str]
    below: frozenset[str]

    def has(self, path: str) -> bool:
        if path in self.exact or (toolchains.is_source(path)):
            return True
        return any(folder in self.below for folder in _above(path))


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _below(architectures: Iterable[str], spec: Spec, own: Iterable[LocalPath]) -> Iterator[str]:
    """Folders of which every file is a build's."""
    yield device.source(device.USERLAND)
    for source in spec.sources:
        yield device.source(source.module)
    for name in architectures:
        yield f"{device.folder(name)}/seed"
        if spec.boot is not None:
            yield f"boot/{name}"
    if spec.boot is not None:
        yield boot_files.LICENCES
    yield from map(_destination, own)


def _destination(pinned: LocalPath) -> str:
    return (pinned.destination or "").strip("/")


def _own(
    tree: Tree, own: Iterable[LocalPath], result: BuildResult, findings: Findings
) -> Iterator[str]:
    """Destinations whose files are those that the lock pins.

    A spec gives no two the same folder, and none a folder of the build's.
    """
    for pinned in own:
        place = _destination(pinned)
        here = _at(tree, place, pinned).digest
        if here == pinned.tree:
            yield place
        else:
            reason = f"{_shown([place])} holds {here}, and the lock pins {pinned.tree}"
            findings.say("tree-differs", result.image.path, reason)


def _at(tree: Tree, place: str, pinned: LocalPath) -> Tree:
    if not pinned.single:
        return tree.under(place)
    entry = tree.get(place)
    name = pinned.where.rpartition("/")[2]
    return Tree([replace(entry, path=name)] if entry is not None else [])


def _boot(
    tree: Tree, architectures: Iterable[Architecture], result: BuildResult, findings: Findings
) -> Iterator[str]:
    """Architectures whose own boot files are the outputs of their step."""
    steps = {step.name: step for step in result.steps}
    for name in architectures:
        step = steps.get(str(boot_step.handle(name)))
        start = f"boot/{name}/"
        loader = boot_files.uefi_place(name)
        here = Tree([one for one in tree if one.path == loader or one.path.startswith(start)])
        outputs = step.outputs if step is not None else Tree().digest
        if here.digest != outputs:
            reason = f"the boot files of {name} are {here.digest}, and their step's are {outputs}"
            findings.say("link-broken", names.RESULT, reason)
        elif step is not None:
            yield name


def _shown(paths: list[str]) -> str:
    return ", ".join(visible.line(one)[:_WORDS] for one in paths[:_SHOWN])
