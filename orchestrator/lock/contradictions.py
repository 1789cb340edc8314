"""Finds parts of a lock that do not fit each other, though each is well-formed.

Whoever writes a lock can make its checksum fit. What reads one goes by its parts, so those that
would be left out unseen are found here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.architecture import ARCHITECTURES
from orchestrator.lock import parts
from orchestrator.lock.model import GCC, GoModule, LocalPath, SecondRoot, WorkerTools
from reproducibility import gomodule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.lock.file import Lock
    from orchestrator.lock.model import Input

# Dependencies of a compiler, and all that is pinned of it.
_MOST_PACKAGES = 500


def found(lock: Lock) -> Iterator[str]:
    """What contradicts what in a lock, in words."""
    order = [(found.name, found.host or "") for found in lock.inputs]
    if order != sorted(set(order)):
        yield "its inputs are not sorted, or one is there twice"
    yield from _wrong_inputs(lock, set(order))
    if lock.toolchain.version != lock.wanted.get("go.version"):
        yield (
            f"the toolchain is {lock.toolchain.version}, "
            f"made for {lock.wanted.get('go.version', 'nothing')}"
        )
    architectures = set(lock.wanted.get("image.architectures", "").split())
    if set(lock.toolchain.log) != architectures | {found.host for found in lock.inputs} - {None}:
        yield "the log's records are not those of its architectures"
    programs = (*lock.toolchain.bin, *lock.toolchain.tool)
    # The step that makes them leaves all of them in one folder.
    if len(set(programs)) != len(programs):
        yield "a program of the toolchain is there twice"
    for program in programs:
        if "/" in program or program in {"", ".", ".."}:
            yield f"{program!r} is not a program's name"
    for pinned in lock.inputs:
        yield from _misplaced(lock, pinned)
        if isinstance(pinned, GoModule):
            yield from _module_contradictions(lock, pinned)
    yield from _wrong_roots(lock)
    yield from _wrong_workers(lock)


def _wrong_roots(lock: Lock) -> Iterator[str]:
    if bool(lock.roots.get(GCC)) != ("root.gcc" in lock.wanted) or lock.roots == {GCC: {}}:
        yield "the second root is pinned and not asked for, or the other way round"
    for host, root in lock.roots.get(GCC, {}).items():
        if isinstance(root, SecondRoot):
            yield from _root_contradictions(lock, host, root)


def _wrong_workers(lock: Lock) -> Iterator[str]:
    _, _, told = lock.wanted.get(parts.WORKERS, "").partition(" for ")
    if {*lock.workers} != {*told.split()}:
        yield "what is pinned for a farm's workers is not what it was made for"
    for architecture, found in lock.workers.items():
        if not isinstance(found, WorkerTools):
            continue
        names = [one.package for one in found.packages]
        if names != sorted(set(names)) or len(names) > _MOST_PACKAGES:
            yield f"the packages for workers of {architecture} are not sorted, or too many"


def _root_contradictions(lock: Lock, host: str, root: SecondRoot) -> Iterator[str]:
    names = [found.package for found in root.packages]
    if names != sorted(set(names)) or len(names) > _MOST_PACKAGES:
        yield f"the packages of the second root for {host} are not sorted, or too many"
    asked, _, versions = lock.wanted["root.gcc"].partition(", then ")
    for name in sorted({*asked.partition(" of ")[0].split()}.difference(names)):
        yield f"the second root for {host} lacks the package {name}"
    expected = [
        (f"go{one}", host, gomodule.TOOLCHAIN, gomodule.toolchain_version(one, host))
        for one in versions.split()
    ]
    found = [(one.name, one.host, one.module, one.version) for one in root.releases]
    if found != expected:
        yield f"the releases of the second root for {host} are not those of {versions}"
    for one in root.releases:
        if one.log is None:
            yield f"the second root for {host} says nothing of the log's record of {one.name}"


def _wrong_inputs(lock: Lock, present: set[tuple[str, str]]) -> Iterator[str]:
    """Inputs that the spec asks for and that are not there, and the other way round."""
    hosts = {host for _, host in present if host} or {ARCHITECTURES[0]}
    expected: set[tuple[str, str]] = {
        (name, host) for name in ("bootstrap", "go", "uname") for host in hosts
    }
    for part in lock.wanted:
        kind, _, name = part.partition(".")
        if kind in {"source", "file", "boot"}:
            expected.add((name, ""))
    for name, host in sorted(expected ^ present):
        presence = "is missing" if (name, host) in expected else "belongs to no part of the spec"
        yield f"the input {name}{f' for {host}' if host else ''} {presence}"


def _misplaced(lock: Lock, found: Input) -> Iterator[str]:
    """An input that is not of the kind that its part of the spec asks for, or lacks its place.

    What looks at sources and at a person's own files goes by these; one that has not what it needs
    would be left out.
    """
    part, _, name = parts.of_input(found.name, lock.wanted).partition(".")
    module, destination = getattr(found, "module", None), getattr(found, "destination", None)
    text = lock.wanted.get(f"{part}.{name}", "")
    if part == "source":
        # A published one is held against the text by its version (`_module_contradictions`).
        local = isinstance(found, LocalPath) and text.startswith(f"{module} in {found.where}")
        if not module or not (local or isinstance(found, GoModule)):
            yield f"{found.label} is not the source that the lock was made for"
        elif getattr(found, "vendored", None) is None:
            yield f"{found.label} is pinned without its dependencies"
    elif getattr(found, "vendored", None) is not None:
        yield f"{found.label} has dependencies and is no source"
    if part == "file" and not (
        isinstance(found, LocalPath) and destination == name and text.startswith(found.where)
    ):
        yield f"{found.label} is not the file that the lock was made for"
    if part != "file" and destination is not None:
        yield f"{found.label} has a destination and is no file of the spec's"


def _module_contradictions(lock: Lock, found: GoModule) -> Iterator[str]:
    if found.name == "go":
        expected = gomodule.toolchain_version(lock.toolchain.version, found.host or "")
        if (found.module, found.version) != (gomodule.TOOLCHAIN, expected):
            yield f"{found.label} is {found.module} {found.version}, not {expected}"
        return
    made_for = f"{found.module}@{found.version}{parts.replaced(found.replace)}"
    if lock.wanted.get(f"source.{found.name}") != made_for:
        yield f"{found.label} is not the source that the lock was made for"
