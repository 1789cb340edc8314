"""Everything that a lock pins, in the store and checked: what a build starts from.

An input whose tree is in the store costs a look at its manifest. One that is not is unpacked from
its artefact in the store, or else fetched first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator import architecture
from orchestrator.inputs.shelf import Shelf
from orchestrator.inputs.transport import Clients, Events, Silent
from orchestrator.lock.file import GoModule, LocalPath
from reproducibility import manifest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from threading import Event

    from orchestrator.architecture import Architecture
    from orchestrator.inputs.transport import Store
    from orchestrator.lock.file import Input, Lock


@dataclass(frozen=True)
class Inputs:
    """The trees that a build starts from.

    `bootstrap`: the GOROOT that starts the chain. `uname`: `bin/uname`, a static program.
    `release`: the published toolchain for this machine as a GOROOT. `sources`: by the source's
    name in the spec, the module with its dependencies in `vendor/`. `modules`: module path by the
    same name. `files`: a person's own files at their places on the stick. `boot`: by the input's
    name, the packages that boot files are made from, unpacked.
    """

    bootstrap: Tree
    uname: Tree
    release: Tree
    sources: Mapping[str, Tree]
    modules: Mapping[str, str]
    files: Tree
    boot: Mapping[str, Tree] = field(default_factory=dict)


def ensure(  # noqa: PLR0913 - two things to work on, and keywords
    lock: Lock,
    store: Store,
    *,
    folder: Path,
    offline: bool = False,
    artefacts: bool = False,
    events: Events | None = None,
    stop: Event | None = None,
    host: Architecture | None = None,
    clients: Clients | None = None,
    own: Iterable[Path] = (),
) -> Inputs:
    """Bring every input that a machine needs into the store.

    `folder`: the spec's. `artefacts`: the archives too that the trees come from, for a bundle.
    `host`: the machine's architecture, this one's by default. `clients`: how client programs are
    run, the ordinary way by default (then `offline`, `events` and `stop` count). `own`: what is
    never content of a local folder (`places.own`).

    Raises:
        InputError: an input is not what the lock pins (both digests), or not pinned for `host`.
        InfrastructureError: it could not be had, or `offline` forbids to fetch it.
        Stopped: `stop` was set.
    """
    host = host or architecture.host()
    told = clients or Clients(events=events or Silent(), offline=offline, stop=stop)
    for name in ("bootstrap", "go", "uname"):
        lock.find(name, host)
    shelf = Shelf(told, store, folder, lambda name: lock.find(name, host), own)
    sources = [
        found
        for found in lock.inputs
        if isinstance(found, GoModule | LocalPath) and f"source.{found.name}" in lock.wanted
    ]
    files = [
        found
        for found in lock.inputs
        if isinstance(found, LocalPath) and found.destination is not None
    ]
    boot = [found for found in lock.inputs if f"boot.{found.name}" in lock.wanted]
    told.events.expected([found.label for found in needed(lock, host)])

    def bring(pinned: Input, work: Callable[..., Tree], *on: object) -> Tree:
        tree = work(*on)
        told.events.settled(pinned.label)
        return tree

    with ThreadPoolExecutor(max_workers=4) as pool:
        bootstrap = pool.submit(bring, lock.find("bootstrap", host), shelf.toolchain, "bootstrap")
        uname = pool.submit(bring, lock.find("uname", host), shelf.tree, lock.find("uname", host))
        release = pool.submit(bring, lock.find("go", host), shelf.toolchain, "go")
        placed = {found.name: pool.submit(bring, found, _placed, shelf, found) for found in files}
        vendored = {found.name: pool.submit(bring, found, shelf.source, found) for found in sources}
        booting = {found.name: pool.submit(bring, found, shelf.tree, found) for found in boot}
        inputs = Inputs(
            bootstrap=bootstrap.result(),
            uname=_uname(uname.result()),
            release=release.result(),
            sources={name: future.result() for name, future in vendored.items()},
            modules={found.name: str(found.module) for found in sources},
            files=manifest.merge((name, future.result()) for name, future in placed.items()),
            boot={name: future.result() for name, future in booting.items()},
        )
    for pinned in needed(lock, host) if artefacts else ():
        shelf.artefact(pinned)
    _remember(lock, store)
    return inputs


def needed(lock: Lock, host: Architecture) -> Iterator[Input]:
    """The inputs that a machine of an architecture needs."""
    return (found for found in lock.inputs if found.host in {None, host})


def _placed(shelf: Shelf, pinned: LocalPath) -> Tree:
    return at_destination(pinned, shelf.tree(pinned))


def at_destination(pinned: LocalPath, tree: Tree) -> Tree:
    """A person's file or folder at its place on the stick."""
    destination = (pinned.destination or "").strip("/")
    if pinned.single:
        return Tree(replace(entry, path=destination) for entry in tree)
    return tree.at(destination)


def _uname(package: Tree) -> Tree:
    """The one program of the builder image that is not Go: busybox under the name `uname`."""
    for path in ("usr/bin/busybox", "bin/busybox"):
        entry = package.get(path)
        if entry is not None:
            return Tree([replace(entry, path="bin/uname", executable=True)])
    raise InputError("the package that uname comes from holds no bin/busybox")


def _remember(lock: Lock, store: Store) -> None:
    """Write down what the lock pins, so that the store's collection of garbage keeps it."""
    if store.recall("inputs", lock.digest) is not None:
        return
    digests = {
        str(digest)
        for found in lock.inputs
        for digest in (found.blake3, found.tree, getattr(found, "vendored", None))
        if digest is not None
    }
    store.remember("inputs", lock.digest, {"digests": sorted(digests)})
