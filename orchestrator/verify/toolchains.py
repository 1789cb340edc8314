"""Derives each architecture's Go toolchain from the image, and follows it to the public log.

The programs of a toolchain lie on the image in two places; put together as the step that made them
left them, their tree must be that step's. With the Go source, which is on the image once, they are
the whole of the published module `golang.org/toolchain`, so its module hash can be computed from
the image's own files, and compared with the log's record, whose inclusion proof and signed tree
head are in the lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.golang import handles
from orchestrator.lock import logged
from reproducibility import gomodule
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.artifacts.model import BuildResult
    from orchestrator.lock.file import Lock
    from orchestrator.lock.model import GoModule
    from orchestrator.verify.contents import Contents
    from orchestrator.verify.model import Findings
    from reproducibility.digest import Digest

_GOROOT = device.GOROOT.strip("/") + "/"
# Below GOROOT all is source but these. A file of `go/bin` on the image would take the place of a
# program that lies elsewhere on it.
_PROGRAMS = (f"{_GOROOT}pkg/tool/", f"{_GOROOT}bin/")
_VENDOR = "vendor/"
_LIST = f"{_VENDOR}modules.txt"
# The input that is the published toolchain.
_RELEASE = "go"


@dataclass(frozen=True)
class Toolchain:
    """Toolchain on the image. `outputs`: the tree that its step must have left.

    `h1`: of its files, computed; empty where no module can consist of them.

    `said`: what the lock says of the log's record, verified. `goroot`: digest of source and
    programs, as steps are given them. `is_release`: whether that is the tree of the published
    release, as the lock pins it; None where it pins none.
    """

    step: str
    outputs: Tree
    h1: str
    said: logged.Logged
    goroot: Digest
    is_release: bool | None


@dataclass(frozen=True)
class Source:
    """Source module on the image.

    `hashes`: of its files without `vendor/`, and of those with `vendor/modules.txt`, computed.
    """

    tree: Tree
    hashes: tuple[str, ...]


def derived(
    contents: Contents, result: BuildResult, lock: Lock, findings: Findings
) -> dict[Architecture, Toolchain]:
    """The toolchain of each architecture of the image.

    A step's outputs that are not what is on the image are a finding.
    """
    if contents.tree is None:
        return {}
    steps = {step.name: step for step in result.steps}
    found = {}
    for architecture in lock.toolchain.log:
        if architecture not in result.root.commands:
            continue
        one = _toolchain(contents.tree, contents.sha256, result, lock, architecture)
        if one is None:
            reason = f"it lacks programs of the toolchain for {architecture} that the lock names"
            findings.say("tree-differs", result.image.path, reason)
            continue
        found[architecture] = one
        step = steps.get(one.step)
        if step is None or step.outputs != one.outputs.digest:
            said = "no such step" if step is None else str(step.outputs)
            reason = (
                f"the outputs of {one.step} are {said}, and the programs on the image are "
                f"{one.outputs.digest}"
            )
            findings.say("link-broken", "result.json", reason)
    return found


def is_source(path: str) -> bool:
    """Tell whether a file of the image is of the Go source: all below GOROOT but programs."""
    return path.startswith(_GOROOT) and not path.startswith(_PROGRAMS)


def _toolchain(
    tree: Tree,
    sha256: Mapping[str, str],
    result: BuildResult,
    lock: Lock,
    architecture: Architecture,
) -> Toolchain | None:
    own = f"{device.folder(architecture)}/bin"
    tools = f"pkg/tool/linux_{architecture}"
    places = {f"bin/{name}": f"{own}/{name}" for name in lock.toolchain.bin}
    places |= {f"{tools}/{name}": f"{_GOROOT}{tools}/{name}" for name in lock.toolchain.tool}
    outputs = []
    for inside, place in places.items():
        entry = tree.get(place)
        if entry is None or place not in sha256:
            return None
        outputs.append(entry.moved(f"{handles.OUT}/{inside.rpartition('/')[2]}"))
    places |= {path.removeprefix(_GOROOT): path for path in sha256 if is_source(path)}
    version = gomodule.toolchain_version(lock.toolchain.version, architecture)
    prefix = f"{gomodule.TOOLCHAIN}@{version}"
    named = {place: f"{prefix}/{gomodule.published_name(path)}" for path, place in places.items()}
    # Two files that were published under one name: not what was published.
    twice = len({*named.values()}) != len(named)
    hashes = {name: sha256[place] for place, name in named.items()}
    is_host = architecture == result.host.architecture
    step = handles.F1 if is_host else handles.cross(architecture)
    goroot = Tree(
        entry.moved(inside)
        for inside, place in places.items()
        for entry in [tree.get(place)]
        if entry is not None
    ).digest
    pinned = next(
        (one for one in lock.inputs if (one.name, one.host) == (_RELEASE, architecture)), None
    )
    return Toolchain(
        str(step),
        Tree(outputs),
        "" if twice else gomodule.h1(hashes),
        logged.toolchain(lock, architecture),
        goroot,
        None if pinned is None else goroot == pinned.tree,
    )


def sources(contents: Contents, lock: Lock, findings: Findings, image: str) -> dict[str, Source]:
    """Source modules on the image, by module; each must be the tree that the lock pins."""
    found: dict[str, Source] = {}
    if contents.tree is None:
        return found
    for pinned in lock.inputs:
        module = getattr(pinned, "module", None)
        vendored = getattr(pinned, "vendored", None)
        if not module or vendored is None:
            continue
        tree = contents.tree.under(device.source(module))
        if tree.digest != vendored:
            reason = f"{device.source(module)} holds {tree.digest}, and the lock pins {vendored}"
            findings.say("tree-differs", image, reason)
        found[module] = Source(tree, _hashes(contents.sha256, module, pinned.version))
    return found


def _hashes(sha256: Mapping[str, str], module: str, version: str) -> tuple[str, ...]:
    """The module hashes that the published archive may have.

    It holds no other modules' packages, but their list where its author keeps one in `vendor/`
    (golang/go#37397).
    """
    start = f"{device.source(module)}/"
    inside = {path.removeprefix(start): path for path in sha256 if path.startswith(start)}
    own = {name: path for name, path in inside.items() if not name.startswith(_VENDOR)}
    listed = {name: path for name, path in inside.items() if name == _LIST}
    try:
        return tuple(
            gomodule.h1({f"{module}@{version}/{name}": sha256[path] for name, path in one.items()})
            for one in (own, own | listed)
        )
    except InputError:
        return ()


def is_published(source: Source, pinned: GoModule) -> bool:
    """Tell whether a source's files on the image have the hash that the public log recorded."""
    recorded = logged.source(pinned).h1
    return bool(recorded) and recorded in source.hashes
