"""Runs a plan on an engine: in parallel, remembered by key, going on where a killed run stopped.

The scheduler knows steps, keys and results; it knows nothing of Go, images or comparisons.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import insort
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from containers import blame
from containers.action import Action
from containers.engine import Identity
from containers.host import durable, memory
from containers.policy import Share
from orchestrator import resources
from orchestrator.execution import logs
from orchestrator.execution.either import Either
from orchestrator.execution.rebuilding import Bases
from orchestrator.execution.remembered import HERE, Remembered
from orchestrator.execution.step import Comparison, Computation, Execution, Provenance, Result
from reproducibility import utc
from reproducibility.errors import ActionError, InfrastructureError, Stopped
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from containers.engine import Engine, Outcome
    from containers.policy import Policy
    from orchestrator.execution.step import Earlier, Observer, Step, Work
    from orchestrator.store import Store
    from reproducibility.digest import Digest

_SHOWN = 6000


class Scheduler:
    """Runs plans on one engine with one store."""

    def __init__(  # noqa: PLR0913 - each is a different thing that the caller decides
        self,
        *,
        engine: Engine,
        store: Store,
        policy: Policy,
        observer: Observer,
        jobs: int,
        rebuild: bool = False,
        bases: Bases | None = None,
        again: bool = False,
        stop: threading.Event,
    ) -> None:
        """`rebuild`: run everything and compare; `bases`: with these, and what else is remembered.

        Whoever runs a plan twice in one build hands over the same both times. `again`: the caller
        compares what is made, so no result counts that an engine took from a cache.
        """
        self._engine = engine
        self._store = store
        self._policy = policy
        self._observer = observer
        self._jobs = jobs
        self._rebuild = rebuild
        self._again = again or rebuild
        self._bases = bases or Bases()
        self._stop = stop
        self._remembered = Remembered(store, engine.name)

    def run(self, steps: Sequence[Step]) -> Execution:
        """Run every step once its predecessors are done; the earlier in the list, the sooner.

        Raises:
            ActionError: an action failed; those that were running are ended first.
            InfrastructureError: an action could not be run.
            Stopped: `stop` was set.
        """
        _refuse_cycles(steps)
        state = Execution()
        # A failure of one step ends the others, and so does `stop`, which is the caller's.
        halt = threading.Event()
        waiting = list(steps)
        running: dict[Future[None], tuple[int, Step]] = {}
        free = list(range(self._jobs))
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="action") as pool:
            try:
                while waiting or running:
                    ready = [step for step in waiting if state.results.keys() >= set(step.needs)]
                    crowded = len(running) + len(ready) > 1
                    for step in _together(ready, running.values())[: len(free)]:
                        waiting.remove(step)
                        number = free.pop(0)
                        # The last steps get all CPUs: no step is left to use an idle one.
                        many = sum(other.long for other in waiting) >= self._jobs
                        # A number of CPUs that its conditions name is not changed.
                        free_to_choose = step.long and not step.conditions.processors
                        shares = crowded and many and free_to_choose
                        own = Share(number, self._jobs) if shares else None
                        running[pool.submit(self._do, step, state, halt, own)] = number, step
                    done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        insort(free, running.pop(future)[0])
                        future.result()
                    if self._stop.is_set():
                        raise Stopped("stopped")  # noqa: TRY301 - one place cleans up
            except BaseException:
                halt.set()
                wait(running)
                raise
        # In the plan's order, not in that of completion, which varies from run to run.
        state.results = {step.name: state.results[step.name] for step in steps}
        if self._rebuild:
            state.compared = {step.name: state.compared[step.name] for step in steps}
        return state

    def _do(self, step: Step, state: Execution, halt: threading.Event, share: Share | None) -> None:
        started = time.monotonic()
        work = step.make(state.results)
        if isinstance(work, Action):
            work = work.under(step.conditions)
        if work is None:
            nothing = self._store.put_bytes(b"")
            result = Result(nothing, Tree(), nothing, nothing, 0.0, 0, cached=True, kind="nothing")
            if self._rebuild:
                idle = Comparison(step.name, None, None, "", step.says, step.needs)
                state.compared[step.name] = self._bases.worst(idle)
        elif self._rebuild:
            result = self._remade(step, work, state, halt, share)
        elif isinstance(work, Computation):
            # Whether its files are at hand is looked at once: it can be more than to look.
            result = self._made(step, work, state, halt, share)
        else:
            result = self._recalled(step, work) or self._made(step, work, state, halt, share)
        state.results[step.name] = result
        if not step.parts:
            seconds = time.monotonic() - started
            self._observer.finished(step.name, cached=result.cached, seconds=seconds)

    def _remade(
        self, step: Step, work: Work, state: Execution, halt: threading.Event, share: Share | None
    ) -> Result:
        """Return what is made again whatever is remembered, and compared with that."""
        with self._store.only_one(work.key, Either(self._stop, halt)):
            # Not before: another build may have remembered something while this one waited.
            earlier, why = self._bases.of(work.key, lambda: self._base(step, work))
            done = self._work(step, work, state, halt, share)
            comparison = Comparison(step.name, done.result, earlier, why, step.says, step.needs)
            state.compared[step.name] = self._bases.worst(comparison)
            # What differs from before stays out: the next build is compared with the same base,
            # and finds the same.
            if done.sound and (earlier is None or comparison.agrees):
                self._remembered.remember(step.name, work, done.result, done.refers)
            return done.result

    def _made(
        self, step: Step, work: Work, state: Execution, halt: threading.Event, share: Share | None
    ) -> Result:
        """Make and remember what is not remembered; of builds at once, one does the work."""
        with self._store.only_one(work.key, Either(self._stop, halt)):
            # Another build may have made it while this one waited for the lock.
            result = self._recalled(step, work)
            if result is None:
                done = self._work(step, work, state, halt, share)
                if done.sound:
                    self._remembered.remember(step.name, work, done.result, done.refers)
                result = done.result
            return result

    def _recalled(self, step: Step, work: Work) -> Result | None:
        """What is remembered, if it counts here."""
        found = self._remembered.recall(work)
        if found is None or self._lacks_words(step, work, found):
            return None
        made = found.provenance
        return None if self._again and made is not None and made.taken_from else found

    def _base(self, step: Step, work: Work) -> tuple[Earlier | None, str]:
        """What is remembered to compare with; else None, and why."""
        earlier, why = self._remembered.earlier(work)
        if earlier is not None and self._lacks_words(step, work, earlier):
            return None, f"of what that of {earlier.engine} said only the beginning was kept"
        return earlier, why

    def _lacks_words(self, step: Step, work: Work, found: Result | Earlier) -> bool:
        """Return whether other steps use words of which only a part was kept, by older versions."""
        used = step.says and isinstance(work, Action)
        return used and self._remembered.cut(found.stdout, found.provenance)

    def _work(
        self, step: Step, work: Work, state: Execution, halt: threading.Event, share: Share | None
    ) -> _Done:
        """Do a step's work, whatever is remembered of it."""
        if isinstance(work, Computation):
            return self._compute(step, work, halt)
        return _Done(self._look_and_execute(step, work, state, halt, share))

    def _compute(self, step: Step, work: Computation, halt: threading.Event) -> _Done:
        if not step.parts:
            self._observer.started(step.name)
        # What comes may need much, and more was freed: unpacked inputs, whole kernels.
        memory.give_back()
        started = time.monotonic()
        computed = work.compute(Either(self._stop, halt))
        self._store.save_tree(computed.tree)
        here = Identity(HERE, os.uname().machine, resources.VERSION)
        nowhere: dict[str, object] = {"limits": {}, "enforcement": []}
        result = Result(
            work.key,
            computed.tree,
            self._store.put_bytes(computed.says),
            self._store.put_bytes(b""),
            time.monotonic() - started,
            0,
            cached=False,
            provenance=Provenance(here, nowhere, resources.VERSION, _now()),
            kind="computation",
            action=self._store.put_bytes(work.document),
        )
        return _Done(result, computed.sound, computed.refers)

    def _look_and_execute(
        self,
        step: Step,
        action: Action,
        state: Execution,
        halt: threading.Event,
        share: Share | None,
    ) -> Result:
        self._observer.started(step.name)
        observed = ""
        if step.observe is not None:
            looking = step.observe(state.results).under(step.conditions)
            seen = self._execute(looking.name, looking, halt, share, used=True)
            observed = self._store.read(seen.stdout).decode(errors="replace")
        return self._execute(step.name, action, halt, share, observed, used=step.says)

    def _execute(  # noqa: PLR0913 - all of one run
        self,
        name: str,
        action: Action,
        halt: threading.Event,
        share: Share | None,
        observed: str = "",
        *,
        used: bool,
    ) -> Result:
        """`used`: whether somebody reads what it says on its standard output."""
        policy = replace(self._policy, share=share, beside=self._jobs)
        outcome = self._engine.run(action, policy, self._store, Either(self._stop, halt))
        if self._again:
            outcome.run_again(name)
        if outcome.failed:
            raise self._failure(name, action, outcome)
        if used:
            outcome.said_whole(name, policy.limits.log)
        self._demand_outputs(name, action, outcome)
        isolation = {
            "limits": policy.describe()["limits"],
            "enforcement": [rule.document() for rule in outcome.enforcement],
        }
        return Result(
            action.key,
            outcome.tree,
            outcome.stdout,
            outcome.stderr,
            outcome.seconds,
            outcome.peak_memory,
            cached=False,
            provenance=Provenance(
                outcome.engine,
                isolation,
                resources.VERSION,
                _now(),
                observed,
                outcome.cpus,
                outcome.worker,
                outcome.taken_from,
            ),
            action=self._store.put_bytes(action.document),
            conditions=action.conditions.describe(),
        )

    def _demand_outputs(self, name: str, action: Action, outcome: Outcome) -> None:
        for output in action.outputs:
            if outcome.tree.get(output) is None and not any(
                entry.path.startswith(output + "/") for entry in outcome.tree
            ):
                raise ActionError(
                    f"{name} ended well but did not make {output}",
                    subject=self._keep_log(name, action, outcome),
                    remedy="read its log; another Go version may lay files out differently",
                )

    def _failure(self, name: str, action: Action, outcome: Outcome) -> ActionError:
        log = self._keep_log(name, action, outcome)
        said = [self._store.read(stream) for stream in (outcome.stderr, outcome.stdout)]
        words = said[0][-_SHOWN:].decode(errors="replace").strip()
        limits = self._policy.limits
        ended, limit = {
            "time": (f"was ended after {limits.seconds} s", "seconds"),
            "memory": (f"was ended for using more than {limits.memory >> 20} MiB", "memory"),
            "work": (
                f"has more than {limits.work >> 20} MiB in its work directory or its outputs",
                "work",
            ),
            "tmp": (f"has more than {limits.tmp >> 20} MiB in /tmp", "tmp"),
            "files": (
                f"has more than {limits.files} files in its work directory, /tmp or its outputs",
                "files",
            ),
        }.get(outcome.ended_by, (f"ended with exit status {outcome.exit_status}", ""))
        remedy = blame.remedy(outcome.exit_status, said, limits)
        if limit:
            remedy = f"raise limits.{limit} in the spec"
        return ActionError(
            f"{name} {ended}:\n{words or '(it wrote nothing to its standard error)'}",
            subject=f"the whole log is in {log}",
            remedy=remedy,
        )

    def _keep_log(self, name: str, action: Action, outcome: Outcome) -> str:
        """Keep a failed action's own words where the next run does not remove them."""
        folder = self._store.root / "failures"
        log = folder / logs.name_of(name, action.key.hex)
        durable.make_way(log, self._store.root, self._store.root / "damaged")
        durable.write(
            log,
            b"".join(
                [
                    b"action: " + action.document + b"\n--- standard error\n",
                    self._store.read(outcome.stderr),
                    b"\n--- standard output\n",
                    self._store.read(outcome.stdout),
                ]
            ),
        )
        return str(log)


@dataclass(frozen=True)
class _Done:
    """Outcome of a step's work; see `Computed`."""

    result: Result
    sound: bool = True
    refers: tuple[Digest, ...] = ()


def _together(ready: Sequence[Step], running: Iterable[tuple[int, Step]]) -> list[Step]:
    """Of steps that are ready, those that can be done now: in this process one at a time.

    They share its memory.
    """
    computing = [step for _, step in running if step.in_process]
    found = []
    for step in ready:
        if step.in_process:
            if computing:
                continue
            computing.append(step)
        found.append(step)
    return found


def _now() -> str:
    return utc.written(datetime.now(UTC))


def default_jobs() -> int:
    """Return how many actions run at once.

    The go command keeps all CPUs busy by itself most of the time; a second action fills the
    gaps while the first one links. Long ones keep to their share of the CPUs: measured on 2
    cores, two builds side by side take 6 to 10 % less time than where both use both.
    """
    return 2 if (os.cpu_count() or 1) < 8 else 4  # noqa: PLR2004 - measured on 2 cores


def _refuse_cycles(steps: Sequence[Step]) -> None:
    done: set[str] = set()
    waiting = {step.name: step for step in steps}
    if len(waiting) != len(steps):
        raise InfrastructureError("two steps of the plan have one name")
    while waiting:
        ready = [name for name, step in waiting.items() if done.issuperset(step.needs)]
        if not ready:
            raise InfrastructureError(
                f"the plan has a cycle or names a step that is not in it: {sorted(waiting)}"
            )
        for name in ready:
            done.add(name)
            del waiting[name]
