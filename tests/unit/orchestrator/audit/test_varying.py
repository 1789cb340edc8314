"""Conditions of an audit: each variation that is named differs from what the build had."""

from __future__ import annotations

import pytest

from orchestrator.audit.varying import otherwise, parsed
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.errors import InputError
from reproducibility.variations import FIXED_POINT, VARIATIONS, varied
from tests.unit.orchestrator.audit.world import ABLE

F2 = varied(4)
CONDITION = {variation.name: variation.condition for variation in VARIATIONS}


def differing(first: Conditions, second: Conditions) -> set[str]:
    return {
        name for name in ABLE if getattr(first, CONDITION[name]) != getattr(second, CONDITION[name])
    }


@pytest.mark.parametrize("built", [STANDARD, F2], ids=["usual", "varied"])
@pytest.mark.parametrize("number", [0, 1, 2, 7])
def test_every_variation_differs_from_the_build_in_every_round(
    built: Conditions, number: int
) -> None:
    assert differing(built, otherwise(built, ABLE, 4, number=number)) == set(ABLE)


@pytest.mark.parametrize("built", [STANDARD, F2], ids=["usual", "varied"])
@pytest.mark.parametrize("name", ABLE)
def test_one_variation_alone_changes_nothing_else(built: Conditions, name: str) -> None:
    assert differing(built, otherwise(built, {name}, 4)) == {name}
    assert otherwise(built, (), 4) == built


def threads(conditions: Conditions, processors: int) -> int:
    """How many threads a Go program uses."""
    return conditions.parallelism or conditions.processors or processors


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("processors", [1, 2, 3, 4, 64])
@pytest.mark.parametrize("second", [False, True], ids=["usual", "F2"])
def test_the_number_of_threads_differs_whatever_the_cpus_are(
    second: bool, processors: int, number: int
) -> None:
    built = varied(processors, FIXED_POINT) if second else STANDARD
    unable = () if processors > 1 else ("cpus",)
    made = otherwise(built, ABLE, processors, unable=unable, number=number)
    assert threads(made, processors) != threads(built, processors)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize(("processors", "share"), [(2, 1), (3, 1), (4, 2), (8, 2), (8, 4), (8, 5)])
def test_a_share_of_the_cpus_is_varied_too(processors: int, share: int, number: int) -> None:
    built = Conditions(processors=share)
    made = otherwise(built, ABLE, processors, number=number)
    assert 0 < made.processors <= processors
    assert made.processors != share
    assert threads(made, processors) != threads(built, processors)
    alone = otherwise(built, {"parallelism"}, processors, number=number)
    assert (alone.processors, threads(alone, processors) != share) == (share, True)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("processors", [1, 2, 4, 64])
def test_no_share_has_as_many_threads_as_where_the_share_is_not_known(
    processors: int, number: int
) -> None:
    made = otherwise(STANDARD, ABLE, processors, number=number, shared=True)
    assert made.parallelism > processors
    # What the build itself named is known.
    second = varied(processors, FIXED_POINT)
    made = otherwise(second, ABLE, processors, number=number, shared=True)
    assert made.parallelism != second.parallelism


def test_further_rounds_make_other_choices() -> None:
    made = [otherwise(STANDARD, ABLE, 4, number=number) for number in range(4)]
    assert len({one.order_seed for one in made}) == 4
    assert len({one.parallelism for one in made}) == 4
    assert otherwise(STANDARD, ABLE, 4, number=1) == made[1]


def test_what_the_engine_cannot_apply_is_as_usual() -> None:
    assert otherwise(STANDARD, ABLE, 4, unable={"order"}).order_seed == 0
    assert otherwise(F2, (), 4, unable={"order"}).order_seed == 0


def test_recorded_conditions_are_read_back() -> None:
    for conditions in (STANDARD, F2, Conditions(host="h")):
        assert parsed(conditions.describe(), "F2") == conditions


@pytest.mark.parametrize("document", [{"moon": "full"}, {"user": "root"}, {"host": 1}])
def test_conditions_that_nobody_knows_are_refused(document: dict[str, str | int]) -> None:
    with pytest.raises(InputError, match="does not know"):
        parsed(document, "F2")
