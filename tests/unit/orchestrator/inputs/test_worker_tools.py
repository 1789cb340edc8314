"""bubblewrap for a farm's workers: what of its packages travels, and what a lock says of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.inputs import worker_tools
from orchestrator.lock import file as locks
from orchestrator.lock.model import Absent, RootPackage, WorkerTools
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.errors import InputError
from tests.unit.orchestrator.inputs.second_root_world import package

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.inputs.shelf import Shelf
    from reproducibility.manifest import Tree

_FOLDER = "usr/lib/x86_64-linux-gnu"


def program(needed: Sequence[str], interpreter: str = "") -> bytes:
    """A 64-bit ELF file that needs libraries, as its sections tell."""
    strings, entries = b"\0", []
    for name in needed:
        entries.append((1, len(strings)))
        strings += name.encode() + b"\0"
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (0, 0)])
    content = {".dynamic": dynamic, ".dynstr": strings, ".interp": interpreter.encode() + b"\0"}
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*content, ".names"])
    content[".names"] = names
    data, table = b"", [struct.pack("<IIQQQQIIQQ", *[0] * 10)]
    for name, part in content.items():
        place = 64 + len(data)
        at = names.index(name.encode() + b"\0")
        table.append(struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, place, len(part), 0, 0, 1, 0))
        data += part
    header = struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64 + len(data), 0, 64, 0, 0, 64, len(table), len(content)
    )
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + header + data + b"".join(table)


LOADER = "/lib64/ld-linux-x86-64.so.2"
PACKAGES = {
    "bubblewrap": package(
        {
            "usr/bin/bwrap": program(["libcap.so.2", "libc.so.6"], LOADER),
            "usr/share/doc/bubblewrap/copyright": b"LGPL",
        }
    ),
    "libc6": package(
        {
            f"{_FOLDER}/libc.so.6": program(["ld-linux-x86-64.so.2"]),
            f"{_FOLDER}/ld-linux-x86-64.so.2": program([]),
            f"{_FOLDER}/libm.so.6": program(["libc.so.6"]),
        },
        {"usr/lib64/ld-linux-x86-64.so.2": f"../lib/{_FOLDER[8:]}/ld-linux-x86-64.so.2"},
    ),
    "libcap2": package(
        {f"{_FOLDER}/libcap.so.2.75": program(["libc.so.6"])},
        {f"{_FOLDER}/libcap.so.2": "libcap.so.2.75"},
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def pinned(store: Store, packages: dict[str, bytes]) -> tuple[RootPackage, ...]:
    return tuple(
        RootPackage(
            package=name,
            version="1",
            suite="trixie",
            where=f"pool/{name}.deb",
            size=len(data),
            sha256=digests.sha256_of_bytes(data),
            blake3=store.put_bytes(data),
        )
        for name, data in sorted(packages.items())
    )


@dataclass
class Packages:
    """A shelf that has packages, or lacks them."""

    store: Store
    packages: dict[str, bytes]
    missing: bool = False
    fetched: int = 0

    @property
    def debian(self) -> Packages:
        return self

    def closure(self, *_: object, **__: object) -> tuple[RootPackage, ...]:
        if self.missing:
            raise InputError("the suite has it for other architectures", missing=True)
        return pinned(self.store, self.packages)

    def present(self, digest: digests.Digest) -> Tree | None:
        return self.store.load_tree(digest) if self.store.has(digest) else None

    def package(self, _: RootPackage) -> None:
        self.fetched += 1


def shelf(store: Store, **how: Any) -> Shelf:  # noqa: ANN401 - any field
    return Packages(store, PACKAGES, **how)  # type: ignore[return-value] # what is used of it


def test_the_program_comes_with_its_loader_and_all_libraries_that_it_needs(store: Store) -> None:
    found = worker_tools.programs(pinned(store, PACKAGES), store)
    assert [entry.path for entry in found] == [
        *("bwrap", "lib/ld-linux-x86-64.so.2", "lib/libc.so.6", "lib/libcap.so.2"),
    ]
    assert found.get("bwrap").executable  # type: ignore[union-attr] # it is there


@pytest.mark.parametrize(
    ("lacking", "words"), [("libcap2", "the library libcap.so.2"), ("bubblewrap", "usr/bin/bwrap")]
)
def test_what_is_lacking_is_named(store: Store, lacking: str, words: str) -> None:
    less = {name: data for name, data in PACKAGES.items() if name != lacking}
    with pytest.raises(InputError, match=words):
        worker_tools.programs(pinned(store, less), store)


def test_what_is_pinned_is_brought_again_as_it_was(store: Store) -> None:
    made = worker_tools.pin("trixie", "amd64", shelf(store), store)
    assert isinstance(made, WorkerTools)
    tree = worker_tools.ensure(made, shelf(store), store)
    assert tree.digest == made.tree
    assert store.recall("inputs", made.tree) is not None


def test_a_tree_that_is_not_there_is_unpacked_anew_and_compared(store: Store) -> None:
    made = worker_tools.resolve("trixie", "amd64", shelf(store), store)
    other = made.model_copy(update={"tree": digests.of_bytes(b"another")})
    with pytest.raises(InputError, match="the lock pins"):
        worker_tools.ensure(other, shelf(store), store)


def test_what_is_not_published_is_said_and_what_was_pinned_is_not_given_up(store: Store) -> None:
    found = worker_tools.pin("trixie", "riscv64", shelf(store, missing=True), store)
    assert isinstance(found, Absent)
    assert "other architectures" in found.reason
    had = worker_tools.resolve("trixie", "amd64", shelf(store), store)
    with pytest.raises(InputError):
        worker_tools.pin("trixie", "amd64", shelf(store, missing=True), store, had)


def test_a_lock_without_it_says_what_to_do() -> None:
    data = (Path(__file__).parents[4] / "sourcery.lock").read_bytes()
    lock = locks.parse(data).model_copy(update={"workers": {"arm64": Absent(reason="no index")}})
    with pytest.raises(InputError, match=r"pins no bubblewrap.*amd64") as caught:
        worker_tools.entry(lock, "amd64")
    assert "orchestrate lock" in caught.value.remedy
    with pytest.raises(InputError, match="no index"):
        worker_tools.entry(lock, "arm64")
