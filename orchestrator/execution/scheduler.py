"""Runs a plan on an engine: in parallel, remembered by key, going on where a killed run stopped.

The scheduler knows steps, keys and results; it knows nothing of Go, images or comparisons.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import insort
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from containers.host import durable
from containers.policy import Share
from orchestrator import resources
from orchestrator.execution import blame, logs
from orchestrator.execution.either import Either
from orchestrator.execution.rebuilding import Bases
from orchestrator.execution.remembered import Remembered
from orchestrator.execution.step import Comparison, Provenance, Result, Run
from reproducibility.errors import ActionError, InfrastructureError, InputError, Stopped
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from containers.action import Action
    from containers.engine import Engine, Outcome
    from containers.policy import Policy
    from orchestrator.execution.step import Observer, Step
    from orchestrator.store import Store

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
        stop: threading.Event,
    ) -> None:
        """`rebuild`: run everything and compare; `bases`: with these, and what else is remembered.

        Whoever runs a plan twice in one build hands over the same both times.
        """
        self._engine = engine
        self._store = store
        self._policy = policy
        self._observer = observer
        self._jobs = jobs
        self._rebuild = rebuild
        self._bases = bases or Bases()
        self._stop = stop
        self._remembered = Remembered(store, engine.name)

    def run(self, steps: Sequence[Step]) -> Run:
        """Run every step once its predecessors are done; the earlier in the list, the sooner.

        Raises:
            ActionError: an action failed; those that were running are ended first.
            InfrastructureError: an action could not be run.
            Stopped: `stop` was set.
        """
        _refuse_cycles(steps)
        state = Run()
        # A failure of one step ends the others, and so does `stop`, which is the caller's.
        halt = threading.Event()
        waiting = list(steps)
        running: dict[Future[None], int] = {}
        free = list(range(self._jobs))
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="action") as pool:
            try:
                while waiting or running:
                    ready = [step for step in waiting if state.results.keys() >= set(step.needs)]
                    crowded = len(running) + len(ready) > 1
                    for step in ready[: len(free)]:
                        waiting.remove(step)
                        number = free.pop(0)
                        # The last steps get all CPUs: no step is left to use an idle one.
                        many = sum(other.long for other in waiting) >= self._jobs
                        shares = crowded and many and step.long
                        own = Share(number, self._jobs) if shares else None
                        running[pool.submit(self._do, step, state, halt, own)] = number
                    done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        insort(free, running.pop(future))
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

    def _do(self, step: Step, state: Run, halt: threading.Event, share: Share | None) -> None:
        started = time.monotonic()
        action = step.make(state.results)
        if action is None:
            nothing = self._store.put_bytes(b"")
            result = Result(nothing, Tree(), nothing, nothing, 0.0, 0, cached=True)
            if self._rebuild:
                state.compared[step.name] = Comparison(
                    step.name, None, None, "", step.says, step.needs
                )
        elif self._rebuild:
            result = self._remade(step, action, state, halt, share)
        else:
            result = self._remembered.recall(action) or self._made(step, action, state, halt, share)
        state.results[step.name] = result
        self._observer.finished(step.name, cached=result.cached, seconds=time.monotonic() - started)

    def _remade(
        self, step: Step, action: Action, state: Run, halt: threading.Event, share: Share | None
    ) -> Result:
        """What is made again whatever is remembered, and compared with that."""
        with self._store.only_one(action.key, Either(self._stop, halt)):
            # Not before: another build may have remembered something while this one waited.
            earlier, why = self._bases.of(action.key, lambda: self._remembered.earlier(action))
            result = self._work(step, action, state, halt, share)
            comparison = Comparison(step.name, result, earlier, why, step.says, step.needs)
            state.compared[step.name] = comparison
            # What differs from before stays out: the next build is compared with the same base,
            # and finds the same.
            if earlier is None or comparison.agrees:
                self._remembered.remember(step.name, result)
            return result

    def _made(
        self, step: Step, action: Action, state: Run, halt: threading.Event, share: Share | None
    ) -> Result:
        """What is not remembered, made and remembered; of builds at once, one does the work."""
        with self._store.only_one(action.key, Either(self._stop, halt)):
            # Another build may have made it while this one waited for the lock.
            result = self._remembered.recall(action)
            if result is None:
                result = self._work(step, action, state, halt, share)
                self._remembered.remember(step.name, result)
            return result

    def _work(
        self, step: Step, action: Action, state: Run, halt: threading.Event, share: Share | None
    ) -> Result:
        """Run a step, whatever is remembered of it: look around if it wants that, then work."""
        self._observer.started(step.name)
        observed = ""
        if step.observe is not None:
            looking = step.observe(state.results)
            seen = self._execute(looking.name, looking, halt, share)
            observed = self._store.read(seen.stdout).decode(errors="replace")
        return self._execute(step.name, action, halt, share, observed)

    def _execute(
        self,
        name: str,
        action: Action,
        halt: threading.Event,
        share: Share | None,
        observed: str = "",
    ) -> Result:
        policy = replace(self._policy, share=share, beside=self._jobs)
        root = self._store.root
        with self._store.temporary() as folder, blame.telling(name, folder / "result", root):
            into = folder / "result"
            into.mkdir()
            stop = Either(self._stop, halt)
            outcome = self._engine.run(action, policy, self._store, into, stop)
            provenance = self._provenance(policy, observed)
            if outcome.exit_status != 0 or outcome.ended_by:
                raise self._failure(name, action, outcome)
            try:
                tree = self._store.put_tree(outcome.outputs, move=True, stop=stop)
            except InputError as error:
                raise ActionError(
                    f"{name} made something that cannot go on the stick: {error.summary}",
                    subject=error.subject,
                    remedy="have it write only files and folders, with names that a tree can hold",
                ) from error
            self._demand_outputs(name, action, tree, outcome)
            return Result(
                action.key,
                tree,
                self._store.put_file(outcome.stdout),
                self._store.put_file(outcome.stderr),
                outcome.seconds,
                outcome.peak_memory,
                cached=False,
                provenance=provenance,
            )

    def _provenance(self, policy: Policy, observed: str) -> Provenance:
        """Where the result of an action that has just run comes from."""
        isolation = {
            "limits": policy.describe()["limits"],
            "enforcement": [rule.document() for rule in self._engine.enforcement(policy)],
        }
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Provenance(self._engine.identity, isolation, resources.VERSION, when, observed)

    def _demand_outputs(self, name: str, action: Action, tree: Tree, outcome: Outcome) -> None:
        for output in action.outputs:
            if tree.get(output) is None and not any(
                entry.path.startswith(output + "/") for entry in tree
            ):
                raise ActionError(
                    f"{name} ended well but did not make {output}",
                    subject=self._keep_log(name, action, outcome),
                    remedy="read its log; another Go version may lay files out differently",
                )

    def _failure(self, name: str, action: Action, outcome: Outcome) -> ActionError:
        log = self._keep_log(name, action, outcome)
        words = outcome.stderr.read_bytes()[-_SHOWN:].decode(errors="replace").strip()
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
        remedy = blame.remedy(outcome, limits)
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
                    outcome.stderr.read_bytes(),
                    b"\n--- standard output\n",
                    outcome.stdout.read_bytes(),
                ]
            ),
        )
        return str(log)


def default_jobs() -> int:
    """How many actions run at once.

    The go command keeps all processors busy by itself most of the time; a second action fills the
    gaps while the first one links. Long ones keep to their share of the processors: measured on 2
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
