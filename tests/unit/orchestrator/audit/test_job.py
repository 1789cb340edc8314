"""An audit as a whole, on fakes: what differs is found, and told."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.audit import computations, model
from orchestrator.cli.main import run
from reproducibility import canonical, digest
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError
from reproducibility.variations import VARIED
from tests import results as documents
from tests.fakes import Asked, Made, Work
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
    from pathlib import Path

    from tests.unit.orchestrator.audit.conftest import Making


# -- what is found ---------------------------------------------------------------------------------


def test_a_clean_build_is_audited_as_a_whole(world: Making) -> None:
    one = world(a=clean, b=chained, c=chained)
    found = one.audit()
    assert found.verdict != "FAIL"
    assert codes(found) == {
        **dict.fromkeys("abc", "conditions.same"),
        **dict.fromkeys(("image", "root"), "computed-again.same"),
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
        found = {"image": other, "root": root, "sourcery.img": other}
        return computations.Answer(found, "no archive", (), ())

    one = world(a=clean)
    one.answer = answer
    found = {made.name: made.check.code for made in one.audit().computations}
    assert found == {
        "image": "computed-again.differs",
        "root": "computed-again.same",
        "sourcery.img": "computed-again.differs",
        "sourcery.cpio.zst": "computed-again.failed",
    }


# -- bisecting -------------------------------------------------------------------------------------


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


def test_without_a_variation_nothing_but_the_action_is_blamed(world: Making) -> None:
    one = world(a=clean)
    one.engine.table["a"] = Random()
    bisected = step_of(one.audit(bisect=True, vary=()), "a").bisected
    assert bisected is not None
    assert (bisected.itself, bisected.variations) == (True, ())


def test_what_is_random_under_a_variation_has_no_certain_cause(world: Making) -> None:
    """Such as a race of threads, where the build had one."""
    draw = Random()

    def races(asked: Asked) -> Made:
        return draw(asked) if asked.action.conditions.parallelism else clean(asked)

    bisected = step_of(world(a=races).audit(bisect=True), "a").bisected
    assert bisected is not None
    assert (bisected.itself, bisected.variations) == (False, ("parallelism",))
    assert (bisected.cause, bisected.sure) == ("parallelism", "likely")


# -- the command line ------------------------------------------------------------------------------


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
