"""Independent work in several threads: order, bound, errors, and work that other work awaits."""

from __future__ import annotations

import threading

import pytest

from orchestrator.inputs.side_by_side import MOST, Awaited, mapped
from reproducibility.errors import InfrastructureError, InputError, Stopped


def test_results_come_in_the_order_of_the_work() -> None:
    last = threading.Event()

    def work(number: int) -> int:
        if number == 2:
            last.set()
        # The first ends after the last.
        assert last.wait(60)
        return number * number

    assert mapped(work, range(3), most=3) == [0, 1, 4]
    assert mapped(work, []) == []


def test_not_more_is_done_at_once_than_is_allowed() -> None:
    meeting = threading.Barrier(MOST)
    lock = threading.Lock()
    now = most = 0

    def work(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        meeting.wait(60)
        with lock:
            now -= 1

    mapped(work, range(3 * MOST))
    assert most == MOST


def test_the_first_in_order_that_fails_is_told_however_fast_another_does() -> None:
    failed = threading.Event()

    def work(number: int) -> None:
        if number == 2:
            failed.set()
            raise InfrastructureError("the third")
        assert failed.wait(60)
        if number == 1:
            raise InputError("the second")

    for _ in range(20):
        failed.clear()
        with pytest.raises(InputError, match="the second"):
            mapped(work, range(4), most=4)


def test_what_comes_after_a_failure_is_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        mapped(work, range(100), most=1)
    assert begun == [0, 1]


def test_work_that_others_await_is_done_before_them() -> None:
    go, done = Awaited(), []

    def first() -> None:
        done.append("go")

    def other() -> None:
        go.wait()
        done.append("source")

    mapped(lambda do: do(), [lambda: go.fill(first), other, other])
    assert done == ["go", "source", "source"]


def test_work_whose_condition_failed_fails_as_that_did() -> None:
    go = Awaited()

    def fails() -> None:
        raise InputError("there is no go")

    with pytest.raises(InputError, match="there is no go"):
        mapped(lambda do: do(), [lambda: go.fill(fails), go.wait, go.wait])
    with pytest.raises(InputError, match="there is no go"):
        go.wait()
