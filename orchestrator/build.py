"""Builds an image from spec and lock, and gives the verdict (`orchestrate build`)."""

from __future__ import annotations

import resource
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from containers import registry
from containers.host import memory
from containers.policy import Policy
from orchestrator import farm, inputs, plan
from orchestrator.architecture import host
from orchestrator.artifacts import (
    image as making,
)
from orchestrator.artifacts import (
    names,
    output_directory,
    result,
    root,
)
from orchestrator.artifacts.earlier_files import EarlierFiles
from orchestrator.assembly import Assembly
from orchestrator.evidence.building import Evidence
from orchestrator.execution import rebuilding
from orchestrator.execution.scheduler import Scheduler, default_jobs
from orchestrator.files import places, text_file
from orchestrator.golang import checks
from orchestrator.golang.module_hash import ModuleHashes
from orchestrator.inputs import Clients, bundle, local_path, source_checks
from orchestrator.lock import file as lock
from orchestrator.progress.inputs import InputEvents
from orchestrator.spec import model as spec
from orchestrator.store import DamagedBlob, Store, trial
from reproducibility.compare import Check, Verdict, complete, fold
from reproducibility.errors import InputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from containers.engine import Engine, Identity
    from containers.remote.farm import Farm
    from orchestrator.architecture import Architecture
    from orchestrator.artifacts.model import BuildResult
    from orchestrator.evidence.keys import Private
    from orchestrator.execution.step import Execution, Observer, Results, Step
    from reproducibility.compare import CheckKind
    from reproducibility.manifest import Tree

# A damaged blob sends the build back to the step that makes it; more rounds than this mean a disk
# that loses data faster than it can be made again.
_ROUNDS = 5


@dataclass(frozen=True)
class Options:
    """Request for a build, as a person gave it.

    `architectures`: empty for those of the spec. `jobs`: actions at once, 0 for the default.
    `sign`: keys that sign the evidence. `farm`: for the engine `remote`.
    """

    spec: Path
    lock: Path
    out: Path
    architectures: tuple[str, ...]
    engine: str
    jobs: int
    offline: bool
    bundle: Path | None
    rebuild: bool
    store: Path
    sign: tuple[Private, ...] = ()
    farm: Farm | None = None

    @property
    def own(self) -> tuple[Path, ...]:
        """Paths that are never content of the image, as `places.own` gives them."""
        return places.own(self.spec, self.lock, self.store)


@dataclass(frozen=True)
class Built:
    """A finished build: its output directory, and the content of `result.json` in it."""

    result: BuildResult
    out: Path

    @property
    def verdict(self) -> Verdict:
        """The worst of its checks."""
        return Verdict[self.result.verdict]


def build(options: Options, observer: Observer, stop: threading.Event) -> Built:
    """Do everything; the output directory is put in place at the end, in one step where it can be.

    Raises:
        SourceryError: of the kind that says whose matter it is; nothing is left half done.
    """
    started = time.monotonic()
    copies = {names.SPEC: spec.read(options.spec), names.LOCK: lock.read(options.lock)}
    text = text_file.decoded(copies[names.SPEC], "the spec", str(options.spec))
    wanted = spec.parse(text, options.spec)
    pinned = lock.parse(copies[names.LOCK], str(options.lock))
    pinned.check_fits(wanted)
    architectures = _selected(wanted, options.architectures)
    output_directory.refuse_foreign(options.out, copies)
    local_path.refuse_output(pinned.inputs, wanted.folder, options.out)
    with closing(Store(options.store, stop)) as store, ThreadPoolExecutor(1) as pool:
        trial.require_store(options.store)
        earlier = EarlierFiles(options.out)
        job = _Job(
            options, wanted, pinned, architectures, store, observer, stop, started, earlier, copies
        )
        if not options.rebuild:
            earlier.begin(pool, making.FILES, spec=wanted.digest, lock=pinned.digest, stop=stop)
        if options.bundle is not None:
            bundle.read(options.bundle, pinned, store, host())
        for _ in range(_ROUNDS - 1):
            try:
                return job.run()
            except DamagedBlob as error:
                observer.note(f"{error.summary}; making it again")
        return job.run()


def _selected(wanted: spec.Spec, asked: tuple[str, ...]) -> tuple[Architecture, ...]:
    for architecture in asked:
        if architecture not in wanted.image.architectures:
            raise InputError(
                f"{architecture} is not one of the spec's architectures: "
                f"{', '.join(wanted.image.architectures)}",
                subject="--arch",
                remedy="add it to image.architectures in the spec, and lock again",
            )
    return tuple(name for name in wanted.image.architectures if not asked or name in asked)


@dataclass(frozen=True)
class _Job:
    """One build: what is fixed for all of it. `copies`: the files of spec and lock, as read."""

    options: Options
    wanted: spec.Spec
    pinned: lock.Lock
    architectures: tuple[Architecture, ...]
    store: Store
    observer: Observer
    stop: threading.Event
    started: float
    earlier: EarlierFiles
    copies: Mapping[str, bytes] = field(default_factory=dict)
    bases: rebuilding.Bases = field(default_factory=rebuilding.Bases)

    @cached_property
    def _policy(self) -> Policy:
        return Policy(self.wanted.limits.policy())

    def assembly(self, drawn: plan.Plan, have: inputs.Inputs) -> Assembly:
        """Return what the steps and the root are made of."""
        return Assembly(self.wanted, self.pinned, self.architectures, have, drawn, self.store)

    def run(self) -> Built:
        """Inputs, actions, comparisons, image, result.

        Raises:
            DamagedBlob: a blob was found damaged and moved aside; running again makes it again.
        """
        have = inputs.ensure(
            self.pinned,
            self.store,
            folder=self.wanted.folder,
            own=self.options.own,
            offline=self.options.offline,
            events=InputEvents(self.observer),
            stop=self.stop,
        )
        with ThreadPoolExecutor(1) as pool, self._output() as output:
            # Closed before the new output directory is put in place, in case that fails.
            tools = farm.Tools(
                self.pinned,
                self.wanted.folder,
                self.store,
                lambda: have.bootstrap,
                Clients(
                    events=InputEvents(self.observer),
                    offline=self.options.offline,
                    stop=self.stop,
                ),
            )
            remote = farm.settings(
                self.options.farm, tools, self.observer.note, again=self.options.rebuild
            )
            with registry.connect(
                self.options.engine, self.store.root / "scratch", remote
            ) as engine:
                drawn = plan.draw(
                    self.wanted,
                    self.pinned,
                    have,
                    self.store,
                    host=host(),
                    architectures=self.architectures,
                    # How many the engine has is a matter of the plan's.
                    processors=engine.processors,
                    capabilities=engine.capabilities(),
                )
                end = _End(self, drawn, have, pool)
                steps = self._steps(drawn, have, end, output)
                run = self._run(steps, engine)
                identity = engine.identity
            image = making.of_result(making.STEP.result(run.results), self.store)
            again = rebuilding.checks(run.compared.values())
            found = [*end.compared.result(), *again, *image.checks]
            found = complete(found, self._expected(drawn, steps))
            made = _Made(steps, run.results, image, found, end.assembled, identity)
            built = self._result(drawn, made)
            result.write(output.folder, built, run.results, self.store)
            self._evidence(have).write(output.folder, built)
        return Built(built, self.options.out)

    def _evidence(self, have: inputs.Inputs) -> Evidence:
        return Evidence(
            spec=self.copies[names.SPEC],
            lock_file=self.copies[names.LOCK],
            lock=self.pinned,
            epoch=self.wanted.image.epoch,
            boot=have.boot,
            store=self.store,
            sign=self.options.sign,
        )

    @contextmanager
    def _output(self) -> Iterator[_Output]:
        with ExitStack() as stack:
            yield _Output(stack, self.options.out, self.stop)

    def _steps(
        self, drawn: plan.Plan, have: inputs.Inputs, end: _End, output: _Output
    ) -> list[Step]:
        steps = self.assembly(drawn, have).steps
        place = making.Place(self.store, lambda: output.folder, self.earlier, self.observer)
        return [*steps, making.step(end.recipe, [step.name for step in steps], place)]

    def comparisons(
        self,
        drawn: plan.Plan,
        have: inputs.Inputs,
        results: Results,
        made: Mapping[Architecture, Tree],
    ) -> list[Check]:
        """Return what is compared beside the image: the toolchains, and the sources."""
        hashes = ModuleHashes(self.store)
        return [
            *checks.all_checks(drawn.chain, results, hashes, made, self.pinned),
            *source_checks.checks(self.pinned, have.sources, self.store, hashes),
        ]

    def _expected(self, drawn: plan.Plan, steps: Sequence[Step]) -> list[tuple[CheckKind, str]]:
        """(kind, subject) of every check that must be there at the end."""
        again = rebuilding.expected(steps) if self.options.rebuild else []
        return [*drawn.expected, *making.EXPECTED, *again]

    def _run(self, steps: Sequence[Step], engine: Engine) -> Execution:
        self.observer.planned([part for step in steps for part in step.shown])
        return Scheduler(
            engine=engine,
            store=self.store,
            policy=self._policy,
            observer=self.observer,
            jobs=self.options.jobs or engine.actions or default_jobs(),
            rebuild=self.options.rebuild,
            bases=self.bases,
            stop=self.stop,
        ).run(steps)

    def _result(self, drawn: plan.Plan, made: _Made) -> BuildResult:
        return result.build_result(
            verdict=fold(made.checks),
            image=made.image,
            checks=made.checks,
            steps=made.steps,
            results=made.results,
            spec=self.wanted.digest,
            pinned=self.pinned,
            chain=drawn.chain,
            assembled=made.root,
            engine=made.engine,
            seconds=time.monotonic() - self.started,
            # Linux counts it in units of 1024 bytes (getrusage(2)).
            peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


@dataclass(frozen=True)
class _Made:
    """Outcome of a build: the steps with their results, the image, and the checks."""

    steps: Sequence[Step]
    results: Results
    image: making.Image
    checks: Sequence[Check]
    root: root.Root
    engine: Identity


class _Output:
    """The new output directory, from the moment on when something is put into it."""

    def __init__(self, stack: ExitStack, out: Path, stop: threading.Event) -> None:
        """`stack`: its end puts the directory in place, or removes it."""
        self._stack = stack
        self._out = out
        self._stop = stop

    @cached_property
    def folder(self) -> Path:
        """Folder that its files go to meanwhile."""
        return self._stack.enter_context(output_directory.replacing(self._out, self._stop))


class _End:
    """End of a build: the image's recipe from the steps' results, and the comparisons beside it.

    `assembled`, `compared`: there once `recipe` was asked for.
    """

    assembled: root.Root
    compared: Future[list[Check]]

    def __init__(
        self, job: _Job, drawn: plan.Plan, have: inputs.Inputs, pool: ThreadPoolExecutor
    ) -> None:
        self._job = job
        self._drawn = drawn
        self._have = have
        self._pool = pool

    def recipe(self, results: Results) -> making.Recipe:
        """Return what the image is made from."""
        job, have = self._job, self._have
        made = checks.toolchains(self._drawn.chain, results, job.architectures)
        # What comes needs the most, and much was freed: unpacked inputs.
        memory.give_back()
        self.compared = self._pool.submit(job.comparisons, self._drawn, have, results, made)
        done = job.assembly(self._drawn, have).assemble(results, made)
        self.assembled = done.root
        return done.recipe
