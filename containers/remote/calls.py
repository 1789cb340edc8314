"""Calls to a farm: each with a deadline, ended when the person stops, tried again where that helps.

One thread looks at all calls that are under way, so that a call that waits ends soon after `stop`
was set. What may pass is tried again with growing pauses (tenacity): a farm that is away for as
long as its file says (`patience`), one that stumbles a few times.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    wait_random_exponential,
)

from containers.remote import channel, faults
from containers.remote import reapi_pb2 as api
from containers.remote.faults import Code, Fault
from reproducibility.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event

    from containers.remote.channel import Sheet
    from containers.remote.farm import Settings

Request = TypeVar("Request")
Response = TypeVar("Response")
Given = TypeVar("Given")

# Seconds.
_LOOK = 0.1
DEADLINE = 120.0
_FIRST_PAUSE = 0.4
_LONGEST_PAUSE = 10.0
# Attempts where a server stumbles.
_STUMBLES = 5
_METADATA = "build.bazel.remote.execution.v2.requestmetadata-bin"


class Calls:
    """Calls to one farm, from several threads at once."""

    def __init__(self, settings: Settings, tool: str, version: str, run: str) -> None:
        """`tool`, `version`: ours, as the farm's log is to show them; `run`: an ID of this run."""
        farm = settings.farm
        self.farm = farm
        self.note = settings.note
        self._channels = [channel.connected(farm.address, farm)]
        if farm.storage and farm.storage != farm.address:
            self._channels.append(channel.connected(farm.storage, farm))
        self.methods = channel.methods(self._channels[0], self._channels[-1])
        self._letters = channel.Letters(farm.headers)
        self._told = api.RequestMetadata(
            tool_details=api.ToolDetails(tool_name=tool, tool_version=version),
            tool_invocation_id=run,
        )
        self._lock = threading.Lock()
        self._running: dict[int, tuple[Any, Event]] = {}
        self._numbers = 0
        self._away = False
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._look, name="calls", daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        if self._watch.is_alive():
            self._watch.join()
        for one in self._channels:
            one.close()

    # -- one call --------------------------------------------------------------------------------

    def once(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        stop: Event,
        *,
        seconds: float = DEADLINE,
    ) -> Response:
        """Call a method once.

        Raises:
            Fault: it failed.
            Stopped: `stop` was set.
        """
        with self._translated(stop) as letters:
            call = method.future(request, timeout=seconds, metadata=self._metadata(letters))
            with self._watched(call, stop):
                answer: Response = call.result()
        self._answered()
        return answer

    def written(
        self,
        method: grpc.StreamUnaryMultiCallable[Request, Response],
        requests: Iterable[Request],
        stop: Event,
        *,
        seconds: float = DEADLINE,
    ) -> Response:
        """Call a method that takes a stream, once. Raises as `once`."""
        with self._translated(stop) as letters:
            call = method.future(iter(requests), timeout=seconds, metadata=self._metadata(letters))
            with self._watched(call, stop):
                answer: Response = call.result()
        self._answered()
        return answer

    def streamed(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        stop: Event,
        *,
        seconds: float = DEADLINE,
        sent: Callable[[], object] = lambda: None,
    ) -> Iterator[Response]:
        """Call a method that answers with a stream, once. Raises as `once`.

        `sent`: called where the request is about to go out, with headers and all.
        """
        with self._translated(stop) as letters:
            sent()
            call = method(request, timeout=seconds, metadata=self._metadata(letters))
            with self._watched(call, stop):
                try:
                    for answer in call:
                        self._answered()
                        yield answer
                finally:
                    call.cancel()  # type: ignore[no-untyped-call] # the stubs leave it out

    # -- again -----------------------------------------------------------------------------------

    def again(
        self,
        work: Callable[[], Given],
        stop: Event,
        *,
        progress: Callable[[], object] | None = None,
    ) -> Given:
        """Do work that makes calls; again where it fails with what may pass.

        `progress`: what differs from attempt to attempt while the work gets on; it then counts
        from the beginning.

        Raises:
            Fault: it does not pass.
            Stopped: `stop` was set.
        """
        seen = progress() if progress else None
        # What `progress` said when headers were refused: new ones may be, later, as well.
        refused: tuple[object, ...] = ()
        while True:
            try:
                return self._retrying(stop)(work)
            except Fault as fault:
                if stop.is_set():
                    raise Stopped("stopped") from fault
                now = progress() if progress else None
                if fault.passing and now != seen:
                    seen = now
                elif refused != (now,) and self._renewed(fault, stop):
                    refused = (now,)
                else:
                    raise

    def renewing(self, work: Callable[[], Given], stop: Event) -> Given:
        """Do work that makes a call; once more where the headers that it went with are refused.

        Raises:
            Fault: it failed otherwise, or new ones are refused too.
            Stopped: `stop` was set.
        """
        try:
            return work()
        except Fault as fault:
            if not self._renewed(fault, stop):
                raise
        return work()

    def _renewed(self, fault: Fault, stop: Event) -> bool:
        """Tell whether a call was refused for its headers, and may have others the next time."""
        # A status within an answer is none of the call's own.
        refused = fault.code == Code.UNAUTHENTICATED and fault.letters > 0
        return refused and self._letters.renew(fault.letters, stop)

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        stop: Event,
        *,
        seconds: float = DEADLINE,
    ) -> Response:
        """Call a method, again where it fails with what may pass. Raises as `again`."""
        return self.again(lambda: self.once(method, request, stop, seconds=seconds), stop)

    def _retrying(self, stop: Event) -> Retrying:
        return Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, Fault) and error.passing),
            stop=_Enough(self.farm.patience),
            wait=wait_random_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE),
            sleep=sleep_using_event(stop),
            before_sleep=self._say,
            reraise=True,
        )

    def _say(self, state: RetryCallState) -> None:
        fault = state.outcome.exception() if state.outcome else None
        if not isinstance(fault, Fault) or not fault.away:
            return
        with self._lock:
            first, self._away = not self._away, True
        if first:
            self.note(
                f"the farm is out of reach ({fault.words}); trying again for up to "
                f"{self.farm.patience} s"
            )

    def _answered(self) -> None:
        if self._away:
            with self._lock:
                was, self._away = self._away, False
            if was:
                self.note("the farm answers again")

    # -- all calls -------------------------------------------------------------------------------

    def _metadata(self, letters: Sheet) -> tuple[tuple[str, str | bytes], ...]:
        return (*letters.lines, (_METADATA, self._told.SerializeToString()))

    @contextmanager
    def _translated(self, stop: Event) -> Iterator[Sheet]:
        """Give the headers for a call, and what it raises as a fault that knows them."""
        if stop.is_set():
            raise Stopped("stopped")
        letters = self._letters.current(stop)
        try:
            yield letters
        except grpc.FutureCancelledError as error:
            raise Stopped("stopped") from error
        except grpc.RpcError as error:
            if stop.is_set():
                raise Stopped("stopped") from error
            raise faults.of_call(error, letters.number) from error

    @contextmanager
    def _watched(self, call: Any, stop: Event) -> Iterator[None]:  # noqa: ANN401 - four kinds of calls
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._running[number] = call, stop
        try:
            yield
        finally:
            with self._lock:
                del self._running[number]

    def _look(self) -> None:
        while not self._closed.wait(_LOOK):
            with self._lock:
                running = list(self._running.values())
            for call, stop in running:
                if stop.is_set():
                    call.cancel()


class _Enough:
    """Whether a call has failed for long enough, or often enough (tenacity's `stop`).

    A farm that is away is waited for from the first failure on: a blob may travel for longer than
    that before its stream is cut.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._first: float | None = None

    def __call__(self, state: RetryCallState) -> bool:
        at = state.outcome_timestamp or 0.0
        if self._first is None:
            self._first = at
        fault = state.outcome.exception() if state.outcome else None
        if isinstance(fault, Fault) and not fault.away and state.attempt_number >= _STUMBLES:
            return True
        return at - self._first >= self._patience
