"""Audit of a finished build, from its output folder and the store to `audit.json`."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from containers import registry
from orchestrator.artifacts import output_directory
from orchestrator.artifacts.names import IMAGE_STEP
from orchestrator.audit import (
    bounds,
    choosing,
    computations,
    farm,
    history,
    matrix,
    model,
    native,
    proofs,
    running,
    seeing,
    subject,
)
from orchestrator.audit.given import Given, given, unrecorded, without_proof
from orchestrator.audit.request import no_such_step
from orchestrator.audit.result import Found, actions, audit_result, complete, left_out_step
from orchestrator.audit.varying import otherwise
from orchestrator.audit.whole import Again
from orchestrator.evidence import folder as evidence
from orchestrator.execution.scheduler import default_jobs
from orchestrator.golang import surroundings
from orchestrator.inputs import second_root
from orchestrator.store import DamagedBlob, Store, trial
from reproducibility.codes import SEEN
from reproducibility.compare import Check, Verdict
from reproducibility.conditions import STANDARD

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from containers.engine import Engine
    from orchestrator.architecture import Architecture
    from orchestrator.audit.history import History
    from orchestrator.audit.request import Request
    from orchestrator.audit.subject import Finding, Subject
    from orchestrator.execution.step import Observer, Results, Step
    from reproducibility.conditions import Conditions

# As in a build: a damaged blob sends it back to where that is made.
_ROUNDS = 5
_COMPUTING = "computations"


@dataclass(frozen=True)
class Audited:
    """A finished audit: what came of it, and where that was written."""

    result: model.AuditResult
    path: Path

    @property
    def verdict(self) -> Verdict:
        """The worst of its checks."""
        return Verdict[self.result.verdict]


def audit(
    request: Request,
    observer: Observer,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> Audited:
    """Audit a finished build, and write `audit.json` into its output folder.

    `clock`: gives seconds, for the budget.

    Raises:
        SourceryError: of the kind that says whose matter it is. What was found of actions until
            then is in the store, and the same request goes on from there.
    """
    request.check()
    began = clock()
    found = subject.find(request.spec, request.lock, request.out)
    foreign = native.chosen(request.native, found.architectures)
    if request.root is not None:
        second_root.require(request.root, found.pinned, found.wanted)
    foreign = choosing.chosen(request, found, foreign)
    made_by = found.result.engine.name
    if found.finished.doubt:
        observer.note(found.finished.doubt)
    name = made_by if request.engine == registry.AUTOMATIC else request.engine
    with closing(Store(request.store, stop)) as store:
        trial.require_store(request.store)
        remote = farm.settings(request, found, store, observer, stop)
        own = remote if name in registry.CONFIGURED else None
        with registry.connect(name, store.root / "scratch", own) as engine:
            job = Job(request, found, store, engine, observer, stop, began, clock, foreign)
            for _ in range(_ROUNDS - 1):
                try:
                    return job.run()
                except DamagedBlob as error:
                    observer.note(f"{error.summary}; making it again")
            return job.run()


@dataclass(frozen=True)
class Job:
    """One audit: what is fixed for all of it. `foreign`: whose toolchains build themselves."""

    request: Request
    found: Finding
    store: Store
    engine: Engine
    observer: Observer
    stop: threading.Event
    began: float
    clock: Callable[[], float] = time.monotonic
    foreign: tuple[Architecture, ...] = ()
    missing: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> int:
        """Return how many actions run at once."""
        return self.request.jobs or self.engine.actions or default_jobs()

    @property
    def _workers(self) -> Collection[str]:
        """The architectures of which the engine has machines, beside emulated ones."""
        chosen = self.request.farm if self.engine.name in registry.CONFIGURED else None
        return chosen.workers.keys() if chosen else ()

    @property
    def unable(self) -> dict[str, str]:
        """Why the engine cannot apply a variation."""
        able = self.engine.capabilities()
        return {name: one.refusal for name, one in able.items() if one.refusal}

    def run(self) -> Audited:
        """Audit, write the file, and give both.

        Raises:
            DamagedBlob: a blob was found damaged and moved aside; running again makes it again.
        """
        # First: what is missing on this machine should be said before anything runs for long.
        machines = native.machines(self.foreign, self.store, self._workers)
        audited = subject.Subject.draw(
            self.found,
            self.store,
            own=subject.own_files(self.request),
            processors=self.engine.processors,
            capabilities=self.engine.capabilities(),
            offline=self.request.offline,
            observer=self.observer,
            stop=self.stop,
        )
        results = self._results(audited)
        conditions = [
            self.choose(Given(STANDARD), self.request.vary, number).describe()
            for number in range(self.request.rounds)
        ]
        result = self.found.finished.result_digest
        key = self.request.key(result, self.engine.identity, conditions, self.foreign)
        with history.alone(self.store, key, self.request.out) as own:
            return self._audited(audited, results, own, machines)

    def _audited(
        self,
        audited: Subject,
        results: Results,
        own: History,
        machines: Mapping[Architecture, native.By],
    ) -> Audited:
        if self.request.whole:
            made = self._whole(audited, results)
        else:
            made = self._each(audited, results, own)
        made = self._proved(audited, results, made, machines)
        result = audit_result(
            self.request,
            audited,
            results,
            made,
            engine=self.engine.identity,
            missing=self.missing,
            seconds=self.clock() - self.began,
        )
        ended = int(time.time())
        if not evidence.add_audit(self.request.out, self.found.result, result, ended, self.stop):
            self.observer.note(
                "the build left no evidence, as earlier versions did, so none is added; build "
                "again to have it"
            )
        # Not before: what could not be written is asked for again, and goes on from here.
        own.end()
        return Audited(result, self.request.out / output_directory.AUDIT)

    def _results(self, audited: Subject) -> Results:
        """The build's results; those that are missing are built by the engine that made them."""
        name = self.found.result.engine.name
        with ExitStack() as stack:
            engine: Engine = self.engine
            if name != engine.name:
                other = subject.OnDemand(
                    name,
                    self.store.root / "scratch",
                    farm.settings(self.request, self.found, self.store, self.observer, self.stop),
                )
                engine = stack.enter_context(other)
            results, missing = audited.results(
                engine, self.store, jobs=self.jobs, observer=self.observer, stop=self.stop
            )
        self.missing.extend(missing)
        return results

    # -- step by step ------------------------------------------------------------------------------

    def _each(self, audited: Subject, results: Results, own: History) -> Found:
        every = actions(audited, results)
        chosen = [step for step in every if self.request.wants(step.name)]
        computed = computations.wanted(self.request, audited)
        if not chosen and not computed and not self.foreign and self.request.root is None:
            raise no_such_step(
                self.request.only, [*(step.name for step in audited.steps), IMAGE_STEP]
            )
        bounds.require_few(len(chosen), self.request.rounds)
        done = {step.name: own.before(results[step.name].key) for step in chosen}
        waiting = running.ordered(
            [step for step in chosen if done[step.name] is None],
            results,
            own,
            budgeted=self.request.budget is not None,
        )
        self._plan(waiting, computed)
        window = self._window(audited, results)
        # What nothing is left to be run under is not looked at either.
        late = self._deadline is not None and self.clock() >= self._deadline
        some = not late or any(done.values())
        seen = self._seen(window, chosen, results, looking=some)
        last = {step.name: own.last(results[step.name].key) for step in every}
        answers: list[computations.Answer] = []
        fresh = running.run(
            self._bench(results, own, window),
            running.Work(deque(waiting), self._deadline, self.clock),
            self.jobs,
            self.stop,
            partial(self._compute, computed, answers) if computed else None,
        )
        found = {**{name: step for name, step in done.items() if step is not None}, **fresh}
        left_out = [
            left_out_step(self.request, step.name, last[step.name])
            for step in every
            if step.name not in found or not complete(self.request, found[step.name])
        ]
        done_again = computed if answers else ()
        left_out += [
            left_out_step(self.request, name)
            for name in computations.every(audited)
            if name not in done_again
        ]
        return Found(
            steps=[found[step.name] for step in every if step.name in found],
            computed=[
                one
                for answer in answers
                for one in computations.compared(audited, computed, answer, self.store)
            ],
            surroundings=[name for answer in answers for name in answer.surroundings],
            seen=seen if found else seeing.not_run(seen),
            fixed=without_proof(chosen, results),
            left_out=left_out,
        )

    def _plan(self, waiting: Sequence[Step], computed: Sequence[str]) -> None:
        again = [(running.shown(step.name), step.stage, step.subject) for step in waiting]
        if computed:
            what = "in another process"
            again.insert(0, (running.shown(_COMPUTING), _COMPUTING, what))
        self.observer.planned(again)

    def _bench(self, results: Results, own: History, window: seeing.Window) -> running.Bench:
        return running.Bench(
            engine=self.engine,
            store=self.store,
            policy=self.found.policy,
            results=results,
            observer=self.observer,
            history=own,
            built=lambda step: self.given(step, results),
            choose=self.choose,
            names=tuple(name for name in self.request.vary if name not in self.unable),
            told=window.told,
            rounds=self.request.rounds,
            bisect=self.request.bisect,
        )

    @property
    def _deadline(self) -> float | None:
        return None if self.request.budget is None else self.began + self.request.budget

    @property
    def _processors(self) -> int:
        """On how many CPUs an action can run."""
        there = self.engine.processors
        return min(self.found.wanted.limits.cpus or there, there)

    def given(self, step: Step, results: Results) -> Given:
        """What the build gave a step."""
        return given(step, results[step.name], self._processors)

    def choose(self, built: Given, names: Collection[str], number: int) -> Conditions:
        """The conditions of a round, for a step that the build gave this."""
        return otherwise(
            built.conditions,
            names,
            self._processors,
            unable=self.unable,
            number=number,
            shared=not built.recorded,
        )

    def _compute(
        self,
        steps: tuple[str, ...],
        answers: list[computations.Answer],
        stop: threading.Event,
    ) -> None:
        name, began = running.shown(_COMPUTING), time.monotonic()
        self.observer.started(name)
        answers.append(computations.ask(self.request, self.found.finished, steps, self.store, stop))
        self.observer.finished(name, cached=False, seconds=time.monotonic() - began)

    def _window(self, audited: Subject, results: Results) -> seeing.Window:
        """Something to look around with; its program is compiled when it is first needed."""
        chain = audited.assembly.drawn.chain
        place = surroundings.Place(self.engine, self.found.policy, self.store, self.stop)
        compiled = cache(lambda: surroundings.program(chain, results, place))
        return seeing.Window(
            lambda conditions: surroundings.look(chain, compiled(), conditions, place)
        )

    def _seen(
        self, window: seeing.Window, chosen: Sequence[Step], results: Results, *, looking: bool
    ) -> list[Check]:
        """Tell whether a program inside sees each variation, for all conditions to be given.

        `chosen`: what is run; of nothing there is nothing to tell. `looking`: False where none of
        it will be run any more.
        """
        if not chosen:
            return []
        names = frozenset(self.request.vary).difference(self.unable)
        pairs = []
        # What is an input to a step is not applied to it: those run under other conditions.
        every = {(self.given(step, results), names.difference(step.fixed)): None for step in chosen}
        for had, applied in every if looking else ():
            # What the engine cannot give is as usual on both sides.
            usual = self.choose(had, (), 0)
            for number in range(self.request.rounds):
                varied = self.choose(had, applied, number)
                pairs.append(seeing.Looked(applied, window.look(usual), window.look(varied)))
        fixed = {**seeing.inputs(chosen), **unrecorded(chosen, results)}
        found = seeing.seen(pairs if looking else None, self.request.vary, self.unable, fixed)
        made_by = self.found.result.engine.name
        if self.engine.name != made_by:
            reason = f"{made_by} made the build, and {self.engine.name} runs the audit"
            found.append(Check(SEEN["seen"], "engine", reason))
        return found

    def _proved(
        self,
        audited: Subject,
        results: Results,
        made: Found,
        machines: Mapping[Architecture, native.By],
    ) -> Found:
        bench = native.Natives(
            engine=self.engine,
            policy=self.found.policy,
            store=self.store,
            chain=audited.assembly.drawn.chain,
            results=results,
            observer=self.observer,
            record=matrix.Record(self.store, matrix.identity(self.found.result)),
            root=f"go {self.found.wanted.go.bootstrap}",
            stop=self.stop,
            late=lambda: self._deadline is not None and self.clock() >= self._deadline,
            doubt=lambda name: audited.doubt(results, name),
        )
        return proofs.proved(self.request, audited, bench, made, machines, self.jobs)

    # -- end to end --------------------------------------------------------------------------------

    def _whole(self, audited: Subject, results: Results) -> Found:
        every = actions(audited, results)
        seen = self._seen(self._window(audited, results), every, results, looking=True)
        again = Again(
            request=self.request,
            first=audited,
            before=results,
            engine=self.engine,
            choose=lambda step: self.choose(
                self.given(step, results), [n for n in self.request.vary if n not in step.fixed], 0
            ),
            observer=self.observer,
            jobs=self.jobs,
            stop=self.stop,
        ).run(self.store)
        checks = {check.subject: check for check in again.checks}
        steps = [
            again.found(step, checks[step.name], results[step.name])
            for step in every
            if step.name in again.results
        ]
        names = {step.name for step in every}
        return Found(
            steps=steps,
            seen=seen,
            fixed=without_proof(every, results),
            further=[check for check in again.checks if check.subject not in names],
        )
