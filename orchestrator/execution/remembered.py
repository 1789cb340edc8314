"""Action cache: how the store remembers the results of actions, and gives them back.

What an action gives is decided by its key, whichever build of this program starts it. What this
program computes itself depends on the program too: that is remembered with the digest of the build
that computed it, and counts for no other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from containers.cut import was_cut
from orchestrator import program
from orchestrator.execution.step import Computation, Earlier, Provenance, Result
from orchestrator.store import DamagedBlob
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.execution.step import Work
    from orchestrator.store import Store

_KIND = "action-"
_COMPUTED = "computed-"
# In the record of a computation: the digest of the program that computed it.
_PROGRAM = "program"
# In the place of an engine's name, where something was computed in this process.
HERE = "orchestrate"


class Remembered:
    """The results of actions in a store, by key, for each engine's name apart."""

    def __init__(self, store: Store, engine: str) -> None:
        self._store = store
        self._kind = _KIND + engine

    def recall(self, work: Work) -> Result | None:
        """Return what came of an action on this engine, or of a computation, if all of it is there.

        Raises:
            InfrastructureError: the store cannot be read (not: it lacks something).
        """
        document = self._store.recall(self._kind_of(work), work.key)
        if document is None or _program(work, document) != _program(work, None):
            return None
        try:
            tree = self._store.load_tree(Digest.parse(document["outputs"]))
            stdout, stderr = (Digest.parse(document[name]) for name in ("stdout", "stderr"))
            seconds, memory = document["milliseconds"] / 1000, int(document["peak_memory"])
        except (
            *(DamagedBlob, InputError),
            *(ArithmeticError, AttributeError, KeyError, TypeError, ValueError),
        ):
            return None
        if not (self._store.has(stdout) and self._store.has(stderr)):
            return None
        if not self._store.has(work.digest):
            # What is at hand is no reason to do the work again.
            self._store.put_bytes(work.document)
        provenance = Provenance.parse(document.get("provenance"))
        result = Result(
            work.key,
            tree,
            stdout,
            stderr,
            seconds,
            memory,
            cached=True,
            provenance=provenance,
            action=work.digest if document.get("action") == str(work.digest) else None,
        )
        if isinstance(work, Computation):
            result = replace(result, kind="computation")
            if work.at_hand is not None:
                return result if work.at_hand(result) else None
        else:
            result = replace(result, conditions=work.conditions.describe())
        return result if self._store.holds(tree) else None

    def earlier(self, work: Work) -> tuple[Earlier | None, str]:
        """Return the remembered result of work, this engine's first; else None, and the reason.

        What another build of this program computed is none: that it differs says nothing.

        Raises:
            InfrastructureError: the store cannot be read (not: it lacks something).
        """
        reasons = []
        for kind in self._kinds(work):
            if not self._store.remembers(kind, work.key):
                continue
            engine = HERE if isinstance(work, Computation) else kind.removeprefix(_KIND)
            document = self._store.recall(kind, work.key)
            try:
                if document is None:
                    raise InputError("it is no JSON object")  # noqa: TRY301 - one place says so
                if _PROGRAM in document and _program(work, document) != _program(work, None):
                    continue
                return (
                    Earlier(
                        engine,
                        self._store.load_tree(Digest.parse(document["outputs"])),
                        Digest.parse(document["stdout"]),
                        Provenance.parse(document.get("provenance")),
                    ),
                    "",
                )
            except (DamagedBlob, InputError) as error:
                reasons.append(f"that of {engine} cannot be read: {error.summary}")
            except (AttributeError, KeyError, TypeError) as error:
                reasons.append(f"that of {engine} cannot be read: {error!r}")
        return None, "; ".join(reasons)

    def cut(self, stdout: Digest, provenance: Provenance | None) -> bool:
        """Return whether of a remembered standard output only the beginning was kept.

        By its notice, as records do not say so. One that is not there cannot be told.
        """
        limits = provenance.isolation.get("limits") if provenance else None
        limit = limits.get("log_bytes") if isinstance(limits, dict) else None
        try:
            if not self._store.has(stdout):
                return False
            return was_cut(self._store.read(stdout), limit if type(limit) is int else None)
        except DamagedBlob:
            return False

    def remember(
        self, step: str, work: Work, result: Result, refers: tuple[Digest, ...] = ()
    ) -> None:
        """Write a result down, with its provenance, what it was made from and what it refers to."""
        provenance = result.provenance.document() if result.provenance else None
        self._store.remember(
            self._kind_of(work),
            result.key,
            {
                "name": step,
                "action": str(work.digest),
                "refers": [str(digest) for digest in refers],
                "outputs": str(result.tree.digest),
                "stdout": str(result.stdout),
                "stderr": str(result.stderr),
                "milliseconds": round(result.seconds * 1000),
                "peak_memory": result.peak_memory,
                "provenance": provenance,
                **({_PROGRAM: str(program.running())} if isinstance(work, Computation) else {}),
            },
        )

    def _kind_of(self, work: Work) -> str:
        return _COMPUTED + work.kind if isinstance(work, Computation) else self._kind

    def _kinds(self, work: Work) -> Iterator[str]:
        """Of all engines whose results the store has, this one first; of a computation its own."""
        yield self._kind_of(work)
        if isinstance(work, Computation):
            return
        yield from (
            kind for kind in self._store.kinds() if kind.startswith(_KIND) and kind != self._kind
        )


def _program(work: Work, document: dict[str, Any] | None) -> object:
    """Return the program that counts for work: this one, or with a record the one that it names."""
    if not isinstance(work, Computation):
        return None
    return document.get(_PROGRAM) if document is not None else str(program.running())
