"""`orchestrate build`: from spec and lock to an image and its verdict."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from containers import choice
from containers.host import memory
from containers.policy import Policy
from orchestrator import inputs, plan
from orchestrator.artifacts import (
    image as making,
)
from orchestrator.artifacts import (
    output_directory,
    result,
    root,
)
from orchestrator.boot import step as boot_step
from orchestrator.execution import rebuilding
from orchestrator.execution.scheduler import Scheduler, default_jobs
from orchestrator.files import places
from orchestrator.golang import checks
from orchestrator.golang.module_hash import ModuleHashes
from orchestrator.inputs import bundle, local_path, machine, source_checks
from orchestrator.lock import file as lock
from orchestrator.progress.inputs import InputEvents
from orchestrator.spec import model as spec
from orchestrator.store import DamagedBlob, Store, trial
from reproducibility import digest as digests
from reproducibility.compare import Check, Verdict, complete, fold
from reproducibility.errors import InputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from containers.engine import Engine
    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Observer, Results, Run
    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

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
        """What is never content of the image, as `places.own`."""
        return places.own(self.spec, self.lock, self.store)


@dataclass(frozen=True)
class Built:
    """A finished build: its verdict and the content of `result.json`."""

    verdict: Verdict
    document: dict[str, Any]
    out: Path


def build(options: Options, observer: Observer, stop: threading.Event) -> Built:
    """Do everything; the output directory is put in place at the end, in one step where it can be.

    Raises:
        SourceryError: of the kind that says whose matter it is; nothing is left half done.
    """
    started = time.monotonic()
    wanted = spec.load(options.spec)
    pinned = lock.load(options.lock)
    pinned.check_fits(wanted)
    architectures = _selected(wanted, options.architectures)
    output_directory.refuse_foreign(options.out)
    local_path.refuse_output(pinned.inputs, wanted.folder, options.out)
    with closing(Store(options.store)) as store:
        trial.require_store(options.store)
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
    bases: rebuilding.Bases = field(default_factory=rebuilding.Bases)

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
        # How many processors the engine has is a matter of the plan's.
        with choice.choose(self.options.engine, self.store.root / "scratch") as engine:
            drawn = plan.draw(
                self.wanted,
                self.pinned,
                have,
                self.store,
                host=machine.architecture(),
                architectures=self.architectures,
                processors=engine.processors,
            )
            run = self._actions(drawn, engine)
        made = checks.toolchains(drawn.chain, run.results, self.architectures)
        # What comes needs the most, and much was freed: unpacked inputs, and then whole kernels.
        memory.give_back()
        boot = self._boot(have, run.results)
        memory.give_back()
        with ThreadPoolExecutor(1) as pool:
            compared = pool.submit(self._compared, drawn, have, run.results, made)
            assembled = root.assemble(
                drawn.compiling, run.results, made, have.files, self.store.put_bytes, boot.tree
            )
            with output_directory.replacing(self.options.out) as fresh:
                image = self._image(assembled, boot, fresh)
                again = rebuilding.checks(run.compared.values())
                found = [*compared.result(), *again, *boot.checks, *image.checks]
                found = complete(found, self._expected(drawn))
                document = self._document(image, found, run, drawn, assembled, engine.name)
                result.write(fresh, document, run.results, self.store)
        return Built(fold(found), document, self.options.out)

    def _compared(
        self,
        drawn: plan.Plan,
        have: inputs.Inputs,
        results: Results,
        made: Mapping[Architecture, Tree],
    ) -> list[Check]:
        """What is compared beside the image: the toolchains, and the sources."""
        hashes = ModuleHashes(self.store)
        return [
            *checks.all_checks(drawn.chain, results, hashes, made, self.pinned),
            *source_checks.checks(self.pinned, have.sources, self.store, hashes),
        ]

    def _expected(self, drawn: plan.Plan) -> list[tuple[str, str]]:
        """(name, subject) of every check that must be there at the end."""
        expected = [*drawn.expected, *making.EXPECTED]
        if self.options.rebuild:
            expected += rebuilding.expected(drawn.steps)
            expected += boot_step.expected(self.wanted.boot, self.architectures)
            expected.append((making.REMEMBERED, making.IMAGE))
        return expected

    def _actions(self, drawn: plan.Plan, engine: Engine) -> Run:
        self.observer.planned(
            [(step.name, step.stage, step.subject) for step in drawn.steps]
            + boot_step.stages(self.wanted.boot, self.architectures)
            + making.STAGES
        )
        return Scheduler(
            engine=engine,
            store=self.store,
            policy=self._policy,
            observer=self.observer,
            jobs=self.options.jobs or default_jobs(),
            rebuild=self.options.rebuild,
            bases=self.bases,
            stop=self.stop,
        ).run(drawn.steps)

    def _boot(self, have: inputs.Inputs, results: Results) -> boot_step.BootFiles:
        if self.wanted.boot is None:
            return boot_step.BootFiles()
        return boot_step.make(
            self.wanted.boot,
            have.boot,
            results,
            self.architectures,
            making.volume_id(_identity(self.wanted, self.pinned)),
            self.store,
            self.observer,
            again=self.options.rebuild,
            bases=self.bases,
        )

    def _image(self, assembled: root.Root, boot: boot_step.BootFiles, fresh: Path) -> making.Image:
        recipe = making.Recipe(
            tree=assembled.tree,
            label=self.wanted.image.label,
            identity=_identity(self.wanted, self.pinned),
            epoch=self.wanted.image.epoch,
            free_space=self.wanted.image.free_space,
            loader=boot.loader,
        )
        return making.make(
            recipe,
            self.store,
            fresh,
            self.options.out,
            self.observer,
            again=self.options.rebuild,
            bases=self.bases,
            stop=self.stop,
        )

    def _document(  # noqa: PLR0913 - the parts of a result
        self,
        image: making.Image,
        found: list[Check],
        run: Run,
        drawn: plan.Plan,
        assembled: root.Root,
        engine: str,
    ) -> dict[str, Any]:
        return result.document(
            verdict=fold(found),
            image=image,
            checks=found,
            run=run,
            pinned=self.pinned,
            chain=drawn.chain,
            assembled=assembled,
            engine=engine,
            seconds=time.monotonic() - self.started,
            # Linux counts it in units of 1024 bytes (getrusage(2)).
            peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


def _identity(wanted: spec.Spec, pinned: lock.Lock) -> Digest:
    """What volume ID and disk signature are derived from."""
    return digests.of_bytes(f"{wanted.digest}\n{pinned.digest}\n".encode())
