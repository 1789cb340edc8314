"""Signals at the very moments when their handlers change, and after the command is done."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.signals import SIGNALS
from orchestrator.cli.stopping import Interrupted, Stopping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Moment:
    """At the Nth change of a handler from now on, the process gets a signal."""

    def __init__(self, patch: pytest.MonkeyPatch, moment: int, *, other: bool) -> None:
        self.left = moment
        self.other = other
        self.change = signal.signal
        patch.setattr(signal, "signal", self)

    def __call__(self, number: int, handler: signal._HANDLER) -> signal._HANDLER:
        before = self.change(number, handler)
        self.left -= 1
        if not self.left:
            if self.other:
                thread = threading.Thread(target=self.come)
                thread.start()
                thread.join()
            else:
                self.come()
            for _ in range(1000):
                pass
        return before

    def come(self) -> None:
        """Give the signal to this thread; one that is not the main one does not hold it back."""
        if self.other:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture(name="caller")
def _caller() -> Iterator[list[int]]:
    """The signals that the caller's own handlers got, which are put back at the end."""
    came: list[int] = []

    def note(number: int, _frame: object) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    yield came
    assert not set(SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert len({signal.getsignal(number) for number in SIGNALS}) == 1
    for number, handler in before.items():
        signal.signal(number, handler)


# With another thread, one that comes before there is a handler for it is the caller's.
@pytest.mark.parametrize(
    ("moment", "other"), [(1, False), (2, False), (3, False), (2, True), (3, True)]
)
def test_a_signal_while_handlers_are_put_in_place(
    caller: list[int], moment: int, other: bool
) -> None:
    stopping = Stopping()
    with pytest.MonkeyPatch.context() as patch:
        Moment(patch, moment, other=other)
        with pytest.raises(Interrupted):
            stopping.__enter__()
    assert (stopping.status, caller) == (143, [])
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT)


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_signal_while_handlers_are_put_back_is_the_callers(
    caller: list[int], moment: int, other: bool
) -> None:
    stopping = Stopping()
    with pytest.MonkeyPatch.context() as patch:
        stopping.__enter__()
        Moment(patch, moment, other=other)
        stopping.__exit__()
    assert (stopping.number, caller) == (0, [signal.SIGTERM])


def test_a_signal_just_before_handlers_are_put_back_interrupts(caller: list[int]) -> None:
    mask = signal.pthread_sigmask
    left = [signal.SIGTERM]

    def first_come(how: int, signals: Iterable[int]) -> object:
        if left:
            signal.raise_signal(left.pop())
        return mask(how, signals)

    stopping = Stopping()
    stopping.__enter__()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "pthread_sigmask", first_come)
        with pytest.raises(Interrupted):
            stopping.__exit__()
    assert (stopping.status, caller) == (143, [])


@pytest.mark.parametrize("where", ["run", "_delivered"])
def test_a_late_interruption_is_a_status_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    from orchestrator.cli import streams
    from orchestrator.cli.main import main

    def late(*_: object) -> int:
        raise Interrupted(signal.SIGHUP)

    monkeypatch.setattr(sys, "argv", ["orchestrate", "--help"])
    monkeypatch.setattr(streams, "install", lambda: None)
    monkeypatch.setitem(main.__globals__, where, late)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 129
