"""The scheduler: right order, nothing done twice, failures kept and told, rebuilds compared."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from containers.action import Action, Mount
from containers.policy import Limits, Policy
from orchestrator.execution import logs, scheduler
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Execution, Results, Step
from orchestrator.store import DamagedBlob, Store
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import digest
from reproducibility.errors import ActionError, InfrastructureError, Stopped
from tests.fakes import Asked, FakeEngine, FakeObserver, Made, Work, action, made

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from reproducibility.manifest import Tree

# Of the BLAKE3 of `list/example.com/abcdefghi/.../amd64`.
DIGITS = "013af2a100a2e21f"
POLICY = Policy(Limits(memory=512 << 20, work=256 << 20, seconds=77))


def step(name: str, *needs: str, make: Callable[[Results], Action | None] | None = None) -> Step:
    """A step whose action reads the outputs of those that it needs at `/<name>`."""

    def usual(results: Results) -> Action:
        mounts = tuple(Mount(f"/{need}", results[need].tree) for need in needs)
        return action(name, mounts=mounts)

    return Step(name, "stage", f"subject of {name}", needs, make or usual)


def run(  # noqa: PLR0913 - what a test may vary
    store: Store,
    steps: Sequence[Step],
    engine: FakeEngine,
    *,
    observer: FakeObserver | None = None,
    jobs: int = 2,
    rebuild: bool = False,
    stop: threading.Event | None = None,
) -> Execution:
    return Scheduler(
        engine=engine,
        store=store,
        policy=POLICY,
        observer=observer or FakeObserver(),
        jobs=jobs,
        rebuild=rebuild,
        stop=stop or threading.Event(),
    ).run(steps)


def chained(asked: Asked) -> Made:
    """Says what it read."""
    read = {mount.at: asked.read(mount.at) for mount in asked.action.mounts}
    return Made({"out": repr(sorted(read.items())).encode() + asked.action.name.encode()})


def content(store: Store, tree: Tree) -> dict[str, bytes]:
    return {entry.path: store.path(entry).read_bytes() for entry in tree.files()}


# -- order -----------------------------------------------------------------------------------------


def test_every_step_knows_how_many_may_run_at_once(store: Store) -> None:
    engine = FakeEngine({name: made(name.encode()) for name in "ab"})
    run(store, [step("a"), step("b", "a")], engine, jobs=3)
    # And so does what is said of the enforcement, which is one for all of them.
    assert [policy.beside for policy in engine.policies] == [3] * 4


def test_each_step_gets_what_those_before_it_made(store: Store) -> None:
    engine = FakeEngine(dict.fromkeys(["a", "b", "c"], chained))
    ran = run(store, [step("c", "b", "a"), step("b", "a"), step("a")], engine)
    assert engine.runs == ["a", "b", "c"]
    assert content(store, ran.results["b"].tree) == {"out": b"[('/a', {'out': b'[]a'})]b"}
    assert not ran.compared


def test_the_earlier_in_the_list_the_sooner(store: Store) -> None:
    names = [f"s{number}" for number in range(6)]
    engine = FakeEngine({name: made(name.encode()) for name in names})
    run(store, [step(name) for name in names], engine, jobs=1)
    assert engine.runs == names


def test_independent_steps_run_at_the_same_time(store: Store) -> None:
    meeting = threading.Barrier(3)

    def meet(_: Asked) -> Made:
        meeting.wait(60)
        return Made({"out": b""})

    engine = FakeEngine(dict.fromkeys("abc", meet))
    run(store, [step(name) for name in "abc"], engine, jobs=3)
    assert sorted(engine.runs) == ["a", "b", "c"]


def test_no_more_than_the_wanted_number_run_at_the_same_time(store: Store) -> None:
    lock = threading.Lock()
    now = most = 0

    def count(_: Asked) -> Made:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1
        return Made({"out": b""})

    names = [f"s{number}" for number in range(12)]
    run(store, [step(name) for name in names], FakeEngine(dict.fromkeys(names, count)), jobs=3)
    assert 1 <= most <= 3


def test_the_observer_is_told(store: Store) -> None:
    observer = FakeObserver()
    run(store, [step("a")], FakeEngine({"a": made(b"1")}), observer=observer)
    run(store, [step("a")], FakeEngine({}), observer=observer)
    assert observer.told == [("started", "a"), ("finished", "a"), ("cached", "a")]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([step("a", "b"), step("b", "a")], "cycle"),
        ([step("a", "a")], "cycle"),
        ([step("x"), step("a", "b"), step("b", "c"), step("c", "a")], "cycle"),
        ([step("a", "missing")], "names a step that is not in it"),
        ([step("a"), step("a")], "one name"),
    ],
)
def test_refuses_a_plan_that_cannot_end(store: Store, steps: list[Step], said: str) -> None:
    engine = FakeEngine({})
    with pytest.raises(InfrastructureError, match=said):
        run(store, steps, engine)
    assert not engine.runs


def test_an_empty_plan_is_done(store: Store) -> None:
    assert run(store, [], FakeEngine({})) == Execution({}, {})


def test_a_step_with_nothing_to_do_gives_an_empty_tree(store: Store) -> None:
    observer = FakeObserver()
    engine = FakeEngine({"after": chained})
    ran = run(
        store,
        [step("nothing", make=lambda _: None), step("after", "nothing")],
        engine,
        observer=observer,
    )
    assert len(ran.results["nothing"].tree) == 0
    assert ran.results["nothing"].cached
    assert store.read(ran.results["nothing"].stdout) == b""
    assert engine.runs == ["after"]
    assert ("cached", "nothing") in observer.told


# -- remembered work -------------------------------------------------------------------------------


def test_a_second_run_does_not_touch_the_engine(root: Path) -> None:
    steps = [step("a"), step("b", "a")]
    with closing(Store(root)) as store:
        engine = FakeEngine(
            {"a": lambda _: Made({"out": b"1"}, stdout=b"words", stderr=b"more"), "b": chained}
        )
        first = run(store, steps, engine)
    with closing(Store(root)) as store:
        second = run(store, steps, FakeEngine({}))
        assert {name: replace(r, cached=False) for name, r in second.results.items()} == (
            first.results
        )
        assert all(result.cached for result in second.results.values())
        assert store.read(second.results["a"].stdout) == b"words"
        assert store.read(second.results["a"].stderr) == b"more"
        assert second.results["a"].seconds == 0.25
        assert second.results["a"].peak_memory == 4096


def test_engines_never_share_what_they_remember(store: Store) -> None:
    one = FakeEngine({"a": made(b"1")}, name="sandbox")
    other = FakeEngine({"a": made(b"2")}, name="docker")
    first = run(store, [step("a")], one).results["a"]
    second = run(store, [step("a")], other).results["a"]
    assert (one.runs, other.runs) == (["a"], ["a"])
    assert not second.cached
    assert first.key == second.key
    assert first.tree != second.tree
    assert run(store, [step("a")], FakeEngine({}, name="sandbox")).results["a"].tree == first.tree
    assert run(store, [step("a")], FakeEngine({}, name="docker")).results["a"].tree == second.tree


def test_a_change_runs_only_what_depends_on_it(store: Store) -> None:
    names = ["a", "b", "ab", "abc"]
    table: dict[str, Work] = dict.fromkeys(names, chained)
    steps = [step("a"), step("b"), step("ab", "a", "b"), step("abc", "ab")]
    run(store, steps, FakeEngine(table))
    changed = step("b", make=lambda _: action("b", environment=(("NEW", "1"),)))
    engine = FakeEngine(table)
    run(store, [steps[0], changed, *steps[2:]], engine)
    # What `b` makes is the same as before, so what stands on it need not run again.
    assert engine.runs == ["b"]
    engine = FakeEngine({**table, "b": made(b"other")})
    run(store, [steps[0], step("b", make=lambda _: action("b", epoch=1)), *steps[2:]], engine)
    assert engine.runs == ["b", "ab", "abc"]


def test_a_step_goes_on_where_a_failed_run_stopped(store: Store) -> None:
    steps = [step("a"), step("b", "a")]
    with pytest.raises(ActionError):
        run(store, steps, FakeEngine({"a": made(b"1"), "b": lambda _: Made(exit_status=1)}))
    engine = FakeEngine({"b": chained})
    ran = run(store, steps, engine)
    assert engine.runs == ["b"]
    assert ran.results["a"].cached


def remembered(store: Store) -> Path:
    (place,) = (path for path in (store.root / "results" / "action-fake").rglob("*.json"))
    return place


def lose_an_output(store: Store, tree: Tree) -> None:
    store.path(next(tree.files())).unlink()


def lose_the_manifest(store: Store, tree: Tree) -> None:
    store.blob(tree.digest).unlink()


def lose_the_words(store: Store, _: Tree) -> None:
    store.blob(digest.of_bytes(b"words")).unlink()


def cut_an_output_short(store: Store, tree: Tree) -> None:
    place = store.path(next(tree.files()))
    place.chmod(0o644)
    place.write_bytes(b"")


def damage_the_manifest(store: Store, tree: Tree) -> None:
    place = store.blob(tree.digest)
    place.chmod(0o644)
    place.write_bytes(place.read_bytes().replace(b"out", b"0ut"))


def write_nonsense(text: str) -> Callable[[Store, Tree], None]:
    def write(store: Store, _: Tree) -> None:
        remembered(store).write_text(text)

    return write


@pytest.mark.parametrize(
    "lose",
    [
        lose_an_output,
        lose_the_manifest,
        lose_the_words,
        cut_an_output_short,
        damage_the_manifest,
        write_nonsense("{"),
        write_nonsense("[]"),
        write_nonsense("{}"),
        write_nonsense('{"outputs": 5}'),
        write_nonsense('{"outputs": "blake3:00"}'),
    ],
)
def test_a_result_that_is_not_all_there_is_made_again(
    root: Path, lose: Callable[[Store, Tree], None]
) -> None:
    table: dict[str, Work] = {"a": lambda _: Made({"out": b"1"}, stdout=b"words")}
    with closing(Store(root)) as store:
        before = run(store, [step("a")], FakeEngine(table)).results["a"]
        lose(store, before.tree)
    with closing(Store(root)) as store:
        engine = FakeEngine(table)
        after = run(store, [step("a")], engine).results["a"]
        assert engine.runs == ["a"]
        assert (after.tree, after.stdout) == (before.tree, before.stdout)
        assert content(store, after.tree) == {"out": b"1"}


def test_a_damaged_output_is_noticed_where_it_is_used_and_made_again_in_the_next_round(
    root: Path,
) -> None:
    table: dict[str, Work] = {"a": made(b"1"), "b": chained}
    with closing(Store(root)) as store:
        tree = run(store, [step("a")], FakeEngine(table)).results["a"].tree
        place = store.path(next(tree.files()))
        place.chmod(0o644)
        place.write_bytes(b"2")
    with closing(Store(root)) as store:
        engine = FakeEngine(table)
        with pytest.raises(DamagedBlob):
            run(store, [step("a"), step("b", "a")], engine)
        assert engine.runs == ["b"]
        ran = run(store, [step("a"), step("b", "a")], engine)
        assert engine.runs == ["b", "a", "b"]
        assert content(store, ran.results["b"].tree) == {"out": b"[('/a', {'out': b'1'})]b"}


def test_two_steps_that_are_the_same_action_run_it_once(store: Store) -> None:
    # Their names are not part of the key.
    same = action("same")
    engine = FakeEngine({"same": made(b"1")})
    ran = run(store, [step("a", make=lambda _: same), step("b", make=lambda _: same)], engine)
    assert engine.runs == ["same"]
    assert ran.results["a"].tree == ran.results["b"].tree


def test_two_builds_at_once_run_an_action_once(root: Path) -> None:
    running, go = threading.Event(), threading.Event()

    def wait(_: Asked) -> Made:
        running.set()
        go.wait(60)
        return Made({"out": b"1"})

    engine = FakeEngine({"a": wait})
    found: list[Execution] = []

    def build() -> None:
        with closing(Store(root)) as store:
            found.append(run(store, [step("a")], engine))

    first = threading.Thread(target=build)
    first.start()
    assert running.wait(60)
    second = threading.Thread(target=build)
    second.start()
    go.set()
    first.join()
    second.join()
    assert engine.runs == ["a"]
    assert sorted(ran.results["a"].cached for ran in found) == [False, True]


def test_waiting_for_another_build_can_be_stopped(store: Store) -> None:
    stop = threading.Event()
    with store.only_one(action("a").key):
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Stopped):
            run(store, [step("a")], FakeEngine({}), stop=stop)


# -- logs ------------------------------------------------------------------------------------------


def test_each_actions_words_go_into_a_file_of_its_own(store: Store, tmp_path: Path) -> None:
    def says(words: bytes) -> Work:
        return lambda _: Made({"out": b""}, stdout=words + b"-out ", stderr=words + b"-err ")

    names = ["list/a-b", "list-a/b", "F1"]
    engine = FakeEngine({name: says(name.encode()) for name in names})
    ran = run(store, [step(name) for name in names], engine)
    folder = tmp_path / "logs"
    folder.mkdir()
    logs.write(ran.results, store, folder)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(found.values()) == {f"{name}-err {name}-out ".encode() for name in names}
    assert found["F1.log"] == b"F1-err F1-out "
    assert found["list-a-b.log"] == b"list-a/b-err list-a/b-out "


def long(end: str, piece: str = "abcdefghi") -> str:
    """A step's name as a module path that a spec may have makes it."""
    return f"list/example.com/{'/'.join([piece] * 30)}/{end}"


def test_a_long_name_of_a_step_is_cut_to_one_that_a_disk_takes(
    store: Store, tmp_path: Path
) -> None:
    names = [long("amd64"), long("arm64"), long("arm64").replace("/", "-"), long("é", "ünï")]
    table: dict[str, Work] = {name: made(b"") for name in names}
    ran = run(store, [step(name) for name in names], FakeEngine(table))
    folder = tmp_path / "logs"
    folder.mkdir()
    logs.write(ran.results, store, folder)
    found = sorted(path.name for path in folder.iterdir())
    assert found == sorted(map(logs.name_of, names))
    assert len(set(found)) == len(names)
    assert all(name.startswith("list-example.com-") and name.endswith(".log") for name in found)
    assert max(len(name.encode()) for name in found) <= 221
    assert logs.name_of(names[0]) == f"list-example.com-{'abcdefghi-' * 18}abc-{DIGITS}.log"


def test_a_name_that_a_disk_takes_stays_as_it_is() -> None:
    for key in ("", "0123456789abcdef"):
        end = "-0123456789ab.log" if key else ".log"
        whole = "a/b/" + "c" * (240 - 4 - len(end))
        assert logs.name_of(whole, key) == whole.replace("/", "-") + end
        assert len(logs.name_of(f"{whole}c", key)) == 200 + 17 + len(end)


def test_what_a_step_of_a_long_name_said_when_it_failed_is_told(store: Store) -> None:
    def fails(_: Asked) -> Made:
        return Made(exit_status=1, stderr=b"compile error: x.go:1")

    with pytest.raises(ActionError, match=r"compile error: x\.go:1") as caught:
        run(store, [step(long("amd64"))], FakeEngine({long("amd64"): fails}))
    (log,) = (store.root / "failures").iterdir()
    assert caught.value.subject == f"the whole log is in {log}"
    assert b"compile error" in log.read_bytes()


def test_the_default_number_of_jobs_is_small() -> None:
    assert 1 <= scheduler.default_jobs() <= 4


def test_an_input_of_an_action_has_the_actions_time(store: Store) -> None:
    seen: list[float] = []

    def look(asked: Asked) -> Made:
        (mount,) = asked.action.mounts
        folder = asked.blobs.checkout(mount.tree, asked.action.epoch)
        seen.append((folder / "out").stat().st_mtime)
        return Made({"out": b""})

    run(store, [step("a"), step("b", "a")], FakeEngine({"a": made(b"1"), "b": look}))
    assert seen == [BLOB_TIME]
