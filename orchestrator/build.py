"""`orchestrate build`: from spec and lock to an image and its verdict."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from containers import choice
from containers.policy import Policy
from orchestrator import bootfiles, inputs, lock, making, memory, output, plan, result, root, spec
from orchestrator.inputs import bundle, machine
from orchestrator.progress.inputs import InputEvents
from orchestrator.scheduler import Scheduler, default_jobs
from orchestrator.store import DamagedBlob, Store
from orchestrator.toolchain import checks
from reproducibility import digest as digests
from reproducibility.compare import Check, Verdict, complete, fold, trees
from reproducibility.errors import InputError

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from containers.policy import Enforcement
    from orchestrator.architecture import Architecture
    from orchestrator.scheduler import Observer, Results, Run
    from reproducibility.digest import Digest

# A damaged blob sends the build back to the step that makes it; more rounds than this mean a disk
# that loses data faster than it can be made again.
_ROUNDS = 5


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    `architectures`: empty for those of the spec. `jobs`: actions at once, 0 for the default.
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

    @property
    def own(self) -> tuple[Path, ...]:
        """What the project makes itself, and what is therefore never content of its image."""
        bundle = () if self.bundle is None else (self.bundle,)
        return self.spec, self.lock, self.out, self.store, *bundle


@dataclass(frozen=True)
class Built:
    """A finished build: its verdict and the content of `result.json`."""

    verdict: Verdict
    document: dict[str, Any]
    out: Path


def build(options: Options, observer: Observer, stop: threading.Event) -> Built:
    """Do everything; the output directory is put in place at the end, in one step.

    Raises:
        SourceryError: of the kind that says whose matter it is; nothing is left half done.
    """
    started = time.monotonic()
    wanted = spec.load(options.spec)
    pinned = lock.load(options.lock)
    pinned.check_fits(wanted)
    architectures = _selected(wanted, options.architectures)
    output.refuse_foreign(options.out)
    with closing(Store(options.store)) as store:
        job = _Job(options, wanted, pinned, architectures, store, observer, stop, started)
        if options.bundle is not None:
            bundle.read(options.bundle, pinned, store, machine.architecture())
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
class _Ran:
    """What came of the actions: by step, on which engine, and how that isolated them."""

    run: Run
    engine: str
    enforcement: tuple[Enforcement, ...]


@dataclass(frozen=True)
class _Job:
    """One build: what is fixed for all of it."""

    options: Options
    wanted: spec.Spec
    pinned: lock.Lock
    architectures: tuple[Architecture, ...]
    store: Store
    observer: Observer
    stop: threading.Event
    started: float

    @cached_property
    def _policy(self) -> Policy:
        return Policy(self.wanted.limits.policy())

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
        host = machine.architecture()
        drawn = plan.draw(
            self.wanted, self.pinned, have, self.store, host=host, architectures=self.architectures
        )
        ran = self._actions(drawn)
        results = ran.run.results
        made = checks.toolchains(drawn.chain, results, self.architectures)
        # What comes needs the most, and much was freed: unpacked inputs, and then whole kernels.
        memory.give_back()
        boot = self._boot(have, results)
        memory.give_back()
        with ThreadPoolExecutor(1) as pool:
            compared = pool.submit(
                checks.all_checks, drawn.chain, results, self.store, made, self.pinned
            )
            assembled = root.assemble(
                drawn.compiling, results, made, have.files, self.store.put_bytes, boot.tree
            )
            with output.replacing(self.options.out) as fresh:
                image = self._image(assembled, boot, fresh)
                found = [*compared.result(), *_rebuilt(ran.run), *boot.checks, *image.checks]
                found = complete(found, drawn.expected + making.EXPECTED)
                document = self._document(image, found, ran, drawn, assembled)
                result.write(fresh, document, results, self.store)
        return Built(fold(found), document, self.options.out)

    def _actions(self, drawn: plan.Plan) -> _Ran:
        self.observer.planned(
            [(step.name, step.stage, step.subject) for step in drawn.steps]
            + bootfiles.stages(self.wanted.boot, self.architectures)
            + making.STAGES
        )
        with choice.choose(self.options.engine, self.store.root / "scratch") as engine:
            scheduler = Scheduler(
                engine=engine,
                store=self.store,
                policy=self._policy,
                observer=self.observer,
                jobs=self.options.jobs or default_jobs(),
                rebuild=self.options.rebuild,
                stop=self.stop,
            )
            run = scheduler.run(drawn.steps)
            return _Ran(run, engine.name, engine.enforcement(self._policy))

    def _boot(self, have: inputs.Inputs, results: Results) -> bootfiles.BootFiles:
        if self.wanted.boot is None:
            return bootfiles.BootFiles()
        return bootfiles.make(
            self.wanted.boot,
            have.boot,
            results,
            self.architectures,
            making.volume_id(_identity(self.wanted, self.pinned)),
            self.store,
            self.observer,
            again=self.options.rebuild,
        )

    def _image(self, assembled: root.Root, boot: bootfiles.BootFiles, fresh: Path) -> making.Image:
        order = making.Order(
            tree=assembled.tree,
            label=self.wanted.image.label,
            identity=_identity(self.wanted, self.pinned),
            epoch=self.wanted.image.epoch,
            free_space=self.wanted.image.free_space,
            loader=boot.loader,
        )
        return making.make(
            order,
            self.store,
            fresh,
            self.options.out,
            self.observer,
            again=self.options.rebuild,
            stop=self.stop,
        )

    def _document(
        self,
        image: making.Image,
        found: list[Check],
        ran: _Ran,
        drawn: plan.Plan,
        assembled: root.Root,
    ) -> dict[str, Any]:
        return result.document(
            verdict=fold(found),
            image=image,
            checks=found,
            run=ran.run,
            pinned=self.pinned,
            chain=drawn.chain,
            assembled=assembled,
            engine=ran.engine,
            enforcement=ran.enforcement,
            policy=self._policy,
            seconds=time.monotonic() - self.started,
            # Linux counts it in units of 1024 bytes (getrusage(2)).
            peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


def _identity(wanted: spec.Spec, pinned: lock.Lock) -> Digest:
    """What volume ID and disk signature are derived from."""
    return digests.of_bytes(f"{wanted.digest}\n{pinned.digest}\n".encode())


def _rebuilt(ran: Run) -> list[Check]:
    """One check for each step that was run again and compared with what is remembered of it."""
    differing = {difference.step: difference for difference in ran.differences}
    found = []
    for name in ran.compared:
        difference = differing.get(name)
        if difference is None:
            found.append(Check("built again", name, Verdict.PASS, "the same outputs as before"))
        elif difference.before == difference.now:
            found.append(Check("built again", name, Verdict.FAIL, "other words on standard output"))
        else:
            found.append(trees("built again", name, difference.before, difference.now))
    return found
