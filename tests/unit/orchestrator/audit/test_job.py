"""An audit as a whole, on fakes: what differs is found, how much was covered is said."""

from __future__ import annotations

import json
import os
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from containers.engine import Capability
from containers.host import durable
from orchestrator.audit import computations, model
from orchestrator.cli.main import run
from orchestrator.execution.remembered import Remembered
from orchestrator.store import DamagedBlob, Store
from reproducibility import canonical, digest
from reproducibility.conditions import Conditions
from reproducibility.digest import Digest
from reproducibility.errors import ActionError, InfrastructureError, InputError, Stopped
from reproducibility.variations import VARIED
from tests import results as documents
from tests.fakes import Asked, Made, Work, action
from tests.unit.orchestrator.audit.world import (
    ABLE,
    OBSERVE,
    Random,
    World,
    clean,
    codes,
    host_in_it,
    observed,
    step_of,
)
from tests.unit.orchestrator.execution.test_scheduler import chained, step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Making = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Making:
    """Make a world of steps that depend on one another in a row, and let audits find it."""

    def make(**table: Work) -> World:
        names = list(table)
        steps = [step(name, *names[at - 1 : at]) for at, name in enumerate(names)]
        made = World(tmp_path, steps, table)
        made.patch(monkeypatch)
        return made

    return make


# -- what is found -------------------------------------------------------------------------------


def test_a_clean_build_is_audited_as_a_whole(world: Making) -> None:
    one = world(a=clean, b=chained, c=chained)
    found = one.audit()
    assert found.verdict != "FAIL"
    assert codes(found) == {
        **dict.fromkeys("abc", "conditions.same"),
        **dict.fromkeys(("root",), "computed-again.same"),
        "sourcery.img": "output-file.same",
        "sourcery.cpio.zst": "output-file.same",
        "build": "audit-coverage.whole",
    }
    assert one.runs() == ["a", "b", "c"]
    coverage = found.coverage
    assert (coverage.actions, coverage.audited, coverage.left_out) == (3, 3, ())
    assert (coverage.computations, coverage.computed) == (1, 1)
    assert {
        v.name: (v.state, v.actions) for v in found.variations if v.name in ABLE
    } == dict.fromkeys(ABLE, ("seen", 3))
    assert (one.out / "audit.json").read_bytes() == model.dumps(found)
    assert model.parse((one.out / "audit.json").read_bytes()) == found


def test_all_guilty_actions_are_found_in_one_pass_and_no_successor(world: Making) -> None:
    one = world(a=host_in_it, b=chained, c=Random(), d=chained)
    found = one.audit()
    assert found.verdict == "FAIL"
    assert [made.name for made in found.steps if made.guilty] == ["a", "c"]
    explanation = step_of(found, "a").rounds[0].explanation
    assert explanation is not None
    assert explanation.lines[0] == (
        "cause: user (certain): each side holds its own host: 'builder' and 'another-host-name'"
    )


def test_a_failure_of_one_action_stops_no_other(world: Making) -> None:
    def fails(asked: Asked) -> Made:
        status = 1 if asked.action.conditions.user != 65534 else 0
        return Made({"out": b"1"}, stderr=b"who are you", exit_status=status)

    one = world(a=fails, b=clean, c=clean)
    found = one.audit(jobs=1)
    assert codes(found)["a"] == "conditions.failed"
    assert "who are you" in step_of(found, "a").rounds[0].check.reason
    assert [made.name for made in found.steps if not made.guilty] == ["b", "c"]


def test_what_was_built_under_other_conditions_is_varied_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = World(tmp_path, [replace(step("a"), conditions=VARIED)], {"a": host_in_it})
    one.patch(monkeypatch)
    found = one.audit()
    assert step_of(found, "a").built_under == VARIED.describe()
    assert codes(found)["a"] == "conditions.differs"


def test_rounds_make_other_choices_and_each_counts(world: Making) -> None:
    def order_in_it(asked: Asked) -> Made:
        return Made({"out": b"x" if asked.action.conditions.order_seed > 1000 else b"y"})

    one = world(a=order_in_it)
    assert codes(one.audit())["a"] == "conditions.same"
    found = one.audit(rounds=2)
    assert [made.check.verdict for made in step_of(found, "a").rounds] == ["PASS", "FAIL"]
    assert codes(found)["a"] == "conditions.differs"


def test_other_outputs_in_the_store_than_the_build_names_are_a_failure(world: Making) -> None:
    one = world(a=clean)
    document = json.loads((one.out / "result.json").read_bytes())
    document["steps"][0]["outputs"] = documents.NOTHING
    one.write(steps=document["steps"])
    found = [check.code for check in one.audit().checks if check.subject == "a"]
    assert found == ["conditions.other-result", "conditions.same"]


def test_an_image_that_was_changed_is_found(world: Making) -> None:
    one = world(a=clean)
    (one.out / "sourcery.img").write_bytes(b"imagE")
    (one.out / "sourcery.cpio.zst").unlink()
    found = codes(one.audit())
    assert found["sourcery.img"] == found["sourcery.cpio.zst"] == "output-file.differs"


def test_what_another_process_computes_otherwise_is_found(world: Making) -> None:
    other = digest.of_bytes(b"another")

    def answer(one: World) -> computations.Answer:
        root = Digest.parse(documents.NOTHING)
        del one
        return computations.Answer({"root": root, "sourcery.img": other}, "no archive", (), ())

    one = world(a=clean)
    one.answer = answer
    found = {made.name: made.check.code for made in one.audit().computations}
    assert found == {
        "root": "computed-again.same",
        "sourcery.img": "computed-again.differs",
        "sourcery.cpio.zst": "computed-again.failed",
    }


# -- seen from inside ----------------------------------------------------------------------------


def state(found: model.AuditResult, name: str) -> tuple[str, str]:
    """State of a variation, and the verdict of its check."""
    (verdict,) = (check.verdict for check in found.checks if check.subject == name)
    return next(one.state for one in found.variations if one.name == name), verdict


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


# -- how much ------------------------------------------------------------------------------------


def test_a_part_is_never_reported_as_the_whole(world: Making) -> None:
    one = world(a=clean, b=clean, ab=clean)
    found = one.audit(only=("a*",))
    assert codes(found)["build"] == "audit-coverage.part"
    assert found.verdict == "SKIP"
    assert [(left.step, left.why, left.last) for left in found.coverage.left_out] == [
        ("b", "not chosen", None)
    ]
    # The image's step was not chosen either.
    assert (found.coverage.audited, found.coverage.computed) == (2, 0)
    (check,) = (check for check in found.checks if check.subject == "build")
    assert "2 of 3 actions and 0 of 1 computations" in check.reason


def test_no_step_of_a_name_is_an_error(world: Making) -> None:
    one = world(alpha=clean, beta=clean)
    with pytest.raises(InputError, match="no step") as caught:
        one.audit(only=("nothing/*",))
    assert "named as in alpha" in caught.value.remedy
    with pytest.raises(InputError, match="no step") as caught:
        one.audit(only=("alhpa",))
    assert "there is alpha;" in caught.value.remedy


def test_where_no_action_is_chosen_no_variation_is_told_of(world: Making) -> None:
    found = world(a=clean).audit(only=("image",))
    assert (found.variations, found.coverage.computed) == ((), 1)


class Clock:
    """Gives one second more each time that it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_a_budget_begins_nothing_further_and_the_next_one_goes_on(world: Making) -> None:
    one = world(a=clean, b=clean, c=clean)
    first = one.audit(budget=5, clock=Clock(), jobs=1)
    assert (len(first.steps), first.verdict) == (2, "SKIP")
    assert {left.why for left in first.coverage.left_out} == {"budget"}
    (left,) = first.coverage.left_out
    second = one.audit(budget=4, clock=Clock(), jobs=1)
    # The one that was never audited comes first; of the others it is known when they were.
    assert [made.name for made in second.steps] == [left.step]
    assert all(was.last for was in second.coverage.left_out)


@pytest.mark.parametrize("budget", [1, 2])
def test_a_budget_that_is_used_up_at_once_is_no_success(world: Making, budget: int) -> None:
    one = world(a=clean)
    found = one.audit(budget=budget, clock=Clock(), jobs=1)
    assert codes(found)["build"] == "audit-coverage.nothing"
    assert found.verdict == "FAIL"
    # Where the program that looks around saw it, no action was run under it.
    assert (OBSERVE in one.engine.runs) == (budget > 1)
    assert state(found, "host") == ("not run", "SKIP")
    assert one.runs() == []
    # What another process computes is not begun either.
    assert (found.coverage.computed, found.computations) == (0, ())
    assert {(left.step, left.why) for left in found.coverage.left_out} == {
        ("a", "budget"),
        ("image", "budget"),
    }


# -- shares of the CPUs --------------------------------------------------------------------------


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


# -- interrupted, again, healed ------------------------------------------------------------------


def test_an_interrupted_audit_goes_on_and_a_finished_one_begins_anew(world: Making) -> None:
    one = world(a=clean, b=clean)

    def stops(asked: Asked) -> Made:
        one.stop.set()
        return asked.until_stopped()

    one.engine.table["b"] = stops
    with pytest.raises(Stopped):
        one.audit(jobs=1)
    assert not (one.out / "audit.json").exists()
    assert one.runs() == ["a", "b"]
    one.stop.clear()
    one.engine.table["b"] = clean
    found = one.audit(jobs=1)
    assert one.runs() == ["a", "b", "b"]
    assert [(made.name, made.went_on) for made in found.steps] == [("a", True), ("b", False)]
    assert (found.coverage.audited, found.coverage.went_on) == (2, 1)
    assert one.audit().coverage.went_on == 0
    assert one.runs() == ["a", "a", "b", "b", "b"]


def test_another_request_does_not_go_on_where_one_was_interrupted(world: Making) -> None:
    one = world(a=clean, b=clean)
    one.engine.table["b"] = lambda _: (_ for _ in ()).throw(InfrastructureError("no disk"))
    with pytest.raises(InfrastructureError, match="no disk"):
        one.audit(jobs=1)
    one.engine.table["b"] = clean
    assert one.audit(vary=ABLE[:2]).coverage.went_on == 0
    assert one.runs() == ["a", "a", "b", "b"]


def test_a_shorter_audit_does_not_take_away_what_an_interrupted_one_found(world: Making) -> None:
    one = world(a=clean, b=clean)
    one.engine.table["b"] = lambda _: (_ for _ in ()).throw(InfrastructureError("no disk"))
    with pytest.raises(InfrastructureError, match="no disk"):
        one.audit(jobs=1)
    one.engine.table["b"] = clean
    assert one.audit(only=("a",)).coverage.went_on == 0
    assert one.audit(jobs=1).coverage.went_on == 1


def test_the_same_audit_does_not_run_twice_at_once(world: Making) -> None:
    one = world(a=clean)
    refused: list[InfrastructureError] = []

    def again(asked: Asked) -> Made:
        one.engine.table["a"] = clean
        try:
            one.audit()
        except InfrastructureError as error:
            refused.append(error)
        assert one.audit(vary=ABLE[:1]).coverage.audited == 1
        return clean(asked)

    one.engine.table["a"] = again
    assert one.audit().coverage.went_on == 0
    (error,) = refused
    assert f"already running, in process {os.getpid()}" in error.summary
    assert error.status == 4


def test_what_cannot_be_written_is_not_over(world: Making) -> None:
    one = world(a=clean)
    place = one.out / "audit.json"
    place.mkdir()
    (place / "in the way").touch()
    with pytest.raises(InfrastructureError, match="cannot be written"):
        one.audit()
    durable.remove(place)
    assert one.audit().coverage.went_on == 1
    assert one.runs() == ["a"]


def test_conditions_that_were_changed_by_hand_are_not_run(world: Making) -> None:
    one = world(a=clean, b=chained)
    document = json.loads((one.out / "result.json").read_bytes())
    document["steps"][1]["conditions"] = {"user": 0}
    one.write(steps=document["steps"])
    one.steps = [one.steps[0], replace(one.steps[1], conditions=Conditions(user=0))]
    with pytest.raises(InputError, match=r"result\.json was changed"):
        one.audit()
    assert one.runs() == []


def test_missing_results_are_built_first_and_said(world: Making) -> None:
    one = world(a=clean, b=chained)
    with closing(Store(one.store)) as store:
        document = json.loads((one.out / "result.json").read_bytes())
        for made in document["steps"][:2]:
            store.forget("action-sandbox", Digest.parse(made["key"]))
    found = one.audit()
    assert found.missing == ("a", "b")
    assert one.runs() == ["a", "a", "b", "b"]
    assert any("built now" in text for what, text in one.observer.told if what == "note")
    assert found.verdict != "FAIL"


def test_a_damaged_blob_is_made_again_and_the_audit_goes_on(world: Making) -> None:
    one = world(a=clean, b=clean)
    turns = iter([1])

    def damaged(asked: Asked) -> Made:
        if next(turns, 0):
            raise DamagedBlob(digest.of_bytes(b"x"), "nothing")
        return clean(asked)

    one.engine.table["b"] = damaged
    found = one.audit(jobs=1)
    assert found.verdict != "FAIL"
    assert one.runs() == ["a", "b", "b"]


def test_nothing_of_an_audit_is_taken_for_a_result(world: Making) -> None:
    one = world(a=host_in_it)
    one.audit()
    with closing(Store(one.store)) as store:
        document = json.loads((one.out / "result.json").read_bytes())["steps"][0]
        found = Remembered(store, "sandbox").recall(action("a"))
    assert found is not None
    assert str(found.tree.digest) == document["outputs"]


# -- bisecting -----------------------------------------------------------------------------------


def two_together(asked: Asked) -> Made:
    conditions = asked.action.conditions
    both = conditions.host != "builder" and conditions.user != 65534
    return Made({"out": str(both).encode()})


def fails_elsewhere(asked: Asked) -> Made:
    status = int(asked.action.conditions.work != "/work")
    return Made({"out": b"1"}, exit_status=status)


@pytest.mark.parametrize(
    ("work", "cause"),
    [
        (host_in_it, ("host",)),
        (two_together, ("host", "user")),
        (fails_elsewhere, ("directory",)),
    ],
)
def test_the_smallest_cause_is_found(world: Making, work: Work, cause: tuple[str, ...]) -> None:
    one = world(a=work, b=clean)
    found = one.audit(bisect=True)
    bisected = step_of(found, "a").bisected
    assert bisected is not None
    assert (bisected.itself, bisected.variations) == (False, cause)
    assert one.runs().count("a") == 1 + bisected.runs
    assert step_of(found, "b").bisected is None
    guilty = {variation.name for variation in found.variations if variation.guilty == ("a",)}
    assert guilty == set(cause)


def test_an_action_that_differs_from_itself_is_guilty_without_a_variation(world: Making) -> None:
    bisected = step_of(world(a=Random()).audit(bisect=True), "a").bisected
    assert bisected is not None
    assert (bisected.itself, bisected.variations, bisected.runs) == (True, (), 1)


# -- the command line ----------------------------------------------------------------------------


def command(one: World, *more: str) -> list[str]:
    folder = one.folder
    where = ("--out", one.out, "--store", one.store, "--spec", folder / "s", "--lock", folder / "l")
    return ["audit", *map(str, where), "--json", *more]


def said(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401 - JSON
    return json.loads(capsys.readouterr().out)


def test_exit_statuses(world: Making, capsys: pytest.CaptureFixture[str]) -> None:
    one = world(a=clean, b=host_in_it)
    assert run(command(one, "--only", "a")) == 0
    assert said(capsys)["verdict"] == "SKIP"
    assert run(command(one)) == 1
    assert said(capsys) == canonical.loads((one.out / "audit.json").read_bytes())
    assert run(command(one, "--vary", "-host")) == 0
    capsys.readouterr()
    for wrong in (
        ("--vary", "moon"),
        ("--budget", "soon"),
        ("--only", "moon"),
        ("--rounds", "0"),
        ("--whole", "--bisect"),
        ("--engine", "moon"),
    ):
        assert run(command(one, *wrong)) == 2
        assert said(capsys)["error"]["status"] == 2


def test_a_failing_observer_or_engine_is_no_verdict(
    world: Making, capsys: pytest.CaptureFixture[str]
) -> None:
    one = world(a=clean)
    one.engine.table[OBSERVE] = lambda _: Made(exit_status=1)
    assert run(command(one)) == 3
    one.engine.table[OBSERVE] = observed
    one.engine.table["a"] = lambda _: (_ for _ in ()).throw(InfrastructureError("no disk"))
    assert run(command(one)) == 4
    capsys.readouterr()
    assert not (one.out / "audit.json").exists()


def test_a_person_reads_what_differs_and_why(
    world: Making, capsys: pytest.CaptureFixture[str]
) -> None:
    one = world(a=host_in_it, b=clean, c=Random())
    arguments = [word for word in command(one, "--bisect") if word != "--json"]
    assert run(arguments) == 1
    shown = capsys.readouterr().out
    assert "under other conditions, a: 1 paths differ" in shown
    assert "the smallest cause: host (" in shown
    assert "it differs from itself" in shown
    assert "differ by it: a" in shown
    assert "FAIL  3 of 3 actions" in shown
    assert str(one.out / "audit.json") in shown
    assert run([*arguments, "--vary", "host", "--only", "b"]) == 0
    assert "alone: --vary -all,+host" in capsys.readouterr().err
    assert run([*arguments, "--vary", "-host", "--only", "b"]) == 0
    assert "1 of 3 actions" in capsys.readouterr().out


def test_several_at_once_run_beside_each_other(world: Making) -> None:
    """Each waits until the other one has begun: one after the other they would never end."""
    gate = threading.Barrier(2, timeout=60)
    ready = threading.Event()

    def meet(asked: Asked) -> Made:
        if ready.is_set():
            gate.wait()
        return clean(asked)

    one = world(a=meet, b=meet)
    ready.set()
    assert one.audit(jobs=2, only=("a", "b")).verdict == "SKIP"
