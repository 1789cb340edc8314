"""Looking around for an audit: what is run, and what is said of it."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from containers.policy import Policy
from orchestrator import resources
from orchestrator.golang import surroundings
from reproducibility import variations
from reproducibility.conditions import STANDARD
from reproducibility.errors import ActionError
from reproducibility.manifest import Tree
from tests.fakes import Asked, FakeEngine, Made
from tests.unit.orchestrator import samples

if TYPE_CHECKING:
    from orchestrator.store import Store

SEEN = {name: 1 for name in variations.NAMES if name not in variations.REFUSED}


def place(store: Store, **table: Any) -> surroundings.Place:  # noqa: ANN401 - work by name
    engine = FakeEngine({name.replace("_", "/"): work for name, work in table.items()})
    return surroundings.Place(engine, Policy(), store, threading.Event())


def test_the_program_says_every_variation_that_can_be_applied() -> None:
    source = resources.surroundings().read_text()
    named = set(re.findall(r'^\t\t"(\w+)": +[^t]', source, re.MULTILINE))
    assert named == set(SEEN)


def test_it_is_built_by_f1_and_no_part_of_a_build(store: Store) -> None:
    asked: list[Asked] = []

    def build(what: Asked) -> Made:
        asked.append(what)
        return Made({"out/surroundings": b"program"}, programs=frozenset({"out/surroundings"}))

    chain, results = samples.chain(), samples.chain_results()
    built = surroundings.program(chain, results, place(store, surroundings_build=build))
    assert [(entry.path, entry.executable) for entry in built] == [("surroundings", True)]
    (what,) = asked
    assert what.action.command[:2] == ("/go/bin/go", "build")
    mounts = {mount.at: mount.tree for mount in what.action.mounts}
    assert mounts["/go"] == chain.goroot_f1(results)
    assert what.read("/surroundings") == {"surroundings.go": resources.surroundings().read_bytes()}


def test_it_looks_around_under_the_conditions_that_are_given(store: Store) -> None:
    def look(what: Asked) -> Made:
        conditions = what.action.conditions
        return Made(stdout=json.dumps({**SEEN, "host": conditions.host}).encode())

    where = place(store, surroundings=look)
    usual, varied = (
        surroundings.look(samples.chain(), Tree(), variations.varied(2, names), where)
        for names in ([], ["host", "umask"])
    )
    assert {name for name in usual if usual[name] != varied[name]} == {"host"}


@pytest.mark.parametrize("said", [b"{", b"[]", b"null", b'{"user": 1, "user": 2}', b"\xff", b""])
def test_what_is_no_observation_is_said(store: Store, said: bytes) -> None:
    where = place(store, surroundings=lambda _: Made(stdout=said))
    with pytest.raises(ActionError, match="not understood"):
        surroundings.look(samples.chain(), Tree(), STANDARD, where)


def test_a_program_that_fails_says_under_which_conditions(store: Store) -> None:
    where = place(store, surroundings=lambda _: Made(stderr=b"no /tmp", exit_status=1))
    conditions = replace(STANDARD, host="elsewhere")
    with pytest.raises(ActionError, match="no /tmp") as failed:
        surroundings.look(samples.chain(), Tree(), conditions, where)
    assert "elsewhere" in failed.value.subject
