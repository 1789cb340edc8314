"""What a farm, its workers and the connection to it can do wrong, and what comes of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
import pytest
import zstandard
from blake3 import blake3

from containers.remote import calls, sending
from containers.remote import reapi_pb2 as api
from containers.remote.request import INPUTS
from reproducibility.errors import InfrastructureError
from tests.fakes import Made, action
from tests.unit.containers.remote.conftest import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_farm import FakeFarm, Seen
    from tests.unit.containers.remote.conftest import Bench

Code = grpc.StatusCode
# Larger than a batch, also when they are compressed.
LARGE = blake3(b"one").digest(length=5_600_000)
OTHER = blake3(b"another").digest(length=5_600_000)
SMALL = b"a small one"
MADE = Made({"out/large": OTHER, "out/small": SMALL})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containers.remote.calls._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("containers.remote.calls._LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("containers.remote.execution._PAUSE", 0.01)


def ran(bench: Bench, farm: FakeFarm, **settings: object) -> dict[str, bytes]:
    """What comes of an action with a large and a small input, and a large and a small output."""
    farm.table["work"] = lambda _: MADE
    tree = bench.tree({"large": LARGE, "small": b"an input"})
    outcome = bench.run(bench.engine(**settings), mounted("work", tree))
    assert outcome.exit_status == 0
    return bench.content(outcome)


METHODS = (
    *("FindMissingBlobs", "BatchUpdateBlobs", "BatchReadBlobs", "Read", "Write"),
    *("Execute", "WaitExecution"),
)


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.INTERNAL])
@pytest.mark.parametrize("method", METHODS)
def test_a_call_that_fails_is_made_again(bench: Bench, method: str, code: Code) -> None:
    farm = bench.serve({})
    farm.plant(method, code=code, times=2)
    if method == "WaitExecution":
        farm.plant("Execute", after=1)
    assert ran(bench, farm) == MADE.files
    assert farm.runs == ["work"]
    away = [note for note in bench.notes if "out of reach" in note]
    assert bool(away) == (code == Code.UNAVAILABLE or method == "WaitExecution")


@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize("method", ["Read", "Write"])
def test_a_stream_that_is_cut_goes_on(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch, *, zstd: bool
) -> None:
    monkeypatch.setattr("containers.remote.sending.PIECE", 1 << 18)
    farm = bench.serve({}, zstd=zstd)
    # More often than a fault without progress is borne.
    for number in range(1, 9):
        farm.plant(method, code=Code.INTERNAL, after=number * 100_000)
    assert ran(bench, farm) == MADE.files
    assert farm.calls[method] >= 9


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[api.WriteRequest]:
    """The first message of each stream to the farm, in their order."""
    found: list[api.WriteRequest] = []
    begun = sending._Upload.requests

    def requests(
        upload: sending._Upload, place: str, pieces: Iterator[bytes], stop: threading.Event
    ) -> Iterator[api.WriteRequest]:
        for number, request in enumerate(begun(upload, place, pieces, stop)):
            if number == 0:
                found.append(request)
            yield request

    monkeypatch.setattr(sending, "PIECE", 1 << 18)
    monkeypatch.setattr(sending._Upload, "requests", requests)
    return found


def test_a_compressed_stream_that_is_cut_begins_anew_as_a_plain_one(
    bench: Bench, uploads: list[api.WriteRequest]
) -> None:
    farm = bench.serve({}, zstd=True)
    # Bytes that get smaller: a place in them is none in the compressed ones.
    content = bytes(LARGE[:1_000_000]) + bytes(range(256)) * 40_000
    for number in range(3):
        farm.plant("Write", after=(number + 1) * 800_000)
    farm.table["work"] = lambda _: Made({"out": b""})
    bench.run(bench.engine(), mounted("work", bench.tree({"large": content})))
    assert farm.sent[farm.name(content)] == 1
    first, *plain = uploads
    assert "/compressed-blobs/zstd/" in first.resource_name
    names = {request.resource_name for request in plain}
    (name,) = names
    assert "/blobs/" in name
    assert name.split("/")[1] != first.resource_name.split("/")[1]
    offsets = [request.write_offset for request in plain]
    assert first.write_offset == offsets[0] == 0
    assert 0 < offsets[1] < offsets[2]


@pytest.mark.parametrize("zstd", [False, True])
def test_a_stream_whose_answer_is_lost_is_not_sent_again(
    bench: Bench, uploads: list[api.WriteRequest], *, zstd: bool
) -> None:
    farm = bench.serve({}, zstd=zstd)
    farm.plant("Write", after=len(LARGE))
    assert ran(bench, farm) == MADE.files
    assert len(uploads) == 1


def test_a_connection_that_is_lost_twice_is_taken_up_again(bench: Bench) -> None:
    farm = bench.serve({})
    farm.plant("Execute", after=1)
    farm.plant("WaitExecution", after=1)

    def work(seen: Seen) -> Made:
        while farm.calls["WaitExecution"] < 2:
            assert not seen.ended.wait(0.02)
        return MADE

    farm.table["work"] = work
    outcome = bench.run(bench.engine(), action("work"))
    assert bench.content(outcome) == MADE.files
    assert farm.runs == ["work"]
    assert farm.calls["Execute"] == 1
    assert farm.calls["WaitExecution"] == 2
    assert bench.notes[-1] == "the farm answers again"


def test_a_farm_that_starts_again_is_asked_again(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: MADE})
    farm.plant("Execute", after=1)
    farm.plant("WaitExecution", code=Code.NOT_FOUND)
    outcome = bench.run(bench.engine(), action("work"))
    assert bench.content(outcome) == MADE.files
    assert farm.calls["Execute"] == 2
    assert any("forgotten it" in note for note in bench.notes)


def test_a_worker_that_is_lost_is_replaced(bench: Bench) -> None:
    farm = bench.serve({})
    lost = api.Status(code=Code.UNAVAILABLE.value[0], message="the worker is gone")
    farm.statuses = [lost, lost]
    assert ran(bench, farm) == MADE.files
    assert sum("lost on the farm (the worker is gone)" in note for note in bench.notes) == 2


def test_workers_that_are_always_lost_are_an_error(bench: Bench) -> None:
    farm = bench.serve({})
    farm.statuses = [api.Status(code=Code.UNAVAILABLE.value[0], message="gone")] * 9
    with pytest.raises(InfrastructureError, match=r"cannot run work on the farm: .*UNAVAILABLE"):
        ran(bench, farm)
    assert len(farm.statuses) == 4


@pytest.mark.parametrize("function", ["blake3", "sha256"])
def test_blobs_that_the_farm_forgets_are_sent_again(bench: Bench, function: str) -> None:
    farm = bench.serve({"first": lambda _: Made({"out": b""})}, function=function)
    tree = bench.tree({"large": LARGE, "small": b"an input"})
    engine = bench.engine()
    bench.run(engine, mounted("first", tree))
    # It is trusted to have them still, and says that it does not.
    farm.forget(farm.name(LARGE), farm.name(b"an input"))
    farm.table["second"] = lambda seen: Made({"out": seen.inputs[f"{INPUTS}/0/small"]})
    outcome = bench.run(engine, mounted("second", tree))
    assert bench.content(outcome) == {"out": b"an input"}
    assert farm.sent[farm.name(LARGE)] == 2
    assert any("sending them again" in note for note in bench.notes)


def test_outputs_that_the_farm_loses_are_made_again(bench: Bench) -> None:
    farm = bench.serve({})
    times: list[int] = []

    def work(_: Seen) -> Made:
        times.append(len(farm.runs))
        return MADE

    farm.table["work"] = work
    finished = farm._finished

    def losing(made: Made) -> api.ActionResult:
        result = finished(made)
        if len(times) == 1:
            farm.forget(farm.name(OTHER))
        return result

    farm._finished = losing  # type: ignore[method-assign]
    outcome = bench.run(bench.engine(), action("work"))
    assert bench.content(outcome) == MADE.files
    assert len(times) == 2
    assert any("lost what it made" in note for note in bench.notes)


@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize("function", ["blake3", "sha256"])
@pytest.mark.parametrize("content", [SMALL, OTHER], ids=["small", "large"])
def test_wrong_bytes_are_never_kept(
    bench: Bench, content: bytes, function: str, *, zstd: bool
) -> None:
    farm = bench.serve({}, function=function, zstd=zstd)
    farm.lies[farm.name(content)] = bytes(len(content))
    with pytest.raises(InfrastructureError, match="gives other bytes"):
        ran(bench, farm)
    assert not any(
        path.stat().st_size == len(content) and path.read_bytes() == bytes(len(content))
        for path in (bench.store.root / "blobs").rglob("*")
        if path.is_file()
    )


def packed(level: int, data: bytes) -> bytes:
    """What a farm gives that compresses as it reads: it knows no size, by which to choose less."""
    compressor = zstandard.ZstdCompressor(level=level).compressobj()
    return bytes(compressor.compress(data) + compressor.flush())


@pytest.mark.parametrize("level", [1, 3, 19])
def test_streams_of_ordinary_levels_are_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    farm = bench.serve({}, zstd=True)
    monkeypatch.setattr(zstandard, "compress", lambda data: packed(level, data))
    assert ran(bench, farm) == MADE.files


@pytest.mark.parametrize("content", [b"small" * 999, OTHER], ids=["small", "large"])
def test_a_stream_that_would_need_much_memory_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": content})}, zstd=True)
    level = {content: 22}
    monkeypatch.setattr(zstandard, "compress", lambda data: packed(level.get(data, 3), data))
    with pytest.raises(InfrastructureError, match="windows of more than 8 MiB") as caught:
        bench.run(bench.engine(), action("work"))
    assert "19" in caught.value.remedy
    assert farm.calls["Read"] + farm.calls["BatchReadBlobs"] < 5


def test_more_bytes_than_were_asked_for_are_refused(bench: Bench) -> None:
    farm = bench.serve({})
    farm.lies[farm.name(OTHER)] = OTHER + b"more"
    with pytest.raises(InfrastructureError, match="gives other bytes"):
        ran(bench, farm)


def test_a_farm_without_room_is_said(bench: Bench) -> None:
    farm = bench.serve({})
    farm.plant("BatchUpdateBlobs", code=Code.RESOURCE_EXHAUSTED, times=99, words="disk full")
    with pytest.raises(InfrastructureError, match="RESOURCE_EXHAUSTED: disk full") as caught:
        ran(bench, farm)
    assert "no room" in caught.value.remedy


def test_an_action_that_is_refused_is_no_matter_of_time(bench: Bench) -> None:
    farm = bench.serve({})
    farm.plant("Execute", code=Code.INVALID_ARGUMENT, times=99, words="no such platform")
    with pytest.raises(InfrastructureError, match="INVALID_ARGUMENT: no such platform"):
        ran(bench, farm)
    assert farm.calls["Execute"] == 1


def test_a_farm_that_stays_away_is_waited_for_no_longer_than_said(bench: Bench) -> None:
    farm = bench.serve({})
    farm.plant("FindMissingBlobs", times=10_000)
    with pytest.raises(InfrastructureError, match="UNAVAILABLE: planted") as caught:
        ran(bench, farm, patience=1)
    assert "finished steps are remembered" in caught.value.remedy


def test_a_farm_that_stumbles_all_the_time_is_asked_a_few_times(bench: Bench) -> None:
    """And not a few times a few times, by what sends and by what has it sent."""
    farm = bench.serve({})
    farm.plant("FindMissingBlobs", code=grpc.StatusCode.INTERNAL, times=10_000)
    with pytest.raises(InfrastructureError, match="INTERNAL: planted"):
        ran(bench, farm)
    assert farm.calls["FindMissingBlobs"] == calls._STUMBLES


def test_a_farm_that_ends_an_action_by_its_own_limit_is_said(bench: Bench) -> None:
    farm = bench.serve({})
    farm.statuses = [api.Status(code=Code.DEADLINE_EXCEEDED.value[0], message="too long")]
    with pytest.raises(InfrastructureError, match="before its own limit of 3600 s"):
        ran(bench, farm)


def test_what_somebody_cancels_is_not_asked_for_again(bench: Bench) -> None:
    farm = bench.serve({})
    farm.statuses = [api.Status(code=Code.CANCELLED.value[0], message="by an administrator")]
    with pytest.raises(InfrastructureError, match="CANCELLED: by an administrator"):
        ran(bench, farm)
    assert farm.calls["Execute"] == 1


def test_a_farm_that_forgets_all_the_time_is_an_error(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: MADE})
    farm.plant("Execute", after=1, times=9)
    farm.plant("WaitExecution", code=Code.NOT_FOUND, times=9)
    with pytest.raises(InfrastructureError, match="NOT_FOUND"):
        bench.run(bench.engine(), action("work"))
    assert farm.calls["Execute"] == 5


def test_a_quiet_stream_is_taken_up_again_without_a_word(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("containers.remote.execution._QUIET", 0.3)
    farm = bench.serve({})

    def work(seen: Seen) -> Made:
        while farm.calls["WaitExecution"] < 2:
            assert not seen.ended.wait(0.05)
        return MADE

    farm.table["work"] = work
    outcome = bench.run(bench.engine(), action("work"))
    assert bench.content(outcome) == MADE.files
    assert (bench.notes, farm.runs) == ([], ["work"])


def test_an_action_that_no_worker_takes_is_said_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("containers.remote.execution._QUIET", 0.3)
    farm = bench.serve({})
    farm.busy = True

    def work(seen: Seen) -> Made:
        while farm.calls["WaitExecution"] < 3:
            assert not seen.ended.wait(0.05)
        return MADE

    farm.table["work"] = work
    bench.run(bench.engine(), action("work"))
    (said,) = bench.notes
    assert "work waits in the farm's queue" in said


def test_a_restart_in_the_middle_loses_nothing(bench: Bench) -> None:
    farm = bench.serve({})
    begun, again = threading.Event(), threading.Event()

    def work(_: Seen) -> Made:
        if len(farm.runs) == 1:
            begun.set()
            assert again.wait(60)
        return MADE

    def restart() -> None:
        assert begun.wait(60)
        farm.restart()

    farm.table["work"] = work
    thread = threading.Thread(target=restart)
    thread.start()
    outcome = bench.run(bench.engine(), action("work"))
    again.set()
    thread.join(60)
    assert bench.content(outcome) == MADE.files
    assert farm.runs == ["work", "work"]
    assert any("forgotten it" in note for note in bench.notes)
