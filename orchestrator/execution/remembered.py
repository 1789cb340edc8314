"""Action cache: how the store remembers the results of actions, and gives them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.execution.step import Earlier, Provenance, Result
from orchestrator.store import DamagedBlob
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers.action import Action
    from orchestrator.store import Store

_KIND = "action-"


class Remembered:
    """The results of actions in a store, by key, for each engine's name apart."""

    def __init__(self, store: Store, engine: str) -> None:
        self._store = store
        self._kind = _KIND + engine

    def recall(self, action: Action) -> Result | None:
        """What this engine made of an action before, if all of it is still in the store.

        Raises:
            InfrastructureError: the store cannot be read (not: it lacks something).
        """
        document = self._store.recall(self._kind, action.key)
        if document is None:
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
        if not (self._store.holds(tree) and self._store.has(stdout) and self._store.has(stderr)):
            return None
        provenance = Provenance.parse(document.get("provenance"))
        return Result(
            action.key, tree, stdout, stderr, seconds, memory, cached=True, provenance=provenance
        )

    def earlier(self, action: Action) -> tuple[Earlier | None, str]:
        """What an action gave before: on this engine, else on another one; or why there is nothing.

        Raises:
            InfrastructureError: the store cannot be read (not: it lacks something).
        """
        reasons = []
        for kind in self._kinds():
            if not self._store.remembers(kind, action.key):
                continue
            engine = kind.removeprefix(_KIND)
            document = self._store.recall(kind, action.key)
            try:
                if document is None:
                    raise InputError("it is no JSON object")  # noqa: TRY301 - one place says so
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

    def remember(self, step: str, result: Result) -> None:
        """Write a result down, with its provenance."""
        provenance = result.provenance.document() if result.provenance else None
        self._store.remember(
            self._kind,
            result.key,
            {
                "name": step,
                "outputs": str(result.tree.digest),
                "stdout": str(result.stdout),
                "stderr": str(result.stderr),
                "milliseconds": round(result.seconds * 1000),
                "peak_memory": result.peak_memory,
                "provenance": provenance,
            },
        )

    def _kinds(self) -> Iterator[str]:
        """Of all engines whose results the store has, this one first."""
        yield self._kind
        yield from (
            kind for kind in self._store.kinds() if kind.startswith(_KIND) and kind != self._kind
        )
