"""Takes the declared outputs out of a work directory, without following anything an action left.

The action is over and its processes are gone when this runs, so nothing changes underneath.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NO_FOLLOW = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 30
_DEEPEST = 200


def take(work: int, outputs: Iterable[str], into: Path) -> None:
    """Move declared outputs from an open folder to the same relative paths below `into`.

    `work`: descriptor of the work directory. What is not there is left out, and so is what could
    only be reached over a symbolic link. Afterwards every file has mode 0644 or 0755 and every
    folder 0755 (a tree knows no other difference), owned by this process's user.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    into.mkdir()
    for output in outermost(outputs):
        parent, _, name = output.rpartition("/")
        folder = _open_below(work, parent)
        if folder is None:
            continue
        try:
            os.lstat(name, dir_fd=folder)
            target = into / output
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(folder, name, target)
            _settle(target)
        except FileNotFoundError:
            continue
        finally:
            os.close(folder)


def outermost(outputs: Iterable[str]) -> list[str]:
    """The outputs that do not lie in another one."""
    found: list[str] = []
    for output in sorted(outputs):
        if not any(output == other or output.startswith(other + "/") for other in found):
            found.append(output)
    return found


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


def _move(folder: int, name: str, target: Path) -> None:
    inner = _open_folder(name, folder)
    if inner is not None:
        os.close(inner)
    try:
        os.rename(name, target, src_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(folder, name, target, _DEEPEST)


def _copy(folder: int, name: str, target: Path, depth: int) -> None:
    """Copy a file or a folder from another file system, links and special files as they are."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    inner = _open_folder(name, folder)
    if inner is not None:
        try:
            if depth == 0:
                raise OSError(errno.ENAMETOOLONG, "folders are nested too deeply", str(target))
            target.mkdir()
            for child in sorted(os.listdir(inner)):  # noqa: PTH208 - by descriptor
                _copy(inner, child, target / child, depth - 1)
        finally:
            os.close(inner)
    elif stat.S_ISLNK(status.st_mode):
        target.symlink_to(os.readlink(name, dir_fd=folder))
    elif stat.S_ISREG(status.st_mode):
        os.chmod(name, status.st_mode | stat.S_IRUSR, dir_fd=folder)
        reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(reading, "rb") as source, target.open("xb") as sink:
            while os.sendfile(sink.fileno(), source.fileno(), None, _CHUNK):
                pass
        target.chmod(stat.S_IMODE(status.st_mode))
    else:
        # Kept as something that no tree can hold, so that whoever scans the outputs objects.
        os.mkfifo(target)


def _settle(path: Path) -> None:
    """Give modes that are the same for every engine, and everything to this process's user."""
    user, group = os.geteuid(), os.getegid()
    waiting = [path]
    while waiting:
        here = waiting.pop()
        status = here.lstat()
        if status.st_uid != user or status.st_gid != group:
            os.chown(here, user, group, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            here.chmod(0o755)
            waiting.extend(here.iterdir())
        elif stat.S_ISREG(status.st_mode):
            here.chmod(0o755 if status.st_mode & 0o111 else 0o644)
