"""Runs actions of a build again, as many at once as there are jobs, and finds those that differ.

Each is run on the inputs that the build gave it, so none waits for another, and a difference is
found at the action that makes it. What was found of an action is written down at once.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from containers.policy import Share
from orchestrator.artifacts import model as built
from orchestrator.audit import bisect, bounds, causes, history, model
from orchestrator.audit.explaining import explain
from orchestrator.execution.either import Either
from orchestrator.execution.repeat import repeat
from reproducibility.codes import CONDITIONS
from reproducibility.compare import Check, Verdict, fold
from reproducibility.errors import ActionError, Stopped
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Mapping, Sequence

    from containers.engine import Engine, Outcome
    from containers.policy import Policy
    from orchestrator.audit.given import Given
    from orchestrator.audit.history import History
    from orchestrator.execution.step import Observer, Result, Results, Step
    from orchestrator.store import Store
    from reproducibility.conditions import Conditions

    # The conditions of a round (its number), for what a build gave, with these variations.
    Choose = Callable[[Given, Collection[str], int], Conditions]
    # Under the conditions of a build, and of its audit: variation -> what is seen on each side.
    Told = Callable[[Conditions, Conditions], Mapping[str, tuple[str, str]]]

WORDS: dict[Verdict, built.Word] = {
    Verdict.PASS: "PASS",
    Verdict.SKIP: "SKIP",
    Verdict.FAIL: "FAIL",
}


@dataclass(frozen=True)
class Bench:
    """Bench: everything that actions are run again with.

    `results`: of the whole build. `built`: what the build gave a step. `choose`: the conditions of
    its audit. `names`: the variations to apply.
    `told`: what is known to be otherwise under other conditions. `bisect`: whether to look for the
    smallest set of variations.
    """

    engine: Engine
    store: Store
    policy: Policy
    results: Results
    observer: Observer
    history: History
    built: Callable[[Step], Given]
    choose: Choose
    names: tuple[str, ...]
    told: Told
    rounds: int = 1
    bisect: bool = False


@dataclass
class Work:
    """Steps that are still to be audited, handed out to several threads one by one.

    `deadline`: on `clock`; from then on no further one is begun, nor a further run of one.
    """

    steps: deque[Step]
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self.deadline is not None and self.clock() >= self.deadline

    def next(self) -> Step | None:
        """The next one; None where none is to be begun."""
        with self._lock:
            return self.steps.popleft() if self.steps and not self.over else None


def run(
    bench: Bench,
    work: Work,
    jobs: int,
    stop: threading.Event,
    beside: Callable[[threading.Event], None] | None = None,
) -> dict[str, model.Step]:
    """Audit steps until there is no more work; what was found of each, by its name.

    A step that differs or fails stops no other one. `beside`: work of another kind that takes the
    place of one job until it is done; it gets an event that is set when it shall stop, and is not
    begun once the time is over.

    Raises:
        InfrastructureError: an action could not be run; the others are ended first.
        Stopped: `stop` was set.
    """
    found: dict[str, model.Step] = {}
    halt = threading.Event()

    def worker(number: int) -> None:
        try:
            if number == 0 and beside is not None and not work.over:
                beside(Either(stop, halt))
            while (step := work.next()) is not None:
                if stop.is_set() or halt.is_set():
                    raise Stopped("stopped")  # noqa: TRY301 - one place ends the others
                own = Share(number, jobs)
                found[step.name] = _Audit(bench, step, own, Either(stop, halt), work).run()
        except BaseException:
            halt.set()
            raise

    with ThreadPoolExecutor(jobs, thread_name_prefix="audit") as pool:
        try:
            workers = [pool.submit(worker, number) for number in range(jobs)]
            errors = [error for one in workers if (error := one.exception()) is not None]
        except BaseException:  # a second signal, which interrupts
            halt.set()
            raise
    # The first cause, not that the others were stopped because of it.
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error
    return found


class _OverError(Exception):
    """The time is over: nothing further is begun."""


class _Audit:
    """The audit of one step."""

    def __init__(
        self, bench: Bench, step: Step, own: Share, stop: threading.Event, work: Work
    ) -> None:
        """`own`: the CPUs of the thread that runs it, while it needs no more.

        `work`: what the step was taken from; it knows when nothing further is to be begun.
        """
        self._bench = bench
        self._step = step
        self._own = own
        self._built = bench.built(step)
        self._stop = stop
        self._work = work

    def run(self) -> model.Step:
        bench, step = self._bench, self._step
        began = time.monotonic()
        bench.observer.started(shown(step.name))
        rounds = self._rounds()
        guilty = next(
            (number for number, one in enumerate(rounds) if one.check.verdict == "FAIL"), None
        )
        bisected = (
            None if guilty is None or not bench.bisect else self._bisected(guilty, rounds[guilty])
        )
        before = bench.results[step.name]
        made = model.Step(
            name=step.name,
            stage=step.stage,
            key=before.key,
            outputs=before.tree.digest,
            built_under=step.conditions.describe(),
            verdict=WORDS[fold(one.check.value() for one in rounds)],
            rounds=tuple(rounds),
            bisected=bisected,
            when=history.now(),
            went_on=False,
        )
        made = bounds.of_step(made)
        told = f"{step.name}: {len(rounds)} of {bench.rounds} rounds; the budget was used up"
        if len(rounds) < bench.rounds:
            bench.observer.note(told)
        unsought = guilty is not None and bench.bisect and bisected is None
        whole = len(rounds) == bench.rounds and not unsought
        bench.history.remember(before.key, made, whole=whole)
        seconds = time.monotonic() - began
        bench.observer.finished(shown(step.name), cached=False, seconds=seconds)
        if guilty is not None:
            bench.observer.note(f"{step.name}: {rounds[guilty].check.reason}")
        return made

    def _rounds(self) -> list[model.Round]:
        """The rounds: the first one is begun with the step, further ones while there is time.

        The first few that differ are explained.
        """
        rounds = [self._round(0, explained=True)]
        for number in range(1, self._bench.rounds):
            if self._work.over:
                break
            explained = sum(one.explanation is not None for one in rounds)
            rounds.append(self._round(number, explained=explained < bounds.MOST_TOLD))
        return rounds

    def _round(self, number: int, *, explained: bool) -> model.Round:
        conditions = self._chosen(self._names, number)
        before = self._bench.results[self._step.name]
        began = time.monotonic()
        check, outcome = self._repeated(conditions)
        explanation = None
        if outcome is not None and check.verdict is Verdict.FAIL:
            self._bench.store.save_tree(outcome.tree)
        if outcome is not None and check.verdict is Verdict.FAIL and explained:
            known = self._bench.told(self._built.conditions, conditions)
            explanation = _explained(self._step, before, outcome, self._bench.store, known)
        return model.Round(
            conditions=conditions.describe(),
            outputs=None if outcome is None else outcome.tree.digest,
            seconds=round(outcome.seconds if outcome else time.monotonic() - began, 3),
            check=built.Check.model_validate(check.document()),
            explanation=explanation,
        )

    def _bisected(self, number: int, differing: model.Round) -> model.Bisected | None:
        """The smallest cause; None where the time is over before it is found."""
        self._bench.observer.note(f"{self._step.name} differs: looking for the smallest cause")

        def differs(chosen: frozenset[str]) -> object:
            if self._work.over:
                raise _OverError
            check, outcome = self._repeated(self._chosen(chosen, number))
            if check.verdict is not Verdict.FAIL:
                return None
            return str(check.code), outcome and (outcome.tree.digest, outcome.stdout)

        try:
            found = bisect.smallest(self._names, differs)
        except _OverError:
            told = "the budget was used up before its smallest cause was found"
            self._bench.observer.note(f"{self._step.name}: {told}")
            return None
        cause, sure = causes.of(found.names, differing.explanation, steady=found.steady)
        return model.Bisected.model_validate(
            {
                "itself": found.itself,
                "variations": found.names,
                "runs": found.runs,
                "cause": cause,
                "sure": sure,
            }
        )

    @property
    def _names(self) -> tuple[str, ...]:
        """The variations that this step is run under: not those that are inputs to it."""
        return tuple(name for name in self._bench.names if name not in self._step.fixed)

    def _chosen(self, names: Collection[str], number: int) -> Conditions:
        return self._bench.choose(self._built, names, number)

    def _policy(self, conditions: Conditions) -> Policy:
        """The policy, in which a share never changes how many CPUs the conditions name.

        It says which ones: two actions of one CPU each should not meet on the same.
        """
        policy, wanted = self._bench.policy, conditions.processors
        fits = 0 < wanted <= self._bench.engine.processors // self._own.of
        return replace(policy, share=self._own if fits else None, beside=self._own.of)

    def _repeated(self, conditions: Conditions) -> tuple[Check, Outcome | None]:
        """Return what comes of the action; that it fails is a finding as well."""
        bench = self._bench
        try:
            made = repeat(
                self._step,
                bench.results,
                conditions,
                engine=bench.engine,
                policy=self._policy(conditions),
                store=bench.store,
                stop=self._stop,
            )
        except ActionError as error:
            return Check(CONDITIONS["failed"], self._step.name, error.summary), None
        return made.check, made.outcome


def shown(step: str) -> str:
    """The name by which an observer is told of a step's audit."""
    return f"audit/{step}"


def ordered(
    steps: Sequence[Step], results: Results, bench_history: History, *, budgeted: bool
) -> list[Step]:
    """The order to audit steps in: the longest first, so that no job is left alone with one.

    With a budget those first that were not audited for longest; of those never, the longest.
    """

    def key(step: Step) -> tuple[str, float]:
        result = results[step.name]
        last = bench_history.last(result.key) if budgeted else None
        return (last.when if last else "", -result.seconds)

    return sorted(steps, key=key)


def _explained(
    step: Step,
    before: Result,
    now: Outcome,
    store: Store,
    known: Mapping[str, tuple[str, str]],
) -> model.Explanation:
    """Return why what a step gave differs; its words too, as a file, where other steps use them."""
    first, second = before.tree, now.tree
    if step.says and before.stdout != now.stdout:
        words = [
            Tree([file("stdout", stdout, store.blob(stdout).stat().st_size)])
            for stdout in (before.stdout, now.stdout)
        ]
        first, second = (
            tree.overlaid(word) for tree, word in zip((first, second), words, strict=True)
        )
    return explain(first, store, second, store, known)
