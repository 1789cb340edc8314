"""The registry of variations: each changes one condition, and what is remembered stays so."""

from __future__ import annotations

from dataclasses import fields

import pytest

from reproducibility import variations
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.variations import FIXED_POINT, NAMES, VARIATIONS, VARIED, Variation, varied

FIELDS = [field.name for field in fields(Conditions)]


def test_usual_conditions_are_described_by_nothing() -> None:
    """So a new field changes no key of what was made before there was such a field."""
    assert STANDARD.describe() == {}
    assert Conditions(zone="UTC").describe() == {"zone": "UTC"}


def test_the_conditions_of_the_second_build_stay_what_they_are() -> None:
    # They are a part of the keys of what every store remembers.
    assert VARIED.describe() == {
        "group": 4321,
        "host": "another-host-name",
        "order_seed": 27,
        "parallelism": 3,
        "user": 1234,
        "work": "/elsewhere/a longer path/work",
    }
    assert varied(8, FIXED_POINT).describe() == VARIED.describe() | {"parallelism": 4}
    assert set(FIXED_POINT) <= set(NAMES)


def test_names_are_sorted_and_each_once() -> None:
    assert list(NAMES) == sorted(set(NAMES))
    assert variations.ENGINE.name not in NAMES


@pytest.mark.parametrize("variation", VARIATIONS, ids=lambda one: one.name)
@pytest.mark.parametrize("processors", [2, 3, 8])
def test_each_changes_its_own_condition_and_no_other(variation: Variation, processors: int) -> None:
    found = varied(processors, [variation.name]).describe()
    assert set(found) == ({variation.condition} if variation.condition else set())
    assert bool(variation.condition) == (not variation.refusal)
    assert variation.meaning


def test_every_condition_is_varied_by_one() -> None:
    assert sorted(one.condition for one in VARIATIONS if one.condition) == sorted(FIELDS)
    assert set(varied(2).describe()) == set(FIELDS)


def test_what_was_varied_can_be_taken_back() -> None:
    assert variations.without(varied(4), NAMES) == STANDARD
    assert variations.without(varied(4), ["time"]) == varied(4)
    assert variations.without(varied(4), ["zone", "user"]) == varied(
        4, set(NAMES) - {"zone", "user"}
    )


def test_the_clock_is_never_varied() -> None:
    assert set(variations.REFUSED) == {"time"}
    assert "system call" in variations.REFUSED["time"]
    assert varied(4, ["time"]) == STANDARD


def test_one_processor_has_no_half() -> None:
    assert [varied(count, ["cpus"]).processors for count in (1, 2, 3, 8)] == [1, 1, 1, 4]
