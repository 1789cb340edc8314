"""How a farm is spoken to: headers, their renewal, and that none of them gets anywhere else."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from containers.remote import channel
from containers.remote import reapi_pb2 as api
from containers.remote.farm import Headers
from containers.remote.faults import Code, Fault
from reproducibility.errors import InfrastructureError, InputError, Stopped
from tests.fakes import Made, action

if TYPE_CHECKING:
    from pathlib import Path

    from containers.remote.engine import RemoteEngine
    from tests.fake_farm import FakeFarm, Seen
    from tests.unit.containers.remote.conftest import Bench

SECRET = "Bearer something-secret"  # noqa: S105 - none, but it is to be seen nowhere

# What a command for headers does: says each time that it was begun.
COUNTED = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "begun").open("a") as begun:
    begun.write(f"{os.getpid()}\\n")
"""


def counted(folder: Path, does: str) -> Headers:
    """Headers from a command that says that it was begun, and does something then."""
    return Headers(command=(sys.executable, "-c", COUNTED + does, str(folder)))


def begun(folder: Path) -> int:
    """How often that command was begun."""
    place = folder / "begun"
    return len(place.read_text().split()) if place.exists() else 0


def ask(engine: RemoteEngine, stop: threading.Event) -> None:
    """Make a call."""
    engine.calls.unary(engine.calls.methods.find_missing, api.FindMissingBlobsRequest(), stop)


def test_headers_come_from_a_file(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": b""})})
    farm.token = SECRET
    place = tmp_path / "headers"
    place.write_text(f"Authorization: {SECRET}\n\nX-Tenant: us\n")
    bench.run(bench.engine(headers=Headers(file=place)), action("work"))
    assert {given["x-tenant"] for given in farm.headers} == {"us"}
    given = farm.headers[0]["build.bazel.remote.execution.v2.requestmetadata-bin"]
    assert isinstance(given, bytes)
    told = api.RequestMetadata.FromString(given)
    assert told.tool_details.tool_name == "sourcery"


def test_headers_come_from_a_command_and_are_renewed(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": b""})})
    place = tmp_path / "token"
    place.write_text("authorization: old")
    farm.token = "old"  # noqa: S105 - a test's
    show = "import sys; print(open(sys.argv[1]).read())"
    engine = bench.engine(headers=Headers(command=(sys.executable, "-c", show, str(place))))
    engine.meet()
    # It expires, and the command knows another one.
    farm.token = SECRET
    place.write_text(f"authorization: {SECRET}")
    assert bench.run(engine, action("work")).exit_status == 0


def test_a_token_that_is_refused_is_shown_nowhere(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": b""})})
    farm.token = "another"  # noqa: S105 - a test's
    place = tmp_path / "headers"
    place.write_text(f"authorization: {SECRET}")
    with pytest.raises(InfrastructureError, match="UNAUTHENTICATED") as caught:
        bench.engine(headers=Headers(file=place)).meet()
    assert SECRET not in str(caught.value)
    assert "[headers]" in caught.value.remedy


@pytest.mark.parametrize(
    "line",
    ["no header", ": x", "a b: x", "x-bin: x", "a: \x01", "a: é"],
)
def test_a_line_that_is_no_header_is_refused_and_not_shown(
    bench: Bench, tmp_path: Path, line: str
) -> None:
    bench.serve({})
    place = tmp_path / "headers"
    place.write_text(f"good: {SECRET}\n{line}\n", "utf-8")
    with pytest.raises(InputError, match="line 2 is no header") as caught:
        bench.engine(headers=Headers(file=place)).meet()
    assert SECRET not in str(caught.value)


def test_a_command_that_fails_is_said_without_its_words(bench: Bench) -> None:
    bench.serve({})
    words = (sys.executable, "-c", f"print('authorization: {SECRET}'); raise SystemExit(3)")
    with pytest.raises(InfrastructureError, match="exit status 3") as caught:
        bench.engine(headers=Headers(command=words)).meet()
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.serve({})
    with pytest.raises(InputError, match="cannot be read"):
        bench.engine(headers=Headers(file=tmp_path / "none")).meet()


SHOW = "print('authorization:', (folder / 'token').read_text())"


def expired(farm: FakeFarm, folder: Path, token: str) -> None:
    """Have only another token be good, which the command for headers knows."""
    (folder / "token").write_text(token)
    farm.token = token


def test_a_token_may_expire_again_and_again_while_an_action_runs(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("containers.remote.execution._QUIET", 0.3)

    def work(seen: Seen) -> Made:
        for token in ("second", "third", "fourth"):
            expired(farm, tmp_path, token)
            while not any(given.get("authorization") == token for given in list(farm.headers)):
                assert not seen.ended.wait(0.02)
        return Made({"out": b""})

    farm = bench.serve({"work": work})
    expired(farm, tmp_path, "first")
    engine = bench.engine(headers=counted(tmp_path, SHOW))
    assert bench.run(engine, action("work")).exit_status == 0
    assert begun(tmp_path) == 4


def test_calls_that_are_refused_at_once_have_headers_renewed_once(
    bench: Bench, tmp_path: Path
) -> None:
    farm = bench.serve({})
    expired(farm, tmp_path, "old")
    engine = bench.engine(headers=counted(tmp_path, f"time.sleep(0.3); {SHOW}"))
    ask(engine, bench.stop)
    expired(farm, tmp_path, SECRET)
    at_once = threading.Barrier(8)

    def one() -> None:
        at_once.wait(60)
        ask(engine, bench.stop)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(one) for _ in range(8)]:
            future.result()
    assert begun(tmp_path) == 2


def test_headers_that_others_renewed_meanwhile_are_kept(tmp_path: Path) -> None:
    place = tmp_path / "headers"
    place.write_text(f"authorization: {SECRET}")
    letters, stop = channel.Letters(Headers(file=place)), threading.Event()
    used = letters.current(stop)
    assert SECRET not in repr(used)
    assert letters.renew(used.number, stop)
    assert letters.renew(used.number, stop)
    fresh = letters.current(stop)
    assert fresh.number != used.number
    assert letters.renew(used.number, stop)
    assert letters.current(stop) is fresh


def test_new_headers_that_are_refused_too_are_an_error(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({})
    farm.token = "another"  # noqa: S105 - a test's
    engine = bench.engine(headers=counted(tmp_path, "print('authorization:', os.getpid())"))
    with pytest.raises(Fault) as caught:
        ask(engine, bench.stop)
    assert caught.value.code == Code.UNAUTHENTICATED
    assert begun(tmp_path) == 2


def test_a_call_that_is_always_refused_is_an_error_where_others_are_not(
    bench: Bench, tmp_path: Path
) -> None:
    farm = bench.serve({})
    expired(farm, tmp_path, SECRET)
    engine = bench.engine(headers=counted(tmp_path, SHOW))
    farm.plant("Write", code=Code.UNAUTHENTICATED, times=99)
    write, requests = engine.calls.methods.write, [api.WriteRequest(resource_name="a")]

    def attempt() -> None:
        ask(engine, bench.stop)
        engine.calls.written(write, requests, bench.stop)

    with pytest.raises(Fault):
        engine.calls.again(attempt, bench.stop)
    assert begun(tmp_path) == 2


FAILS_ONCE = "place = folder / 'fails'\nif place.exists(): place.unlink(); sys.exit(3)\n"


def test_a_command_that_fails_where_headers_are_renewed_is_run_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_PAUSES", (0.01, 0.01))
    farm = bench.serve({})
    expired(farm, tmp_path, "old")
    engine = bench.engine(headers=counted(tmp_path, FAILS_ONCE + SHOW))
    ask(engine, bench.stop)
    expired(farm, tmp_path, SECRET)
    (tmp_path / "fails").touch()
    ask(engine, bench.stop)
    assert begun(tmp_path) == 3


def test_a_command_that_keeps_failing_is_said(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_PAUSES", (0.01, 0.01))
    farm = bench.serve({})
    expired(farm, tmp_path, "old")
    fails = "if (folder / 'fails').exists(): sys.exit(3)\n"
    engine = bench.engine(headers=counted(tmp_path, fails + SHOW))
    ask(engine, bench.stop)
    expired(farm, tmp_path, SECRET)
    (tmp_path / "fails").touch()
    with pytest.raises(InfrastructureError, match="exit status 3"):
        ask(engine, bench.stop)
    assert begun(tmp_path) == 4


def test_a_command_that_never_worked_is_run_once(bench: Bench, tmp_path: Path) -> None:
    bench.serve({})
    engine = bench.engine(headers=counted(tmp_path, "sys.exit(3)"))
    with pytest.raises(InfrastructureError, match="exit status 3"):
        ask(engine, bench.stop)
    assert begun(tmp_path) == 1


def test_stopping_ends_the_command_for_headers(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_COMMAND_SECONDS", 10)
    bench.serve({})
    engine = bench.engine(headers=counted(tmp_path, "time.sleep(600)"))

    def stop() -> None:
        while not begun(tmp_path):
            time.sleep(0.02)
        bench.stop.set()

    threading.Thread(target=stop).start()
    with ThreadPoolExecutor(2) as pool:
        # One runs the command, the other waits for what it says.
        for future in [pool.submit(ask, engine, bench.stop) for _ in range(2)]:
            with pytest.raises(Stopped):
                future.result()
    assert begun(tmp_path) == 1


def test_patience_counts_from_the_first_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("containers.remote.calls._FIRST_PAUSE", 0.01)
    bench.serve({})
    calls = bench.engine(patience=1).calls
    attempts: list[int] = []

    def work() -> str:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            # As a large blob that is cut after it had travelled for longer than that.
            time.sleep(1.2)
            raise Fault(Code.UNAVAILABLE, "cut")
        return "done"

    assert calls.again(work, bench.stop) == "done"
