"""What an audit varies, on fakes: what has an effect, and what each step had in the build."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from containers.engine import Capability
from orchestrator.store import Store
from reproducibility.digest import Digest
from reproducibility.errors import ActionError
from tests.fakes import Asked, Made
from tests.unit.orchestrator.audit.world import (
    ABLE,
    OBSERVE,
    World,
    clean,
    codes,
    host_in_it,
    observed,
    state,
    step_of,
)
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.audit.conftest import Making


# -- seen from inside ------------------------------------------------------------------------------


def test_a_variation_without_effect_is_a_failure(world: Making) -> None:
    def blind(asked: Asked) -> Made:
        seen = json.loads(observed(asked).stdout)
        return Made(stdout=json.dumps({**seen, "host": "builder"}).encode())

    one = world(a=clean)
    one.engine.table[OBSERVE] = blind
    found = one.audit()
    assert state(found, "host") == ("no effect", "FAIL")
    assert found.verdict == "FAIL"
    assert state(found, "user") == ("seen", "PASS")


def test_what_the_engine_cannot_apply_is_skipped_and_the_others_are_applied(
    world: Making,
) -> None:
    one = world(a=host_in_it)
    one.engine.able["order"] = Capability("a fake", "no tmpfs here")
    found = one.audit()
    assert state(found, "order") == ("unable", "SKIP")
    (reason,) = (one.reason for one in found.variations if one.name == "order")
    assert "no tmpfs here" in reason
    conditions = step_of(found, "a").rounds[0].conditions
    assert "order_seed" not in conditions
    assert conditions["host"] == "another-host-name"
    assert codes(found)["a"] == "conditions.differs"


def test_what_was_not_asked_for_is_not_applied_and_said(world: Making) -> None:
    one = world(a=host_in_it)
    found = one.audit(vary=tuple(name for name in ABLE if name != "host"))
    assert state(found, "host") == ("not asked", "SKIP")
    assert codes(found)["a"] == "conditions.same"
    assert found.verdict == "SKIP"


def test_an_observer_that_says_something_else_is_an_error(world: Making) -> None:
    one = world(a=clean)
    one.engine.table[OBSERVE] = lambda _: Made(stdout=b"[1]")
    with pytest.raises(ActionError, match="not understood"):
        one.audit()


FIXED = {"mtime": "the index of packages has it", "zone": "the same"}


def with_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A build of which two steps have variations as inputs, as commands and seed have."""
    steps = [replace(step(name), fixed=FIXED) for name in ("commands/a", "commands/b")]
    names = ("commands/a", "commands/b", "F1")
    one = World(tmp_path, [*steps, step("F1")], dict.fromkeys(names, clean))
    one.patch(monkeypatch)
    return one


@pytest.mark.parametrize("only", [("commands/*",), ("commands/a",), ("commands/*", "image")])
def test_what_is_an_input_to_every_chosen_step_is_left_out_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: tuple[str, ...]
) -> None:
    one = with_inputs(tmp_path, monkeypatch)
    found = one.audit(only=only, rounds=2)
    assert found.verdict == "SKIP"
    for name, why in FIXED.items():
        assert state(found, name) == ("not run", "SKIP")
        (told,) = (one for one in found.variations if one.name == name)
        assert told.actions == 0
        assert why in told.reason
    assert state(found, "host") == ("seen", "PASS")
    assert "zone" not in step_of(found, "commands/a").rounds[0].conditions


def test_what_is_an_input_to_some_chosen_steps_is_applied_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = with_inputs(tmp_path, monkeypatch).audit()
    assert found.verdict == "SKIP"
    assert state(found, "zone") == ("input", "SKIP")
    (zone,) = (one for one in found.variations if one.name == "zone")
    assert zone.actions == 1


# -- shares of the CPUs ----------------------------------------------------------------------------


def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[World, dict[str, int]]:
    """A build of long steps, on 4 CPUs and two at once, and how many CPUs each had."""
    gate = threading.Barrier(2, timeout=60)
    built = threading.Event()

    def meet(asked: Asked) -> Made:
        if not built.is_set():
            gate.wait()
        return clean(asked)

    steps = [replace(step(name), long=True) for name in "abcd"]
    one = World(tmp_path, steps, dict.fromkeys("abcd", meet), jobs=2)
    one.patch(monkeypatch)
    built.set()
    had = dict(one.engine.cpus)
    # The last two found nobody waiting, and had all.
    assert had == {"a": 2, "b": 2, "c": 4, "d": 4}
    return one, had


def test_a_step_that_had_a_share_of_the_cpus_gets_another_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, had = shared(tmp_path, monkeypatch)
    found = one.audit()
    assert state(found, "cpus") == ("seen", "PASS")
    assert {name: one.engine.cpus[name] for name in had} == {"a": 4, "b": 4, "c": 2, "d": 2}
    assert step_of(found, "a").rounds[0].conditions["processors"] == 4


def test_a_step_that_had_a_share_keeps_it_where_cpus_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, had = shared(tmp_path, monkeypatch)
    found = one.audit(vary=tuple(name for name in ABLE if name != "cpus"))
    assert state(found, "cpus") == ("not asked", "SKIP")
    assert state(found, "parallelism") == ("seen", "PASS")
    assert {name: one.engine.cpus[name] for name in had} == had


def test_steps_whose_cpus_are_not_recorded_are_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, had = shared(tmp_path, monkeypatch)
    document = json.loads((one.out / "result.json").read_bytes())
    with closing(Store(one.store)) as store:
        for made in document["steps"][:1]:
            key = Digest.parse(made["key"])
            record = store.recall("action-sandbox", key)
            assert record is not None
            del record["provenance"]["cpus"]  # as earlier versions wrote it
            store.remember("action-sandbox", key, record)
    found = one.audit()
    assert state(found, "cpus") == ("not recorded", "SKIP")
    (cpus,) = (one for one in found.variations if one.name == "cpus")
    assert cpus.actions == len(had) - 1
    assert "but not for 1 of 4 actions" in cpus.reason
    assert step_of(found, "a").rounds[0].conditions["parallelism"] == 5
