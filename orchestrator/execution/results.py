"""What comes of actions: results, where each comes from, and how the store remembers them.

A result is what an action made; its provenance says which run made it, on which engine, in what
isolation. The provenance is no part of what must agree: another engine gives the same result. What
a result was not recorded with is said to be not recorded, never filled in from a later run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from containers.engine import Identity
from orchestrator.store import DamagedBlob
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers.action import Action
    from orchestrator.store import Store
    from reproducibility.manifest import Tree

NOT_RECORDED = "not recorded"
_KIND = "action-"


@dataclass(frozen=True)
class Provenance:
    """Which run made a result, as it was observed then.

    `isolation`: a JSON object with the limits and how each rule was enforced. `tool`: the version
    of this program. `when`: the end of the action, `2026-01-01T00:00:00Z`. `observed`: what the
    step's observation said on its standard output, empty where nothing looked around.
    """

    engine: Identity
    isolation: Mapping[str, Any]
    tool: str
    when: str
    observed: str = ""

    def document(self) -> dict[str, Any]:
        """The provenance as a JSON object."""
        return {
            "engine": self.engine.document(),
            "isolation": dict(self.isolation),
            "tool": self.tool,
            "when": self.when,
            "observed": self.observed,
        }

    @classmethod
    def parse(cls, document: object) -> Provenance | None:
        """Read the JSON object back; None for anything else."""
        try:
            engine = document["engine"]  # type: ignore[index]
            own = Identity(engine["name"], engine["identity"], engine["version"])
            texts = [document[name] for name in ("tool", "when", "observed")]  # type: ignore[index]
            isolation = document["isolation"]  # type: ignore[index]
        except (KeyError, TypeError):
            return None
        if not isinstance(isolation, dict):
            return None
        if not all(isinstance(text, str) for text in (own.name, own.own, own.version, *texts)):
            return None
        return cls(own, isolation, *texts)


@dataclass(frozen=True)
class Result:
    """What came of an action.

    `tree`: the declared outputs. `stdout`, `stderr`: blobs. `seconds`: wall-clock time of the run
    that made it. `peak_memory`: bytes, 0 where the engine could not tell. `cached`: another run
    made it. `provenance`: None where it was remembered without.
    """

    key: Digest
    tree: Tree
    stdout: Digest
    stderr: Digest
    seconds: float
    peak_memory: int
    cached: bool
    provenance: Provenance | None = field(default=None, compare=False)


Results = Mapping[str, Result]


@dataclass(frozen=True)
class Earlier:
    """What is remembered of an action, as the base of a comparison: its files need not be there."""

    engine: str
    tree: Tree
    stdout: Digest
    provenance: Provenance | None

    @property
    def whose(self) -> str:
        """Which result it is, in words."""
        if self.provenance is None:
            return f"the earlier result of {self.engine} (engine and time {NOT_RECORDED})"
        made = self.provenance
        return f"the earlier result of {self.engine} ({made.engine.own}, {made.when})"


@dataclass(frozen=True)
class Comparison:
    """A step that was run again, and what is compared with it.

    `now`: None where there was nothing to do. `earlier`: None where there is nothing to compare
    with, and `why`. `says`: whether other steps use its standard output, which then counts too.
    `needs`: the steps that it hangs on.
    """

    step: str
    now: Result | None
    earlier: Earlier | None
    why: str
    says: bool
    needs: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether both gave the same; errors, times and memory may differ."""
        if self.now is None or self.earlier is None:
            return False
        said = not self.says or self.earlier.stdout == self.now.stdout
        return self.earlier.tree == self.now.tree and said


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
