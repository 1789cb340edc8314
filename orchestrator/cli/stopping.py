"""Signal handlers of a running command: SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal's end).

Work that can stop cleanly is given the chance to: the first signal sets an event that the work
looks at; the second one interrupts it. Everything else is interrupted by the first one.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from orchestrator.cli.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from orchestrator.cli.signals import Noted

_FIRST = b"\nstopping cleanly; once more stops at once\n"
_STANDARD_ERROR = 2
# Seconds that a clean-up may go on after it has lost an interruption.
_LATER = 0.05


class Interrupted(BaseException):
    """A signal ended work that does not look at the event. `number`: the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def comes_from_interruption(error: BaseException | None) -> bool:
    """Return whether an error is what somebody on the way has made of an interruption.

    Python itself does, while a class is made (`__set_name__`, before Python 3.12).
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Interrupted):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


class Stopping:
    """Handlers for the signals, in place within a `with` block.

    `number`: of the first signal that came, 0 until then. `event`: what long work looks at.
    `worked`: whether there was such work, which the next run can build on. A signal that the caller
    has set to be ignored (`nohup`, a job in the background) stays ignored. One that was `noted`
    before there were these handlers interrupts at once.
    """

    def __init__(self, noted: Noted | None = None) -> None:
        self.event = threading.Event()
        self.number = noted.number if noted else 0
        self.worked = False
        self._graceful = False
        self._tell = False
        self._changing = False
        self._missed = 0
        self._before: dict[int, signal._HANDLER] = {}
        self._noted = noted
        self._unraisable = sys.unraisablehook

    @property
    def status(self) -> int:
        """The exit status of a command that a signal stopped."""
        return 128 + (self.number or signal.SIGINT)

    @contextmanager
    def gracefully(self, *, tell: bool) -> Iterator[None]:
        """Context in which the first signal only sets the event; with `tell`, with a note."""
        self.worked = self._graceful = True
        self._tell = tell
        try:
            yield
        finally:
            self._graceful = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            try:
                self._install()
            except BaseException:  # nobody leaves a block that was not entered
                self._put_back()
                raise
        if self._noted is not None and self._noted.number:
            self.number = self._noted.number
            self._put_back()
            raise Interrupted(self.number)
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._put_back()
        except Interrupted:  # at the last moment before they were held back
            self._put_back()
            raise

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Context in which signals are blocked, while their handlers change."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            # This call itself tells of one that came before, and may raise for it.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            self._changing = True
            yield
        finally:
            self._changing = False
            missed, self._missed = self._missed, 0
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if missed:
                signal.raise_signal(missed)

    def _install(self) -> None:
        with self._held():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._came)
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._lost

    def _put_back(self) -> None:
        with self._held():
            if sys.unraisablehook == self._lost:
                sys.unraisablehook = self._unraisable
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before.clear()

    def _lost(self, about: sys.UnraisableHookArgs) -> None:
        """Interrupt once more, outside of it, where a library's clean-up swallowed that."""
        if not isinstance(about.exc_value, Interrupted):
            self._unraisable(about)
            return
        number = about.exc_value.number
        if number in self._before:
            signal.signal(number, self._came)
            threading.Timer(_LATER, os.kill, (os.getpid(), number)).start()

    def _came(self, number: int, _frame: FrameType | None) -> None:
        if self._changing:
            # Another thread, which does not hold it back, was given it.
            self._missed = number
            return
        first = not self.number
        self.number = self.number or number
        if not self._graceful or not first:
            # A third one is not handled any more: it ends the process whatever that is doing.
            signal.signal(number, signal.SIG_DFL)
            raise Interrupted(number)
        # Not from here: the interrupted main thread may hold the event's lock.
        _thread.start_new_thread(self.event.set, ())
        if self._tell:
            # Not through a buffered stream: the main thread may be in the middle of a write.
            with suppress(OSError):
                os.write(_STANDARD_ERROR, _FIRST)
