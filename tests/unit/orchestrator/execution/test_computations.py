"""Work that is done in this process, and the conditions and documents of all work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator import program
from orchestrator.execution.step import Computation, Computed, Step
from reproducibility import canonical, digest
from reproducibility.errors import InputError, Stopped
from reproducibility.manifest import Tree, file
from reproducibility.variations import VARIED
from tests.fakes import Asked, FakeEngine, FakeObserver, Made, action, made
from tests.unit.orchestrator.execution.test_scheduler import run, step

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from orchestrator.execution.step import Result
    from orchestrator.store import Store


def computing(
    name: str,
    compute: Callable[[Event], Computed],
    *needs: str,
    at_hand: Callable[[Result], bool] | None = None,
) -> Step:
    document = canonical.dumps({"what": name})
    work = Computation("kind", document, compute, at_hand)
    return Step(name, "", name, needs, lambda _: work, in_process=True)


def gives(store: Store, content: bytes, *, sound: bool = True) -> Callable[[Event], Computed]:
    tree = Tree([file("out", store.put_bytes(content), len(content))])
    return lambda _: Computed(tree, b"said", sound)


def test_a_computation_is_remembered_as_an_action_is(store: Store) -> None:
    observer = FakeObserver()
    steps = [step("a"), computing("c", gives(store, b"1"), "a")]
    engine = FakeEngine({"a": made(b"a")})
    first, second = (run(store, steps, engine, observer=observer) for _ in range(2))
    assert second.results["c"].tree == first.results["c"].tree
    assert store.read(second.results["c"].stdout) == b"said"
    assert [second.results[name].cached for name in "ac"] == [True, True]
    assert ("cached", "c") in observer.told
    # Whatever engine the build has.
    other = FakeEngine({"a": made(b"a")}, "other")
    assert run(store, steps, other).results["c"].cached
    provenance = first.results["c"].provenance
    assert provenance is not None
    assert provenance.engine.name == "orchestrate"


def test_another_build_of_the_program_computes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed writer of images must not hide behind what the one before has made."""
    actions = FakeEngine({"a": made(b"a")})

    def outcome(content: bytes) -> tuple[Result, Result]:
        steps = [step("a"), computing("c", gives(store, content), "a")]
        results = run(store, steps, actions).results
        return results["a"], results["c"]

    _, before = outcome(b"1")
    monkeypatch.setattr(program, "running", lambda: digest.of_bytes(b"another build"))
    action_after, after = outcome(b"2")
    assert not after.cached
    assert after.tree != before.tree
    assert after.key == before.key, "keys are given by the inputs"
    assert action_after.cached, "what an action gives does not depend on who starts it"
    assert outcome(b"3")[1].cached
    monkeypatch.undo()
    assert not outcome(b"1")[1].cached, "nor does the one before count for what this one computed"


def test_a_record_that_names_no_program_does_not_count(store: Store) -> None:
    steps = [computing("c", gives(store, b"1"))]
    key = run(store, steps, FakeEngine({})).results["c"].key
    document = store.recall("computed-kind", key)
    assert document is not None
    del document["program"]
    store.remember("computed-kind", key, document)
    assert not run(store, steps, FakeEngine({})).results["c"].cached


def test_a_rebuild_is_not_compared_with_what_another_build_computed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, [computing("c", gives(store, b"1"))], FakeEngine({}))
    monkeypatch.setattr(program, "running", lambda: digest.of_bytes(b"another build"))
    steps = [computing("c", gives(store, b"2"))]
    first, second = (
        run(store, steps, FakeEngine({}), rebuild=True).compared["c"] for _ in range(2)
    )
    assert (first.earlier, first.why) == (None, "")
    assert second.agrees


def test_what_is_not_sound_is_not_remembered_but_says_what_it_was(store: Store) -> None:
    for _ in range(2):
        [result] = run(
            store, [computing("c", gives(store, b"1", sound=False))], FakeEngine({})
        ).results.values()
        assert not result.cached
        assert result.action is not None
        assert canonical.loads(store.read(result.action)) == {"what": "c"}


def test_computations_are_done_one_at_a_time_and_actions_beside_them(store: Store) -> None:
    lock, meeting = threading.Lock(), threading.Barrier(2)
    now = most = 0

    def compute(_: Event) -> Computed:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        if meeting.n_waiting or not met:
            met.append(1)
            meeting.wait(60)
        with lock:
            now -= 1
        return Computed(Tree())

    def meet(_: Asked) -> Made:
        meeting.wait(60)
        return Made({"out": b""})

    met: list[int] = []
    steps = [*(computing(name, compute) for name in ("c1", "c2", "c3")), step("a")]
    run(store, steps, FakeEngine({"a": meet}), jobs=2)
    assert (most, met) == (1, [1])


def test_what_a_computation_refers_to_outlives_gc(store: Store) -> None:
    kept = Tree([file("x", store.put_bytes(b"content"), 7)])
    digest = store.save_tree(kept)
    run(
        store,
        [computing("c", lambda _: Computed(Tree(), refers=(digest,)))],
        FakeEngine({}),
    )
    store.put_bytes(b"nobody needs it")
    store.collect(unused_since=0)
    assert store.holds(store.load_tree(digest))


def test_files_elsewhere_are_looked_for_once(store: Store) -> None:
    asked: list[int] = []

    def at_hand(_: Result) -> bool:
        asked.append(1)
        return False

    for _ in range(2):
        run(store, [computing("c", gives(store, b"1"), at_hand=at_hand)], FakeEngine({}))
    assert asked == [1]


def test_a_computation_is_given_the_wish_to_stop(store: Store) -> None:
    stop = threading.Event()

    def compute(wish: Event) -> Computed:
        stop.set()
        assert wish.wait(60)
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        run(store, [computing("c", compute)], FakeEngine({}), stop=stop)


def test_a_failed_computation_ends_what_runs_beside_it(store: Store) -> None:
    def fails(_: Event) -> Computed:
        raise InputError("no such package")

    engine = FakeEngine({"a": lambda asked: asked.until_stopped()})
    with pytest.raises(InputError, match="no such package"):
        run(store, [step("a"), computing("c", fails)], engine, jobs=2)


def test_an_action_is_run_under_its_steps_conditions(store: Store) -> None:
    seen: dict[str, object] = {}

    def note(asked: Asked) -> Made:
        seen[asked.action.name] = asked.action.conditions
        return Made({"out": b""}, stdout=b"{}")

    def look(_: object) -> object:
        return action("look", outputs=())

    varied = Step(
        "a",
        "",
        "",
        (),
        lambda _: action("a"),
        conditions=VARIED,
        observe=look,  # type: ignore[arg-type]
    )
    ran = run(store, [varied, step("b")], FakeEngine({"a": note, "look": note, "b": note}))
    assert (seen["a"], seen["look"]) == (VARIED, VARIED)
    assert seen["b"] != VARIED
    for one in (ran, run(store, [varied, step("b")], FakeEngine({}))):
        assert one.results["a"].conditions == VARIED.describe()
        assert one.results["b"].conditions == {}
    # What is done is the same document, and its result another one.
    usual = run(store, [Step("a", "", "", (), lambda _: action("a"))], FakeEngine({"a": note}))
    assert usual.results["a"].action == ran.results["a"].action
    assert usual.results["a"].key != ran.results["a"].key


def test_a_lost_document_of_an_action_is_written_again(store: Store) -> None:
    engine = FakeEngine({"a": made(b"a")})
    document = run(store, [step("a")], engine).results["a"].action
    assert document is not None
    place = store.blob(document)
    place.chmod(0o644)
    place.write_bytes(b"damaged")
    assert store.verify()[1] == [document]
    assert run(store, [step("a")], engine).results["a"].cached
    assert engine.runs == ["a"]
    store.collect(unused_since=0)
    assert store.has(document)
