"""The simulated farm: what is known of list scheduling holds, and a case by hand comes out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scale.farm import Farm, Job, Run, critical, mask, simulate
from bench.scale.graph import Parcel
from bench.scale.scenes import HERE

PARCELS = [Parcel(1, 10), Parcel(2, 300), Parcel(5, 70), Parcel(3, 1000)]
SLOW = Farm(
    workers=2, second_core=2, client_rate=10, worker_rate=20, storage_rate=40, latency=0.5,
    each_file=0.25, laid_out=0.125, begun=1,
)  # fmt: skip
WORKERS = st.integers(1, 9)


@st.composite
def graphs(draw: st.DrawFn) -> list[Job]:
    """Jobs for workers, each listed after those that it needs; some parcels are made by them."""
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.sets(st.sampled_from([job.name for job in jobs]))) if jobs else set()
        made = 1 << draw(st.integers(0, 3)) if draw(st.booleans()) else 0
        inputs = draw(st.integers(0, 15)) & ~made
        work = draw(st.integers(0, 50))
        jobs.append(Job(str(number), tuple(sorted(needs)), work, inputs, made))
    return jobs


@given(graphs(), WORKERS)
def test_work_alone_keeps_to_the_bounds_of_list_scheduling(jobs: list[Job], workers: int) -> None:
    farm = replace(HERE, workers=workers, by_plan=False)
    seconds = simulate(jobs, PARCELS, farm).seconds
    longest, whole = critical(jobs, farm)[0], sum(job.work for job in jobs)
    assert max(longest, whole / workers) - 1e-6 <= seconds
    # Graham 1969, theorem 1, for any order of what is ready.
    assert seconds <= whole / workers + (1 - 1 / workers) * longest + 1e-6


@given(graphs())
def test_one_worker_takes_the_sum_and_enough_of_them_the_longest_chain(jobs: list[Job]) -> None:
    alone = simulate(jobs, PARCELS, replace(HERE, workers=1)).seconds
    assert alone == pytest.approx(sum(job.work for job in jobs))
    every = simulate(jobs, PARCELS, replace(HERE, workers=len(jobs))).seconds
    assert every == pytest.approx(critical(jobs, HERE)[0])


@given(graphs(), WORKERS, st.booleans())
def test_transfers_take_time_and_nothing_runs_before_what_it_needs(
    jobs: list[Job], workers: int, caches: bool
) -> None:
    farm = replace(SLOW, workers=workers, caches=caches)
    run = simulate(jobs, PARCELS, farm)
    assert run.seconds >= critical(jobs, farm)[0]
    for job in jobs:
        passage = run.passages[job.name]
        points = [
            passage.released, passage.ready, passage.started, passage.running, passage.ran,
            passage.done,
        ]  # fmt: skip
        assert points == sorted(points)
        assert passage.ran - passage.running == pytest.approx(farm.seconds(job.work))
        assert all(run.passages[need].done <= passage.started for need in job.needs)
        assert passage.running - passage.started >= farm.begun
    assert busiest(run) <= workers
    assert run == simulate(jobs, PARCELS, farm), "the same each time"
    assert sum(run.spent()) == pytest.approx(run.seconds)


def busiest(run: Run) -> int:
    """How many jobs held a worker at once, at most."""
    changes = [(one.started, 1) for one in run.passages.values() if one.done > one.started]
    changes += [(one.done, -1) for one in run.passages.values() if one.done > one.started]
    holding = most = 0
    for _, change in sorted(changes):
        holding += change
        most = max(most, holding)
    return most


@given(graphs(), WORKERS)
def test_only_what_is_missing_travels(jobs: list[Job], workers: int) -> None:
    kept, bare = (
        simulate(jobs, PARCELS, replace(SLOW, workers=workers, caches=caches))
        for caches in (True, False)
    )
    sizes = [parcel.size for parcel in PARCELS]
    read = [job.inputs for job in jobs]
    assert bare.fetched == sum(bytes_of(one, sizes) for one in read)
    needed = 0
    for one in read:
        needed |= one
    assert kept.fetched <= min(bare.fetched, workers * bytes_of(needed, sizes))
    assert kept.sent + kept.stored <= sum(sizes), "no parcel comes into the storage twice"
    assert kept.taken == 0


def bytes_of(mask: int, sizes: list[int]) -> int:
    return sum(size for at, size in enumerate(sizes) if mask >> at & 1)


def test_a_case_by_hand() -> None:
    jobs = [
        Job("one", (), 20, mask([0]), mask([1])),
        Job("two", ("one",), 4, mask([0, 1]), mask([2])),
        Job("image", ("two",), 3, mask([0, 2]), local=True),
    ]
    run = simulate(jobs, PARCELS, SLOW)
    one, two, image = (run.passages[job.name] for job in jobs)
    # 10 bytes at 10 a second and a file at 1/4 s; an exchange of 1/2 s before it is in the queue.
    assert one.ready == one.started == 1.75
    # An exchange, 10 bytes at 20 a second, a file; then 1 s and 1/8 s for the file.
    assert one.running == 1.75 + 0.5 + 0.5 + 0.25 + 1.125
    assert one.ran == one.running + 10
    # An exchange, 300 bytes, two files.
    assert one.done == one.ran + 0.5 + 15 + 0.5
    # On the same worker, which made the one and fetched the other; three files to lay out.
    assert two.started == one.done + 0.5
    assert two.running == two.started + 1 + 3 * 0.125
    assert two.done == two.ran + 0.5 + 3.5 + 5 * 0.25
    # 70 bytes at 10 a second; what no job makes is there.
    assert image.running == image.started + 0.5 + 7 + 5 * 0.25
    assert run.seconds == image.running + 3
    assert (run.sent, run.fetched, run.stored, run.taken) == (10, 10, 370, 70)
    assert run.chain() == ["one", "two", "image"]


def test_storage_is_shared_by_those_who_ask_at_once() -> None:
    jobs = [Job(str(number), (), 0, mask([3])) for number in range(4)]
    farm = replace(HERE, workers=4, storage_rate=100)
    run = simulate(jobs, PARCELS, farm)
    # Sent once, then fetched four times.
    assert sorted(one.running for one in run.passages.values()) == [20, 30, 40, 50]
    assert (run.sent, run.fetched) == (1000, 4000)


def test_what_has_the_most_behind_it_comes_first() -> None:
    jobs = [Job("short", (), 5), Job("long", (), 5), Job("after", ("long",), 20)]
    by_path = simulate(jobs, (), replace(HERE, by_plan=False))
    assert (by_path.seconds, by_path.passages["long"].started) == (30, 0)
    by_plan = simulate(jobs, (), HERE)
    assert by_plan.passages["short"].started == 0
    # What is ready at the same moment is compared too.
    assert by_path.passages["after"].started == 5
    assert by_path.chain() == ["short"]
    assert by_path.spent() == (5, 25, 0)


def test_a_client_does_one_thing_at_a_time_and_fetches_only_once() -> None:
    jobs = [
        Job("made", (), 1, 0, mask([1])),
        *(
            Job(f"{name} {user}", ("made",), 7, mask([1]), client=user, local=True)
            for user in (0, 1)
            for name in ("boot", "image")
        ),
    ]
    farm = replace(HERE, client_rate=300)
    run = simulate(jobs, PARCELS, farm)
    assert run.seconds == 1 + 1 + 7 + 7
    assert run.taken == 2 * 300


def test_the_longest_chain_is_named() -> None:
    jobs = [Job("a", (), 1), Job("b", (), 3), Job("c", ("a",), 4), Job("d", ("c", "b"), 2)]
    seconds, chain = critical(jobs, HERE)
    assert (seconds, chain) == (7, ["a", "c", "d"])
    assert critical([], HERE) == (0.0, [])
    for first, second in pairwise(chain):
        assert first in next(job for job in jobs if job.name == second).needs
