"""Program that computes again what a build computed in the orchestrator itself (`computations`).

Run as `python -m orchestrator.audit.made_again STORE FOLDER`, in other surroundings than those of
the process that audits. It begins with spec, lock and the remembered results of actions, and works
out the rest by itself: boot files, root, image (in reverse order and never stored, as in
`reverse_digest`), archive. It runs no action.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from orchestrator.artifacts import remade
from orchestrator.artifacts.names import IMAGE_STEP
from orchestrator.artifacts.recipe import laid_out
from orchestrator.audit import subject
from orchestrator.audit.subject import OnDemand, Subject
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Computation, Result
from orchestrator.files import places
from orchestrator.image.cpio import writer as cpio
from orchestrator.image.fat import reverse_digest
from orchestrator.progress.plain import SilentProgress
from orchestrator.store import DamagedBlob, Store
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, SourceryError
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from containers.engine import Engine

REQUEST = "request.json"
_ARCHIVE = "archive"


class _NoEngine(OnDemand):
    """Engine that runs nothing: all results are remembered."""

    @property
    def _connected(self) -> NoReturn:
        raise InfrastructureError("a result of the build is not remembered any more")


def vary() -> None:
    """Let this process have one CPU, and see the entries of folders in the opposite order."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    listed, walked = os.listdir, os.scandir

    class Reversed:
        """The entries of a folder from the last to the first, as `os.scandir` gives them."""

        def __init__(self, *given: Any) -> None:  # noqa: ANN401 - as `os.scandir`
            with walked(*given) as entries:
                self._entries = iter(list(entries)[::-1])

        def __iter__(self) -> Self:
            return self

        def __next__(self) -> os.DirEntry[Any]:
            return next(self._entries)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *exception: object) -> None:
            self.close()

        def close(self) -> None:
            """Forget what is left."""
            self._entries = iter([])

    os.listdir = lambda *given: listed(*given)[::-1]  # type: ignore[assignment]
    os.scandir = Reversed  # type: ignore[assignment]


def surroundings(sample: Path) -> dict[str, str]:
    """Return what may differ and must change no bit. `sample`: a folder with several entries."""
    return {
        **remade.surroundings(),
        "processors": str(len(os.sched_getaffinity(0))),
        "order of entries": " ".join(os.listdir(sample)),  # noqa: PTH208 - Path sorts nothing either
    }


class _Again:
    """Computations done again; `found`: digests by what it is."""

    def __init__(self, folder: Path, store: Store, asked: Mapping[str, Any]) -> None:
        self._folder = folder
        self._store = store
        self._asked = asked
        self.found: dict[str, str] = {}

    def run(self) -> None:
        """Compute everything that is wanted.

        Raises:
            SourceryError: it cannot be computed.
        """
        audited = self._subject()
        engine: Engine = _NoEngine(audited.found.result.engine.name, self._folder)
        results = dict(self._remembered(audited, engine))
        wanted = self._asked["wanted"]
        for step in audited.steps:
            if step.in_process:
                work = step.make(results)
                if not isinstance(work, Computation):
                    raise InfrastructureError(f"{step.name} computes nothing")
                tree = work.compute(threading.Event()).tree
                results[step.name] = self._result(work, tree)
                if step.name in wanted:
                    self.found[step.name] = str(self._store.save_tree(tree))
        if IMAGE_STEP in wanted:
            self._image(audited, results)

    def _subject(self) -> Subject:
        spec, lock, out = (Path(self._asked[name]) for name in ("spec", "lock", "out"))
        found = subject.find(spec, lock, out)
        if str(found.finished.result_digest) != self._asked["result"]:
            raise InfrastructureError("another build has taken the folder's place meanwhile")
        return Subject.draw(
            found,
            self._store,
            own=places.own(spec, lock, self._store.root),
            # The conditions of what is built twice are taken from the build's result.
            processors=1,
            capabilities={},
            offline=True,
            observer=SilentProgress(),
            stop=threading.Event(),
        )

    def _remembered(self, audited: Subject, engine: Engine) -> Mapping[str, Result]:
        return (
            Scheduler(
                engine=engine,
                store=self._store,
                policy=audited.found.policy,
                observer=SilentProgress(),
                jobs=1,
                stop=threading.Event(),
            )
            .run([step for step in audited.steps if not step.in_process])
            .results
        )

    def _result(self, work: Computation, tree: Tree) -> Result:
        empty = self._store.put_bytes(b"")
        return Result(work.key, tree, empty, empty, 0.0, 0, cached=False, kind="computation")

    def _image(self, audited: Subject, results: Mapping[str, Result]) -> None:
        recipe = audited.assembled(results).recipe
        tree, disk = laid_out(recipe, self._store.put_bytes)
        names = audited.found.result
        self.found["root"] = str(self._store.save_tree(tree))
        image = reverse_digest.digest(disk, self._store.path)
        archive = self._folder / _ARCHIVE
        cpio.write(tree, self._store.path, archive, epoch=recipe.epoch, threads=1)
        archived = digests.of_file(archive)
        self.found[names.image.path], self.found[names.cpio.path] = str(image), str(archived)
        # The outputs of the step, as `artifacts/image` has them.
        made = Tree(
            [
                file(names.image.path, image, disk.size),
                file(names.cpio.path, archived, archive.stat().st_size),
            ]
        )
        self.found[IMAGE_STEP] = str(made.digest)


def answer(store: Path, folder: Path) -> dict[str, Any]:
    """Return what to leave in the folder: `found`, `surroundings`; else `failed`, `damaged`."""
    asked = canonical.loads((folder / REQUEST).read_bytes(), subject=REQUEST)
    said: dict[str, Any] = {"failed": "", "damaged": ""}
    said["surroundings"] = surroundings(Path(asked["sample"]))
    with closing(Store(store)) as opened:
        again = _Again(folder, opened, asked)
        try:
            again.run()
        except DamagedBlob as error:
            said["damaged"] = str(error.digest)
        except SourceryError as error:
            said["failed"] = error.summary
        said["found"] = again.found
    return said


def main(arguments: Sequence[str]) -> None:
    """Compute, and leave the answer."""
    store, folder = map(Path, arguments)
    if remade.end_with_parent():
        vary()
        remade.leave(folder, answer(store, folder))


if __name__ == "__main__":
    main(sys.argv[1:])
