"""Tree manifests: what a folder holds, as a sorted list with one BLAKE3 for the whole.

A `Tree` is a value: it is merged, cut and moved here without touching a disk. Only `scan` reads
one. Symbolic links, devices and the like do not exist in a tree: the file system that the trees
end up on (VFAT) has none.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from reproducibility import digest as digests
from reproducibility import visible
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Kind = Literal["file", "directory"]

# The first line of a tree manifest.
MAGIC = b"sourcery-tree 1\n"
# Bytes of a path (Linux, include/uapi/linux/limits.h) and of a part of it, and its parts. A name of
# VFAT's has 255 signs, each of three bytes at most; whether it has is told where names are judged.
LONGEST_PATH = 4096
LONGEST_PART = 1024
MOST_PARTS = 200
# What a tree may have at most, so that a small file cannot stand for one that fills the memory:
# entries, bytes of all paths, and bytes of the paths of all folders. The Go source has 15,000
# entries and 1 MB of paths; a Linux kernel's source 90,000 and 4 MB.
MOST_ENTRIES = 1_000_000
MOST_NAMES = 64 << 20
MOST_FOLDERS = 32 << 20
# Bytes of a manifest: beside its path an entry takes some 90.
LARGEST = MOST_NAMES + 90 * MOST_ENTRIES

_LEAVE_OUT = "leave some out: `exclude` in the spec takes patterns of what a folder goes without"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, or one empty directory.

    `path`: relative, `/` between the parts, no `.` or `..`. `size`: bytes, 0 for a directory.
    `digest`: BLAKE3 of the content in 64 hexadecimal digits, empty for a directory.
    """

    path: str
    kind: Kind
    executable: bool
    size: int
    digest: str

    @property
    def content(self) -> Digest:
        """The file's digest as a value.

        Raises:
            InputError: the entry is a directory.
        """
        return Digest("blake3", self.digest)

    def moved(self, path: str) -> Entry:
        """The same entry under another path; a third of the time that `dataclasses.replace` takes.

        A build moves some 100,000 of them.
        """
        return Entry(path, self.kind, self.executable, self.size, self.digest)


def file(path: str, digest: Digest, size: int, *, executable: bool = False) -> Entry:
    """A file's entry."""
    return Entry(path, "file", executable, size, digest.hex)


def directory(path: str) -> Entry:
    """An empty directory's entry."""
    return Entry(path, "directory", executable=False, size=0, digest="")


class Tree:
    """Entries sorted by path (by code point); directories stay only where they are empty.

    Paths have at most 200 parts of 1,024 bytes, 4,096 bytes in all; entries are at most 1,000,000.

    The text form, of which `digest` is the BLAKE3, is the line `sourcery-tree 1` and then one line
    an entry: `f` or `x` (executable) or `d`, the size, the content's digest or `-`, the path.
    """

    __slots__ = ("__dict__", "entries")

    entries: tuple[Entry, ...]

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        # One more is enough to see that there are too many.
        counted = islice(entries, MOST_ENTRIES + 1)
        ordered = sorted(counted, key=lambda entry: entry.path)
        folders = _check(ordered)
        self.entries = tuple(
            entry for entry in ordered if entry.kind == "file" or entry.path not in folders
        )

    @classmethod
    def _trusted(cls, ordered: list[Entry]) -> Tree:
        """A tree of entries that are known to be sorted and well-formed already."""
        tree = cls.__new__(cls)
        tree.entries = tuple(ordered)
        return tree

    @cached_property
    def digest(self) -> Digest:
        """BLAKE3 of the text form."""
        return digests.of_bytes(self.serialize())

    @cached_property
    def _by_path(self) -> dict[str, Entry]:
        return {entry.path: entry for entry in self.entries}

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Tree({len(self.entries)} entries, {self.digest})"

    def get(self, path: str) -> Entry | None:
        """The entry at a path, or None."""
        return self._by_path.get(path)

    def files(self) -> Iterator[Entry]:
        """The entries that are files, sorted by path."""
        return (entry for entry in self.entries if entry.kind == "file")

    @property
    def size(self) -> int:
        """Sum of the files' sizes in bytes."""
        return sum(entry.size for entry in self.entries)

    def under(self, prefix: str) -> Tree:
        """Return what lies below the folder `prefix`, with paths relative to it."""
        start = prefix.strip("/") + "/"
        if start == "/":
            return self
        # They are sorted, so what begins alike lies together.
        first = bisect_left(self.entries, start, key=lambda entry: entry.path)
        below = takewhile(
            lambda entry: entry.path.startswith(start), islice(self.entries, first, None)
        )
        return Tree._trusted([entry.moved(entry.path[len(start) :]) for entry in below])

    def at(self, prefix: str) -> Tree:
        """The same tree moved below the folder `prefix` (`/` between the parts).

        Raises:
            InputError: not a clean path.
        """
        start = prefix.strip("/")
        if not start:
            return self
        _check_path(start)
        moved = [entry.moved(f"{start}/{entry.path}") for entry in self.entries]
        for entry in moved:
            # What may be too long now; no sign takes more than four bytes.
            if len(entry.path) > LONGEST_PATH // 4 or entry.path.count("/") >= MOST_PARTS:
                _check_path(entry.path)
        return Tree._trusted(moved)

    def where(self, keep: Callable[[Entry], bool]) -> Tree:
        """The entries for which `keep` says yes."""
        return Tree._trusted([entry for entry in self.entries if keep(entry)])

    def renamed(self, rename: Callable[[str], str]) -> Tree:
        """The same entries under other paths.

        Raises:
            InputError: two entries would get one path.
        """
        return Tree(entry.moved(rename(entry.path)) for entry in self.entries)

    def overlaid(self, other: Tree) -> Tree:
        """This tree with `other` on top: where both have a path, `other`'s entry counts.

        Raises:
            InputError: one has a file where the other has a folder with something in it.
        """
        merged = {entry.path: entry for entry in self.entries}
        merged.update((entry.path, entry) for entry in other.entries)
        return Tree(merged.values())

    def serialize(self) -> bytes:
        """The text form, UTF-8."""
        lines = [MAGIC.decode()]
        for entry in self.entries:
            letter = "d" if entry.kind == "directory" else "x" if entry.executable else "f"
            lines.append(f"{letter} {entry.size} {entry.digest or '-'} {entry.path}\n")
        return "".join(lines).encode()

    @classmethod
    def parse(cls, data: bytes) -> Tree:
        """Read the text form back; no other form of the same tree is taken.

        Raises:
            InputError: not a tree manifest.
        """
        if data.count(b"\n") > MOST_ENTRIES + 1 or len(data) > LARGEST:
            raise InputError(f"not a tree manifest: more than {MOST_ENTRIES} entries can be")
        try:
            text = data.decode()
            entries = [_entry(line) for line in text.split("\n")[1:-1]]
        except ValueError as error:
            raise InputError(f"not a tree manifest: {error}") from error
        tree = cls(entries)
        if not data.startswith(MAGIC) or data[-1:] != b"\n" or list(tree.entries) != entries:
            raise InputError("not a tree manifest: cut short, not sorted, or of another version")
        return tree


def _entry(line: str) -> Entry:
    letter, size, content, path = line.split(" ", 3)
    bytes_ = int(size)
    if letter == "d" and (size, content) == ("0", "-"):
        return directory(path)
    if letter not in {"f", "x"} or size != str(bytes_):
        raise ValueError(repr(line))
    return Entry(path, "file", letter == "x", bytes_, content)


def merge(parts: Iterable[tuple[str, Tree]]) -> Tree:
    """Trees put together, each named for the messages; the same file twice is one file.

    Raises:
        InputError: two parts give different content for one path; names the parts and the path.
    """
    origin: dict[str, str] = {}
    merged: dict[str, Entry] = {}
    for name, tree in parts:
        for entry in tree.entries:
            present = merged.setdefault(entry.path, entry)
            if present != entry:
                raise InputError(
                    f"{origin[entry.path]} and {name} both bring {entry.path}, "
                    "with different content",
                    subject=entry.path,
                    remedy="leave one of them out of the spec, or give it another destination",
                )
            origin.setdefault(entry.path, name)
    try:
        return Tree(merged.values())
    except InputError:
        for path, name in origin.items():
            for parent in map(str, PurePosixPath(path).parents):
                if parent in merged and merged[parent].kind == "file":
                    raise InputError(
                        f"{origin[parent]} brings a file {parent}, where {name} needs a folder",
                        subject=parent,
                        remedy="leave one of them out of the spec, or give it another destination",
                    ) from None
        raise


def scan(folder: Path, between: Callable[[], object] | None = None) -> Tree:
    """The tree below a folder on disk, every file hashed.

    `between`: called before each piece of work; what it raises ends the work.

    Raises:
        InputError: something that is neither file nor directory lies there, or a name is not
            UTF-8 or holds a control character or a mark of the writing direction.
        OSError: a file cannot be read, or changed while it was read.
    """
    return Tree(_walk(folder, between))


def _walk(top: Path, between: Callable[[], object] | None) -> Iterator[Entry]:
    waiting = [(top, "")]
    while waiting:
        folder, start = waiting.pop()
        empty = True
        if between is not None:
            between()
        with os.scandir(folder) as listing:
            for child in listing:
                empty = False
                path = start + child.name
                status = child.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    _check_path(path)
                    waiting.append((Path(child.path), f"{path}/"))
                elif stat.S_ISREG(status.st_mode):
                    content, size = digests.measured(
                        Path(child.path), follow=False, expected=status, between=between
                    )
                    yield file(path, content, size, executable=bool(status.st_mode & 0o111))
                else:
                    raise InputError(
                        "neither a file nor a directory; a tree can hold no links, devices or "
                        "sockets",
                        subject=child.path,
                        remedy="put the file itself there",
                    )
        if empty and start:
            yield directory(start.removesuffix("/"))


def too_many() -> InputError:
    """The error for more files and folders than a tree can have."""
    return InputError(
        f"too many files and empty folders; a tree can have {MOST_ENTRIES}", remedy=_LEAVE_OUT
    )


def _check(ordered: list[Entry]) -> set[str]:
    """Check entries that are sorted by path; returns the paths of folders that are not empty."""
    files: set[str] = set()
    folders: set[str] = set()
    previous = None
    names = of_folders = 0
    if len(ordered) > MOST_ENTRIES:
        raise too_many()
    for entry in ordered:
        path = entry.path
        if path == previous:
            raise InputError("a path appears twice in one tree", subject=path)
        previous = path
        _check_path(path)
        if entry.kind == "file":
            files.add(path)
            if entry.size < 0:
                raise InputError("a file has a negative size", subject=path)
            Digest("blake3", entry.digest)
        elif entry != directory(path):
            raise InputError("a directory has no size, digest or executable bit", subject=path)
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            of_folders += len(parent)
            parent = parent.rpartition("/")[0]
        names += len(path)
        if names > MOST_NAMES or of_folders > MOST_FOLDERS:
            raise InputError(
                "the names of a tree are too long, all together",
                subject=visible.line(path[:80]),
                remedy=_LEAVE_OUT,
            )
    obstacles = files & folders
    if obstacles:
        raise InputError("a file stands where a folder is needed", subject=min(obstacles))
    return folders


def complaint(path: str) -> str:
    """Return why the names in a path cannot stand in a tree; empty where they can."""
    control = visible.control_in(path)
    if control:
        return f"a file name holds {control}, which would steer how it is shown"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "a file name is not UTF-8"
    return ""


def _check_path(path: str) -> None:
    if path.count("/") >= MOST_PARTS:
        raise InputError(
            f"folders in folders, {path.count('/')} deep; a path can have {MOST_PARTS} parts",
            subject=visible.line(path[:80]),
        )
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise InputError("not a clean relative path", subject=repr(path))
    if not path.isprintable():
        wrong = complaint(path)
        if wrong:
            raise InputError(
                f"not a clean relative path: {wrong}",
                subject=visible.line(path),
                remedy="rename it",
            )
    size = len(path.encode())
    longest = max(len(part.encode()) for part in parts) if size > LONGEST_PART else size
    if size > LONGEST_PATH or longest > LONGEST_PART:
        raise InputError(
            f"a path of {size} bytes, its longest part of {longest}; it can have {LONGEST_PATH}, "
            f"each part {LONGEST_PART}",
            subject=visible.line(path[:80]),
        )
