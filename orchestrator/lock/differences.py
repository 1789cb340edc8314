"""Tells what differs between two locks: as values, and a line an input, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.lock.file import GCC, Absent, Recorded, SecondRoot, WorkerTools
from orchestrator.lock.parts import GCC as ROOT
from orchestrator.lock.parts import WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.lock.file import GoModule, Input, Lock, LogEntry, RootEntry, WorkerEntry
    from orchestrator.lock.model import RootPackage
    from reproducibility.digest import Digest

# Name of the input, part of the second root, host.
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Pin:
    """Pin of an input on one side.

    `kind`: as in the lock (`debian-package`), or `second-root` and `worker-tools` for all of one.
    `package`: its name
    where it comes from; empty where it has none. `blake3`: of the artifact; of the tree for all of
    a second root. `tree`, `vendored`: digests of what it holds. `record`: its number in the public
    log.
    """

    kind: str
    version: str
    package: str
    blake3: Digest
    tree: Digest | None = None
    vendored: Digest | None = None
    record: int | None = None

    def document(self) -> dict[str, str | int | None]:
        """The pin as a JSON object."""
        return {
            "kind": self.kind,
            "version": self.version,
            "package": self.package or None,
            "blake3": str(self.blake3),
            "tree": str(self.tree) if self.tree else None,
            "vendored": str(self.vendored) if self.vendored else None,
            "record": self.record,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """Change of an input from one lock to another.

    `name`: as `orchestrate lock --update` takes it. `part`: package or release of a second root,
    else empty. `host`: the architecture of the machine that needs it; empty where every machine
    does. `before`, `after`: None where that lock has no such input.
    """

    name: str
    part: str
    host: str
    before: Pin | None
    after: Pin | None

    @property
    def label(self) -> str:
        """The input for people, without versions."""
        part = f" {self.part}" if self.part else ""
        return f"{self.name}{part}" + (f" for {self.host}" if self.host else "")

    def document(self) -> dict[str, object]:
        """The change as a JSON object."""
        return {
            "name": self.name,
            "part": self.part or None,
            "host": self.host or None,
            "before": self.before.document() if self.before else None,
            "after": self.after.document() if self.after else None,
        }


def changes(previous: Lock | None, new: Lock) -> tuple[Change, ...]:
    """Return what differs between the inputs of two locks, sorted by name, part and host."""
    old, now = dict(_pins(previous) if previous else ()), dict(_pins(new))
    return tuple(
        Change(name, part, host, old.get((name, part, host)), now.get((name, part, host)))
        for name, part, host in sorted(old.keys() | now.keys())
        if old.get((name, part, host)) != now.get((name, part, host))
    )


def _pins(lock: Lock) -> Iterator[tuple[_Key, Pin]]:
    for found in lock.inputs:
        yield (found.name, "", found.host or ""), _pin(found)
    for host, root in lock.roots.get(GCC, {}).items():
        if not isinstance(root, SecondRoot):
            continue
        yield (ROOT, "", host), Pin("second-root", "", "", root.tree)
        for package in root.packages:
            yield (ROOT, package.package, host), _pin_of_package(package)
        for release in root.releases:
            yield (ROOT, release.name, host), _pin(release)
    for machine, tools in lock.workers.items():
        if isinstance(tools, WorkerTools):
            yield (WORKERS, "", machine), Pin("worker-tools", "", "", tools.tree)
            for package in tools.packages:
                yield (WORKERS, package.package, machine), _pin_of_package(package)


def _pin(found: Input) -> Pin:
    log: LogEntry | None = getattr(found, "log", None)
    return Pin(
        kind=found.kind,
        version=found.version,
        package=getattr(found, "package", None) or getattr(found, "module", None) or "",
        blake3=found.blake3,
        tree=found.tree,
        vendored=getattr(found, "vendored", None),
        record=log.number if isinstance(log, Recorded) else None,
    )


def _pin_of_package(found: RootPackage) -> Pin:
    return Pin("debian-package", found.version, found.package, found.blake3)


def moved(previous: Lock | None, new: Lock) -> list[str]:
    """Return what differs between two locks, a line an input; digests in full."""
    old = {(found.name, found.host): found for found in previous.inputs} if previous else {}
    now = {(found.name, found.host): found for found in new.inputs}
    lines = []
    for key in sorted(old.keys() | now.keys(), key=lambda key: (key[0], key[1] or "")):
        before, after = old.get(key), now.get(key)
        if before is None and after is not None:
            lines.append(f"{after.label}: new, {after.blake3}")
        elif after is None and before is not None:
            lines.append(f"{before.label}: gone")
        elif before is not None and after is not None and before != after:
            lines.append(f"{before.label}: {_difference(before, after)}")
    entries = previous.toolchain.log if previous else {}
    for architecture, entry in sorted(new.toolchain.log.items()):
        if entries.get(architecture) != entry:
            lines.append(f"public record of go for {architecture}: {_told(entry)}")
    before_roots = previous.roots.get(GCC, {}) if previous else {}
    now_roots = new.roots.get(GCC, {})
    for host in sorted(before_roots.keys() | now_roots.keys()):
        lines += _of_roots(host, before_roots.get(host), now_roots.get(host))
    before_workers = previous.workers if previous else {}
    for machine in sorted(before_workers.keys() | new.workers.keys()):
        lines += _of_workers(machine, before_workers.get(machine), new.workers.get(machine))
    return lines


def _of_workers(machine: str, before: WorkerEntry | None, now: WorkerEntry | None) -> Iterator[str]:
    name = f"workers of {machine}"
    if now is None:
        yield f"{name}: gone"
    elif isinstance(now, Absent):
        if now != before:
            yield f"{name}: not pinned: {now.reason}"
    elif not isinstance(before, WorkerTools):
        yield f"{name}: new, {len(now.packages)} packages, {now.tree}"
    elif now != before:
        old = {one.package: one for one in before.packages}
        new = {one.package: one for one in now.packages}
        told = [f"{name}: {line}" for line in _moved_parts(old, new)]
        yield from told or [f"{name}: the same packages, another tree: {before.tree} -> {now.tree}"]


def _of_roots(host: str, before: RootEntry | None, now: RootEntry | None) -> Iterator[str]:
    name = f"root.gcc for {host}"
    if now is None:
        yield f"{name}: gone"
    elif isinstance(now, Absent):
        if now != before:
            yield f"{name}: not pinned: {now.reason}"
    elif not isinstance(before, SecondRoot):
        parts = f"{len(now.packages)} packages, {len(now.releases)} Go releases"
        yield f"{name}: new, {parts}, {now.tree}"
    elif now != before:
        told = [f"{name}: {line}" for line in _parts(before, now)]
        yield from told or [f"{name}: the same packages, another tree: {before.tree} -> {now.tree}"]


def _parts(before: SecondRoot, now: SecondRoot) -> Iterator[str]:
    """Each package and release that is another one now."""
    old = {one.package: one for one in before.packages} | {one.name: one for one in before.releases}
    new = {one.package: one for one in now.packages} | {one.name: one for one in now.releases}
    yield from _moved_parts(old, new)


def _moved_parts(
    old: Mapping[str, RootPackage | GoModule], new: Mapping[str, RootPackage | GoModule]
) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name), new.get(name)
        if first is None and second is not None:
            yield f"{second.label}: new, {second.blake3}"
        elif second is None and first is not None:
            yield f"{first.label}: gone"
        elif first is not None and second is not None and first != second:
            yield f"{name}: {first.version}, {first.blake3} -> {second.version}, {second.blake3}"


def _difference(before: Input, after: Input) -> str:
    if before.kind != after.kind:
        return f"from {before.kind} to {after.kind}, now {after.version}, {after.blake3}"
    parts = []
    for name in ("version", "blake3", "tree", "vendored"):
        pair = getattr(before, name, None), getattr(after, name, None)
        if pair[0] != pair[1]:
            parts.append(f"{name} {pair[0] or 'nothing'} -> {pair[1] or 'nothing'}")
    log = getattr(before, "log", None), getattr(after, "log", None)
    if log[1] is not None and log[0] != log[1]:
        parts.append(f"public record: {_told(log[1])}")
    return ", ".join(parts) or "the same bytes, described otherwise"


def _told(entry: LogEntry) -> str:
    return entry.reason if isinstance(entry, Absent) else f"number {entry.number} of the log"
