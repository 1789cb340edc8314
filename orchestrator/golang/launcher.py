"""Builds the launcher for a farm's workers, by the bootstrap Go, and remembers it in the store.

The first program of every action on a farm (`containers/remote/launcher`): static, of the standard
library only. No farm can be asked to build it, so it is built on this machine, without a network,
from nothing but locked inputs and this project's own source. Which machine builds it changes no bit
of it.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from containers.host import process
from containers.remote.isolation import LAUNCHER
from orchestrator import resources
from orchestrator.golang import environment
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import ActionError, InputError

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from orchestrator.store import Store
    from reproducibility.manifest import Tree

_KIND = "launcher"
_COMMAND = ("build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-pgo=off")
_SECONDS = 900


def source(store: Store) -> Tree:
    """The launcher's source without its tests, in the store."""
    with store.temporary() as scratch:
        folder = scratch / "source"
        folder.mkdir()
        for file in sorted(resources.launcher().iterdir()):
            if file.name == "go.mod" or (
                file.suffix == ".go" and not file.name.endswith("_test.go")
            ):
                shutil.copyfile(file, folder / file.name)
        return store.put_tree(folder)


def program(bootstrap: Tree, architecture: str, store: Store, stop: Event) -> Tree:
    """The launcher for workers of an architecture: a tree of that one file.

    `bootstrap`: the GOROOT of the bootstrap Go for this machine.

    Raises:
        ActionError: it does not compile.
        InfrastructureError: the compiler cannot be run here.
        Stopped: `stop` was set.
    """
    made_from = source(store)
    key = digests.of_bytes(
        canonical.dumps(
            {
                "computation": _KIND,
                "source": str(made_from.digest),
                "bootstrap": str(bootstrap.digest),
                "architecture": architecture,
                "command": list(_COMMAND),
            }
        )
    )
    with store.only_one(key, stop):
        known = _recalled(key, store)
        if known is None:
            known = _built(bootstrap, made_from, architecture, store, stop)
            store.remember(_KIND, key, {"tree": str(store.save_tree(known))})
    return known


def _recalled(key: Digest, store: Store) -> Tree | None:
    document = store.recall(_KIND, key)
    if document is None:
        return None
    try:
        tree = store.load_tree(Digest.parse(document["tree"]))
    except (InputError, KeyError, TypeError):
        return None
    return tree if store.holds(tree) else None


def _built(bootstrap: Tree, made_from: Tree, architecture: str, store: Store, stop: Event) -> Tree:
    goroot = store.checkout(bootstrap, BLOB_TIME, stop)
    folder = store.checkout(made_from, BLOB_TIME, stop)
    with store.temporary() as scratch:
        done = process.run(
            [str(goroot / "bin" / "go"), *_COMMAND, "-o", str(scratch / "out" / LAUNCHER), "."],
            environment=_environment(architecture, goroot, scratch),
            directory=folder,
            seconds=_SECONDS,
            stop=stop,
            check=False,
        )
        if done.status != 0:
            words = done.stderr.decode(errors="replace").strip()
            raise ActionError(
                f"the launcher for a farm's workers does not compile:\n{words}",
                subject=architecture,
                remedy="look whether this machine has room and memory; else this is a fault of "
                "this program",
            )
        return store.put_tree(scratch / "out")


def _environment(architecture: str, goroot: Path, scratch: Path) -> dict[str, str]:
    # It has no dependencies, so no vendor directory either.
    return {**environment.listing(architecture, goroot, scratch), "GOFLAGS": "-mod=readonly"}
