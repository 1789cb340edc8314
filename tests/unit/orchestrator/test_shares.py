"""Which processors the scheduler gives to each action."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.fakes import Asked, FakeEngine, Made, made
from tests.unit.orchestrator.test_scheduler import chained, run, step

if TYPE_CHECKING:
    from orchestrator.store import Store


def meeting(count: int) -> FakeEngine:
    """An engine whose actions end once `count` of them run."""
    barrier = threading.Barrier(count)

    def meet(_: Asked) -> Made:
        barrier.wait(60)
        return Made({"out": b""})

    return FakeEngine(dict.fromkeys("abcd", meet))


def test_steps_side_by_side_have_processors_of_their_own(store: Store) -> None:
    engine = meeting(2)
    run(store, [step(name) for name in "abcd"], engine, jobs=2)
    shares = [engine.shares[name] for name in "abcd"]
    assert set(shares[:2]) == {(0, 2), (1, 2)}
    assert set(shares[2:]) <= {(0, 2), (1, 2)}


def test_two_that_run_never_have_the_same_share(store: Store) -> None:
    taken: set[tuple[int, int] | None] = set()
    lock = threading.Lock()
    names = [f"s{number}" for number in range(20)]

    def occupy(asked: Asked) -> Made:
        own = engine.shares[asked.action.name]
        with lock:
            assert own not in taken
            taken.add(own)
        threading.Event().wait(0.003 * (int(asked.action.name[1:]) % 3))
        with lock:
            taken.discard(own)
        return Made({"out": b""})

    engine = FakeEngine(dict.fromkeys(names, occupy))
    run(store, [step(name) for name in names], engine, jobs=3)
    # The last one may find itself alone.
    assert set(engine.shares.values()) <= {(0, 3), (1, 3), (2, 3), None}


def test_a_step_that_nothing_runs_beside_has_all_processors(store: Store) -> None:
    engine = FakeEngine(dict.fromkeys("abc", chained))
    run(store, [step("c", "b"), step("b", "a"), step("a")], engine)
    assert engine.shares == {"a": None, "b": None, "c": None}


def test_a_step_that_is_to_have_all_has_all_beside_others(store: Store) -> None:
    engine = meeting(2)
    run(store, [step("a"), replace(step("b"), alone=True)], engine, jobs=2)
    assert engine.shares == {"a": (0, 2), "b": None}


def test_the_share_changes_no_key(store: Store) -> None:
    engine = FakeEngine({"a": made(b"1"), "b": made(b"2")})
    run(store, [step("a")], engine)
    assert engine.shares == {"a": None}
    again = run(store, [step("b"), step("a")], engine)
    assert engine.runs == ["a", "b"]
    assert again.results["a"].cached
