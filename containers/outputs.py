"""Moves declared outputs out of a work directory, following no link that an action left.

The action is over and its processes are gone when this runs, so nothing changes underneath. What
the outputs are to be hashed and stored for is decided by how large they are, so that is bounded
first: in files, and in bytes with holes counted like content.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reproducibility.errors import ActionError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from threading import Event

    from containers.policy import Limits

_NO_FOLLOW = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 64 << 20
# Folders in one another, and bytes of a path below the place that it is taken to: far more than a
# tree needs, and far less than the kernel takes.
_DEEPEST = 200
_LONGEST = 2048

_SHOWN = 200

Exceeded = Literal["", "work", "files"]


class ExceededError(Exception):
    """The outputs are more than a limit (`work` or `files`) allows."""

    def __init__(self, limit: Literal["work", "files"]) -> None:
        super().__init__(limit)
        self.limit: Literal["work", "files"] = limit


@dataclass
class Allowance:
    """Remaining allowance of outputs, in bytes and in files; asked before each one.

    `stop`: whether the person stopped the work meanwhile.
    """

    size: int
    files: int
    stop: Event

    @classmethod
    def of(cls, limits: Limits, stop: Event) -> Allowance:
        """Return what limits allow."""
        return cls(limits.work, limits.files, stop)

    def spend(self, size: int) -> None:
        """Count one file, folder or link of so many bytes.

        Raises:
            ExceededError: it is one too many, or too large.
            Stopped: `stop` was set.
        """
        self.go_on()
        self.files -= 1
        self.size -= size
        if self.size < 0:
            raise ExceededError("work")
        if self.files < 0:
            raise ExceededError("files")

    def go_on(self) -> None:
        """Raise an exception where the person stopped the work.

        Raises:
            Stopped: `stop` was set.
        """
        if self.stop.is_set():
            raise Stopped("stopped")


def take(work: int, outputs: Iterable[str], into: Path, limits: Limits, stop: Event) -> Exceeded:
    """Move declared outputs from an open folder to the same relative paths below `into`.

    `work`: descriptor of the work directory. What is not there is left out, and so is what could
    only be reached over a symbolic link. Afterwards every file has mode 0644 or 0755 and every
    folder 0755 (a tree knows no other difference), owned by this process's user. Returns the limit
    that the outputs exceed; then none is taken.

    Raises:
        ActionError: folders are nested too deeply, or a path is too long.
        OSError: the disk is full, or cannot be written; names the file.
        Stopped: `stop` was set.
    """
    with naming(into):
        return _take(work, outputs, into, Allowance.of(limits, stop))


def _take(work: int, outputs: Iterable[str], into: Path, allowance: Allowance) -> Exceeded:
    into.mkdir()
    # An action may have closed the work directory itself, which binds an ordinary user.
    if os.fstat(work).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(work, stat.S_IRWXU)
    wanted = outermost(outputs)
    try:
        for output in wanted:
            with naming(into / output), _parent_of(work, output) as (folder, name):
                if folder is not None:
                    _measure(folder, name, name, allowance)
    except ExceededError as error:
        return error.limit
    for output in wanted:
        with naming(into / output), _parent_of(work, output) as (folder, name):
            if folder is not None:
                target = into / output
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(folder, name, target, allowance)
                _settle(target, allowance)
    return ""


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """Context around the writing of an output: an OSError that names no file names its place."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(place)
        raise


def outermost(outputs: Iterable[str]) -> list[str]:
    """The outputs that do not lie in another one."""
    found: list[str] = []
    for output in sorted(outputs):
        if not any(output == other or output.startswith(other + "/") for other in found):
            found.append(output)
    return found


@contextmanager
def _parent_of(work: int, output: str) -> Iterator[tuple[int | None, str]]:
    """The folder that an output lies in, opened (None where there is no such output); its name."""
    parent, _, name = output.rpartition("/")
    folder = _open_below(work, parent)
    try:
        if folder is not None:
            try:
                os.lstat(name, dir_fd=folder)
            except FileNotFoundError:
                yield None, name
                return
        yield folder, name
    finally:
        if folder is not None:
            os.close(folder)


def check_path(path: str) -> None:
    """Demand that an output's path, from its own name on, is neither too deep nor too long.

    Raises:
        ActionError: it is.
    """
    if path.count("/") > _DEEPEST:
        wrong = f"folders that are nested more than {_DEEPEST} deep"
    elif len(os.fsencode(path)) > _LONGEST:
        wrong = f"paths of more than {_LONGEST} bytes"
    else:
        return
    raise ActionError(
        f"the outputs have {wrong}",
        subject=f"{path[:_SHOWN]}...",
        remedy="have the step write them less deep",
    )


def _measure(folder: int, name: str, path: str, allowance: Allowance) -> None:
    """Count what lies at a place and below it; each name of a file counts."""
    if _is_counted_folder(folder, name, path, allowance):
        _measure_folder(folder, name, path, allowance)


def _measure_folder(parent: int, name: str, path: str, allowance: Allowance) -> None:
    """Count what lies in a folder, with one descriptor for each level that is being looked at."""
    folder = _open_folder(name, parent)
    if folder is None:
        return
    try:
        # To its end before going on: to read a folder takes another descriptor.
        with os.scandir(folder) as listing:
            inner = [
                entry.name
                for entry in listing
                if _is_counted_folder(folder, entry.name, f"{path}/{entry.name}", allowance)
            ]
        for child in inner:
            _measure_folder(folder, child, f"{path}/{child}", allowance)
    finally:
        os.close(folder)


def _is_counted_folder(folder: int, name: str, path: str, allowance: Allowance) -> bool:
    """Count one name; whether it is that of a folder."""
    check_path(path)
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    allowance.spend(status.st_size if stat.S_ISREG(status.st_mode) else 0)
    return stat.S_ISDIR(status.st_mode)


def _open_below(folder: int, path: str) -> int | None:
    """Open a folder below another one, no part of the way a link; None where there is none."""
    current = os.dup(folder)
    for part in path.split("/") if path else ():
        following = _open_folder(part, current)
        os.close(current)
        if following is None:
            return None
        current = following
    return current


def _open_folder(name: str, parent: int) -> int | None:
    """Open a folder, whatever its mode; None where there is nothing or something else."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return None
    if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, stat.S_IRWXU, dir_fd=parent)
    return os.open(name, _NO_FOLLOW, dir_fd=parent)


def _move(folder: int, name: str, target: Path, allowance: Allowance) -> None:
    inner = _open_folder(name, folder)
    if inner is not None:
        os.close(inner)
    try:
        os.rename(name, target, src_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(folder, name, target, allowance)


def _copy(folder: int, name: str, target: Path, allowance: Allowance) -> None:
    """Copy a file or a folder from another file system, links and special files as they are."""
    allowance.go_on()
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    inner = _open_folder(name, folder)
    if inner is not None:
        try:
            target.mkdir()
            for child in sorted(os.listdir(inner)):  # noqa: PTH208 - by descriptor
                _copy(inner, child, target / child, allowance)
        finally:
            os.close(inner)
    elif stat.S_ISLNK(status.st_mode):
        target.symlink_to(os.readlink(name, dir_fd=folder))
    elif stat.S_ISREG(status.st_mode):
        os.chmod(name, status.st_mode | stat.S_IRUSR, dir_fd=folder)
        reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        with naming(target), os.fdopen(reading, "rb") as source, target.open("xb") as sink:
            _copy_content(source.fileno(), sink.fileno(), status.st_size, allowance)
        target.chmod(stat.S_IMODE(status.st_mode))
    else:
        # Kept as something that no tree can hold, so that whoever scans the outputs objects.
        os.mkfifo(target)


def _copy_content(source: int, sink: int, size: int, allowance: Allowance) -> None:
    """Copy a file's content, holes as holes."""
    place = 0
    while place < size:
        try:
            place = os.lseek(source, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                break
            raise
        end = os.lseek(source, place, os.SEEK_HOLE)
        os.lseek(sink, place, os.SEEK_SET)
        while place < end:
            allowance.go_on()
            place += os.sendfile(sink, source, place, min(end - place, _CHUNK))
    os.ftruncate(sink, size)


def _settle(path: Path, allowance: Allowance) -> None:
    """Give modes that are the same for every engine, and everything to this process's user."""
    user, group = os.geteuid(), os.getegid()
    waiting = [path]
    while waiting:
        allowance.go_on()
        here = waiting.pop()
        status = here.lstat()
        if status.st_uid != user or status.st_gid != group:
            os.chown(here, user, group, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            here.chmod(0o755)
            waiting.extend(here.iterdir())
        elif stat.S_ISREG(status.st_mode):
            here.chmod(0o755 if status.st_mode & 0o111 else 0o644)
