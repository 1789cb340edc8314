"""The remote engine against a farm in memory: what travels, what comes back, what it says."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

from containers.policy import Limits, Policy
from containers.remote import naming
from containers.remote import reapi_pb2 as api
from containers.remote.request import INPUTS, REPORT
from containers.sandbox.supervise import Log
from reproducibility.errors import ActionError, InfrastructureError, Stopped
from tests.fake_farm import WORKER, Seen
from tests.fakes import Made, action
from tests.farm_messages import serialized
from tests.unit.containers.remote.conftest import mounted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.containers.remote.conftest import Bench

LARGE = bytes(range(256)) * 40_000
FILES = {"a/b": b"hallo", "large": LARGE, "empty": b"", "run": b"#!"}


def copied(seen: Seen) -> Made:
    """What the first input tree holds, as outputs."""
    start = f"{INPUTS}/0/"
    files = {
        f"out/{path.removeprefix(start)}": content
        for path, content in seen.inputs.items()
        if path.startswith(start)
    }
    programs = frozenset(
        f"out/{path.removeprefix(start)}" for path in seen.executable if path.startswith(start)
    )
    return Made(files, programs, stdout=b"said", stderr=b"complained")


@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize("function", ["blake3", "sha256"])
def test_inputs_travel_and_outputs_come_back(bench: Bench, function: str, *, zstd: bool) -> None:
    farm = bench.serve({"copy": copied}, function=function, zstd=zstd)
    tree = bench.tree(FILES, frozenset({"run"}))
    outcome = bench.run(bench.engine(), mounted("copy", tree))
    assert outcome.tree == tree.at("out")
    assert bench.content(outcome) == {f"out/{path}": data for path, data in FILES.items()}
    assert (outcome.exit_status, outcome.ended_by, outcome.taken_from) == (0, "", "")
    assert bench.store.read(outcome.stdout) == b"said"
    assert bench.store.read(outcome.stderr) == b"complained"
    assert outcome.worker == f"{WORKER} (a machine)"
    assert outcome.engine.name == "remote"
    assert outcome.enforcement
    assert bench.store.load_tree(outcome.tree.digest) == outcome.tree
    assert farm.runs == ["copy"]


@pytest.mark.parametrize("more", [0, 1])
def test_it_is_said_whether_standard_output_was_cut(
    bench: Bench, tmp_path: Path, more: int
) -> None:
    # The launcher of farms cuts in the same way.
    log = Log(tmp_path / "log", 100)
    log.write(b"x" * (100 + more))
    log.close()
    words = (tmp_path / "log").read_bytes()
    bench.serve({"say": lambda _: Made({"out": b""}, stdout=words)})
    outcome = bench.run(bench.engine(), action("say"), Policy(Limits(log=100)))
    assert outcome.cut is bool(more)
    assert bench.store.read(outcome.stdout) == words


@pytest.mark.parametrize("function", ["blake3", "sha256"])
def test_only_what_is_missing_travels(bench: Bench, function: str) -> None:
    farm = bench.serve({"copy": copied, "other": copied}, function=function)
    tree = bench.tree(FILES)
    bench.run(bench.engine(), mounted("copy", tree))
    sent = dict(farm.sent)
    assert set(sent.values()) == {1}
    bench.run(bench.engine(), mounted("other", tree))
    again = farm.sent - farm.sent.__class__(sent)
    # The folder of the tools, the command, the action under its two names, and the request.
    assert len(again) <= 6
    assert not {farm.name(data) for data in FILES.values()} & set(again)


@pytest.mark.parametrize("function", ["blake3", "sha256"])
def test_what_is_here_already_is_not_brought(bench: Bench, function: str) -> None:
    farm = bench.serve({"copy": copied}, function=function)
    tree = bench.tree(FILES)
    engine = bench.engine()
    bench.run(engine, mounted("copy", tree))
    _, received = engine.traffic
    # Not even the first time: its bytes were sent from here. Only the Tree, report and words.
    assert received.size < len(LARGE)
    assert farm.calls["Read"] == 3


def test_names_for_the_transport_are_remembered(bench: Bench) -> None:
    bench.serve({"copy": copied}, function="sha256")
    tree = bench.tree(FILES)
    bench.run(bench.engine(), mounted("copy", tree))
    # Another engine reads no file for its name: there are none any more.
    blobs = {e.digest: bench.store.unverified(e) for e in tree.files()}
    for path in blobs.values():
        path.unlink()
    outcome = bench.run(bench.engine(), mounted("copy", tree))
    assert outcome.tree == tree.at("out")
    assert all(path.exists() for path in blobs.values())


def test_a_farm_without_batches_gets_streams(bench: Bench) -> None:
    farm = bench.serve({"copy": copied}, batch=1)
    tree = bench.tree(FILES)
    outcome = bench.run(bench.engine(), mounted("copy", tree))
    assert outcome.tree == tree.at("out")
    assert farm.calls["BatchUpdateBlobs"] == farm.calls["BatchReadBlobs"] == 0


def test_a_failure_is_an_outcome_without_outputs(bench: Bench) -> None:
    bench.serve({"fail": lambda _: Made({"out": b"x"}, exit_status=3, stderr=b"no")})
    outcome = bench.run(bench.engine(), action("fail"))
    assert (outcome.exit_status, outcome.failed, len(outcome.tree)) == (3, True, 0)


@pytest.mark.parametrize(
    ("limits", "ended"),
    [(Limits(work=5), "work"), (Limits(files=1), "files"), (Limits(), "")],
)
def test_outputs_beyond_a_limit_are_not_taken(bench: Bench, limits: Limits, ended: str) -> None:
    bench.serve({"much": lambda _: Made({"out/a": b"123", "out/b": b"456"})})
    outcome = bench.run(bench.engine(), action("much"), Policy(limits))
    assert outcome.ended_by == ended
    assert len(outcome.tree) == (0 if ended else 2)


def test_a_worker_that_cannot_isolate_runs_nothing(bench: Bench) -> None:
    bench.serve({"try": lambda _: Made(stderr=b"refused: no user namespaces")})
    with pytest.raises(InfrastructureError, match="cannot isolate it: refused: no user") as caught:
        bench.run(bench.engine(), action("try"))
    assert WORKER in caught.value.subject
    assert caught.value.remedy == "allow it"


def test_a_result_without_a_report_is_not_taken(bench: Bench) -> None:
    work = {"try": lambda _: Made({"out": b"x"}, stderr=b"sh: no such program")}
    farm = bench.serve(work)
    finished = farm._finished

    def without(made: Made) -> api.ActionResult:
        result = finished(made)
        del result.output_files[:]
        return result

    farm._finished = without  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError, match=r"not run in isolation.*\n.*no such program"):
        bench.run(bench.engine(), action("try"))


def test_links_among_the_outputs_are_refused(bench: Bench) -> None:
    farm = bench.serve({"link": lambda _: Made({"out/a": b"x"})})
    finished = farm._finished

    def with_link(made: Made) -> api.ActionResult:
        result = finished(made)
        tree = api.Tree()
        tree.root.symlinks.add(name="out", target="/etc/passwd")
        digest = farm.put(tree.SerializeToString()).message
        result.output_directories[0].tree_digest.CopyFrom(digest)
        return result

    farm._finished = with_link  # type: ignore[method-assign]
    with pytest.raises(ActionError, match="no links"):
        bench.run(bench.engine(), action("link"))


def test_the_report_itself_may_be_no_link(bench: Bench) -> None:
    farm = bench.serve({"link": lambda _: Made({"out/a": b"x"})})
    finished = farm._finished

    def with_link(made: Made) -> api.ActionResult:
        result = finished(made)
        result.output_symlinks.add(path=REPORT, target="elsewhere")
        return result

    farm._finished = with_link  # type: ignore[method-assign]
    with pytest.raises(ActionError, match="no links"):
        bench.run(bench.engine(), action("link"))


def test_stopping_cancels_what_runs_there(bench: Bench) -> None:
    begun = threading.Event()
    over = threading.Event()

    def waits(seen: Seen) -> Made:
        begun.set()
        if seen.ended.wait(60):
            over.set()
        return Made({"out": b""})

    farm = bench.serve({"wait": waits})
    engine = bench.engine()

    def stop() -> None:
        begun.wait(60)
        bench.stop.set()

    threading.Thread(target=stop).start()
    with pytest.raises(Stopped):
        bench.run(engine, action("wait"))
    assert over.wait(60)
    assert farm.cancelled == ["operations/1"]


def test_an_architecture_without_workers_is_said(bench: Bench) -> None:
    bench.serve({})
    with pytest.raises(InfrastructureError, match="no workers for riscv64"):
        bench.run(bench.engine(), action("try", architecture="riscv64"))


def test_it_says_how_many_actions_and_processors_there_are(bench: Bench) -> None:
    bench.serve({})
    engine = bench.engine(actions=17)
    assert (engine.actions, engine.processors) == (17, 2)
    assert engine.identity.document() == {
        "name": "remote",
        "identity": bench.farm.address,
        "version": "REAPI 2.3",
    }
    assert engine.capabilities()["host"].refusal == ""
    assert engine.enforcement(Policy()) == ()


def test_nobody_there_is_said(bench: Bench) -> None:
    engine = bench.engine()
    with pytest.raises(InfrastructureError, match="cannot ask the farm what it offers"):
        engine.meet()


def test_what_travelled_is_said_at_the_end(bench: Bench) -> None:
    bench.serve({"copy": copied}, zstd=True)
    with bench.engine() as engine:
        bench.run(engine, mounted("copy", bench.tree(FILES)))
    (said,) = bench.notes
    assert re.fullmatch(
        r"to the farm went \d+ blobs of 9\.8 MiB \([0-9.]+ MiB compressed\); "
        r"from it came \d+ blobs of 0\.0 MiB(?: \(0\.0 MiB compressed\))?",
        said,
    )


def test_several_actions_run_at_once(bench: Bench) -> None:
    both = threading.Barrier(2)

    def meets(_: Seen) -> Made:
        both.wait(60)
        return Made({"out": b""})

    farm = bench.serve({"one": meets, "two": meets})
    engine = bench.engine()
    threads = [
        threading.Thread(target=bench.run, args=(engine, action(name))) for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert farm.most == 2


def test_the_command_names_its_outputs_and_workers(bench: Bench) -> None:
    seen: list[Seen] = []

    def look(one: Seen) -> Made:
        seen.append(one)
        return Made({"out": b""})

    bench.serve({"look": look})
    bench.run(bench.engine(timeout=600), action("look"))
    (one,) = seen
    assert list(one.command.output_paths) == ["outputs", REPORT]
    assert [(p.name, p.value) for p in one.action.platform.properties] == [("OSFamily", "linux")]
    assert one.action.timeout.seconds == 600
    assert not one.action.do_not_cache


@pytest.mark.parametrize("gives", [True, False])
@pytest.mark.parametrize("function", ["blake3", "sha256"])
def test_what_is_here_already_is_that_only_with_its_size(
    bench: Bench, function: str, *, gives: bool
) -> None:
    farm = bench.serve({"copy": copied}, function=function)
    finished = farm._finished
    claimed = naming.Name(farm.name(b"hallo").hash, 6)

    def larger(made: Made) -> api.ActionResult:
        result = finished(made)
        tree = api.Tree()
        tree.root.files.add(name="out", digest=claimed.message)
        result.output_directories[0].tree_digest.CopyFrom(farm.put(serialized(tree)).message)
        return result

    farm._finished = larger  # type: ignore[method-assign]
    if gives:
        farm.lies[claimed] = b"hallo"
    words = "other bytes than" if gives else "NOT_FOUND"
    with pytest.raises(InfrastructureError, match=words):
        bench.run(bench.engine(), mounted("copy", bench.tree({"a": b"hallo"})))


@pytest.mark.parametrize("what", ["words", "tree"])
def test_what_is_said_to_be_empty_has_the_name_of_that(bench: Bench, what: str) -> None:
    farm = bench.serve({"copy": lambda _: Made({"out": b"x"}, stdout=b"said")})
    finished = farm._finished

    def emptied(made: Made) -> api.ActionResult:
        result = finished(made)
        folder = result.output_directories[0]
        (result.stdout_digest if what == "words" else folder.tree_digest).size_bytes = 0
        return result

    farm._finished = emptied  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError, match="other bytes than"):
        bench.run(bench.engine(), action("copy"))
