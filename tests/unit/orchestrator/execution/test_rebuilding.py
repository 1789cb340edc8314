"""`--rebuild`: each step is run again and compared, or it is said that there is nothing to compare.

What was there before is planted in the store: results of another run, of another engine, of none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from containers.policy import Policy
from orchestrator.execution import rebuilding
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Execution, Step
from orchestrator.store import DamagedBlob, Store
from reproducibility import regular
from reproducibility.compare import Check, Verdict, complete, fold
from reproducibility.errors import InfrastructureError
from tests.fakes import FakeEngine, FakeObserver, Made, Work, action, made
from tests.unit.orchestrator.execution.test_scheduler import (
    chained,
    content,
    run,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from threading import Event

    from containers.action import Action
    from reproducibility.digest import Digest

STEPS = [step("a"), step("b", "a")]
TABLE: dict[str, Work] = {"a": made(b"1"), "b": chained}


def saying(out: bytes, words: bytes) -> Work:
    return lambda _: Made({"out": out}, stdout=words, stderr=words, seconds=len(words))


def listing(name: str) -> Step:
    """A step whose words others use."""
    return Step(name, "stage", "subject", (), lambda _: action(name, outputs=()), says=True)


def checks(ran: Execution, steps: Sequence[Step] = STEPS) -> dict[str, Check]:
    """The checks of a rebuild, all that are expected, by step."""
    found = complete(rebuilding.checks(ran.compared.values()), rebuilding.expected(steps))
    assert {check.name for check in found} == {"built again"}
    by_step = {check.subject: check for check in found}
    assert len(by_step) == len(found) == len(steps)
    return by_step


def verdicts(ran: Execution, steps: Sequence[Step] = STEPS) -> dict[str, Verdict]:
    return {name: check.verdict for name, check in checks(ran, steps).items()}


def record(store: Store, name: str, engine: str = "fake") -> Path:
    """Where what is remembered of an action lies."""
    key = action(name).key
    return store.root / "results" / f"action-{engine}" / key.hex[:2] / f"{key.hex}.json"


def test_a_rebuild_runs_everything_again_and_compares(store: Store) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    engine = FakeEngine(TABLE)
    ran = run(store, STEPS, engine, rebuild=True)
    assert engine.runs == ["a", "b"]
    assert list(ran.compared) == ["a", "b"]
    assert verdicts(ran) == {"a": Verdict.PASS, "b": Verdict.PASS}
    assert not any(result.cached for result in ran.results.values())
    assert all("fake (in memory, 20" in check.reason for check in checks(ran).values())


def test_a_step_that_nobody_compared_fails(store: Store) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    ran = run(store, STEPS, FakeEngine(TABLE), rebuild=True)
    del ran.compared["b"]
    assert verdicts(ran) == {"a": Verdict.PASS, "b": Verdict.FAIL}


def test_a_rebuild_with_nothing_before_it_is_no_pass(store: Store) -> None:
    found = checks(run(store, STEPS, FakeEngine(TABLE), rebuild=True))
    assert fold(found.values()) is Verdict.SKIP
    assert {check.verdict for check in found.values()} == {Verdict.SKIP}
    assert {check.reason for check in found.values()} == {"no earlier result to compare with"}
    # It is the base of the next one.
    assert set(verdicts(run(store, STEPS, FakeEngine(TABLE), rebuild=True)).values()) == {
        Verdict.PASS
    }


def test_one_other_byte_fails_and_names_the_file(store: Store) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    ran = run(store, STEPS, FakeEngine({**TABLE, "a": made(b"2")}), rebuild=True)
    found = checks(ran)
    assert found["a"].verdict is Verdict.FAIL
    assert "1 paths differ: out: blake3" in found["a"].reason
    # What is made from another input is another action: it was never made before.
    assert found["b"].verdict is Verdict.SKIP


def test_a_difference_is_found_again_by_the_next_rebuild(store: Store) -> None:
    # As in a second round after a damaged blob: what differed has not become the base.
    steps = STEPS[:1]
    run(store, steps, FakeEngine({"a": made(b"1")}))
    for _ in range(2):
        ran = run(store, steps, FakeEngine({"a": made(b"2")}), rebuild=True)
        assert verdicts(ran, steps) == {"a": Verdict.FAIL}
    remembered = run(store, steps, FakeEngine({})).results["a"]
    assert content(store, remembered.tree) == {"out": b"1"}


def rounds(store: Store, first: Sequence[Step], now: Work, second: Sequence[Step]) -> Execution:
    """Rebuild in two rounds, as a build does that meets a damaged blob in the first."""
    bases = rebuilding.Bases()

    def once(steps: Sequence[Step], work: Work) -> Execution:
        return Scheduler(
            engine=FakeEngine({"a": work}),
            store=store,
            policy=Policy(),
            observer=FakeObserver(),
            jobs=1,
            rebuild=True,
            bases=bases,
            stop=threading.Event(),
        ).run(steps)

    def damaged(_: object) -> Action:
        raise DamagedBlob(store.put_bytes(b"of another step"), "nothing")

    with pytest.raises(DamagedBlob):
        once([*first, step("end", "a", make=damaged)], now)
    return once(second, made(b"1"))


def test_what_differed_in_one_round_fails_whatever_a_later_one_gives(store: Store) -> None:
    steps = STEPS[:1]
    run(store, steps, FakeEngine({"a": made(b"1")}))
    ran = rounds(store, steps, made(b"2"), steps)
    found = checks(ran, steps)["a"]
    assert found.verdict is Verdict.FAIL
    assert "1 paths differ: out: blake3" in found.reason
    assert content(store, ran.results["a"].tree) == {"out": b"1"}
    # A later build begins anew, with the same base.
    assert verdicts(run(store, steps, FakeEngine({"a": made(b"1")}), rebuild=True), steps) == {
        "a": Verdict.PASS
    }


def test_other_words_in_one_round_fail_too(store: Store) -> None:
    steps = [listing("a")]
    run(store, steps, FakeEngine({"a": saying(b"1", b"1")}))
    ran = rounds(store, steps, saying(b"1", b"2"), [idle("a")])
    assert "other words on standard output" in checks(ran, steps)["a"].reason


def test_a_step_that_failed_by_itself_fails_what_had_nothing_to_do_after_it(store: Store) -> None:
    steps = [step("a"), idle("nothing", "a")]
    run(store, steps, FakeEngine({"a": made(b"1")}))
    assert verdicts(rounds(store, steps, made(b"2"), steps), steps) == {
        "a": Verdict.FAIL,
        "nothing": Verdict.FAIL,
    }
    assert verdicts(rounds(store, steps, made(b"1"), steps), steps) == {
        "a": Verdict.PASS,
        "nothing": Verdict.PASS,
    }


def test_other_words_fail_where_later_steps_use_them(store: Store) -> None:
    steps = [listing("a")]
    run(store, steps, FakeEngine({"a": saying(b"", b"1")}))
    ran = run(store, steps, FakeEngine({"a": saying(b"", b"2")}), rebuild=True)
    assert verdicts(ran, steps) == {"a": Verdict.FAIL}
    assert "other words on standard output" in checks(ran, steps)["a"].reason
    ran = run(store, steps, FakeEngine({"a": saying(b"", b"1")}), rebuild=True)
    assert verdicts(ran, steps) == {"a": Verdict.PASS}


def test_words_that_nobody_uses_errors_and_times_may_differ(store: Store) -> None:
    steps = STEPS[:1]
    run(store, steps, FakeEngine({"a": saying(b"", b"order: x y")}))
    ran = run(store, steps, FakeEngine({"a": saying(b"", b"order: y, x")}), rebuild=True)
    assert verdicts(ran, steps) == {"a": Verdict.PASS}


def test_what_is_observed_is_neither_remembered_nor_compared(store: Store) -> None:
    looking = action("look", outputs=())
    steps = [Step("a", "", "", (), lambda _: action("a"), observe=lambda _: looking)]
    first = FakeEngine({"a": made(b"1"), "look": saying(b"", b"y x")})
    ran = run(store, steps, first)
    assert first.runs == ["look", "a"]
    assert list((store.root / "results").rglob("*.json")) == [record(store, "a")]
    seen = ran.results["a"].provenance
    assert seen is not None
    assert seen.observed == "y x"
    # What is remembered brings along what was seen when it was made, and nothing runs.
    engine = FakeEngine({})
    again = run(store, steps, engine).results["a"].provenance
    assert engine.runs == []
    assert again == seen
    # Made again it is observed again; the order of a folder is that of its file system.
    second = FakeEngine({"a": made(b"1"), "look": saying(b"", b"x y")})
    ran = run(store, steps, second, rebuild=True)
    assert second.runs == ["look", "a"]
    assert verdicts(ran, steps) == {"a": Verdict.PASS}
    seen = ran.results["a"].provenance
    assert seen is not None
    assert seen.observed == "x y"


def idle(name: str, *needs: str) -> Step:
    """A step that turns out to have nothing to do."""
    return step(name, *needs, make=lambda _: None)


def test_a_step_with_nothing_to_do_is_there_too(store: Store) -> None:
    steps = [step("a"), idle("nothing", "a"), idle("nor this", "nothing", "a")]
    steps.append(step("after", "nothing"))
    run(store, steps, FakeEngine({"a": made(b"1"), "after": chained}))
    ran = run(store, steps, FakeEngine({"a": made(b"1"), "after": chained}), rebuild=True)
    assert set(verdicts(ran, steps).values()) == {Verdict.PASS}
    assert "nothing to do" in checks(ran, steps)["nothing"].reason


@pytest.mark.parametrize(
    ("now", "expected"), [(b"", Verdict.SKIP), (b"2", Verdict.FAIL), (b"1", Verdict.PASS)]
)
def test_a_step_with_nothing_to_do_is_as_sure_as_those_that_say_so(
    store: Store, now: bytes, expected: Verdict
) -> None:
    # Out of the order in which they run, as a plan may name them.
    steps = [idle("nor this", "nothing", "b"), idle("nothing", "a"), step("a"), step("b")]
    if now:
        run(store, steps[2:], FakeEngine({"a": made(b"1"), "b": made(b"1")}))
    ran = run(store, steps, FakeEngine({"a": made(now), "b": made(b"1")}), rebuild=True)
    found = checks(ran, steps)
    assert {found[name].verdict for name in ("a", "nothing", "nor this")} == {expected}
    assert "there is nothing to do in this step" in found["nothing"].reason
    if now != b"1":
        assert found["nothing"].reason.endswith(": a")
        assert ": nothing" in found["nor this"].reason


def test_with_nothing_to_do_and_nothing_before_it_nothing_was_compared(store: Store) -> None:
    steps = [idle("nothing")]
    run(store, steps, FakeEngine({}))
    ran = run(store, steps, FakeEngine({}), rebuild=True)
    assert verdicts(ran, steps) == {"nothing": Verdict.SKIP}
    # Nor is what was lost on the way a PASS.
    steps = [step("a"), idle("nothing", "a")]
    run(store, steps, FakeEngine(TABLE))
    ran = run(store, steps, FakeEngine(TABLE), rebuild=True)
    del ran.compared["a"]
    assert verdicts(ran, steps)["nothing"] is Verdict.FAIL


def test_an_action_that_makes_nothing_is_not_compared(store: Store) -> None:
    steps = [step("a", make=lambda _: action("a", outputs=()))]
    engine = FakeEngine({"a": lambda _: Made()})
    run(store, steps, engine)
    assert verdicts(run(store, steps, engine, rebuild=True), steps) == {"a": Verdict.FAIL}


# -- the base of the comparison --------------------------------------------------------------------


def test_the_base_is_read_once_no_other_build_is_at_the_action(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = STEPS[:1]
    usual = Store.only_one

    @contextlib.contextmanager
    def waiting(self: Store, key: Digest, stop: Event | None = None) -> Iterator[None]:
        monkeypatch.undo()
        run(self, steps, FakeEngine(TABLE))  # the other one, which was there first
        with usual(self, key, stop):
            yield

    monkeypatch.setattr(Store, "only_one", waiting)
    ran = run(store, steps, FakeEngine({"a": made(b"2")}), rebuild=True)
    assert verdicts(ran, steps) == {"a": Verdict.FAIL}


@pytest.mark.parametrize(("now", "expected"), [(b"1", Verdict.PASS), (b"2", Verdict.FAIL)])
def test_without_a_result_of_its_own_another_engines_is_the_base_and_is_named(
    store: Store, now: bytes, expected: Verdict
) -> None:
    steps = STEPS[:1]
    run(store, steps, FakeEngine({"a": made(b"1")}, name="docker", own="ID:1"))
    for _ in range(2 if expected is Verdict.FAIL else 1):
        engine = FakeEngine({"a": made(now)}, name="sandbox")
        ran = run(store, steps, engine, rebuild=True)
        assert verdicts(ran, steps) == {"a": expected}
        assert "docker (ID:1, 20" in checks(ran, steps)["a"].reason
    # An own one comes first.
    run(store, steps, FakeEngine({"a": made(now)}, name="sandbox", own="its own"))
    ran = run(store, steps, FakeEngine({"a": made(now)}, name="sandbox"), rebuild=True)
    assert "sandbox (" in checks(ran, steps)["a"].reason


def write_nonsense(text: str) -> Callable[[Path], object]:
    return lambda place: place.write_text(text)


@pytest.mark.parametrize(
    "damage",
    [
        write_nonsense(""),
        write_nonsense("{"),
        write_nonsense("[]"),
        write_nonsense("{}"),
        write_nonsense('{"outputs": 5, "stdout": 6}'),
        write_nonsense('{"outputs": "blake3:00", "stdout": "blake3:00"}'),
        lambda place: os.truncate(place, 40),
    ],
)
def test_an_earlier_result_that_is_no_result_is_no_pass(
    store: Store, damage: Callable[[Path], object]
) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    damage(record(store, "a"))
    found = checks(run(store, STEPS, FakeEngine(TABLE), rebuild=True))
    assert found["a"].verdict is Verdict.SKIP
    assert "no earlier result to compare with: that of fake cannot be read" in found["a"].reason
    assert found["b"].verdict is Verdict.PASS


def test_a_lost_manifest_is_no_pass_and_lost_files_are_no_hindrance(root: Path) -> None:
    with closing(Store(root)) as store:
        ran = run(store, STEPS, FakeEngine(TABLE))
        store.blob(ran.results["a"].tree.digest).unlink()
        for entry in ran.results["b"].tree.files():
            store.path(entry).unlink()
    with closing(Store(root)) as store:
        found = checks(run(store, STEPS, FakeEngine(TABLE), rebuild=True))
    assert found["a"].verdict is Verdict.SKIP
    assert "found nothing" in found["a"].reason
    assert found["b"].verdict is Verdict.PASS


def a_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def a_file_above(place: Path) -> None:
    shutil.rmtree(place.parent)
    place.parent.write_text("")


def a_pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def a_loop(place: Path) -> None:
    place.unlink()
    place.symlink_to(place)


@pytest.mark.parametrize("spoil", [a_folder, a_file_above, a_loop, a_pipe])
def test_what_is_no_file_in_a_result_s_place_is_healed_and_no_pass(
    store: Store, spoil: Callable[[Path], None]
) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    place = record(store, "a")
    for _ in range(2):
        spoil(place)
        engine = FakeEngine(TABLE)
        run(store, STEPS, engine)
        assert engine.runs == ["a"]
        assert place.is_file()
    spoil(place)
    assert checks(run(store, STEPS, FakeEngine(TABLE), rebuild=True))["a"].verdict is Verdict.SKIP


@pytest.mark.parametrize("rebuild", [False, True])
def test_an_earlier_result_that_cannot_be_read_stops_the_build(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, rebuild: bool
) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    place = record(store, "a")
    read = regular.read

    def fail(path: Path, **rest: Any) -> bytes:  # noqa: ANN401 - as it is
        if path == place:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path, **rest)

    monkeypatch.setattr(regular, "read", fail)
    engine = FakeEngine(TABLE)
    with pytest.raises(InfrastructureError, match="cannot read what the store remembers") as seen:
        run(store, STEPS, engine, rebuild=rebuild)
    assert (seen.value.status, seen.value.subject) == (4, str(place))
    assert seen.value.remedy
    assert engine.runs == []


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_the_system_says_is_passed_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, *, rebuild: bool
) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    kept = run(store, STEPS, FakeEngine({})).results["a"].tree
    blob = store.unverified(next(kept.files()))
    usual = os.lstat

    def fail(path: Any, *arguments: Any, **named: Any) -> os.stat_result:  # noqa: ANN401 - as it is
        if str(path) == str(blob):
            raise OSError(number, os.strerror(number), str(blob))
        return usual(path, *arguments, **named)

    monkeypatch.setattr(os, "lstat", fail)
    with pytest.raises(InfrastructureError, match=os.strerror(number)) as seen:
        run(store, STEPS, FakeEngine(TABLE), rebuild=rebuild)
    assert (seen.value.status, seen.value.subject) == (4, str(blob))
    assert seen.value.remedy


def test_the_observer_is_told_of_a_rebuild(store: Store) -> None:
    run(store, STEPS, FakeEngine(TABLE))
    observer = FakeObserver()
    run(store, STEPS, FakeEngine(TABLE), observer=observer, rebuild=True)
    assert observer.told == [
        (what, name) for name in ("a", "b") for what in ("started", "finished")
    ]


def test_a_rebuild_takes_nothing_from_a_cache(store: Store) -> None:
    engine = FakeEngine(TABLE)
    engine.taken_from = dict.fromkeys(TABLE, "action cache (own)")
    run(store, STEPS, engine)
    with pytest.raises(InfrastructureError, match="a was to be run again"):
        run(store, STEPS, engine, rebuild=True)
    # What was taken before is what it is compared with.
    engine.taken_from = {}
    assert set(verdicts(run(store, STEPS, engine, rebuild=True)).values()) == {Verdict.PASS}


def test_what_was_taken_from_a_cache_is_not_remembered_for_a_comparison(store: Store) -> None:
    engine = FakeEngine(TABLE)
    engine.taken_from = dict.fromkeys(TABLE, "action cache (own)")
    run(store, STEPS, engine)
    engine.taken_from = {}

    def again() -> Execution:
        return Scheduler(
            engine=engine,
            store=store,
            policy=Policy(),
            observer=FakeObserver(),
            jobs=1,
            again=True,
            stop=threading.Event(),
        ).run(STEPS)

    assert not any(result.cached for result in again().results.values())
    assert engine.runs == ["a", "b"] * 2
    # What was run is.
    assert all(result.cached for result in again().results.values())
