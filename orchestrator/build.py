"""`orchestrate build`: from spec and lock to an image and its verdict."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from containers import choice
from containers.policy import Policy
from orchestrator import inputs, lock, making, output, plan, result, root, spec
from orchestrator.inputs import machine
from orchestrator.scheduler import Scheduler, default_jobs
from orchestrator.store import DamagedBlob, Store
from orchestrator.toolchain import checks
from reproducibility import digest as digests
from reproducibility.compare import Check, Verdict, complete, fold, trees
from reproducibility.errors import InputError

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from orchestrator.scheduler import Observer, Run
    from orchestrator.spec import Architecture
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
    output.refuse_foreign(options.out)
    architectures = _selected(wanted, options.architectures)
    with closing(Store(options.store)) as store:
        for attempt in range(_ROUNDS):
            try:
                return _build(
                    options, wanted, pinned, architectures, store, observer, stop, started
                )
            except DamagedBlob as error:
                if attempt == _ROUNDS - 1:
                    raise
                observer.note(f"{error.summary}; making it again")
    raise AssertionError  # the loop returns or raises


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


def _build(  # noqa: PLR0913 - one run's fixed data
    options: Options,
    wanted: spec.Spec,
    pinned: lock.Lock,
    architectures: tuple[Architecture, ...],
    store: Store,
    observer: Observer,
    stop: threading.Event,
    started: float,
) -> Built:
    have = inputs.ensure(
        pinned,
        store,
        folder=wanted.folder,
        offline=options.offline,
        events=_Told(observer),
        stop=stop,
    )
    drawn = plan.draw(wanted, pinned, have, store, machine.architecture(), architectures)
    policy = Policy(wanted.limits.policy())
    with choice.choose(options.engine, store.root / "scratch") as engine:
        scheduler = Scheduler(
            engine=engine,
            store=store,
            policy=policy,
            observer=observer,
            jobs=options.jobs or default_jobs(),
            rebuild=options.rebuild,
            stop=stop,
        )
        observer.planned(
            [(step.name, step.stage, step.subject) for step in drawn.steps] + making.STAGES
        )
        ran = scheduler.run(drawn.steps)
        enforcement = engine.enforcement(policy)
        engine_name = engine.name
    made = checks.toolchains(drawn.chain, ran.results, architectures)
    with ThreadPoolExecutor(1) as pool:
        compared = pool.submit(checks.all_checks, drawn.chain, ran.results, store, made, pinned)
        assembled = root.assemble(drawn.compiling, ran.results, made, have.files, store.put_bytes)
        order = making.Order(
            tree=assembled.tree,
            label=wanted.image.label,
            identity=_identity(wanted, pinned),
            epoch=wanted.image.epoch,
            free_space=wanted.image.free_space,
        )
        with output.replacing(options.out) as fresh:
            image = making.make(order, store, fresh, options.out, observer, again=options.rebuild)
            found = [*compared.result(), *_rebuilt(ran), *image.checks]
            found = complete(found, drawn.expected + making.EXPECTED)
            document = result.document(
                verdict=fold(found),
                image=image,
                checks=found,
                run=ran,
                pinned=pinned,
                assembled=assembled,
                engine=engine_name,
                enforcement=enforcement,
                policy=policy,
                seconds=time.monotonic() - started,
                peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            )
            result.write(fresh, document, ran.results, store)
    return Built(fold(found), document, options.out)


class _Told:
    """Tells the observer of inputs that are being fetched, as steps of their own."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._since: dict[str, float] = {}

    def started(self, label: str, what: str) -> None:
        self._since[label] = time.monotonic()
        self._observer.note(f"{what} {label}")

    def finished(self, label: str) -> None:
        seconds = time.monotonic() - self._since.pop(label, time.monotonic())
        self._observer.note(f"{label} is in the store ({seconds:.1f} s)")

    def retrying(self, label: str, reason: str, seconds: float) -> None:
        self._observer.note(f"{label}: {reason}; trying again in {seconds:.0f} s")


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
