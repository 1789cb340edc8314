"""Fills an output directory in place, file by file, where it cannot be exchanged.

That is so for a mount point (a volume in a container), for the folder that the caller stands in,
and where the folder beside it cannot be written. Every file appears whole, by a rename. From before
the first change until after the last one there is a mark; `result.json` goes first and comes last,
so that without it the folder is not finished.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers.host import durable
from orchestrator.artifacts import folder_lock, names
from orchestrator.artifacts import sums as sums_file
from orchestrator.execution import logs
from reproducibility import canonical, digest, regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from threading import Event

RESULT, AUDIT, LOGS = names.RESULT, names.AUDIT, names.LOGS
# Of these a build's sums say that it made them: a person may have files of such names.
_LISTED = (
    names.ACTIONS, names.SBOM, names.SBOM_FILES, names.JUNIT, names.PROVENANCE, names.REPORT
)  # fmt: skip
# What lies beside the image and the archive, and is no copy of a person's file.
BESIDE = (RESULT, *_LISTED, *names.SUMS)
# How the name of a folder in the making begins.
HIDDEN = ".sourcery-new"
# Says which files builds made here; the others are a person's own.
MARK = ".sourcery-unfinished"
# include/uapi/linux/limits.h
_LONGEST, _LONGEST_NAME = 4096, 255


def holds_working_directory(out: Path) -> bool:
    """Return whether somebody who called this program may stand in a folder or below it."""
    try:
        here = Path.cwd()
        wanted = out.stat()
        return any(os.path.samestat(wanted, folder.stat()) for folder in (here, *here.parents))
    except OSError:
        return False


def holds_others_files(out: Path) -> bool:
    """Return whether a folder has something that no build made, by its result and its mark."""
    made = _made_before(out) | {Path(MARK), Path(RESULT)}
    # `orchestrate boot` keeps what it recorded beside the image.
    expected = {path.parts[0] for path in made} | {LOGS, "boot"}
    begun = (HIDDEN, f".{MARK}.")  # by a build that was killed
    return any(
        path.name not in expected and not path.name.startswith(begun) for path in out.iterdir()
    )


def refuse_others(out: Path, copies: Mapping[str, bytes]) -> None:
    """Make sure that nothing of a person's has the name of a file that a build writes.

    `copies`: the build's copies of spec and lock by name; a file with the same bytes may be there.

    Raises:
        InputError: something has.
    """
    for name in (*_LISTED, *names.COPIES):
        place = out / name
        if (
            os.path.lexists(place)
            and not _is_ours(out, name)
            and (name not in copies or _bytes(place) != copies[name])
        ):
            raise InputError(
                "no build made this file, and it lies where a file of the build belongs",
                subject=str(place),
                remedy="move it away, or give another folder with --out",
            )


def refuse_taken(
    out: Path, files: Iterable[Path] = (*map(Path, BESIDE), Path(LOGS, "any"))
) -> None:
    """Make sure that files can be put below a folder. `files`: relative; by default those known.

    Raises:
        InputError: a folder lies where a file belongs, or something else where a folder does.
    """
    for file in files:
        parents = [out / parent for parent in file.parents if parent != Path()]
        taken = [
            parent
            for parent in parents
            if os.path.lexists(parent) and (parent.is_symlink() or not parent.is_dir())
        ]
        if (out / file).is_dir() and not (out / file).is_symlink():
            taken.append(out / file)
        if taken:
            raise InputError(
                "something else lies where a file of the build belongs",
                subject=str(taken[0]),
                remedy="move it away, or give another folder with --out",
            )


def fill(fresh: Path, out: Path, stop: Event | None = None) -> None:
    """Put everything below `fresh`, which lies on the same file system, into `out`.

    What an earlier build made there goes, a person's own files stay.

    Raises:
        InputError: something else lies where a file belongs; nothing was changed.
        OSError: the folder cannot be written; without its result it is not finished.
        Stopped: `stop` was set while somebody else changed files there; nothing was changed.
    """
    made = sorted(path.relative_to(fresh) for path, _ in durable.files(fresh))
    refuse_taken(out, made)
    # A person's spec may lie there; it stays the file that it is.
    same = [Path(name) for name in names.COPIES if _same(fresh / name, out / name)]
    made = [path for path in made if path not in same]
    with _alone(out, stop):
        stale = _made_before(out) - {*made, *same}
        listed = sorted(map(str, stale.union(made)))
        durable.write(out / MARK, canonical.pretty({"made": listed}))
        (out / RESULT).unlink(missing_ok=True)
        durable.sync(out)
        for path in stale:
            if not (out / path).is_dir():
                (out / path).unlink(missing_ok=True)
        for path in made:
            if path != Path(RESULT):
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                (fresh / path).replace(out / path)
        for folder in {(out / path).parent for path in made}:
            durable.sync(folder)
        (fresh / RESULT).replace(out / RESULT)
        durable.sync(out)
        (out / MARK).unlink()
        durable.sync(out)


@contextlib.contextmanager
def _alone(out: Path, stop: Event | None) -> Iterator[None]:
    """Hold the folder against another build that would fill it at the same time."""
    handle = folder_lock.take(out, stop)
    try:
        yield
    finally:
        os.close(handle)


def _made_before(out: Path) -> set[Path]:
    """The files that builds made in a folder, relative, as its result and its mark say."""
    made = {Path(name) for name in (RESULT, *names.SUMS)}
    made |= {Path(name) for name in (*_LISTED, *names.COPIES) if _is_ours(out, name)}
    # It is of the build before; a person may have a file of that name.
    if {"schema", "audited"} <= _read(out / AUDIT).keys():
        made.add(Path(AUDIT))
    mark, result = _read(out / MARK), _read(out / RESULT)
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        made.update(Path(str(name)) for name in mark.get("made", ()))
        made.update(Path(str(result[part]["path"])) for part in ("image", "cpio") if part in result)
        # A build of an earlier version called its steps stages.
        for step in (*result.get("steps", ()), *result.get("stages", ())):
            name, key = str(step["name"]), str(step["key"]).rpartition(":")[2]
            made |= {Path(LOGS, logs.name_of(name)), Path(LOGS, logs.name_of(name, key))}
    # A list that somebody changed must not reach out of the folder, or through a link.
    return {
        path
        for path in made
        if _can_be(path)
        and not path.is_absolute()
        and ".." not in path.parts
        and path.parts
        and not any((out / parent).is_symlink() for parent in path.parents)
    }


def _is_ours(out: Path, name: str) -> bool:
    """Return whether a build made a file, by its sums; of a copy of the spec, with these bytes.

    Also where a build that was interrupted says so by its mark.
    """
    if name in _read(out / MARK).get("made", ()):
        return True
    try:
        sums = sums_file.parse(regular.read(out / names.SHA256SUMS, follow=False), "")
    except (OSError, InputError):
        return False
    if name not in names.COPIES:
        return name in sums
    found = _bytes(out / name)
    return found is not None and sums.get(name) == digest.sha256_of_bytes(found).hex


def _bytes(path: Path) -> bytes | None:
    try:
        return regular.read(path, follow=False)
    except OSError:
        return None


def _same(one: Path, other: Path) -> bool:
    found = _bytes(other)
    return found is not None and found == _bytes(one)


def _can_be(path: Path) -> bool:
    """Return whether a file can lie there: names of 255 bytes, paths of 4,096 at most, no NUL."""
    name = os.fsencode(path)
    longest = max(map(len, name.split(b"/")))
    return b"\0" not in name and len(name) < _LONGEST and longest <= _LONGEST_NAME


def _read(path: Path) -> dict[str, Any]:
    try:
        found = canonical.loads(regular.read(path, follow=False))
    except (OSError, InputError):
        return {}
    return found if isinstance(found, dict) else {}
