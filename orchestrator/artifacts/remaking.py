"""Makes the image a second time in another process and environment; see `remade`.

A mistake that one process makes once would be in both images, and go unseen: an order that depends
on the hash seed, a name taken from the environment, a time in the zone of the machine. So another
process gets the tree's manifest and the parameters, and the store to read blobs from; whatever
follows from them it works out by itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from containers.host import process
from orchestrator.artifacts import remade
from orchestrator.execution.either import Either
from reproducibility import canonical
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.artifacts.recipe import Recipe
    from orchestrator.store import Store

_SECONDS = 3600
_SHOWN = 2000
_PROGRAM = "orchestrator.artifacts.remade"
# Where this code lies: the other process runs the same, wherever it is started.
_CODE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Remade:
    """Result of the other process: the digest of the image, and of the tree in it.

    `alike`: names of what should differ between the two processes and does not.
    """

    image: Digest
    tree: Digest
    alike: tuple[str, ...]


class Remaking:
    """Handle of the other process."""

    def __init__(self, running: subprocess.Popen[bytes], folder: Path, store: Store) -> None:
        self._running = running
        self._folder = folder
        self._store = store
        self._abandoned = Event()

    def abandon(self) -> None:
        """Whoever waits for it stops waiting: nobody wants its result any more."""
        self._abandoned.set()

    def result(self, recipe: Recipe, stop: Event) -> Remade:
        """Wait for it.

        Raises:
            InfrastructureError: it ended without a result; says what it said.
            DamagedBlob: a blob was missing or damaged, and was moved aside.
            Stopped: `stop` was set, or it was abandoned.
        """
        status = process.wait(self._running, seconds=_SECONDS, stop=Either(stop, self._abandoned))
        try:
            answer = canonical.loads((self._folder / remade.ANSWER).read_bytes())
            return Remade(
                Digest.parse(answer["image"]),
                Digest.parse(answer["tree"]),
                alike(remade.surroundings(), answer["surroundings"]),
            )
        except (OSError, InputError, KeyError, TypeError, AttributeError) as error:
            # A damaged blob is healed: looking at each finds it.
            self._store.look_again(recipe.tree)
            if recipe.loader is not None:
                self._store.look_again(recipe.loader.packages)
            raise InfrastructureError(
                f"the process that makes the image a second time ended {how(status)}: "
                f"{said(self._folder)}",
                subject=f"{sys.executable} -m {_PROGRAM}",
                remedy="see whether this machine has memory enough (`free`), and run the build "
                "again",
            ) from error


@contextlib.contextmanager
def started(recipe: Recipe, store: Store) -> Iterator[Remaking]:
    """Start it; at the end of the block it is gone, however the block ends.

    Raises:
        InfrastructureError: it cannot be started.
    """
    with store.temporary() as folder:
        (folder / remade.TREE).write_bytes(recipe.tree.serialize())
        (folder / remade.RECIPE).write_bytes(canonical.dumps(remade.document(recipe)))
        with elsewhere(_PROGRAM, folder, store) as running:
            yield Remaking(running, folder, store)


@contextlib.contextmanager
def elsewhere(program: str, folder: Path, store: Store) -> Iterator[subprocess.Popen[bytes]]:
    """A program of this project in other surroundings, given the store's folder and `folder`.

    `program`: a module's name. What it says goes to the file `errors` in the folder (`said`). At
    the end of the block it is gone.

    Raises:
        InfrastructureError: it cannot be started.
    """
    # A folder of its own to work in, since this process may have any as its current one.
    current = folder / "current"
    current.mkdir()
    with (folder / "errors").open("wb") as errors:
        try:
            running = subprocess.Popen(  # noqa: S603 - argv list, no shell
                [sys.executable, "-P", "-B", "-m", program, str(store.root.resolve()),
                 str(folder.resolve())],
                cwd=current,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                umask=_other_umask(),
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise InfrastructureError(
                f"cannot start a process: {error.strerror}",
                subject=sys.executable,
                remedy="see whether this machine has room for another process (`ulimit -u`)",
            ) from error
    try:
        yield running
    finally:
        process.end(running)


def _environment() -> dict[str, str]:
    """Made from nothing, and in each value another one than this process has."""
    here = os.environ
    return {
        "PYTHONHASHSEED": "2" if here.get("PYTHONHASHSEED") != "2" else "3",
        # This code first; then where this process has its libraries from, wherever that is.
        "PYTHONPATH": os.pathsep.join([str(_CODE), *(part for part in sys.path if part)]),
        "LC_ALL": "C" if remade.locale() != "C" else "C.UTF-8",
        # Signs are the other way around (POSIX): 13 hours and 45 minutes before, or after, UTC.
        "TZ": "<-1345>13:45" if remade.zone() != "-13:45" else "<+1345>-13:45",
        "HOME": "/nonexistent",
        "PARENT": str(os.getpid()),
    }


def _other_umask() -> int:
    return 0o077 if remade.umask() != "0o77" else 0o027


def alike(ours: Mapping[str, str], theirs: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of what should differ between two processes and does not, sorted."""
    return tuple(sorted(name for name, value in ours.items() if theirs.get(name, value) == value))


def said(folder: Path) -> str:
    """The end of what the program in a folder said."""
    with contextlib.suppress(OSError):
        words = (folder / "errors").read_bytes()[-_SHOWN:]
        return words.decode(errors="replace").strip() or "it said nothing"
    return "it said nothing"


def how(status: int) -> str:
    """Return how a program ended, by its exit status, in words."""
    signals = 128
    return f"by signal {status - signals}" if status > signals else f"with status {status}"
