"""Steps, results and their provenance, as values: what a plan consists of, what running it gives.

A result is what an action made; its provenance says which run made it, on which engine, in what
isolation. Provenance is not compared: another engine gives the same result. What a result was not
recorded with is said to be not recorded, never filled in from a later run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from containers.action import Action
from containers.engine import Identity
from reproducibility import digest as digests
from reproducibility.conditions import STANDARD, Conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Provenance:
    """Provenance of a result: the run that made it, as it was observed then.

    `isolation`: a JSON object with the limits and how each rule was enforced. `tool`: the version
    of this program. `when`: the end of the action, `2026-01-01T00:00:00Z`. `observed`: what the
    step's observation said on its standard output, empty where nothing looked around. `cpus`: on
    how many CPUs the action could run; None where that was not recorded, as older versions did
    not, and of a computation. `worker`: the machine of a farm that ran it, empty on this machine's
    own engines. `taken_from`: the cache that it was taken from, empty where that run ran it.
    """

    engine: Identity
    isolation: Mapping[str, Any]
    tool: str
    when: str
    observed: str = ""
    cpus: int | None = None
    worker: str = ""
    taken_from: str = ""

    def document(self) -> dict[str, Any]:
        """The provenance as a JSON object."""
        return {
            "engine": self.engine.document(),
            "isolation": dict(self.isolation),
            "tool": self.tool,
            "when": self.when,
            "observed": self.observed,
            "cpus": self.cpus,
            **({"worker": self.worker} if self.worker else {}),
            **({"taken_from": self.taken_from} if self.taken_from else {}),
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
        cpus = document.get("cpus")  # type: ignore[attr-defined] # it is an object
        known = cpus if type(cpus) is int and cpus > 0 else None
        worker, taken = (document.get(name, "") for name in ("worker", "taken_from"))  # type: ignore[attr-defined] # as above
        if not isinstance(worker, str) or not isinstance(taken, str):
            return None
        tool, when, observed = texts
        return cls(own, isolation, tool, when, observed, known, worker, taken)


@dataclass(frozen=True)
class Result:
    """Result of an action, of a computation, or of a step that had nothing to do.

    `tree`: the declared outputs. `stdout`, `stderr`: blobs. `seconds`: wall-clock time of the run
    that made it. `peak_memory`: bytes, 0 where the engine could not tell. `cached`: another run
    made it. `provenance`: None where it was remembered without. `action`: the blob that holds the
    document of what was done; None where that was not kept. `conditions`: those of an action that
    are not as usual.
    """

    key: Digest
    tree: Tree
    stdout: Digest
    stderr: Digest
    seconds: float
    peak_memory: int
    cached: bool
    provenance: Provenance | None = field(default=None, compare=False)
    kind: Literal["action", "computation", "nothing"] = "action"
    action: Digest | None = None
    conditions: Mapping[str, str | int] = field(default_factory=dict)


Results = Mapping[str, Result]


class Handle(str):
    """Name of a step, by which others depend on it and find its result."""

    __slots__ = ("_folder",)
    _folder: str

    def __new__(cls, name: str, folder: str = "") -> Self:
        """`folder`: the one of the outputs that other steps use; empty for all of them."""
        made = super().__new__(cls, name)
        made._folder = folder
        return made

    def result(self, results: Results) -> Result:
        """Return what came of the step."""
        return results[self]

    def tree(self, results: Results) -> Tree:
        """Return the outputs that others use, relative to their folder."""
        made = results[self].tree
        return made.under(self._folder) if self._folder else made


@dataclass(frozen=True)
class Computed:
    """Result of a computation.

    `says`: bytes that are kept as an action's standard output is. `sound`: False where a comparison
    of its own failed; then it is not remembered. `refers`: further blobs to keep as long as the
    result; for a tree, its manifest.
    """

    tree: Tree
    says: bytes = b""
    sound: bool = True
    refers: tuple[Digest, ...] = ()


@dataclass(frozen=True)
class Computation:
    """Work that is done in this process: boot files, the image.

    `kind`: results are remembered by kind and key. `document`: canonical JSON of everything that
    decides the outcome, as an action's. `compute`: does the work and puts the files of its tree
    where they belong; its event is set when it shall stop. `at_hand`: says whether the files of a
    remembered result still are there; by default the store is asked.
    """

    kind: str
    document: bytes
    compute: Callable[[Event], Computed]
    at_hand: Callable[[Result], bool] | None = None

    @cached_property
    def digest(self) -> Digest:
        """BLAKE3 of `document`."""
        return digests.of_bytes(self.document)

    @property
    def key(self) -> Digest:
        """The digest: nothing else decides the outcome."""
        return self.digest


Work = Action | Computation


@dataclass(frozen=True)
class Step:
    """Named work that is known once the results of the steps that it needs are.

    `make` returns None where there turns out to be nothing to do; the result is then an empty tree.
    `stage` and `subject` are the words for people: what kind of work, on what. `long`: it
    takes so long that it keeps to its share of the CPUs while others like it are waiting.
    `says`: other steps use its standard output, which is then compared as its files are. `observe`:
    an action that looks around, run just before each run of this one under the same conditions;
    what it says is a measurement of that run, kept in its result's provenance and nowhere else.
    `parts`: (name, stage, subject) of parts that the step itself reports to the observer; where
    there are any, the scheduler does not report the step as a whole. `conditions`: its action is
    run under these. `in_process`: it makes a computation, and no other such step is done beside it.
    `fixed`: variations of conditions that are inputs to this step, and why; its result may differ
    under them, and no others.
    """

    name: str
    stage: str
    subject: str
    needs: tuple[str, ...]
    make: Callable[[Results], Work | None]
    long: bool = False
    says: bool = False
    observe: Callable[[Results], Action] | None = None
    parts: tuple[tuple[str, str, str], ...] = ()
    conditions: Conditions = STANDARD
    in_process: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[tuple[str, str, str], ...]:
        """The (name, stage, subject) of all that an observer is told of."""
        return self.parts or ((self.name, self.stage, self.subject),)


class Observer(Protocol):
    """Is told of the work as it goes on; called from several threads."""

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None:
        """The (name, stage, subject) of all that will be done."""

    def started(self, name: str) -> None:
        """A step began to run (one whose result is remembered does not)."""

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        """A step ended well; `seconds`: wall-clock time of this run."""

    def note(self, text: str) -> None:
        """Something that a person might want to know."""


@dataclass(frozen=True)
class Earlier:
    """An earlier remembered result to compare with; its files may be gone."""

    engine: str
    tree: Tree
    stdout: Digest
    provenance: Provenance | None

    @property
    def whose(self) -> str:
        """Name of the result in words."""
        if self.provenance is None:
            return f"the earlier result of {self.engine} (engine and time {NOT_RECORDED})"
        made = self.provenance
        return f"the earlier result of {self.engine} ({made.engine.own}, {made.when})"


@dataclass(frozen=True)
class Comparison:
    """A step that was run again, and what is compared with it.

    `now`: None where there was nothing to do. `earlier`: None where there is nothing to compare
    with, and `why`. `says`: whether other steps use its standard output, which then counts too.
    `needs`: the steps that it depends on.
    """

    step: str
    now: Result | None
    earlier: Earlier | None
    why: str
    says: bool
    needs: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """True where both gave the same; errors, times and memory may differ."""
        if self.now is None or self.earlier is None:
            return False
        said = not self.says or self.earlier.stdout == self.now.stdout
        return self.earlier.tree == self.now.tree and said


@dataclass
class Execution:
    """State of a plan that runs: results by step, and with `rebuild` each step's comparison.

    Both are in the plan's order once it has ended.
    """

    results: dict[str, Result] = field(default_factory=dict)
    compared: dict[str, Comparison] = field(default_factory=dict)
