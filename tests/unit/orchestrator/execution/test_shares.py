"""Which processors the scheduler gives to each action."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.fakes import Asked, FakeEngine, Made
from tests.unit.orchestrator.execution.test_scheduler import chained, run, step

if TYPE_CHECKING:
    from orchestrator.execution.step import Step
    from orchestrator.store import Store


def meeting(count: int) -> FakeEngine:
    """An engine whose actions end once `count` of them run."""
    barrier = threading.Barrier(count)

    def meet(_: Asked) -> Made:
        barrier.wait(60)
        return Made({"out": b""})

    return FakeEngine(dict.fromkeys("abcd", meet))


def long(name: str, *needs: str) -> Step:
    return replace(step(name, *needs), long=True)


def test_long_steps_have_processors_of_their_own_while_others_wait(store: Store) -> None:
    engine = meeting(2)
    run(store, [long(name) for name in "abcd"], engine, jobs=2)
    assert {engine.shares["a"], engine.shares["b"]} == {(0, 2), (1, 2)}
    # Nobody comes after these two.
    assert (engine.shares["c"], engine.shares["d"]) == (None, None)


def test_two_that_run_never_have_the_same_share(store: Store) -> None:
    taken: set[tuple[int, int]] = set()
    lock = threading.Lock()
    names = [f"s{number}" for number in range(20)]

    def occupy(asked: Asked) -> Made:
        own = engine.shares[asked.action.name]
        if own is not None:
            with lock:
                assert own not in taken
                taken.add(own)
        threading.Event().wait(0.003 * (int(asked.action.name[1:]) % 3))
        if own is not None:
            with lock:
                taken.discard(own)
        return Made({"out": b""})

    engine = FakeEngine(dict.fromkeys(names, occupy))
    run(store, [long(name) for name in names], engine, jobs=3)
    shares = [engine.shares[name] for name in names]
    assert set(shares[:17]) == {(0, 3), (1, 3), (2, 3)}
    assert shares[17:] == [None] * 3


def test_a_step_that_nothing_runs_beside_has_all_processors(store: Store) -> None:
    engine = FakeEngine(dict.fromkeys("abcd", chained))
    run(store, [long("d", "c"), long("c", "b"), long("b", "a"), long("a")], engine)
    assert set(engine.shares.values()) == {None}


def test_a_short_step_has_all_processors(store: Store) -> None:
    engine = meeting(2)
    run(store, [step("a"), *(long(name) for name in "bcd")], engine, jobs=2)
    assert engine.shares["a"] is None
    assert engine.shares["b"] == (1, 2)


def test_the_share_changes_no_key(store: Store) -> None:
    engine = FakeEngine(dict.fromkeys("abcd", chained))
    run(store, [long("a")], engine)
    assert engine.shares == {"a": None}
    again = run(store, [long(name) for name in "dcba"], engine)
    assert sorted(engine.runs) == ["a", "b", "c", "d"]
    assert again.results["a"].cached
