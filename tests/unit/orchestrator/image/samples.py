"""Small trees with content, and names that are hard on a FAT writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from orchestrator.image.fat import names
from orchestrator.image.fat.disk import Disk
from orchestrator.image.fat.layout import lay_out
from orchestrator.image.fat.volume import Volume
from reproducibility import digest, manifest
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from reproducibility.manifest import Entry

EPOCH = 1_700_000_000
SIGNATURE = 0x5717_C001
VOLUME = Volume(volume_id=0x5710_1234, label="SOURCERY", epoch=EPOCH)

# Path -> content; None for an empty folder.
Content = dict[str, bytes | None]


class Blobs:
    """A folder of files by digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> digest.Digest:
        found = digest.of_bytes(data)
        (self._folder / found.hex).write_bytes(data)
        return found

    def tree(self, content: Mapping[str, bytes | None], *, executable: bool = False) -> Tree:
        return Tree(
            manifest.directory(path)
            if data is None
            else manifest.file(path, self.put(data), len(data), executable=executable)
            for path, data in content.items()
        )

    def read(self, wanted: digest.Digest) -> bytes:
        return (self._folder / wanted.hex).read_bytes()

    def path(self, entry: Entry) -> Path:
        return self._folder / entry.digest


def disk(tree: Tree, volume: Volume = VOLUME) -> Disk:
    return Disk(lay_out(tree, volume), SIGNATURE)


def listed(*paths: str, size: int = 1) -> Tree:
    """A tree of which only names and sizes matter."""
    content = digest.of_bytes(b"")
    return Tree(manifest.file(path, content, size) for path in paths)


def data(size: int, seed: int = 1) -> bytes:
    """Bytes that are not zero, and not alike for two seeds."""
    start = digest.of_bytes(seed.to_bytes(4, "big")).hex.encode()
    return (start * (size // len(start) + 1))[:size]


# What the golden bytes are of.
SMALL: Content = {
    "README": b"hello\n",
    "bin": None,
    "go/src/cmd/go/main.go": b"package main\n",
    "go/src/cmd/go/main_test.go": data(700),
    "go/src/größe.go": data(512),
    "linux_amd64/bin/installcommand": data(2000),
    "empty": b"",
}


def name_strategy() -> st.SearchStrategy[str]:
    """Names that VFAT can hold, many of them alike in their first letters."""
    characters = "abAB1~ .+,;=[]{}-_'$äÄßſıİǅĳЖжΩωﬀ漢字e\u0301ᾀᾈ\u00a0\u200d"
    loose = st.text(characters, min_size=1, max_size=30)
    stem = st.sampled_from(["longname", "LONGNAME", "con", "a.b", "ABCDEF~1", "x" * 120])
    similar = st.builds(
        lambda start, number, end: f"{start}{number}{end}",
        stem,
        st.integers(0, 12),
        st.sampled_from(["", ".txt", ".TXT", ".tar.gz", ".é"]),
    )
    plain = st.from_regex(r"[A-Z0-9_]{1,8}(\.[A-Z0-9]{1,3})?", fullmatch=True)
    exact = st.integers(1, 5).map(lambda count: "n" * (13 * count))
    return st.one_of(loose, similar, plain, exact).filter(lambda name: not names.complaint(name))


@st.composite
def contents(draw: st.DrawFn, most: int = 40) -> Content:
    """Path -> content, without names that VFAT takes for one."""
    sizes = st.sampled_from([0, 1, 511, 512, 513, 1024, 4095, 4096, 4097, 20_000])
    wanted = draw(
        st.lists(
            st.tuples(st.lists(name_strategy(), min_size=1, max_size=4), st.none() | sizes),
            max_size=most,
        )
    )
    root: Node = {}
    for number, (parts, size) in enumerate(wanted):
        if sum(map(len, parts)) < 250:
            _plant(root, parts, None if size is None else data(size, number))
    return dict(_walk(root, ""))


# Folded name -> name, and what lies there.
Node = dict[str, "tuple[str, Node | bytes]"]


def _plant(node: Node, parts: list[str], leaf: bytes | None) -> None:
    head, *rest = parts
    new: Node | bytes = {} if rest or leaf is None else leaf
    _, child = node.setdefault(names.folded(head), (head, new))
    if rest and isinstance(child, dict):
        _plant(child, rest, leaf)


def _walk(node: Node, prefix: str) -> Iterator[tuple[str, bytes | None]]:
    for name, child in node.values():
        if isinstance(child, bytes):
            yield prefix + name, child
        elif child:
            yield from _walk(child, f"{prefix}{name}/")
        else:
            yield prefix + name, None
