"""Replaces the output directory in one step (renameat2): a reader sees the old one or the new one.

What is being made lies beside it in a hidden folder that a later run removes if its maker was
killed. Where the folder cannot be exchanged, it is filled in place (`filling`), and what is being
made lies in it. Which way it will be is tried before the work and not assumed. What came to lie in
the folder meanwhile is looked at again under its lock, under which too another build begins to work
in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host import durable, rename, scratch
from containers.host.scratch import Scratch
from orchestrator.artifacts import filling, folder_lock, names
from orchestrator.artifacts.filling import AUDIT, BESIDE, RESULT
from reproducibility import canonical, regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from threading import Event

__all__ = ["AUDIT", "BESIDE", "RESULT", "refuse_foreign", "replacing", "unfinished"]

_PREFIX = filling.HIDDEN
# rename(2): another folder cannot take this one's place, whatever lies in it: a mount point, a
# folder of an overlay's lower layer, permissions of the folder around it.
_STAYS = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}
_REMEDY = "give another folder with --out, or mend its permissions"


def refuse_foreign(out: Path, copies: Mapping[str, bytes] | None = None) -> None:
    """Make sure that replacing `out` loses nothing that a build did not make, and is possible.

    `copies`: the copies of spec and lock that will lie there, by name.

    Raises:
        InputError: it is a file, or a folder with something in it but no result of a build.
        InfrastructureError: nothing can be written there; better said before the work than after.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(
            "the output directory's place is taken by something that is no folder",
            subject=str(out),
            remedy="give another folder with --out",
        )
    out = Path(os.path.abspath(out))  # noqa: PTH100 - without following a link
    try:
        foreign = out.is_dir() and _holds_foreign(out)
    except OSError as error:
        raise _refused("cannot look into the output directory", out, error) from error
    if foreign:
        raise InputError(
            f"the folder is not empty and holds no {RESULT} of a build",
            subject=str(out),
            remedy="give another folder with --out, or empty this one",
        )
    filling.refuse_others(out, copies or {})
    if _must_be_filled(out):
        filling.refuse_taken(out)


def unfinished(out: Path) -> bool:
    """Return whether a build began to fill a folder and did not come to its end."""
    return os.path.lexists(out / filling.MARK) and not os.path.lexists(out / RESULT)


def is_unfinished(name: str) -> bool:
    """Return whether a folder's name is that of an output directory in the making."""
    return name.startswith(_PREFIX)


@contextlib.contextmanager
def replacing(out: Path, stop: Event | None = None) -> Iterator[Path]:
    """A fresh folder that takes the place of `out` when the block ends well, else vanishes.

    Where `out` cannot be exchanged, what is in the fresh folder is moved into it instead.

    Raises:
        InputError: meanwhile something else has come to lie in `out`.
        InfrastructureError: the folder cannot be made or put in place.
        Stopped: `stop` was set while somebody else held `out`, which is left as it is.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - without following a link
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused("cannot write beside the output directory", out.parent, error) from error
    fill = _must_be_filled(out)
    try:
        making = _begun_in(out, stop) if fill else Scratch(out.parent, _PREFIX)
        inner = making.folder / "out"
        inner.mkdir()
    except OSError as error:
        raise _refused("cannot write beside the output directory", out.parent, error) from error
    try:
        yield inner
        try:
            refuse_foreign(out, _copies(inner))
            for path, _ in durable.files(inner):
                durable.sync(path)
            durable.sync(inner)
            if fill:
                filling.fill(inner, out, stop)
            else:
                _put_in_place(inner, out, stop)
        except OSError as error:
            raise _refused("cannot put the output directory in place", out, error) from error
    finally:
        # What cannot be removed (files of another user in the old folder) is no failure of a build.
        with contextlib.suppress(OSError):
            making.close()


def _begun_in(out: Path, stop: Event | None) -> Scratch:
    """A scratch folder in `out`, which no other build moves away from then on."""
    with folder_lock.against_changes(out, stop):
        return Scratch(out, _PREFIX)


def _copies(folder: Path) -> dict[str, bytes]:
    found = {name: folder / name for name in names.COPIES}
    return {name: regular.read(path) for name, path in found.items() if path.exists()}


def _must_be_filled(out: Path) -> bool:
    """Return whether `out` has to stay the folder that it is. `out`: absolute.

    Raises:
        InfrastructureError: nothing can be written there or beside it.
    """
    if not out.is_dir():
        nearest = next(folder for folder in out.parents if os.path.lexists(folder))
        _try_writing(nearest, "cannot write beside the output directory")
        return False
    stays = filling.holds_working_directory(out) or _is_shared(out)
    if not stays:
        try:
            with closing(Scratch(out.parent, _PREFIX)) as trial:
                stays = _stays(out, trial.folder)
        except (InfrastructureError, OSError):
            stays = True
    if stays:
        _try_writing(out, "cannot write into the output directory, nor put another in its place")
    return stays


def _is_shared(out: Path) -> bool:
    """Return whether a folder has a person's files too, or another build works in it just now.

    Neither is moved away, wherever the folder may be.
    """
    return filling.holds_others_files(out) or scratch.living(out, _PREFIX)


def _stays(out: Path, place: Path) -> bool:
    """Return whether the kernel refuses to move a folder elsewhere; it is not moved in any case.

    The target holds something, which rename(2) refuses too, but after everything else.
    """
    obstacle = place / "obstacle"
    (obstacle / "in the way").mkdir(parents=True)
    try:
        out.rename(obstacle)
    except OSError as error:
        return error.errno in _STAYS
    obstacle.rename(out)  # a file system that does as it likes
    return False


def _try_writing(folder: Path, refusal: str) -> None:
    if not folder.is_dir():
        raise InfrastructureError(refusal, subject=str(folder), remedy=_REMEDY)
    try:
        Scratch(folder, _PREFIX).close()
    except (InfrastructureError, OSError) as error:
        cause = error.__cause__ if isinstance(error, InfrastructureError) else error
        raise _refused(refusal, folder, cause) from error


def _holds_foreign(out: Path) -> bool:
    """Return whether something lies in a folder that a build neither made nor may replace."""
    there = {path.name for path in out.iterdir()}
    # Twice: another build may take the result away, its mark set, between one look and the next.
    if any(os.path.lexists(out / filling.MARK) or is_result(out / RESULT) for _ in range(2)):
        return False
    # mkfs makes the second one at the top of a file system.
    return any(
        not name.startswith(f"{_PREFIX}-") and not (name == "lost+found" and out.is_mount())
        for name in there
    )


def is_result(path: Path) -> bool:
    """Return whether a file is the result that a build leaves in its output directory."""
    try:
        document = canonical.loads(regular.read(path))
    except (OSError, InputError):
        return False
    return isinstance(document, dict) and {"schema", "verdict", "image"} <= document.keys()


def _put_in_place(fresh: Path, out: Path, stop: Event | None) -> None:
    placed = None
    while placed is None:
        # Who adds evidence would else write what is about this folder into the one after it.
        with folder_lock.against_changes(out, stop):
            if out.is_dir():
                placed = not _is_shared(out) and _exchanged(fresh, out)
            else:
                placed = _first(fresh, out)
    if placed:
        durable.sync(out.parent)
    else:
        _fill_from_elsewhere(fresh, out, stop)


def _first(fresh: Path, out: Path) -> bool | None:
    """Put a folder where there is none, and return True; None where there is one by now."""
    try:
        fresh.rename(out)
    except OSError as error:
        # Another build may put its first result there between the look and the rename.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return None
    return True


def _exchanged(fresh: Path, out: Path) -> bool | None:
    """Put a folder in another one's place, and return True; None where there is none by now.

    False where that one cannot be moved away.
    """
    try:
        rename.exchange(fresh, out)
    except OSError as error:
        if not os.path.lexists(out):
            return None
        if error.errno in _STAYS and out.is_dir():
            return False
        if error.errno not in {errno.EINVAL, errno.ENOSYS}:
            raise
        # A file system without exchange: there is a moment without an output directory.
        old = fresh.with_name("old")
        out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            old.rename(out)
            raise
    return True


def _fill_from_elsewhere(fresh: Path, out: Path, stop: Event | None) -> None:
    """Fill a folder that could be moved before the work, and now cannot or must not."""
    with closing(_begun_in(out, stop)) as making:
        copied = Path(shutil.copytree(fresh, making.folder / "out"))
        for path, _ in durable.files(copied):
            durable.sync(path)
        filling.fill(copied, out, stop)


def _refused(what: str, place: Path, error: BaseException | None) -> InfrastructureError:
    reason = getattr(error, "strerror", None)
    return InfrastructureError(
        f"{what}: {reason}" if reason else what, subject=str(place), remedy=_REMEDY
    )
