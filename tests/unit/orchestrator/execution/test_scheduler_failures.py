"""What becomes of a failed action, of the others, and of the wish to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator.execution.either import Either
from reproducibility import digest
from reproducibility.errors import ActionError, InfrastructureError, Stopped
from tests.fakes import Asked, FakeEngine, Made, action, made
from tests.unit.orchestrator.execution.test_scheduler import run, step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.action import Action
    from orchestrator.execution.step import Results
    from orchestrator.store import Store


def failures(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (store.root / "failures").iterdir()}


def test_a_failing_step_ends_the_others_and_keeps_its_log(store: Store) -> None:
    started = threading.Event()
    ended = threading.Event()

    def fail(_: Asked) -> Made:
        assert started.wait(60)
        return Made(stdout=b"out words", stderr=b"x.go:1: undefined: y", exit_status=2)

    def go_on(asked: Asked) -> Made:
        started.set()
        try:
            return asked.until_stopped()
        except Stopped:
            ended.set()
            raise

    engine = FakeEngine({"long": go_on, "list/a/b": fail, "later": made(b"")})
    steps = [step("long"), step("list/a/b"), step("later", "list/a/b")]
    with pytest.raises(ActionError) as caught:
        run(store, steps, engine)
    assert ended.is_set()
    assert "later" not in engine.runs
    error = caught.value
    assert error.status == 3
    assert "list/a/b ended with exit status 2" in error.summary
    assert "x.go:1: undefined: y" in error.summary
    ((name, log),) = failures(store).items()
    assert name.startswith("list-a-b-")
    assert error.subject.endswith(name)
    assert b"x.go:1: undefined: y" in log
    assert b"out words" in log
    assert b'"/bin/true","list/a/b"' in log
    assert not list((store.root / "results").rglob("*.json"))


@pytest.mark.parametrize(
    ("ended_by", "said", "remedy"),
    [
        ("time", "after 77 s", "limits.seconds"),
        ("memory", "512 MiB", "limits.memory"),
        ("work", "256 MiB in its work directory or its outputs", "limits.work"),
        ("tmp", "4096 MiB in /tmp", "limits.tmp"),
        ("files", "262144 files", "limits.files"),
    ],
)
def test_a_limit_that_ended_an_action_is_named_with_its_remedy(
    store: Store, ended_by: str, said: str, remedy: str
) -> None:
    # Even where the action itself came to a good end.
    engine = FakeEngine({"a": lambda _: Made({"out": b"half"}, ended_by=ended_by)})
    with pytest.raises(ActionError) as caught:
        run(store, [step("a")], engine)
    assert said in caught.value.summary
    assert remedy in caught.value.remedy
    assert not list((store.root / "results").rglob("*.json"))


def test_only_the_end_of_long_words_is_shown_and_all_of_them_kept(store: Store) -> None:
    words = b"first\n" + b"x" * 50_000 + b"\nlast"
    with pytest.raises(ActionError) as caught:
        run(store, [step("a")], FakeEngine({"a": lambda _: Made(stderr=words, exit_status=1)}))
    assert "last" in caught.value.summary
    assert "first" not in caught.value.summary
    assert words in next(iter(failures(store).values()))


@pytest.mark.parametrize("files", [{}, {"other": b""}, {"outer": b""}, {"ou": b"", "t": b""}])
def test_a_missing_output_is_an_error(store: Store, files: Mapping[str, bytes]) -> None:
    with pytest.raises(ActionError, match="did not make out") as caught:
        run(store, [step("a")], FakeEngine({"a": lambda _: Made(files)}))
    assert failures(store)
    assert str(store.root) in caught.value.subject
    assert not list((store.root / "results").rglob("*.json"))


@pytest.mark.parametrize("files", [{"out": b""}, {"out": None}, {"out/deep/er": b""}])
def test_an_output_may_be_a_file_or_a_folder(
    store: Store, files: Mapping[str, bytes | None]
) -> None:
    ran = run(store, [step("a")], FakeEngine({"a": lambda _: Made(files)}))
    assert [entry.path for entry in ran.results["a"].tree] == list(files)


def test_an_output_that_no_tree_can_hold_is_the_actions_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine({"a": made(b"1")})
    usual = engine.execute

    def with_link(*arguments: object) -> object:
        outcome = usual(*arguments)  # type: ignore[arg-type]
        (outcome.outputs / "link").symlink_to("/etc/passwd")
        return outcome

    monkeypatch.setattr(engine, "execute", with_link)
    with pytest.raises(ActionError, match="a made something") as caught:
        run(store, [step("a")], engine)
    assert "link" in caught.value.subject


@pytest.mark.parametrize("error", [InfrastructureError("no daemon"), FileNotFoundError("gone")])
def test_an_engines_error_is_passed_on(store: Store, error: Exception) -> None:
    def fail(_: Asked) -> Made:
        raise error

    with pytest.raises(type(error)) as caught:
        run(store, [step("a")], FakeEngine({"a": fail}))
    assert caught.value is error
    assert not list((store.root / "scratch").glob("*/work-*"))


def test_an_error_while_making_an_action_is_passed_on(store: Store) -> None:
    def fail(_: Results) -> Action:
        raise ActionError("a program was not built")

    with pytest.raises(ActionError, match="was not built"):
        run(store, [step("a", make=fail)], FakeEngine({}))


def test_stop_ends_what_runs_and_starts_nothing_more(store: Store) -> None:
    stop = threading.Event()

    def go_on(asked: Asked) -> Made:
        stop.set()
        return asked.until_stopped()

    engine = FakeEngine({"a": go_on, "b": made(b"")})
    with pytest.raises(Stopped):
        run(store, [step("a"), step("b", "a")], engine, stop=stop)
    assert engine.runs == ["a"]
    assert not list((store.root / "results").rglob("*.json"))
    assert run(store, [step("a")], FakeEngine({"a": made(b"1")})).results["a"].tree


def test_stop_ends_the_wait_for_a_checkout_that_another_process_makes(store: Store) -> None:
    stop = threading.Event()

    def read(asked: Asked) -> Made:
        stop.set()
        return Made({"read": asked.read("/a")["1"]})

    engine = FakeEngine({"a": made(b"1"), "b": read})
    first = run(store, [step("a")], engine).results["a"].tree
    name = f"{first.digest.hex}-{action('b').epoch}"
    with store.only_one(digest.of_bytes(name.encode())), pytest.raises(Stopped):
        run(store, [step("a"), step("b", "a")], engine, stop=stop)


def test_stop_before_the_start(store: Store) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        run(store, [step("a"), step("b", "a")], FakeEngine({"a": made(b"")}), stop=stop)


def test_the_stop_that_an_engine_sees_can_be_waited_for() -> None:
    first, second = threading.Event(), threading.Event()
    either = Either(first, second)
    assert not either.wait(0)
    assert not either.wait(0.01)
    threading.Timer(0.05, second.set).start()
    assert either.wait(60)
    assert either.wait()
    assert either.is_set()
    assert not first.is_set()
