"""The two sides that are compared: whether they are there and of one kind, and how files differ."""

from __future__ import annotations

import errno
from contextlib import ExitStack, contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from reproducibility import regular
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.diagnosis.source import Pair

_BEGINNING = "the shorter one is the beginning of the longer one"
# Names that are offered for one that is not there.
_OFFERED = 3


def of_one_kind(first: Path | Digest, second: Path | Digest) -> bool:
    """Return whether both are trees or folders; False where both are files.

    Raises:
        InputError: one is not there, or they are of two kinds.
    """
    for side in (first, second):
        if not isinstance(side, Path):
            continue
        with named(side):
            there = side.exists()
        if not there:
            raise InputError(
                "there is no such file or folder",
                subject=str(side),
                remedy=_near(side),
                missing=True,
            )
    of_trees = [isinstance(side, Digest) or side.is_dir() for side in (first, second)]
    if of_trees[0] != of_trees[1]:
        kind = "tree" if any(isinstance(side, Digest) for side in (first, second)) else "folder"
        raise InputError(
            f"one is a {kind} and the other is a file",
            subject=f"{first}, {second}",
            remedy=_beside(first, second),
        )
    return of_trees[0]


@contextmanager
def named(side: Path | Digest) -> Iterator[None]:
    """Context that says of which side a path is too long.

    Raises:
        InputError: one is.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise InputError(
            "cannot compare this: a name is too long, of more bytes than this system takes",
            subject=str(side),
            remedy="check the name; move what lies deep in folders to where its path is shorter",
        ) from error


def opened(stack: ExitStack, path: str, first: Path, second: Path) -> Pair:
    """Both files, open until the stack is closed. `path`: the name for people."""
    from orchestrator.diagnosis.source import OpenFile, Pair

    sides = []
    for place in (first, second):
        stream = stack.enter_context(regular.opened(place))
        sides.append(OpenFile(stream.fileno(), place.stat().st_size))
    return Pair(path, sides[0], sides[1])


def where(first: Path, second: Path) -> Iterator[str]:
    """Return how two files differ: their sizes, the first place, how many bytes."""
    from orchestrator.diagnosis import counting

    sizes = first.stat().st_size, second.stat().st_size
    if sizes[0] != sizes[1]:
        yield f"sizes: {sizes[0]} and {sizes[1]} bytes"
    place, count = counting.differing_bytes(first, second)
    if count:
        yield f"first different byte: at {place} (0x{place:x})"
        yield f"different bytes: {count} of the {min(sizes)} that both have"
    else:
        yield _BEGINNING


def cut_short(first: Path, second: Path, found: list[str]) -> str:
    """Return in words that one file is the beginning of the other one; empty where it is not."""
    from orchestrator.diagnosis.files import cut_short

    if _BEGINNING not in found:
        return ""
    with ExitStack() as stack:
        pair = opened(stack, "", first, second)
        return cut_short(pair, min(pair.first.size, pair.second.size)) or ""


def _near(path: Path) -> str:
    """The remedy for a path that is not there: names like it, where there are any."""
    with suppress(OSError):
        names = get_close_matches(path.name, [one.name for one in path.parent.iterdir()], _OFFERED)
        if names:
            return "did you mean " + " or ".join(str(path.with_name(name)) for name in names) + "?"
    return (
        "name two files, folders, output directories of builds, or trees of the store (blake3:...)"
    )


def _beside(first: Path | Digest, second: Path | Digest) -> str:
    """The remedy for a folder and a file: the file of that name in the folder, where it is."""
    for folder, other in ((first, second), (second, first)):
        if isinstance(folder, Path) and isinstance(other, Path) and (folder / other.name).is_file():
            return f"name the file in the folder: {folder / other.name}"
    return "name two of one kind; what lies in a folder can be named by its path"
