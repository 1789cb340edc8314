"""Scenes: what is asked of a farm, as jobs that are made from the graph of a build."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.scale.farm import Farm, Job, mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.scale.graph import Graph, Task

USERS = 100
# A machine's own cores: nothing travels, and the times are those that the actions took there.
HERE = Farm(
    cores=1, client_rate=math.inf, worker_rate=math.inf, storage_rate=math.inf,
    latency=0, each_file=0, laid_out=0, begun=0, by_plan=True,
)  # fmt: skip


def image(graph: Graph, farm: Farm) -> list[Job]:
    """One image for one person; the farm has nothing yet."""
    return _jobs(graph, farm)


def audit(graph: Graph, farm: Farm) -> list[Job]:
    """Every action of a finished build once more, each on the inputs that the build gave it."""
    return [replace(job, needs=()) for job in _jobs(graph, farm) if not job.local]


def believed(graph: Graph, farm: Farm) -> list[Job]:
    """One image for each of many people with one lock, who take the results of the farm's cache."""
    jobs = _jobs(graph, farm)
    shared = [job for job in jobs if not job.local]
    common = {job.name for job in shared}
    return [
        *shared,
        *(_of(job, user, common) for user in range(USERS) for job in jobs if job.local),
    ]


def unbelieved(graph: Graph, farm: Farm) -> list[Job]:
    """One image for each of many people with one lock, every action run for each of them."""
    jobs = image(graph, farm)
    return [_of(job, user, set()) for user in range(USERS) for job in jobs]


SCENES: dict[str, Callable[[Graph, Farm], list[Job]]] = {
    "one image": image,
    "an audit": audit,
    f"{USERS} users, the farm's cache believed": believed,
    f"{USERS} users, every action run for each": unbelieved,
}


def replayed(graph: Graph) -> list[Job]:
    """The steps of the run that the times are of, with these times, as jobs for one machine."""
    ran = set(graph.told["steps"])
    return [
        Job(task.name, tuple(need for need in task.needs if need in ran), task.seconds)
        for task in graph.tasks
        if task.name in ran
    ]


def proportion(graph: Graph, farm: Farm) -> float:
    """CPU seconds that were measured, against what follows from the times of the same actions.

    A build beside other work takes longer than its own; 1 where nothing was measured.
    """
    timed = [task for task in graph.tasks if task.cpu]
    if not timed:
        return 1.0
    return sum(task.cpu for task in timed) / sum(_timed(task, farm) for task in timed)


def _timed(task: Task, farm: Farm) -> float:
    """CPU seconds as they follow from the time of an action, on as many cores as it had."""
    return task.seconds * (farm.second_core if task.cpus > 1 else 1)


def _jobs(graph: Graph, farm: Farm) -> list[Job]:
    """A job for each task, with its CPU seconds, or at the client its time."""
    share = proportion(graph, farm)
    return [
        Job(
            task.name,
            task.needs,
            task.seconds if task.local else task.cpu or share * _timed(task, farm),
            mask(task.inputs),
            mask(task.outputs),
            local=task.local,
        )
        for task in graph.tasks
    ]


def _of(job: Job, user: int, common: set[str]) -> Job:
    """A job of one of the users; `common`: names of those that serve all."""
    needs = tuple(need if need in common else f"{need} ({user})" for need in job.needs)
    return replace(job, name=f"{job.name} ({user})", needs=needs, client=user)
