"""Nothing goes on running on a farm, unknown to anybody, after an action has ended here."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from containers.remote import reapi_pb2 as api
from containers.remote.farm import Headers
from reproducibility.errors import InfrastructureError, Stopped
from tests.fakes import Made, action

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_farm import FakeFarm, Seen
    from tests.unit.containers.remote.conftest import Bench

Code = grpc.StatusCode


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containers.remote.calls._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("containers.remote.calls._LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("containers.remote.channel._PAUSES", ())
    monkeypatch.setattr("containers.remote.execution._QUIET", 0.3)


def waiting(bench: Bench) -> FakeFarm:
    """A farm whose action `wait` goes on until it is cancelled."""

    def wait(seen: Seen) -> Made:
        seen.ended.wait(60)
        return Made({"out": b""})

    return bench.serve({"wait": wait})


@pytest.mark.parametrize("code", [Code.PERMISSION_DENIED, Code.INTERNAL, Code.FAILED_PRECONDITION])
def test_what_cannot_be_followed_any_more_is_cancelled(bench: Bench, code: grpc.StatusCode) -> None:
    farm = waiting(bench)
    farm.plant("Execute", after=1)
    farm.plant("WaitExecution", code=code, times=99)
    with pytest.raises(InfrastructureError, match=code.name):
        bench.run(bench.engine(), action("wait"))
    assert farm.cancelled == ["operations/1"]
    assert not any("may still run" in note for note in bench.notes)


def renewing(bench: Bench, folder: Path, command: str) -> Headers:
    """A farm whose token expires while `wait` runs, and a command that then does something else."""

    def wait(seen: Seen) -> Made:
        (folder / "expired").touch()
        farm.token = "second"  # noqa: S105 - a test's
        seen.ended.wait(60)
        return Made({"out": b""})

    farm = bench.serve({"wait": wait})
    farm.token = "first"  # noqa: S105 - a test's
    shell = f'if [ -e "$0/expired" ]; then {command}; else echo authorization: first; fi'
    return Headers(command=("/bin/sh", "-c", shell, str(folder)))


def test_headers_that_cannot_be_had_any_more_are_the_error_that_is_told(
    bench: Bench, tmp_path: Path
) -> None:
    headers = renewing(bench, tmp_path, "exit 3")
    with pytest.raises(InfrastructureError, match="exit status 3"):
        bench.run(bench.engine(headers=headers), action("wait"))
    (note,) = bench.notes
    assert "wait may still run on the farm" in note
    assert "exit status 3" in note
    assert bench.farm.cancelled == []


def test_new_headers_are_asked_for_to_cancel_something(bench: Bench, tmp_path: Path) -> None:
    # The first time that they are renewed they are no good.
    again = 'if mkdir "$0/once" 2>/dev/null; then echo authorization: no'
    headers = renewing(bench, tmp_path, f"{again}; else echo authorization: second; fi")
    with pytest.raises(InfrastructureError, match="UNAUTHENTICATED"):
        bench.run(bench.engine(headers=headers), action("wait"))
    assert bench.farm.cancelled == ["operations/1"]
    assert not any("may still run" in note for note in bench.notes)


@pytest.mark.parametrize("code", [Code.UNIMPLEMENTED, Code.UNAVAILABLE])
def test_a_farm_that_does_not_cancel_hides_no_error(bench: Bench, code: grpc.StatusCode) -> None:
    farm = waiting(bench)
    farm.plant("Execute", code=Code.INTERNAL, after=1)
    farm.plant("WaitExecution", code=Code.PERMISSION_DENIED)
    farm.plant("CancelOperation", code=code, words="no such thing", times=99)
    with pytest.raises(InfrastructureError, match="PERMISSION_DENIED"):
        bench.run(bench.engine(), action("wait"))
    (note,) = bench.notes
    assert note == "wait may still run on the farm, which does not cancel it: no such thing"


def test_a_farm_that_gives_no_answer_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("containers.remote.execution._CANCELLING", 0.3)
    farm = waiting(bench)
    farm.plant("Execute", code=Code.INTERNAL, after=1)
    farm.plant("WaitExecution", code=Code.PERMISSION_DENIED)
    over, begun = threading.Event(), farm._begun

    def held(method: str, *given: object) -> object:
        if method == "CancelOperation":
            over.wait(60)
        return begun(method, *given)  # type: ignore[arg-type]

    farm._begun = held  # type: ignore[method-assign, assignment]
    with pytest.raises(InfrastructureError, match="PERMISSION_DENIED"):
        bench.run(bench.engine(), action("wait"))
    over.set()
    (note,) = bench.notes
    assert "may still run on the farm, which does not cancel it: no answer" in note


def test_what_was_asked_for_and_has_no_name_yet_is_said(bench: Bench) -> None:
    farm = waiting(bench)
    over, begun = threading.Event(), farm._begun

    def held(method: str, *given: object) -> object:
        if method == "Execute":
            bench.stop.set()
            over.wait(60)
        return begun(method, *given)  # type: ignore[arg-type]

    farm._begun = held  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        bench.run(bench.engine(), action("wait"))
    over.set()
    (note,) = bench.notes
    assert "wait may still run on the farm" in note


def test_an_answer_that_was_lost_is_remembered(bench: Bench) -> None:
    farm = waiting(bench)
    farm.plant("Execute", code=Code.INTERNAL)
    farm.plant("Execute", code=Code.PERMISSION_DENIED)
    with pytest.raises(InfrastructureError, match="PERMISSION_DENIED"):
        bench.run(bench.engine(), action("wait"))
    (note,) = bench.notes
    assert "wait may still run on the farm" in note


REFUSED = (
    *(Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED),
    Code.RESOURCE_EXHAUSTED,
)


@pytest.mark.parametrize("code", REFUSED)
def test_what_the_farm_did_not_begin_is_not_cancelled(bench: Bench, code: grpc.StatusCode) -> None:
    farm = waiting(bench)
    farm.plant("Execute", code=code, times=99)
    with pytest.raises(InfrastructureError, match=code.name):
        bench.run(bench.engine(), action("wait"))
    assert (farm.cancelled, bench.notes) == ([], [])
    assert farm.calls["CancelOperation"] == 0


def test_what_is_over_is_not_cancelled(bench: Bench) -> None:
    farm = waiting(bench)
    farm.statuses = [api.Status(code=Code.INVALID_ARGUMENT.value[0], message="no")]
    with pytest.raises(InfrastructureError, match="INVALID_ARGUMENT: no"):
        bench.run(bench.engine(), action("wait"))
    assert farm.calls["CancelOperation"] == 0
    assert bench.notes == []


def test_of_what_was_never_asked_for_nothing_is_said(bench: Bench, tmp_path: Path) -> None:
    """`Execute` is refused, and then there are no headers to ask again with."""
    expired = tmp_path / "expired"
    shell = 'if [ -e "$0" ]; then exit 3; else echo authorization: first; fi'
    farm = waiting(bench)
    farm.token = "first"  # noqa: S105 - a test's
    begun = farm._begun

    def refused(method: str, *given: object) -> object:
        if method == "Execute":
            expired.touch()
            farm.token = "second"  # noqa: S105 - a test's
        return begun(method, *given)  # type: ignore[arg-type]

    farm._begun = refused  # type: ignore[method-assign, assignment]
    headers = Headers(command=("/bin/sh", "-c", shell, str(expired)))
    with pytest.raises(InfrastructureError, match="exit status 3"):
        bench.run(bench.engine(headers=headers), action("wait"))
    assert bench.notes == []
