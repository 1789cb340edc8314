"""Farm that runs the jobs of a graph, simulated: list scheduling by critical path, with transfers.

Pure and deterministic. An action holds a whole worker from the fetch of its inputs to the last byte
of its outputs, as on farms that give a worker one action at a time; of what is ready, that with
the most work after it comes first, on the free worker with the lowest number, whatever lies there
already. Storage and links are served in the order of requests.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.scale.graph import Parcel

_WORKERS = -1


@dataclass(frozen=True)
class Farm:
    """Farm: how many workers, what joins them, and what each action costs beside its work.

    Rates are bytes a second: of a client's link, of a worker's, of the farm's storage to all of
    them. `cores`: of a worker, that an action can use; `second_core`: how many times as fast two
    make it. `latency`: seconds of an exchange; `each_file`: seconds to send one besides its bytes;
    `laid_out`: seconds to put a file into an action's own input tree; `begun`: seconds until an
    action's program runs. `caches`: whether workers keep what they fetched. `by_plan`: what is
    ready begins in the order of the jobs, as in a build on one machine.
    """

    workers: int = 1
    cores: int = 2
    second_core: float = 1.84
    client_rate: float = 125e6
    worker_rate: float = 125e6
    storage_rate: float = 1250e6
    latency: float = 0.02
    each_file: float = 0.0004
    laid_out: float = 0.0001
    begun: float = 0.5
    caches: bool = True
    by_plan: bool = False

    def seconds(self, work: float) -> float:
        """Time of an action that takes so many CPU seconds, once its program runs."""
        return work / (self.second_core if self.cores > 1 else 1)


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a worker, or with `local` for the client `client`, who asks for it in any case.

    `work`: CPU seconds, on a worker; seconds, at the client. `inputs`, `outputs`: parcels as bits.
    """

    name: str
    needs: tuple[str, ...]
    work: float
    inputs: int = 0
    outputs: int = 0
    client: int = 0
    local: bool = False


@dataclass
class Passage:
    """How a job went: seconds from the beginning at which it passed each point.

    `last`: the need that ended last, empty where there is none.
    """

    last: str
    released: float
    ready: float = 0.0
    started: float = 0.0
    running: float = 0.0
    ran: float = 0.0
    done: float = 0.0


@dataclass
class Run:
    """Outcome: `seconds` in all, how each job went, and the bytes that travelled each way."""

    passages: dict[str, Passage] = field(default_factory=dict)
    sent: int = 0
    fetched: int = 0
    stored: int = 0
    taken: int = 0

    @property
    def seconds(self) -> float:
        """Until the last job was done."""
        return max((one.done for one in self.passages.values()), default=0.0)

    def chain(self) -> list[str]:
        """Names of the jobs that the last one waited for, each for the next, from the first."""
        name = max(self.passages, key=lambda name: self.passages[name].done, default="")
        found = []
        while name:
            found.append(name)
            name = self.passages[name].last
        return found[::-1]

    def spent(self) -> tuple[float, float, float]:
        """Seconds along that chain: programs running, waiting for a worker, all else."""
        along = [self.passages[name] for name in self.chain()]
        running = sum(one.ran - one.running for one in along)
        waiting = sum(one.started - one.ready for one in along)
        return running, waiting, self.seconds - running - waiting


class _Pipe:
    """Shared way of so many bytes a second, served in the order of requests."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free = 0.0

    def through(self, now: float, size: int) -> float:
        """When the last byte is through."""
        self._free = max(self._free, now) + size / self._rate
        return self._free


def critical(jobs: Sequence[Job], farm: Farm) -> tuple[float, list[str]]:
    """The longest chain of work: its seconds where nothing but work takes time, and its names."""
    after = _after(jobs, farm)
    needed: dict[str, list[str]] = {}
    for job in jobs:
        for need in job.needs:
            needed.setdefault(need, []).append(job.name)
    chain: list[str] = []
    following = [job.name for job in jobs if not job.needs]
    while following:
        chain.append(max(following, key=after.__getitem__))
        following = needed.get(chain[-1], [])
    return (after[chain[0]] if chain else 0.0), chain


def _took(job: Job, farm: Farm) -> float:
    return job.work if job.local else farm.seconds(job.work)


def _after(jobs: Sequence[Job], farm: Farm) -> dict[str, float]:
    """Seconds of work from the beginning of each job to the end, along the longest chain."""
    behind: dict[str, float] = {}
    after: dict[str, float] = {}
    for job in reversed(jobs):
        after[job.name] = _took(job, farm) + behind.get(job.name, 0.0)
        for need in job.needs:
            behind[need] = max(behind.get(need, 0.0), after[job.name])
    return after


def simulate(jobs: Sequence[Job], parcels: Sequence[Parcel], farm: Farm) -> Run:
    """Run jobs, each listed after those that it needs."""
    return _Simulation(jobs, parcels, farm).run()


class _Simulation:
    """State of one simulation: what is ready, what lies where, and what happens next."""

    def __init__(self, jobs: Sequence[Job], parcels: Sequence[Parcel], farm: Farm) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._farm = farm
        self._after = _after(jobs, farm)
        self._left = {job.name: len(job.needs) for job in jobs}
        self._followers: dict[str, list[str]] = {}
        for job in jobs:
            for need in job.needs:
                self._followers.setdefault(need, []).append(job.name)
        clients = {job.client for job in jobs}
        # Of the workers, and of each client: which places are free, and which jobs are ready.
        self._free = {_WORKERS: list(range(farm.workers)), **{client: [0] for client in clients}}
        self._ready: dict[int, list[tuple[float, int, str]]] = {pool: [] for pool in self._free}
        self._number = {job.name: number for number, job in enumerate(jobs)}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._storage = _Pipe(farm.storage_rate)
        self._links = {client: _Pipe(farm.client_rate) for client in clients}
        made = 0
        for job in jobs:
            made |= job.outputs
        # What no job makes, every client has.
        self._there = dict.fromkeys(clients, ~made)
        self._kept = [0] * farm.workers
        self._stored = 0
        self._coming: list[tuple[int, float]] = []
        self._run = Run()
        self._amount = cache(lambda mask: _amount(mask, parcels))

    def run(self) -> Run:
        """Let everything happen."""
        for name, left in self._left.items():
            if not left:
                self._release(name, "", 0.0)
        while self._events:
            now, _, happens = heapq.heappop(self._events)
            happens(now)
        return self._run

    def _at(self, when: float, happens: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happens))

    def _release(self, name: str, last: str, now: float) -> None:
        """All that a job needs is done; the client sends what the farm lacks."""
        job = self._jobs[name]
        passage = self._run.passages[name] = Passage(last, now)
        ready = now
        if not job.local:
            lacking = job.inputs & ~self._stored
            if lacking:
                files, size = self._amount(lacking)
                self._run.sent += size
                link = self._links[job.client].through(now, size)
                sent = max(link, self._storage.through(now, size)) + files * self._farm.each_file
                self._coming.append((lacking, sent))
                self._stored |= lacking
            on_the_way = (when for those, when in self._coming if those & job.inputs)
            ready = max([now, *on_the_way]) + self._farm.latency
        pool = job.client if job.local else _WORKERS

        def queue(now: float) -> None:
            passage.ready = now
            first = 0.0 if self._farm.by_plan else -self._after[name]
            heapq.heappush(self._ready[pool], (first, self._number[name], name))
            self._at(now, lambda now: self._fill(pool, now))

        self._at(ready, queue)

    def _fill(self, pool: int, now: float) -> None:
        """Let what is ready begin where there is room, once all is queued that is ready now."""
        while self._ready[pool] and self._free[pool]:
            name = heapq.heappop(self._ready[pool])[2]
            self._begin(self._jobs[name], pool, heapq.heappop(self._free[pool]), now)

    def _begin(self, job: Job, pool: int, place: int, now: float) -> None:
        farm, passage = self._farm, self._run.passages[job.name]
        passage.started = now
        lacking = job.inputs & ~(self._there[job.client] if job.local else self._kept[place])
        files, size = self._amount(lacking)
        running = now
        if lacking:
            rate = farm.client_rate if job.local else farm.worker_rate
            alone = now + farm.latency + size / rate + files * farm.each_file
            running = max(alone, self._storage.through(now, size))
        if job.local:
            self._run.taken += size
            if lacking:
                running = max(running, self._links[job.client].through(now, size))
            self._there[job.client] |= job.inputs | job.outputs
        else:
            self._run.fetched += size
            self._kept[place] |= job.inputs if farm.caches else 0
            running += farm.begun + self._amount(job.inputs)[0] * farm.laid_out

        def ran(now: float) -> None:
            passage.ran = now
            self._at(self._put(job, place, now), lambda now: self._end(job, pool, place, now))

        passage.running = running
        self._at(running + _took(job, farm), ran)

    def _put(self, job: Job, place: int, now: float) -> float:
        """When what a job made lies in the farm's storage."""
        farm = self._farm
        lacking = 0 if job.local else job.outputs & ~self._stored
        if farm.caches and not job.local:
            self._kept[place] |= job.outputs
        if not lacking:
            return now
        files, size = self._amount(lacking)
        self._run.stored += size
        self._stored |= lacking
        alone = now + farm.latency + size / farm.worker_rate + files * farm.each_file
        return max(alone, self._storage.through(now, size))

    def _end(self, job: Job, pool: int, place: int, now: float) -> None:
        self._run.passages[job.name].done = now
        heapq.heappush(self._free[pool], place)
        for follower in self._followers.get(job.name, ()):
            self._left[follower] -= 1
            if not self._left[follower]:
                self._release(follower, job.name, now)
        self._at(now, lambda now: self._fill(pool, now))


def _amount(mask: int, parcels: Sequence[Parcel]) -> tuple[int, int]:
    """Files and bytes of parcels. `mask`: a bit for each; others than there are do not count."""
    those = [parcel for at, parcel in enumerate(parcels) if mask >> at & 1]
    return sum(parcel.files for parcel in those), sum(parcel.size for parcel in those)


def mask(numbers: Sequence[int]) -> int:
    """Parcels as bits."""
    return sum(1 << number for number in numbers)
