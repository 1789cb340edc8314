"""Garbage collection, verification and size of a store's folder.

Works on the folder alone; who may do what when is the store's matter. What cannot be read is never
taken for something that is not there: it stops the work, and before anything was removed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from containers.host import durable
from orchestrator.store import records
from reproducibility import digest as digests
from reproducibility import regular
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import LARGEST, MAGIC, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

PARTS = ("blobs", "results", "checkouts", "damaged", "failures", "scratch")
# Live processes work there, and their actions give folders whatever modes they like.
_SCRATCH = "scratch"
_NAME = re.compile(r"[0-9a-f]{64}")
_BLOCK = 512
# What `durable.write` calls files that are not in their place yet.
_TEMPORARY = re.compile(r"\..*\.json\..*")
_TEMPORARY_VERSION = ".version.*"
# Folders between the results and a record.
_DEPTH = 2
_MEND = "mend its permissions or the disk, and run it again; nothing was removed"


def size(root: Path) -> dict[str, int]:
    """Bytes on the disk by part; hard links counted once, for the blobs.

    Of `scratch`, which others are working in, only what this user may look at.

    Raises:
        InfrastructureError: a part cannot be looked at.
    """
    seen: set[int] = set()
    sizes = {}
    for part in PARTS:
        total = 0
        for _, status in _files(root / part, strict=part != _SCRATCH):
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_blocks * _BLOCK
        sizes[part] = total
    return sizes


def verify(blobs: Path, move_aside: Callable[[Path], None]) -> tuple[int, list[Digest]]:
    """Compare every blob with its name, and move aside those that differ.

    A blob that the disk does not give back (EIO) counts as damaged, and so does anything else than
    a file in a blob's place.

    Returns: how many were read, and the digests of the damaged ones, sorted.

    Raises:
        InfrastructureError: one cannot be read for another reason, so nothing is known of it.
    """
    damaged = []
    count = 0
    for path in [*(path for path, _ in _files(blobs)), *_folders_named_as_blobs(blobs)]:
        if not _NAME.fullmatch(path.name):
            continue
        try:
            found = digests.of_file(path, follow=False).hex
        except FileNotFoundError:
            continue
        except regular.IrregularFileError:
            found = ""
        except OSError as error:
            if error.errno != errno.EIO:
                raise _unreadable(error, path) from error
            found = ""
        count += 1
        if found != path.name:
            move_aside(path)
            damaged.append(Digest("blake3", path.name))
    return count, sorted(damaged)


def damaged_records(results: Path) -> list[Path]:
    """Records that say nothing any more, where they lie: until they are made again, gc needs them.

    Raises:
        InfrastructureError: one cannot be read, so nothing is known of it.
    """
    found = []
    for path, status in _results(results):
        try:
            if stat.S_ISREG(status.st_mode):
                records.references(regular.read(path, follow=False))
                continue
        except FileNotFoundError:
            continue
        except OSError as error:
            if not isinstance(error, regular.LargeFileError):
                raise _unreadable(error, path) from error
        except InputError:
            pass
        found.append(path)
    return sorted(found)


@dataclass
class _Plan:
    """Plan of a gc: what it removes, known before the first is removed; results before blobs."""

    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


def collect(root: Path, *, unused_since: float) -> tuple[int, int]:
    """Remove results not used since a time, and everything that the others do not refer to.

    `unused_since`: seconds since 1970-01-01 UTC.

    Returns: how many results, blobs and logs went, and how many bytes that freed, checkouts (which
    are made again when needed) included.

    Raises:
        InfrastructureError: something that says what is needed cannot be read or is damaged, so
            nothing was removed.
    """
    before = sum(size(root).values())
    plan = _planned(root, unused_since)
    for path in [*plan.files, *plan.folders]:
        durable.remove(path)
    return len(plan.files), before - sum(size(root).values())


def _planned(root: Path, unused_since: float) -> _Plan:
    plan = _Plan()
    wanted: set[str] = set()
    trees: dict[str, Path] = {}
    for path, status in _results(root / "results"):
        if not stat.S_ISREG(status.st_mode):
            raise _no_record(path, "there is no file in its place")
        if status.st_mtime < unused_since:
            plan.files.append(path)
        else:
            found = _references(path)
            wanted.update(found.blobs)
            trees.update(dict.fromkeys(found.trees, path))
    plan.files += [path for path, _ in _files(root / "results") if _TEMPORARY.fullmatch(path.name)]
    plan.files += [
        path for path, status in _files(root / "failures") if status.st_mtime < unused_since
    ]
    kept = _with_trees(root / "blobs", wanted, trees)
    plan.files += [path for path, _ in _files(root / "blobs") if path.name not in kept]
    plan.files += root.glob(_TEMPORARY_VERSION)
    for part in ("checkouts", "damaged"):
        for path in _listed(root / part):
            is_folder = path.is_dir() and not path.is_symlink()
            (plan.folders if is_folder else plan.files).append(path)
    return plan


def _results(results: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the records, `<kind>/ab/<64 hex>.json`, without what killed writers left."""
    for path, status in _files(results):
        if not _TEMPORARY.fullmatch(path.name):
            yield path, status
    for where, folders, _ in os.walk(results, onerror=_stop):
        if len(results.joinpath(where).relative_to(results).parts) == _DEPTH:
            for name in folders:
                path = results.joinpath(where, name)
                yield path, path.lstat()


def _references(path: Path) -> records.References:
    try:
        return records.references(regular.read(path, follow=False), subject=str(path))
    except OSError as error:
        raise _unreadable(error, path) from error
    except InputError as error:
        raise _no_record(path, error.summary) from error


def _with_trees(blobs: Path, wanted: set[str], trees: Mapping[str, Path]) -> set[str]:
    """Blobs that records name, and those in the trees among them.

    Each one that is there is compared with its name: a damaged manifest may not look like one. One
    that has its name and cannot be read as a manifest was never one, however it begins: an artifact
    or what a step said may begin like that. `trees`: what must be one, and which record says so.
    """
    kept = set(wanted)
    for name in sorted(wanted):
        place = blobs / name[:2] / name[2:4] / name
        try:
            if not stat.S_ISREG(place.lstat().st_mode):
                raise _damaged(place, "there is no file in its place")
            found = digests.of_file(place, follow=False).hex
            if found != name:
                raise _damaged(place, f"it is blake3:{found}")
            kept.update(_listed_in(place))
        except InputError as error:
            if name in trees:
                raise _no_record(trees[name], f"blake3:{name}: {error.summary}") from error
        except FileNotFoundError:
            aside = blobs.with_name("damaged") / name
            if os.path.lexists(aside):
                raise _moved_aside(aside) from None
            continue  # what other machines need is pinned and never fetched here
        except OSError as error:
            raise _unreadable(error, place) from error
    return kept


def _listed_in(place: Path) -> list[str]:
    """Return the digits of what a blob lists as a manifest; nothing where it does not begin so.

    Raises:
        InputError: it begins like a manifest and is none.
        OSError: it cannot be read.
    """
    with regular.opened(place, follow=False) as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return []
    try:
        data = regular.read(place, follow=False, limit=LARGEST)
    except regular.LargeFileError as error:
        raise InputError(f"not a tree manifest: {error.strerror}") from error
    return [entry.digest for entry in Tree.parse(data).files()]


def _folders_named_as_blobs(blobs: Path) -> Iterator[Path]:
    for where, folders, _ in os.walk(blobs, onerror=_stop):
        yield from (blobs.joinpath(where, name) for name in folders if _NAME.fullmatch(name))


def _files(folder: Path, *, strict: bool = True) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        yield from durable.files(folder, strict=strict)
    except OSError as error:
        raise _unreadable(error, folder) from error


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable(error, folder) from error


def _stop(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise _unreadable(error, error.filename) from error


def _unreadable(error: OSError, place: Path | str) -> InfrastructureError:
    return InfrastructureError(
        f"cannot read a part of the store: {error.strerror}",
        subject=str(error.filename or place),
        remedy=_MEND,
    )


def _no_record(place: Path, reason: str) -> InfrastructureError:
    return InfrastructureError(
        f"a record of the store is damaged, so it is not known what it needs: {reason}",
        subject=str(place),
        remedy="remove it, build again what you still need, and run it again then; nothing was "
        "removed",
    )


def _moved_aside(place: Path) -> InfrastructureError:
    return InfrastructureError(
        "a blob that results refer to was moved aside as damaged and not made again, so it is not "
        "known what it needs",
        subject=str(place),
        remedy="build again what you still need, or remove that file if it is of no use to you; "
        "nothing was removed",
    )


def _damaged(place: Path, reason: str) -> InfrastructureError:
    return InfrastructureError(
        f"a blob that results refer to is damaged, so it is not known what it needs: {reason}",
        subject=str(place),
        remedy="`orchestrate store verify` moves it aside, and a build makes it again; run it "
        "again then; nothing was removed",
    )
