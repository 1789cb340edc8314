"""Keeps the evidence of nights, and writes the pages that can be served.

Evidence is everything of the output folder but the image and the archive: they can be built again,
and their digests are in it. A file that is the same as that of an earlier night is a hard link.
"""

from __future__ import annotations

import re
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from containers.host import durable
from orchestrator.artifacts import names
from orchestrator.history import model
from orchestrator.history.words import Word
from orchestrator.nightly import relocking
from reproducibility import digest, regular
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from orchestrator.nightly.state import State

NIGHT: Final = "night.json"
# The page of a night in its folder, which is written once the history has the night.
PAGE: Final = "index.html"
# As `State.night` names the folder of a night.
_FOLDER = re.compile(r"[0-9]{6}|[1-9][0-9]{6,17}")
# As `durable.write` names a file of ours until it is whole.
_UNFINISHED = re.compile(
    r"\.(?:told|answered|.+\.lock|night\.json|.+\.(?:html|atom|svg))\.[a-z0-9_]{8}"
)
_BLOCK = 512
_LONGEST_WORD = 100
# systemd.exec(5): the variable that says what it calls a run.
_RUN = "INVOCATION_ID"
# In place of a word.
_NOBODY = "nobody"
# The largest files, which the rest says how to make again.
_LEFT_OUT = frozenset({"sourcery.img", "sourcery.cpio.zst", *names.SUMS})


def begin(state: State) -> Path:
    """Make the folder of the night that begins, empty, and return it.

    Raises:
        InfrastructureError: it cannot be written.
    """
    with _told(state):
        for path in _unfinished(state):
            path.unlink(missing_ok=True)
        durable.remove(state.tonight)
        (state.tonight / names.LOGS).mkdir(parents=True)
    return state.tonight


def _unfinished(state: State) -> Iterator[Path]:
    """Yield what a night that was killed while it wrote a file left beside that file's place."""
    for folder in (state.folder, state.folder / relocking.FOLDER, state.site):
        found = folder.rglob(".*") if folder == state.site else folder.glob(".*")
        yield from (path for path in found if _UNFINISHED.fullmatch(path.name))


def keep(state: State, night: model.Night, before: int | None) -> Path:
    """Put a night's evidence in its place, whole or not at all; returns its folder.

    `before`: the number of the night whose files may be linked to.

    Raises:
        InfrastructureError: the disk is full, or cannot be written.
    """
    with _told(state):
        if night.image is not None:
            _copy(state.out, state.tonight, state.night(before) if before else None)
        return _placed(state, night)


def keep_little(state: State, night: model.Night) -> Path:
    """Put a night's record and logs in its place, where there is no room for all; as `keep`.

    What else of it was there goes, which makes room.

    Raises:
        InfrastructureError: the disk is full, or cannot be written.
    """
    place = state.night(night.number)
    with _told(state):
        if not state.tonight.is_dir() and place.is_dir():
            place.rename(state.tonight)
        state.tonight.mkdir(parents=True, exist_ok=True)
        for path in sorted(state.tonight.iterdir()):
            if path.name != names.LOGS:
                durable.remove(path)
        return _placed(state, night)


def _placed(state: State, night: model.Night) -> Path:
    place = state.night(night.number)
    durable.write(state.tonight / NIGHT, model.dumps(night))
    place.parent.mkdir(parents=True, exist_ok=True)
    durable.remove(place)
    state.tonight.rename(place)
    durable.sync(place.parent)
    return place


def _copy(out: Path, to: Path, before: Path | None) -> None:
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if path.is_symlink() or not path.is_file() or name.parts[0] in _LEFT_OUT:
            continue
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        earlier = before / name if before is not None else None
        if earlier is None or not _linked(path, earlier, target):
            target.unlink(missing_ok=True)
            shutil.copyfile(path, target)


def _linked(path: Path, earlier: Path, target: Path) -> bool:
    """Make a file a hard link to an earlier one, if that is the same and the disk can.

    Some file systems have no hard links, and all have a limit for those of one file.
    """
    try:
        if not stat.S_ISREG(earlier.lstat().st_mode):
            return False
        if path.stat().st_size != earlier.stat().st_size:
            return False
        if digest.of_file(path) != digest.of_file(earlier):
            return False
        target.hardlink_to(earlier)
    except OSError:
        return False
    return True


def keep_locks(state: State, places: relocking.Places) -> None:
    """Make tonight's locks those that the next night begins with.

    Raises:
        InfrastructureError: the disk is full, or cannot be written.
    """
    with _told(state):
        relocking.keep(places)


def write_pages(state: State, pages: Mapping[str, bytes]) -> None:
    """Put pages into the site, each whole; `pages`: by their paths in it.

    Raises:
        InfrastructureError: the disk is full, or cannot be written.
    """
    with _told(state):
        for name, data in pages.items():
            path = state.site / name
            if not (path.is_file() and path.read_bytes() == data):
                durable.write(path, data)


def drop(state: State, numbers: Collection[int]) -> None:
    """Remove the evidence of nights.

    Raises:
        InfrastructureError: it cannot be removed.
    """
    with _told(state):
        for number in sorted(numbers):
            durable.remove(state.night(number))


def kept(state: State) -> dict[int, frozenset[str]]:
    """Return the nights whose evidence is there, with the names of its files."""
    found: dict[int, frozenset[str]] = {}
    if state.nights.is_dir():
        for folder in state.nights.iterdir():
            if _FOLDER.fullmatch(folder.name) and (folder / NIGHT).is_file():
                files = (path for path in folder.rglob("*") if path.is_file())
                found[int(folder.name)] = frozenset(
                    path.relative_to(folder).as_posix() for path in files
                )
    return found


def told(state: State, otherwise: Word) -> Word | None:
    """Return the word that somebody was told of last, None for none.

    `otherwise`: what it is where that was never written down.
    """
    try:
        return Word(regular.read(state.told, limit=_LONGEST_WORD).decode().strip())
    except FileNotFoundError:
        return otherwise
    except (OSError, ValueError):
        return None


def keep_told(state: State, word: Word | None) -> None:
    """Write down the word that somebody was told of; None where nobody was.

    Raises:
        InfrastructureError: the disk is full, or cannot be written.
    """
    with _told(state):
        durable.write(state.told, f"{word or _NOBODY}\n".encode())


def keep_answered(state: State, environment: Mapping[str, str]) -> None:
    """Write down that this run told of itself, as systemd calls it; nothing without systemd.

    Raises:
        InfrastructureError: the disk is full, or cannot be written.
    """
    run = environment.get(_RUN, "")
    if run:
        with _told(state):
            durable.write(state.answered, f"{run}\n".encode())


def answered(state: State, run: str) -> bool:
    """Return whether a run, by what systemd calls it, told of itself."""
    try:
        said = regular.read(state.answered, limit=_LONGEST_WORD).decode().strip()
    except (OSError, ValueError):
        return False
    return bool(run) and said == run


def size(state: State) -> int:
    """Bytes that the site takes on the disk, hard links counted once."""
    seen: dict[int, int] = {}
    for _, status in durable.files(state.site, strict=False):
        seen[status.st_ino] = status.st_blocks * _BLOCK
    return sum(seen.values())


@contextmanager
def _told(state: State) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"what a night found cannot be kept: {error.strerror}",
            subject=str(error.filename or state.folder),
            remedy="free some space, or give another folder as `state`",
        ) from error
