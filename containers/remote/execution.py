"""Has a farm run an action, whatever happens meanwhile to the connection, the farm or a worker.

The same action is never asked for a second time while the first may still run: a connection that
was lost is taken up again (WaitExecution), and only where the farm knows nothing of it any more is
it run anew. When the person stops, or it cannot be followed any more, what runs there is cancelled.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from containers.remote import faults
from containers.remote import reapi_pb2 as api
from containers.remote.faults import Code, Fault
from reproducibility import visible
from reproducibility.errors import InfrastructureError, SourceryError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from containers.remote.calls import Calls
    from containers.remote.naming import Name
    from containers.remote.offer import Offer

# Seconds after which a stream that says nothing is taken up again, which also shows whether the
# farm still is there; some send word each minute, some only when something changes.
_QUIET = 120.0
_CANCELLING = 10.0
# How often an action is tried where its workers are lost or stumble, and where blobs get lost.
_TRIED = 5
# Before the next worker is asked for, in seconds.
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Executed:
    """What came of an action. `timed_out`: the farm ended it. `cached`: nothing was run for it."""

    result: api.ActionResult
    cached: bool
    timed_out: bool = False


class Execution:
    """One action on a farm."""

    def __init__(self, calls: Calls, offer: Offer, name: str, action: Name) -> None:
        """`name`: the action's, for people."""
        self._calls = calls
        self._offer = offer
        self._name = name
        self._action = action
        self._operation = ""
        # Whether it may have begun there under a name that nobody here knows.
        self._unnamed = False
        self._stage = api.ExecutionStage.UNKNOWN
        self._heard = 0
        self._told = False

    def run(
        self, send: Callable[[tuple[Name, ...]], object], stop: Event, *, believing: bool
    ) -> Executed:
        """Run it to its end.

        `send`: has the farm hold everything that the action consists of, as patiently as any call;
        of some it is known that they are missing. `believing`: whether an answer is taken that the
        farm had in its cache. It is never asked for one.

        Raises:
            InfrastructureError: it could not be run, or was not.
            Stopped: `stop` was set; it was cancelled.
        """
        missing: tuple[Name, ...] = ()
        for number in range(1, _TRIED + 1):
            try:
                send(missing)
                response = self._followed(stop)
            except Fault as fault:
                if number == _TRIED or not fault.missing:
                    raise self._error(fault) from fault
                missing = fault.missing
                self._told_missing(missing)
                continue
            fault_of = faults.of_status(response.status)
            if response.cached_result and not believing:
                raise self._not_run()
            if fault_of is None:
                return Executed(response.result, response.cached_result)
            if fault_of.code == Code.DEADLINE_EXCEEDED:
                return Executed(response.result, cached=False, timed_out=True)
            # One that was cancelled somebody wants ended; that is no matter of trying again.
            wanted = fault_of.passing and fault_of.code != Code.CANCELLED
            if number == _TRIED or not (fault_of.missing or wanted):
                raise self._error(fault_of)
            missing = fault_of.missing
            if missing:
                self._told_missing(missing)
            else:
                self._calls.note(
                    f"{self._name}: lost on the farm ({fault_of.words or fault_of.code.name}); "
                    f"asking for it again ({number} of {_TRIED - 1})"
                )
                if stop.wait(min(_PAUSE * 2 ** (number - 1), _LONGEST_PAUSE)):
                    raise Stopped("stopped")
        raise AssertionError("the last attempt returns or raises")

    def _told_missing(self, missing: tuple[Name, ...]) -> None:
        self._calls.note(f"{self._name}: the farm lacks {len(missing)} blobs; sending them again")

    def _error(self, fault: Fault) -> InfrastructureError:
        return faults.error(fault, f"run {self._name} on the farm", self._calls.farm.identity)

    def _not_run(self) -> InfrastructureError:
        # Merging with the same action that runs already is no such case, by the API: that is run.
        return InfrastructureError(
            f"the farm ran nothing for {self._name}: it answers with a result of its cache, which "
            "it was asked not to do (`skip_cache_lookup`)",
            subject=self._calls.farm.identity,
            remedy="have the farm, or what stands between, heed that; for builds, its cache can be "
            'believed instead (`cache = "all"` in its file)',
        )

    def _followed(self, stop: Event) -> api.ExecuteResponse:
        """Ask for it, and follow it until there is an answer."""
        self._operation = ""
        forgotten = 0
        try:
            while True:
                try:
                    return self._calls.again(
                        lambda: self._streamed(stop),
                        stop,
                        progress=lambda: self._heard,
                    )
                except Fault as fault:
                    forgotten += 1
                    lost = self._operation and fault.code == Code.NOT_FOUND
                    if not lost or forgotten == _TRIED:
                        raise
                    # Started again, or the operation was dropped: nothing of it runs any more.
                    self._calls.note(f"{self._name}: the farm has forgotten it; asking again")
                    self._operation = ""
        except BaseException:
            self._cancel()
            raise

    def _streamed(self, stop: Event) -> api.ExecuteResponse:
        """Follow a stream to the answer, and the next one where it only was quiet for too long.

        Raises:
            Fault: it ended without an answer.
        """
        while True:
            heard, unnamed = self._heard, self._unnamed
            try:
                for operation in self._stream(stop):
                    self._heard += 1
                    self._operation = operation.name or self._operation
                    self._unnamed = not self._operation
                    self._stage = _stage(operation)
                    if operation.done:
                        return self._answer(operation)
            except Fault as fault:
                if not fault.passing or fault.code == Code.RESOURCE_EXHAUSTED:
                    self._unnamed = unnamed  # this time it was not taken
                # Our own deadline, of a stream that has said something: nothing is wrong.
                if fault.code != Code.DEADLINE_EXCEEDED or self._heard == heard:
                    raise
                self._tell_of_waiting()
                continue
            raise Fault(Code.UNAVAILABLE, "a stream about an action ended without an answer")

    def _tell_of_waiting(self) -> None:
        """Say, once, that no worker has taken it for so long."""
        if self._stage == api.ExecutionStage.QUEUED and not self._told:
            self._told = True
            self._calls.note(
                f"{self._name} waits in the farm's queue: no worker with the properties that its "
                "file names is free, or there is none"
            )

    def _stream(self, stop: Event) -> Iterator[api.Operation]:
        if self._operation:
            request = api.WaitExecutionRequest(name=self._operation)
            return self._calls.streamed(self._calls.methods.wait, request, stop, seconds=_QUIET)
        execute = api.ExecuteRequest(
            instance_name=self._offer.instance,
            skip_cache_lookup=True,
            action_digest=self._action.message,
            digest_function=self._offer.value,
        )
        return self._calls.streamed(
            self._calls.methods.execute, execute, stop, seconds=_QUIET, sent=self._sent
        )

    def _sent(self) -> None:
        self._unnamed = True

    def _answer(self, operation: api.Operation) -> api.ExecuteResponse:
        self._operation, self._unnamed = "", False
        if operation.WhichOneof("result") == "error":
            fault = faults.of_status(operation.error)
            if fault is not None:
                return api.ExecuteResponse(status=operation.error)
        try:
            return api.ExecuteResponse.FromString(operation.response.value)
        except DecodeError as error:
            raise InfrastructureError(
                f"the farm's answer for {self._name} is not understood: {error}"
            ) from error

    def _cancel(self) -> None:
        """Have the farm end what may run for this, as well as can be: an error is on its way."""
        if not self._operation:
            if self._unnamed:
                self._calls.note(
                    f"{self._name} may still run on the farm, which has not said under which name"
                )
            return
        request = api.CancelOperationRequest(name=self._operation)
        over = threading.Event()
        timer = threading.Timer(_CANCELLING, over.set)
        timer.start()
        try:
            self._calls.renewing(
                lambda: self._calls.once(self._calls.methods.cancel, request, over), over
            )
        except Fault as fault:
            if fault.code == Code.NOT_FOUND:
                return
            why = fault.words or fault.code.name
        except Stopped:
            why = f"no answer in {_CANCELLING:.0f} s"
        except Exception as error:  # noqa: BLE001 - it must not hide what ended the action
            # What others say may hold the headers.
            words = error.summary if isinstance(error, SourceryError) else type(error).__name__
            why = visible.line(words)
        else:
            return
        finally:
            timer.cancel()
        self._calls.note(f"{self._name} may still run on the farm, which does not cancel it: {why}")


def _stage(operation: api.Operation) -> api.ExecutionStage.Value:
    """How far an action is; unknown where the farm does not say."""
    try:
        return api.ExecuteOperationMetadata.FromString(operation.metadata.value).stage
    except DecodeError:
        return api.ExecutionStage.UNKNOWN
