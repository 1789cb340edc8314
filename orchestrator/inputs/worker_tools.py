"""bubblewrap for the workers of a build farm, with its loader and libraries, as one small tree.

Nothing on a worker is relied on: the program is started by the loader that comes with it, and finds
its libraries beside it. Only the remote engine needs this; no build elsewhere fetches it.
"""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from containers.remote.isolation import BUBBLEWRAP, LIBRARIES
from orchestrator.boot import elf
from orchestrator.inputs import deb_archive
from orchestrator.inputs.shelf import Shelf
from orchestrator.lock import parts
from orchestrator.lock.model import Absent, WorkerTools
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from orchestrator.architecture import Architecture
    from orchestrator.inputs.transport import Clients, Store
    from orchestrator.lock.file import Lock
    from orchestrator.lock.model import RootPackage, WorkerEntry
    from reproducibility.manifest import Entry

# What `orchestrate lock --update` calls it, and its part in the lock.
NAME = parts.WORKERS
_PACKAGES = ("bubblewrap",)
_PROGRAM = "usr/bin/bwrap"
# Where programs and libraries lie; all else of a package is left out.
_KEPT = ("usr/bin/", "usr/lib", "lib", "bin/")
# From the System V ABI, "Dynamic Linking": tag and value of an entry, and the tag of a library.
_ENTRY = struct.Struct("<qQ")
_NEEDED = 1
# As many links as Linux follows (path_resolution(7)).
_HOPS = 40


def pin(
    suite: str,
    machine: Architecture,
    shelf: Shelf,
    store: Store,
    before: WorkerEntry | None = None,
) -> WorkerEntry:
    """Pin it for workers of an architecture, or say why that cannot be. Raises as `resolve`.

    `before`: what was pinned; that is not given up because the suite lacks it today.
    """
    try:
        return resolve(suite, machine, shelf, store)
    except InputError as error:
        if not error.missing or isinstance(before, WorkerTools):
            raise
        return Absent(reason=error.summary)


def resolve(suite: str, machine: Architecture, shelf: Shelf, store: Store) -> WorkerTools:
    """Pin what the suite has today; all of it is in the store afterwards.

    Raises:
        InputError: the suite lacks it (`missing`), or a package is not what was promised.
        InfrastructureError: something could not be had.
    """
    packages = shelf.debian.closure(_PACKAGES, suite, machine, store, named=f"[{NAME}]")
    tree = programs(packages, store)
    pinned = WorkerTools(packages=packages, tree=store.save_tree(tree))
    _remember(pinned, store)
    return pinned


def entry(lock: Lock, machine: str) -> WorkerTools:
    """Return what a lock pins for workers of an architecture.

    Raises:
        InputError: nothing; says what to do.
    """
    found = lock.workers.get(machine)  # type: ignore[call-overload] # any name may be asked for
    if isinstance(found, WorkerTools):
        return found
    why = f": {found.reason}" if found is not None else ""
    raise InputError(
        f"the lock pins no bubblewrap for a farm's workers of the architecture {machine}{why}",
        subject=f"[{NAME}] architectures",
        remedy=f"name {machine} there in the spec, and lock: `orchestrate lock`; the image stays "
        "as it is",
    )


def bring(
    lock: Lock, folder: Path, store: Store, clients: Clients, *, artifacts: bool = False
) -> list[str]:
    """Bring what a lock pins for all workers into the store; labels of its packages.

    `folder`: the spec's. `artifacts`: the packages too, for a bundle. Raises as `ensure`.
    """
    labels = []
    shelf = Shelf(clients, store, folder, lock.find)
    for machine, found in sorted(lock.workers.items()):
        if isinstance(found, WorkerTools):
            ensure(found, shelf, store)
            for package in found.packages if artifacts else ():
                shelf.package(package)
            labels += [f"{one.label} for workers of {machine}" for one in found.packages]
    return labels


def ensure(pinned: WorkerTools, shelf: Shelf, store: Store) -> Tree:
    """Bring it into the store: the program, and its libraries in a folder.

    Raises:
        InputError: it is not what the lock pins.
        InfrastructureError: it could not be had, or there is to be no network.
    """
    tree = shelf.present(pinned.tree)
    if tree is None:
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(shelf.package, pinned.packages))
        tree = programs(pinned.packages, store)
        if tree.digest != pinned.tree:
            raise InputError(
                f"the packages for a farm's workers give {tree.digest}, the lock pins "
                f"{pinned.tree}",
                subject=f"[{NAME}]",
                remedy=f"lock with this version: `orchestrate lock --update {NAME}`",
            )
        store.save_tree(tree)
    _remember(pinned, store)
    return tree


def _remember(pinned: WorkerTools, store: Store) -> None:
    """Write down what is pinned, so that the store's collection of garbage keeps it."""
    store.remember("inputs", pinned.tree, {"digests": sorted(str(one) for one in pinned.digests)})


def programs(packages: Iterable[RootPackage], store: Store) -> Tree:
    """The program and all libraries that it needs, of the packages that hold them.

    Raises:
        InputError: a package is damaged, or they lack one.
    """
    links: dict[str, str] = {}
    files: dict[str, Entry] = {}
    for package in packages:
        with deb_archive.opened(package, store) as archive:
            for found in deb_archive.files(archive, store, _kept, links):
                files[found.path] = found
    program = files.get(_PROGRAM)
    if program is None:
        raise InputError(f"the package bubblewrap holds no {_PROGRAM}", subject=f"[{NAME}]")
    placed = [program.moved(BUBBLEWRAP)]
    folders = _by_name(files, links)
    wanted, loader = _needs(program, store)
    waiting, seen = [*wanted, PurePosixPath(loader).name], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        library = folders.get(name)
        if library is None:
            raise InputError(f"the packages lack the library {name}", subject=f"[{NAME}]")
        placed.append(library.moved(f"{LIBRARIES}/{name}"))
        waiting += _needs(library, store)[0]
    return Tree(placed)


def _kept(path: str) -> bool:
    return path.startswith(_KEPT)


def _by_name(files: Mapping[str, Entry], links: Mapping[str, str]) -> dict[str, Entry]:
    """Libraries by the name that programs know them by, which may be a link's."""
    found = {PurePosixPath(path).name: one for path, one in files.items() if ".so" in path}
    for path in links:
        here = path
        for _ in range(_HOPS):
            if here not in links:
                break
            target = links[here]
            folder = PurePosixPath("/") if target.startswith("/") else PurePosixPath(here).parent
            here = _normal(folder / target)
        if here in files:
            found.setdefault(PurePosixPath(path).name, files[here])
    return found


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            del parts[-1:]
        elif part not in {"/", "."}:
            parts.append(part)
    return "/".join(parts)


def _needs(file: Entry, store: Store) -> tuple[list[str], str]:
    """Names of the libraries that a program or a library needs, and its loader's place."""
    data = store.path(file).read_bytes()
    dynamic = elf.section(data, ".dynamic", file.path) or b""
    strings = elf.section(data, ".dynstr", file.path) or b""
    interpreter = elf.section(data, ".interp", file.path) or b""
    whole = len(dynamic) // _ENTRY.size * _ENTRY.size
    names = [
        strings[value:].partition(b"\0")[0].decode()
        for tag, value in _ENTRY.iter_unpack(dynamic[:whole])
        if tag == _NEEDED
    ]
    return names, interpreter.partition(b"\0")[0].decode()
