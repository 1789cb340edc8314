"""Faults of calls to a farm: which may pass by themselves, and what each means to a person.

The codes are those of gRPC (google/rpc/code.proto); they come as the outcome of a call, or as a
`Status` inside an answer. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError

from containers.remote import naming
from containers.remote import reapi_pb2 as api
from reproducibility import visible
from reproducibility.errors import InfrastructureError
from reproducibility.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from containers.remote.naming import Name

Code = grpc.StatusCode
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
# The farm is out of reach, starts again (and ends its calls), or does not keep up: it may be a
# matter of time.
AWAY = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED})
# A proxy that cuts a stream, or a server that stumbles: some attempts are enough to tell.
_STUMBLES = frozenset({Code.ABORTED, Code.INTERNAL, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED})
_SHOWN = 600
_FAILURE = "google.rpc.PreconditionFailure"
_REMEDIES = {
    Code.UNAVAILABLE: "look at the network and at the farm: `address` in its file (`grpcs://` "
    "where it speaks TLS, `grpc://` where it does not), and `certificate` of `[tls]` where it "
    "wants to know who asks; then run the same command again: finished steps are remembered",
    Code.DEADLINE_EXCEEDED: "look at the network and at how busy the farm is",
    Code.CANCELLED: "somebody cancelled it on the farm; run the same command again: finished steps "
    "are remembered",
    Code.UNAUTHENTICATED: "look at `[headers]` and `[tls]` in the farm's file, and whether the "
    "token is still valid",
    Code.PERMISSION_DENIED: "ask the farm's administrator for the right to store blobs and to "
    "execute actions in this instance",
    Code.NOT_FOUND: "look at `instance` in the farm's file",
    Code.RESOURCE_EXHAUSTED: "the farm has no room, or a quota is used up: ask its administrator, "
    "or set fewer `actions` in its file",
    Code.UNIMPLEMENTED: "the address may be that of another service: look at `address` and "
    "`storage` in the farm's file",
    Code.INVALID_ARGUMENT: "the farm takes no such action: look at `properties` and `timeout` in "
    "its file, and at what its configuration allows",
    Code.FAILED_PRECONDITION: "no worker may have these properties: look at `properties` in the "
    "farm's file",
}
# gRPC has no code for a connection that TLS refuses, only words: those of its TLS library. By what
# such words hold.
_TLS_REMEDIES = {
    "CERTIFICATE_VERIFY_FAILED": "the farm's certificate is signed by nobody who is believed: who "
    "signed it is `authority` of `[tls]` in the farm's file, without which it is whom the machine "
    "believes, or what `SSL_CERT_FILE` or `SSL_CERT_DIR` names in its place",
    "Hostname Verification": "the farm's certificate is for another host: `address` in the farm's "
    "file must be a name that stands in it, signed by the `authority` of `[tls]`",
    "WRONG_VERSION_NUMBER": "it does not speak TLS there: `grpc://` in `address` of the farm's "
    "file is for that, or another port is meant",
}


class Fault(Exception):  # noqa: N818 - some of them pass by themselves
    """A call that failed, or a `Status` that is not OK. `missing`: blobs that the farm lacks.

    `letters`: the number of the headers that the call went with (`channel.Sheet`).
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        words: str,
        missing: tuple[Name, ...] = (),
        *,
        letters: int = 0,
    ) -> None:
        super().__init__(f"{code.name}: {words}")
        self.code = code
        self.words = visible.line(redact(words))[:_SHOWN]
        self.missing = missing
        self.letters = letters

    @property
    def passing(self) -> bool:
        """Whether it may not be there the next time."""
        return self.code in AWAY or self.code in _STUMBLES

    @property
    def away(self) -> bool:
        """Whether the farm is out of reach, and waiting for it may help."""
        return self.code in AWAY


def of_call(error: grpc.RpcError, letters: int) -> Fault:
    """The fault that a call ended with. `letters`: see `Fault`."""
    # What a call raises is both, which neither class says.
    call: object = error
    if not isinstance(call, grpc.Call):
        return Fault(Code.UNKNOWN, str(error), letters=letters)
    code, words = call.code(), call.details()
    found: tuple[Name, ...] = ()
    if code == Code.FAILED_PRECONDITION:
        for key, value in call.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                try:
                    found = _missing(api.Status.FromString(value).details)
                except DecodeError:
                    found = ()
    return Fault(code, words or "", found, letters=letters)


def of_status(status: api.Status) -> Fault | None:
    """The fault that a message tells of; None where it says OK."""
    if status.code == 0:
        return None
    code = _BY_NUMBER.get(status.code, Code.UNKNOWN)
    return Fault(code, status.message, _missing(status.details))


def error(fault: Fault, doing: str, subject: str) -> InfrastructureError:
    """The fault as an error for a person. `doing` completes "cannot"."""
    words = fault.words or "it says nothing more"
    return InfrastructureError(
        f"cannot {doing}: the farm answers {fault.code.name}: {words}",
        subject=subject,
        remedy=_remedy(fault),
    )


def _remedy(fault: Fault) -> str:
    if fault.code == Code.UNAVAILABLE:
        for sign, remedy in _TLS_REMEDIES.items():
            if sign in fault.words:
                return remedy
    return _REMEDIES.get(fault.code, "look at the farm's own log")


def _missing(details: Iterable[object]) -> tuple[Name, ...]:
    """Blobs that are missing, by the details of a status."""
    found: list[Name] = []
    for detail in details:
        url, value = getattr(detail, "type_url", ""), getattr(detail, "value", b"")
        if url.rpartition("/")[2] != _FAILURE:
            continue
        try:
            failure = api.PreconditionFailure.FromString(value)
        except DecodeError:
            continue
        for violation in failure.violations:
            name = naming.missing(violation.subject)
            if violation.type == "MISSING" and name is not None:
                found.append(name)
    return tuple(found)
