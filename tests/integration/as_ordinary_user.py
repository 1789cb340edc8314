"""Runs a command as an ordinary user, from root, on a machine where root's folders are closed.

`python as_ordinary_user.py UID [FOLDER...] -- COMMAND...`: in a mount namespace of its own, the
folders become reachable for everybody at their own paths, even where one on the way to them is for
root only (a home folder with the Python installation, say); then this process becomes the user and
the command. Nothing on the machine is changed.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import tempfile
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18


def main(user: int, folders: list[Path], command: list[str]) -> None:
    """Become the user and the command."""
    library = ctypes.CDLL(None, use_errno=True)
    _check(library.unshare(_CLONE_NEWNS))
    _mount("none", Path("/"), "", _MS_REC | _MS_PRIVATE, "")
    with tempfile.TemporaryDirectory() as name:
        stage = Path(name)
        stage.chmod(0o755)
        _mount("tmpfs", stage, "tmpfs", 0, "mode=0755")
        closed: dict[Path, list[tuple[Path, Path]]] = {}
        for number, folder in enumerate(folders):
            first = _first_closed(folder.resolve())
            if first is not None:
                copy = stage / str(number)
                copy.mkdir()
                _mount(str(folder.resolve()), copy, "", _MS_BIND | _MS_REC, "")
                closed.setdefault(first, []).append((copy, folder.resolve()))
        for first, moved in closed.items():
            _mount("tmpfs", first, "tmpfs", 0, "mode=0755")
            for copy, folder in moved:
                folder.mkdir(parents=True, exist_ok=True)
                _mount(str(copy), folder, "", _MS_BIND | _MS_REC, "")
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        os.execvp(command[0], command)  # noqa: S606 - no shell wanted


def _first_closed(folder: Path) -> Path | None:
    """The outermost folder on the way that others may not pass."""
    for parent in reversed([folder, *folder.parents]):
        if not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    return None


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [os.fsencode(text) for text in (source, str(target), kind)]
    _check(library.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(options)))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    end = sys.argv.index("--")
    main(int(sys.argv[1]), [Path(text) for text in sys.argv[2:end]], sys.argv[end + 1 :])
