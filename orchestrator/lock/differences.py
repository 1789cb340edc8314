"""Tells what differs between two locks, a line an input, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.lock.file import GCC, Absent, SecondRoot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.lock.file import Input, Lock, LogEntry, RootEntry


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
    return lines


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
