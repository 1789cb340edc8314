"""The tests of the engines and the hostile attempts, for what isolates on a farm's workers.

They are collected again in a file that has a fixture `bench` of its own, and `assault`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tests.integration import (
    test_engines_builder,
    test_engines_ending,
    test_engines_limits,
    test_engines_policy,
    test_engines_results,
    test_engines_variations,
    test_hostile,
)

if TYPE_CHECKING:
    from collections.abc import Collection

_MODULES = (
    *(test_engines_builder, test_engines_ending, test_engines_limits, test_engines_policy),
    *(test_engines_results, test_engines_variations),
)
# Tests of the engines that no worker is an engine for; what they are about is tested elsewhere, or
# is the remote engine's matter.
_ELSEWHERE = {
    # There is no cgroup, so memory is looked at and not bounded, which the report says.
    "test_every_rule_has_a_statement_about_its_enforcement",
    # The launcher refuses them, and copies nothing.
    "test_links_are_not_followed",
    "test_a_pipe_among_the_outputs_is_refused_in_the_same_words",
    # A worker is given no share of its CPUs.
    "test_the_number_of_cpus_that_is_recorded_is_the_one_that_is_seen",
    # Taking outputs takes a farm no time that it could stop.
    "test_a_wish_to_stop_is_heeded_while_outputs_are_taken",
}
# The hostile attempts, and the fixtures that they need.
_HOSTILE = (
    *("generous", "hostile_builder", "machine"),
    *("test_what_takes_an_action_each", "test_what_takes_no_action_of_its_own"),
)


def again(but: Collection[str] = ()) -> dict[str, Any]:
    """Tests and fixtures by name, for the globals of a file of tests; without those of `but`."""
    left_out = _ELSEWHERE.union(but)
    found = {
        name: test
        for module in _MODULES
        for name, test in vars(module).items()
        if name.startswith("test_")
        and "bench" in inspect.signature(test).parameters
        and name not in left_out
    }
    return found | {name: vars(test_hostile)[name] for name in _HOSTILE}
