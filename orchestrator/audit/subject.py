"""Subject of an audit: a finished build, with its plan drawn once more and its results at hand.

The plan comes from spec, lock and inputs, the conditions of each step from `result.json`, so that
another machine or engine audits what was built and not what it would build itself. Results come
from the store; those that are missing are built first, by the ordinary scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from containers import registry
from containers.action import Action
from containers.policy import Policy
from orchestrator import inputs, plan, resources
from orchestrator.architecture import host
from orchestrator.artifacts import image as making
from orchestrator.artifacts import output_directory
from orchestrator.artifacts.finished import Finished
from orchestrator.assembly import Assembled, Assembly
from orchestrator.audit import varying
from orchestrator.execution.scheduler import Scheduler
from orchestrator.files import places
from orchestrator.golang import checks
from orchestrator.lock import file as lock
from orchestrator.progress.inputs import InputEvents
from orchestrator.spec import model as spec
from reproducibility.codes import CONDITIONS
from reproducibility.compare import Check
from reproducibility.errors import InputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from containers.engine import Capability, Engine, Identity, Outcome, Storage
    from containers.policy import Enforcement
    from containers.remote.farm import Settings
    from orchestrator.architecture import Architecture
    from orchestrator.artifacts import model as built
    from orchestrator.audit.request import Request
    from orchestrator.execution.step import Observer, Results, Step, Work
    from orchestrator.store import Store
    from reproducibility.digest import Digest

_REMEDY = "build with this spec and lock: `orchestrate build`, or name another folder with --out"


@dataclass(frozen=True)
class Finding:
    """A finished build, and the spec and the lock that it was made from."""

    finished: Finished
    wanted: spec.Spec
    pinned: lock.Lock

    @property
    def result(self) -> built.BuildResult:
        """The content of its `result.json`."""
        return self.finished.result

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Those that were built, in the spec's order."""
        there = set(self.finished.architectures)
        return tuple(name for name in self.wanted.image.architectures if name in there)

    @property
    def policy(self) -> Policy:
        """The rules and limits that its steps run under."""
        return Policy(self.wanted.limits.policy())


def find(spec_file: Path, lock_file: Path, out: Path) -> Finding:
    """Read a finished build, and make sure that spec and lock are those that it was made from.

    Raises:
        InputError: there is no finished build, or it was made from another spec or lock.
    """
    finished = Finished.load(out)
    wanted = spec.load(spec_file)
    pinned = lock.load(lock_file)
    for what, path, own, theirs in (
        ("spec", spec_file, wanted.digest, finished.result.spec),
        ("lock", lock_file, pinned.digest, finished.result.lock),
    ):
        if own != theirs:
            raise InputError(
                f"the build in {out} was made from another {what}: its result names {theirs}, "
                f"and this {what} is {own}",
                subject=str(path),
                remedy=_REMEDY,
            )
    pinned.check_fits(wanted)
    return Finding(finished, wanted, pinned)


@dataclass(frozen=True)
class Subject:
    """A finished build with its steps under the build's conditions.

    `steps`: all but the image's.
    """

    found: Finding
    assembly: Assembly
    steps: tuple[Step, ...]

    @classmethod
    def draw(  # noqa: PLR0913 - what a plan depends on, and who is told
        cls,
        found: Finding,
        store: Store,
        *,
        own: tuple[Path, ...],
        processors: int,
        capabilities: Mapping[str, Capability],
        offline: bool,
        observer: Observer,
        stop: threading.Event,
    ) -> Self:
        """Fetch what is missing of the inputs, and draw the plan of the build.

        `own`: as `places.own`.

        Raises:
            InputError: an input is not what the lock pins; or the plan is not that of the build.
            InfrastructureError: an input cannot be had.
            DamagedBlob: a blob is missing or damaged.
        """
        have = inputs.ensure(
            found.pinned,
            store,
            folder=found.wanted.folder,
            own=own,
            offline=offline,
            events=InputEvents(observer),
            stop=stop,
        )
        drawn = plan.draw(
            found.wanted,
            found.pinned,
            have,
            store,
            host=host(),
            architectures=found.architectures,
            processors=processors,
            capabilities=capabilities,
        )
        assembly = Assembly(found.wanted, found.pinned, found.architectures, have, drawn, store)
        return cls(found, assembly, tuple(_as_built(assembly.steps, found)))

    @property
    def recorded(self) -> dict[str, built.Step]:
        """The steps of `result.json` by name."""
        return {step.name: step for step in self.found.result.steps}

    def results(
        self,
        engine: Engine,
        store: Store,
        *,
        jobs: int,
        observer: Observer,
        stop: threading.Event,
    ) -> tuple[Results, tuple[str, ...]]:
        """The build's results, and the names of those that were missing and are built now.

        `engine`: the one that made the build.

        Raises:
            ActionError: a step that had to be built again failed.
            InfrastructureError: one could not be run.
            InputError: a step is not the one that the build ran.
            Stopped: `stop` was set.
        """
        watching = _Missing(observer)
        scheduler = Scheduler(
            engine=engine,
            store=store,
            policy=self.found.policy,
            observer=watching,
            jobs=jobs,
            stop=stop,
        )
        # Compared before anything runs: what is not the build's should not be run at all.
        steps = [_held(step, self.recorded[step.name], self.found) for step in self.steps]
        results = scheduler.run(steps).results
        return results, tuple(watching.missing)

    def bases(self, results: Results) -> list[Check]:
        """A FAIL for each step of which the store has other outputs than the build's result names.

        What is compared with them later would prove nothing of that build.
        """
        return [
            Check(
                CONDITIONS["other-result"],
                name,
                f"the build's result names {self.recorded[name].outputs}, and the store has "
                f"{results[name].tree.digest}",
            )
            for name in self.others(results)
        ]

    def others(self, results: Results) -> list[str]:
        """Return the steps of which the store has other outputs than the build's result names."""
        recorded = self.recorded
        return [
            name for name, result in results.items() if result.tree.digest != recorded[name].outputs
        ]

    def doubt(self, results: Results, *names: str) -> str:
        """Why steps' results are not those of the build, or are made from such; empty if neither.

        The induction of an audit goes along all that leads to a step.
        """
        wanted = closure(names, {step.name: step.needs for step in self.steps})
        others = [name for name in self.others(results) if name in wanted]
        if not others:
            return ""
        return f"the store has other outputs of {', '.join(others)} than the build's result names"

    def assembled(self, results: Results) -> Assembled:
        """Root and recipe, worked out from the results.

        Raises:
            InputError: what is to be in the root is not right.
            DamagedBlob: a blob is missing or damaged.
        """
        made = checks.toolchains(self.assembly.drawn.chain, results, self.found.architectures)
        return self.assembly.assemble(results, made)

    @property
    def expected(self) -> dict[str, Digest]:
        """Digests that the build names of what it computed itself, by what it is.

        Those of the steps by their names; then what the image's step consists of.
        """
        result = self.found.result
        names = [step.name for step in self.steps if step.in_process]
        return {
            **{name: self.recorded[name].outputs for name in (*names, str(making.STEP))},
            "root": result.root.tree,
            result.image.path: self.found.finished.image_digest,
            result.cpio.path: self.found.finished.archive_digest,
        }


def own_files(request: Request) -> tuple[Path, ...]:
    """Return what is never content of the image, as `places.own`."""
    return places.own(request.spec, request.lock, request.store)


def _as_built(steps: Sequence[Step], found: Finding) -> list[Step]:
    """The steps under the conditions that the build's result names.

    Raises:
        InputError: they are not those of the build.
    """
    recorded = {step.name: step for step in found.result.steps}
    names = {step.name for step in steps} | {str(making.STEP)}
    for name in sorted(names ^ recorded.keys()):
        raise _another_plan(name, found)
    return [
        replace(
            step,
            conditions=varying.parsed(recorded[step.name].conditions, step.name),
        )
        for step in steps
    ]


def _held(step: Step, said: built.Step, found: Finding) -> Step:
    """The step, whose work is refused where it is not what the build's result names."""

    def make(results: Results) -> Work | None:
        work = step.make(results)
        if work is None:
            return None
        now = work.under(step.conditions) if isinstance(work, Action) else work
        if now.key != said.key:
            raise _another_plan(step.name, found)
        return work

    return replace(step, make=make)


def _another_plan(step: str, found: Finding) -> InputError:
    made_by = found.result.tool
    if made_by == resources.VERSION:
        return InputError(
            f"this program plans the step {step} otherwise than the build's result says, and both "
            "have one version: result.json was changed after the build, or the program was",
            subject=str(found.finished.out / output_directory.RESULT),
            remedy="audit with the files as the build left them, or build again: "
            "`orchestrate build`",
        )
    return InputError(
        f"this version of the program ({resources.VERSION}) plans the step {step} otherwise than "
        f"the one that made the build ({made_by})",
        subject=str(found.finished.out),
        remedy="audit with the version that made it, or build again: `orchestrate build`",
    )


def closure(names: Iterable[str], needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return steps and all that they depend on. `needs`: of each step what it depends on itself."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, ())
    return found


class _Missing:
    """Observer that tells another one only of steps that are not remembered."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.missing: list[str] = []

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None:
        self._observer.planned(steps)

    def started(self, name: str) -> None:
        if not self.missing:
            self._observer.note("results of the build are missing in the store; they are built now")
        self.missing.append(name)
        self._observer.started(name)

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        if not cached:
            self._observer.finished(name, cached=cached, seconds=seconds)

    def note(self, text: str) -> None:
        self._observer.note(text)


class OnDemand:
    """Engine that is connected when the first action is run on it: mostly none has to be."""

    def __init__(self, name: str, scratch: Path, settings: Settings | None = None) -> None:
        """`name`: one of `registry.ENGINES`. `scratch`: folder for temporary files.

        `settings`: for an engine that needs some.
        """
        self._name = name
        self._scratch = scratch
        self._settings = settings if name in registry.CONFIGURED else None
        self._engine: Engine | None = None

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self._name

    @property
    def identity(self) -> Identity:
        """See `Engine.identity`."""
        return self._connected.identity

    @property
    def processors(self) -> int:
        """See `Engine.processors`."""
        return self._connected.processors

    @property
    def actions(self) -> int:
        """See `Engine.actions`."""
        return self._connected.actions

    def capabilities(self) -> Mapping[str, Capability]:
        """See `Engine.capabilities`."""
        return self._connected.capabilities()

    def run(
        self, action: Action, policy: Policy, storage: Storage, stop: threading.Event
    ) -> Outcome:
        """See `Engine.run`."""
        return self._connected.run(action, policy, storage, stop)

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """See `Engine.enforcement`."""
        return self._connected.enforcement(policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._engine is not None:
            self._engine.__exit__(*exception)

    @property
    def _connected(self) -> Engine:
        if self._engine is None:
            self._engine = registry.connect(self._name, self._scratch, self._settings).__enter__()
        return self._engine
