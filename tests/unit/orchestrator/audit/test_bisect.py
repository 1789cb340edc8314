"""The smallest cause: planted causes of several kinds are found, with as few runs as need be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.audit.bisect import smallest
from reproducibility.errors import Stopped

NAMES = tuple(f"v{number}" for number in range(20))


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_a_cause_of_any_size_is_found_exactly(cause: set[str]) -> None:
    asked: list[frozenset[str]] = []

    def differs(chosen: frozenset[str]) -> bool:
        asked.append(chosen)
        return cause <= chosen

    found = smallest(NAMES, differs)
    assert (found.itself, set(found.names)) == (False, cause)
    assert found.runs == len(asked)
    assert list(found.names) == [name for name in NAMES if name in cause]


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_of_several_causes_one_is_found_that_is_minimal(causes: set[str]) -> None:
    found = smallest(NAMES, lambda chosen: bool(causes & chosen))
    assert len(found.names) == 1
    assert set(found.names) <= causes


def test_a_single_cause_takes_few_runs() -> None:
    """Logarithmic: two at first, some for each halving, three pairs at the end."""
    most = max(smallest(NAMES, lambda chosen, n=name: n in chosen).runs for name in NAMES)  # type: ignore[misc]
    assert most <= 2 + 2 * 5 + 2 * 3


def test_what_always_differs_is_guilty_without_any_variation() -> None:
    found = smallest(NAMES, lambda _: True)
    assert (found.itself, found.names, found.runs) == (True, (), 1)


def test_what_agrees_by_accident_is_found_at_the_end() -> None:
    """It differs each third time, whatever the conditions."""
    turns = itertools.cycle([False, False, True])
    found = smallest(NAMES, lambda _: next(turns))
    assert found.itself
    assert found.names == ()


@pytest.mark.parametrize("names", [(), ("host",)])
def test_with_one_variation_or_none(names: tuple[str, ...]) -> None:
    found = smallest(names, lambda chosen: "host" in chosen)
    assert found.names == names
    assert found.itself == (not names)


def test_without_any_variation_it_is_the_action_itself() -> None:
    """That it differed is known already."""
    found = smallest((), lambda _: False)
    assert (found.itself, found.names, found.runs) == (True, (), 0)


def blamed(chance: float, most: int) -> float:
    """How often a variation is blamed for what differs with a chance, whatever the conditions."""
    found = 0.0
    for turns in itertools.product([False, True], repeat=most):
        left = iter(turns)
        if not smallest(("host",), lambda _, left=left: next(left)).itself:  # type: ignore[misc]
            differing = sum(turns)
            found += chance**differing * (1 - chance) ** (most - differing)
    return found


def test_chance_is_hardly_ever_blamed_on_a_variation() -> None:
    chances = [number / 40 for number in range(1, 40)]
    assert max(blamed(chance, 8) for chance in chances) < 0.0051


def test_of_what_differs_each_time_it_is_told() -> None:
    numbers = itertools.count(1)
    found = smallest(NAMES, lambda chosen: "v3" in chosen and next(numbers))
    assert (found.names, found.steady) == (("v3",), False)
    assert smallest(NAMES, lambda chosen: "v3" in chosen and "one").steady


def test_an_error_ends_the_search() -> None:
    def differs(_: frozenset[str]) -> bool:
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        smallest(NAMES, differs)
