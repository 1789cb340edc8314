"""Provides the tree of an input: from the store, else its artifact there, else its transport.

Also knows which go command fetches modules (the bootstrap's) and which one vendors sources (the
published toolchain's), and that both are inputs themselves.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.inputs.go_command import GoCommand
from orchestrator.inputs.go_module import GoTransport
from orchestrator.inputs.known import NOTHING, Known, unpacked
from orchestrator.inputs.local_path import LocalTransport
from orchestrator.inputs.python_wheel import WheelTransport
from orchestrator.lock.file import (
    DebianPackage,
    GoModule,
    Input,
    LocalPath,
    PythonWheel,
)
from orchestrator.store.blobs import BLOB_TIME, DamagedBlob
from reproducibility.errors import InputError, OtherContentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orchestrator.inputs.known import Made
    from orchestrator.inputs.transport import Clients, Store, Transport
    from orchestrator.lock.model import RootPackage
    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

_Artifact = TypeVar("_Artifact", PythonWheel, GoModule, DebianPackage)


class Shelf:
    """One transport of each kind, a store, and the trees of the two toolchains once needed."""

    def __init__(  # noqa: PLR0913 - what its transports are made of
        self,
        clients: Clients,
        store: Store,
        folder: Path,
        find: Callable[[str], Input],
        own: Iterable[Path] = (),
        known: Known = NOTHING,
    ) -> None:
        """`folder`: the spec's. `find`: this machine's input by name (`bootstrap`, `go`).

        `own`: what is never content of a local folder, as `LocalTransport` takes it. `known`: what
        may be in the store, for what is pinned anew.
        """
        self._clients = clients
        self._store = store
        self._find = find
        self._go_roots: dict[str, Tree] = {}
        self._guard = threading.RLock()
        self.known = known
        self.wheel = WheelTransport(clients, known)
        self.debian = DebianTransport(clients, known=known)
        self.local = LocalTransport(folder, own)
        self.module = GoTransport(clients, lambda: self._command("bootstrap"), known)
        self._vendoring = GoTransport(clients, lambda: self._command("go"))
        self.go = GoCommand(clients, store, lambda: self._command("go"))

    def tree(self, pinned: Input) -> Tree:
        """The tree of an input; a local path's is compared with the lock each time.

        Raises:
            InputError: it is not what the lock pins; both digests.
            InfrastructureError: it could not be had.
        """
        if isinstance(pinned, LocalPath):
            self.local.fetch(pinned, self._store)
            return self.local.unpack(pinned, self._store)
        if isinstance(pinned, PythonWheel):
            return self._unpacked(self.wheel, pinned)
        if isinstance(pinned, DebianPackage):
            return self._unpacked(self.debian, pinned)
        return self._unpacked(self.module, pinned)

    def source(self, pinned: GoModule | LocalPath) -> Tree:
        """The tree of a source with all its dependencies. Raises as `tree`."""
        if pinned.vendored is None:
            raise InputError("the lock pins no dependencies", subject=pinned.label)
        tree = self.tree(pinned) if isinstance(pinned, LocalPath) else None
        present = self.present(pinned.vendored)
        if present is not None:
            return present
        vendored = self.vendor(pinned, tree or self.tree(pinned))
        return self._checked(f"{pinned.label} with its dependencies", vendored, pinned.vendored)

    def vendor(self, pinned: GoModule | LocalPath, tree: Tree) -> Tree:
        """A source's tree with all its dependencies, as the go command finds them.

        Raises:
            InputError: not a module, or one that cannot be vendored as it stands.
            InfrastructureError: a dependency could not be had.
        """
        self._clients.events.started(pinned.label, "vendoring")
        replaced = pinned.replace or ()
        nested = (pinned.nested or ()) if isinstance(pinned, LocalPath) else ()
        published = isinstance(pinned, GoModule)

        def vendor() -> Made:
            return self._vendoring.vendor(
                pinned.label, tree, self._store, replaced, nested=nested, published=published
            )

        if self._vendoring.is_private(self._store):
            # Nobody but whoever serves them says what these modules are.
            vendored = vendor().tree
        else:
            what = {
                "vendored": str(tree.digest),
                "go": str(self.toolchain("go").digest),
                "replace": [*replaced],
                "nested": [*nested],
                "published": published,
            }
            said = self.known.vendored.get(tree.digest, ())
            vendored = self._store.load_tree(unpacked(what, said, self._store, vendor).tree)
        self._clients.events.finished(pinned.label)
        return vendored

    def artifact(self, pinned: Input) -> None:
        """Bring an input's artifact into the store if it is not there. Raises as `tree`."""
        if isinstance(pinned, PythonWheel):
            self._fetched(self.wheel, pinned)
        elif isinstance(pinned, DebianPackage):
            self._fetched(self.debian, pinned)
        elif isinstance(pinned, GoModule):
            self._fetched(self.module, pinned)

    def package(self, pinned: RootPackage) -> None:
        """Bring a package of a second root into the store if it is not there. Raises as `tree`."""
        if not self._is_whole(pinned.blake3):
            self._clients.require_network(pinned.label)
            self._clients.events.started(pinned.label, "fetching")
            self.debian.bring(pinned, self._store)
            self._clients.events.finished(pinned.label)

    def toolchain(self, name: str) -> Tree:
        """The GOROOT of `bootstrap` or `go` for this machine. Raises as `tree`."""
        with self._guard:
            if name not in self._go_roots:
                self._go_roots[name] = self.tree(self._find(name))
            return self._go_roots[name]

    def _command(self, name: str) -> Path:
        tree = self.toolchain(name)
        return self._store.checkout(tree, BLOB_TIME, self._clients.stop) / "bin" / "go"

    def _unpacked(self, transport: Transport[Any, _Artifact], pinned: _Artifact) -> Tree:
        present = self.present(pinned.tree)
        if present is not None:
            return present
        self._fetched(transport, pinned)
        self._clients.events.started(pinned.label, "unpacking")
        tree = self._checked(pinned.label, transport.unpack(pinned, self._store), pinned.tree)
        self._clients.events.finished(pinned.label)
        return tree

    def _fetched(self, transport: Transport[Any, _Artifact], pinned: _Artifact) -> None:
        if not self._is_whole(pinned.blake3):
            self._clients.require_network(pinned.label)
            self._clients.events.started(pinned.label, "fetching")
            transport.fetch(pinned, self._store)
            self._clients.events.finished(pinned.label)

    def _is_whole(self, artifact: Digest) -> bool:
        """Return whether an artifact is in the store; a damaged one is moved aside, and is not."""
        try:
            self._store.blob(artifact)
        except DamagedBlob:
            return False
        return True

    def present(self, digest: Digest) -> Tree | None:
        """A tree that is in the store with all its files; of a damaged manifest there is none."""
        if not self._store.has(digest):
            return None
        try:
            tree = self._store.load_tree(digest)
        except DamagedBlob:
            return None
        return tree if self._store.holds(tree) else None

    def _checked(self, label: str, tree: Tree, expected: Digest) -> Tree:
        if tree.digest != expected:
            raise OtherContentError(
                f"{label} is not what the lock pins: expected {expected}, found {tree.digest}",
                subject=label,
                remedy="find out why it changed; then `orchestrate lock --update NAME` pins it",
            )
        self._store.save_tree(tree)
        return tree
