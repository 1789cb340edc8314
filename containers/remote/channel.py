"""Connection to a farm (gRPC): TLS, headers, and the methods of the services that are used."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from containers.host import process
from containers.remote import authorities
from containers.remote import reapi_pb2 as api
from reproducibility import regular
from reproducibility.errors import InfrastructureError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificatePublicKeyTypes,
        PrivateKeyTypes,
    )

    from containers.remote.farm import Farm, Headers, Tls

_V2 = "/build.bazel.remote.execution.v2."
_BYTES = "/google.bytestream.ByteStream/"
# Bytes of one message. A batch is of 4 MiB at most, and an answer may be a little more than asked.
_LARGEST = 16 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST),
    ("grpc.max_send_message_length", _LARGEST),
    # Two engines of one process share no connection: each is closed by itself.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.enable_retries", 0),
)
_SECRET = 1 << 16
_COMMAND_SECONDS = 60
# Seconds between attempts to have headers that are to replace others. The first ones are asked for
# once: what was never seen to work is wrong rather than out of order for a moment.
_PAUSES = (1.0, 5.0, 15.0)
_LOOK = 0.1


@dataclass(frozen=True)
class Methods:
    """The methods of a farm's services."""

    capabilities: grpc.UnaryUnaryMultiCallable[api.GetCapabilitiesRequest, api.ServerCapabilities]
    find_missing: grpc.UnaryUnaryMultiCallable[
        api.FindMissingBlobsRequest, api.FindMissingBlobsResponse
    ]
    batch_update: grpc.UnaryUnaryMultiCallable[
        api.BatchUpdateBlobsRequest, api.BatchUpdateBlobsResponse
    ]
    batch_read: grpc.UnaryUnaryMultiCallable[api.BatchReadBlobsRequest, api.BatchReadBlobsResponse]
    read: grpc.UnaryStreamMultiCallable[api.ReadRequest, api.ReadResponse]
    write: grpc.StreamUnaryMultiCallable[api.WriteRequest, api.WriteResponse]
    write_status: grpc.UnaryUnaryMultiCallable[
        api.QueryWriteStatusRequest, api.QueryWriteStatusResponse
    ]
    get_result: grpc.UnaryUnaryMultiCallable[api.GetActionResultRequest, api.ActionResult]
    put_result: grpc.UnaryUnaryMultiCallable[api.UpdateActionResultRequest, api.ActionResult]
    execute: grpc.UnaryStreamMultiCallable[api.ExecuteRequest, api.Operation]
    wait: grpc.UnaryStreamMultiCallable[api.WaitExecutionRequest, api.Operation]
    cancel: grpc.UnaryUnaryMultiCallable[api.CancelOperationRequest, bytes]


def methods(channel: grpc.Channel, storage: grpc.Channel) -> Methods:
    """The methods; `storage`: the connection to the farm's storage, mostly the same."""
    one, many = channel.unary_unary, channel.unary_stream
    cas = f"{_V2}ContentAddressableStorage/"
    return Methods(
        capabilities=one(
            f"{_V2}Capabilities/GetCapabilities",
            api.GetCapabilitiesRequest.SerializeToString,
            api.ServerCapabilities.FromString,
        ),
        find_missing=storage.unary_unary(
            f"{cas}FindMissingBlobs",
            api.FindMissingBlobsRequest.SerializeToString,
            api.FindMissingBlobsResponse.FromString,
        ),
        batch_update=storage.unary_unary(
            f"{cas}BatchUpdateBlobs",
            api.BatchUpdateBlobsRequest.SerializeToString,
            api.BatchUpdateBlobsResponse.FromString,
        ),
        batch_read=storage.unary_unary(
            f"{cas}BatchReadBlobs",
            api.BatchReadBlobsRequest.SerializeToString,
            api.BatchReadBlobsResponse.FromString,
        ),
        read=storage.unary_stream(
            f"{_BYTES}Read", api.ReadRequest.SerializeToString, api.ReadResponse.FromString
        ),
        write=storage.stream_unary(
            f"{_BYTES}Write", api.WriteRequest.SerializeToString, api.WriteResponse.FromString
        ),
        write_status=storage.unary_unary(
            f"{_BYTES}QueryWriteStatus",
            api.QueryWriteStatusRequest.SerializeToString,
            api.QueryWriteStatusResponse.FromString,
        ),
        get_result=one(
            f"{_V2}ActionCache/GetActionResult",
            api.GetActionResultRequest.SerializeToString,
            api.ActionResult.FromString,
        ),
        put_result=one(
            f"{_V2}ActionCache/UpdateActionResult",
            api.UpdateActionResultRequest.SerializeToString,
            api.ActionResult.FromString,
        ),
        execute=many(
            f"{_V2}Execution/Execute",
            api.ExecuteRequest.SerializeToString,
            api.Operation.FromString,
        ),
        wait=many(
            f"{_V2}Execution/WaitExecution",
            api.WaitExecutionRequest.SerializeToString,
            api.Operation.FromString,
        ),
        cancel=one(
            "/google.longrunning.Operations/CancelOperation",
            api.CancelOperationRequest.SerializeToString,
            bytes,
        ),
    )


def connected(address: str, farm: Farm) -> grpc.Channel:
    """A connection, which is made when it is first used.

    Raises:
        InputError: a file of keys or certificates cannot be read.
        InfrastructureError: none is named, and this machine does not say whom it believes.
    """
    if farm.tls is None:
        return grpc.insecure_channel(address, _OPTIONS)
    return grpc.secure_channel(address, _credentials(farm.tls), _OPTIONS)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    """What TLS needs. Looked into here: gRPC says of files that it cannot use only that TLS fails.

    Raises:
        InputError: a file cannot be read, or is not what it is to be.
        InfrastructureError: no authority is named, and the machine has none that could be read.
    """
    authority = _read(tls.authority, authorities.LARGEST)
    certificate, key = _read(tls.certificate), _read(tls.key)
    _certificates(authority, tls.authority)
    own, private = _certificates(certificate, tls.certificate), _private_key(key, tls.key)
    if own and private and _key_of(own[0], tls.certificate) != private.public_key():
        raise InputError(
            "the private key is not that of the certificate",
            subject=f"{tls.certificate}, {tls.key}",
            remedy="`certificate` and `key` of `[tls]` belong together; in a file with several "
            "certificates this client's own comes first",
        )
    return grpc.ssl_channel_credentials(
        # Never none: gRPC has a list of its own.
        root_certificates=authorities.machine() if authority is None else authority,
        private_key=key,
        certificate_chain=certificate,
    )


def _certificates(data: bytes | None, path: Path | None) -> list[x509.Certificate]:
    if data is None:
        return []
    try:
        return x509.load_pem_x509_certificates(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            "a file of the farm's settings holds no certificate in PEM form", subject=str(path)
        ) from error


def _key_of(certificate: x509.Certificate, path: Path | None) -> CertificatePublicKeyTypes:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"the key in this client's certificate cannot be read: {error}", subject=str(path)
        ) from error


def _private_key(data: bytes | None, path: Path | None) -> PrivateKeyTypes | None:
    if data is None:
        return None
    try:
        return serialization.load_pem_private_key(data, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            "a file of the farm's settings holds no private key in PEM form without a passphrase",
            subject=str(path),
        ) from error


def _read(path: Path | None, limit: int = _SECRET) -> bytes | None:
    if path is None:
        return None
    try:
        return regular.read(path, limit=limit)
    except OSError as error:
        raise InputError(
            f"a file of the farm's settings cannot be read: {error.strerror}", subject=str(path)
        ) from error


@dataclass(frozen=True, slots=True)
class Sheet:
    """Headers as they were at one time: (name, value) of each, which no error or log shows.

    `number`: tells them from those before and after.
    """

    number: int
    lines: tuple[tuple[str, str], ...] = field(repr=False)


class Letters:
    """The headers that go with each call. What they say is in no error, and is kept nowhere.

    Many calls use the same ones, and all of them are refused where a token expires. So who was
    refused says with which, and only those are thrown away.
    """

    def __init__(self, source: Headers) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._known: Sheet | None = None
        self._number = 1

    def current(self, stop: Event) -> Sheet:
        """The headers of now; asked for where none are known.

        Raises:
            InputError: the file or the command's output has another form.
            InfrastructureError: the command fails.
            Stopped: `stop` was set.
        """
        with self._locked(stop):
            if self._known is None:
                self._known = Sheet(self._number, self._asked(stop))
            return self._known

    def renew(self, number: int, stop: Event) -> bool:
        """Have headers asked for again since the farm refused those of a number: a token expired.

        Whether there are any. Those that are known stay where they are others already.

        Raises:
            Stopped: `stop` was set.
        """
        if self._source.file is None and not self._source.command:
            return False
        with self._locked(stop):
            if number == self._number:
                self._known = None
                self._number += 1
        return True

    @contextmanager
    def _locked(self, stop: Event) -> Iterator[None]:
        """Hold the lock, which somebody has for as long as a command runs."""
        while not self._lock.acquire(timeout=_LOOK):
            if stop.is_set():
                raise Stopped("stopped")
        try:
            if stop.is_set():
                raise Stopped("stopped")
            yield
        finally:
            self._lock.release()

    def _asked(self, stop: Event) -> tuple[tuple[str, str], ...]:
        """The headers from where they come; more than once where they only are to be renewed."""
        for pause in _PAUSES if self._number > 1 else ():
            try:
                return tuple(self._lines(stop))
            except (InfrastructureError, InputError):
                if stop.wait(pause):
                    raise Stopped("stopped") from None
        return tuple(self._lines(stop))

    def _lines(self, stop: Event) -> list[tuple[str, str]]:
        source = self._source
        if source.file is not None:
            text, subject = _read(source.file) or b"", str(source.file)
        elif source.command:
            # A program of the person's own, which finds its credentials as in a shell.
            done = process.run(
                source.command,
                environment=os.environ,
                seconds=_COMMAND_SECONDS,
                stop=stop,
                check=False,
            )
            text, subject = done.stdout, source.command[0]
            if done.status != 0:
                raise InfrastructureError(
                    f"the command for the farm's headers ended with exit status {done.status}",
                    subject=subject,
                    remedy="run it in a shell: it is to print lines `name: value`",
                )
        else:
            return []
        return headers(text, subject)


def headers(text: bytes, subject: str) -> list[tuple[str, str]]:
    """Names and values in lines `name: value`. `subject`: where they come from.

    Raises:
        InputError: a line is none; says which, and not what is in it.
    """
    found = []
    for number, line in enumerate(text.decode(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not _is_header(name) or not value.isprintable() or not value.isascii():
            raise InputError(
                f"line {number} is no header `name: value`",
                subject=subject,
                remedy="`authorization: Bearer ...`, for example",
            )
        found.append((name, value))
    return found


def _is_header(name: str) -> bool:
    """Tell whether gRPC takes a header's name; one of bytes (`-bin`) cannot be a line of text."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    return plain.isalnum() and plain.isascii() and not name.endswith("-bin")
