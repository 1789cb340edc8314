"""Builds everything from the inputs once more, end to end, under other conditions.

For who does not want to rely on the induction over the plan. It has a store of its own, into which
the inputs come as a bundle, so nothing that the first build made can get into the second.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator import inputs
from orchestrator.architecture import host
from orchestrator.artifacts import model as built
from orchestrator.artifacts import remaking
from orchestrator.artifacts.recipe import laid_out
from orchestrator.audit import history, model, running
from orchestrator.audit.explaining import explain
from orchestrator.audit.subject import Subject, own_files
from orchestrator.execution.scheduler import Scheduler
from orchestrator.image.cpio import writer as cpio
from orchestrator.inputs import bundle
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.codes import COMPUTED, FROM_INPUTS
from reproducibility.compare import Check, Verdict, trees
from reproducibility.errors import ActionError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from containers.engine import Engine
    from orchestrator.audit.model import Explanation
    from orchestrator.audit.request import Request
    from orchestrator.execution.step import Observer, Result, Results, Step
    from reproducibility.conditions import Conditions
    from reproducibility.digest import Digest

_BUNDLE = "inputs"


@dataclass(frozen=True)
class Whole:
    """Outcome of a build from the inputs.

    `checks`: one for each step, and for root, image and archive. `results`: of its steps, by name;
    none where it failed. `explanations`: of the steps that differ.
    """

    checks: tuple[Check, ...]
    results: Results
    explanations: Mapping[str, Explanation] = field(default_factory=dict)

    def found(self, step: Step, check: Check, before: Result) -> model.Step:
        """Return what was found of a step. `before`: what the first build made of it."""
        now = self.results[step.name]
        one = model.Round(
            conditions=dict(now.conditions),
            outputs=now.tree.digest,
            seconds=round(now.seconds, 3),
            check=built.Check.model_validate(check.document()),
            explanation=self.explanations.get(step.name),
        )
        return model.Step(
            name=step.name,
            stage=step.stage,
            key=before.key,
            outputs=before.tree.digest,
            built_under=step.conditions.describe(),
            verdict=running.WORDS[check.verdict],
            rounds=(one,),
            bisected=None,
            when=history.now(),
            went_on=False,
        )


@dataclass(frozen=True)
class Again:
    """A build from the inputs. `choose`: the conditions of a step, by those of the first build."""

    request: Request
    first: Subject
    before: Results
    engine: Engine
    choose: Callable[[Step], Conditions]
    observer: Observer
    jobs: int
    stop: threading.Event

    def run(self, store: Store) -> Whole:
        """Build, and compare with the first build. `store`: where the inputs are.

        Raises:
            InfrastructureError: an input, the engine or the disk fails.
            Stopped: `stop` was set.
        """
        self.observer.note("a build of its own begins with the inputs alone")
        with store.temporary() as folder:
            carried = folder / _BUNDLE
            self._carry(store, carried)
            with closing(Store(folder / "store")) as own:
                bundle.read(carried, self.first.found.pinned, own, host())
                carried.unlink()
                return self._build(store, own, folder)

    def _carry(self, store: Store, path: Path) -> None:
        found = self.first.found
        inputs.ensure(
            found.pinned,
            store,
            folder=found.wanted.folder,
            own=own_files(self.request),
            offline=self.request.offline,
            artifacts=True,
            stop=self.stop,
        )
        bundle.write(found.pinned, store, path, host())

    def _build(self, first: Store, store: Store, folder: Path) -> Whole:
        again = Subject.draw(
            self.first.found,
            store,
            own=own_files(self.request),
            processors=self.engine.processors,
            capabilities=self.engine.capabilities(),
            offline=True,
            observer=self.observer,
            stop=self.stop,
        )
        steps = [replace(step, conditions=self.choose(step)) for step in again.steps]
        self.observer.planned([part for step in steps for part in step.shown])
        scheduler = Scheduler(
            engine=self.engine,
            store=store,
            policy=again.found.policy,
            observer=self.observer,
            jobs=self.jobs,
            again=True,
            stop=self.stop,
        )
        try:
            results = scheduler.run(steps).results
            made = [_step(step, self.before[step.name], results[step.name]) for step in steps]
            explained = {
                check.subject: explain(
                    self.before[check.subject].tree, first, results[check.subject].tree, store
                )
                for check in made
                if check.verdict is Verdict.FAIL
            }
            image = self._image(again, results, store, folder)
            return Whole((*made, *image), results, explained)
        except ActionError as error:
            failed = Check(FROM_INPUTS["failed"], "build", error.summary)
            return Whole((failed,), {})

    def _image(self, again: Subject, results: Results, store: Store, folder: Path) -> list[Check]:
        """Root, image and archive; the image in another process, which only hashes it."""
        recipe = again.assembled(results).recipe
        with remaking.started(recipe, store) as other:
            made = other.result(recipe, self.stop)
        said = again.found.result
        archive = folder / said.cpio.path
        tree, _ = laid_out(recipe, store.put_bytes)
        cpio.write(tree, store.path, archive, epoch=recipe.epoch)
        found: Mapping[str, Digest] = {
            "root": made.tree,
            said.image.path: made.image,
            said.cpio.path: digests.of_file(archive),
        }
        checks = [_digest(name, again.expected[name], digest) for name, digest in found.items()]
        if made.alike:
            reason = f"the process that made it had the same {', '.join(made.alike)}"
            checks.append(Check(COMPUTED["same-surroundings"], said.image.path, reason))
        return checks


def _step(step: Step, before: Result, now: Result) -> Check:
    if step.says and before.stdout != now.stdout:
        return Check(FROM_INPUTS["words"], step.name, "other words on standard output")
    if not len(before.tree) and not len(now.tree):
        # Its words were compared, or it had nothing to do.
        return Check(FROM_INPUTS["same"], step.name, "it made no file, both times")
    return trees(FROM_INPUTS, step.name, before.tree, now.tree)


def _digest(name: str, expected: Digest, found: Digest) -> Check:
    if expected == found:
        return Check(FROM_INPUTS["same"], name, f"{found} both times")
    return Check(FROM_INPUTS["differs"], name, f"the build names {expected}, now it is {found}")
