"""Brings blobs from a farm into the store, each compared with its name before it is kept.

Small ones in batches, large ones as streams that go on where they were cut, several at once,
compressed where the farm offers it. What is kept is named by the BLAKE3 that is worked out here,
whatever the farm calls it.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, cast

import zstandard
from blake3 import blake3

from containers.remote import faults, naming
from containers.remote import reapi_pb2 as api
from containers.remote.calls import DEADLINE
from containers.remote.faults import Fault
from containers.remote.naming import Name
from containers.remote.sending import SLOWEST, THREADS, Traffic, grouped
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event
    from typing import IO, BinaryIO

    from containers.engine import Storage
    from containers.remote.calls import Calls
    from containers.remote.known import Known
    from containers.remote.offer import Offer

# How often wrong bytes are asked for again, before they are no accident.
_WRONG = 3
# Bytes of a zstd window: what levels up to 19 use, and every reader of RFC 8878 is to have. By
# itself the library takes up to 128 MiB for a stream, at the word of its first bytes.
_WINDOW = 8 << 20


class WrongBytes(Exception):  # noqa: N818 - it is the bytes that are wrong
    """A farm gave other bytes than those of the name that they were asked by."""


class Receiver:
    """Brings blobs from one farm; for several threads."""

    def __init__(self, calls: Calls, offer: Offer, known: Known) -> None:
        self._calls = calls
        self._offer = offer
        self._known = known
        self._lock = threading.Lock()
        self.traffic = Traffic()

    def bring(self, names: Iterable[Name], storage: Storage, stop: Event) -> None:
        """Have the store hold the blobs of these names; `known` then has the store's names of them.

        Raises:
            Fault: the farm does not give one; NOT_FOUND where it has it no more.
            InfrastructureError: it gives other bytes; the store cannot keep them.
            Stopped: `stop` was set.
        """
        wanted = []
        for name in dict.fromkeys(names):
            if name == naming.of_bytes(self._offer.function, b""):
                # Every farm has it, by the API, and need not be able to give it.
                self._known.add([(storage.put_bytes(b"").hex, name.hash)])
            elif not self._held(name, storage):
                wanted.append(name)
        small, large = grouped(wanted, self._offer.batch)
        work = [
            partial(self._stream, name, storage, stop)
            for name in sorted(large, key=lambda name: -name.size)
        ]
        work += [partial(self._batch, group, storage, stop) for group in small]
        with ThreadPoolExecutor(THREADS, thread_name_prefix="receiving") as pool:
            futures = [pool.submit(one) for one in work]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def read(self, name: Name, limit: int, stop: Event) -> bytes:
        """The bytes of a blob, for one that is not kept.

        Raises:
            Fault: as `bring`.
            InfrastructureError: as `bring`, or it is larger than `limit`.
            Stopped: `stop` was set.
        """
        if name.size > limit:
            raise InfrastructureError(
                f"the farm's answer is too large: {name.size} bytes, and {limit} can be",
                subject=name.hash,
            )
        if name.size == 0:
            # Every farm has it, by the API, and need not be able to give it.
            if name != naming.of_bytes(self._offer.function, b""):
                raise wrong(name)
            return b""

        def once() -> bytes:
            data = b"".join(_bounded(self._pieces(name, 0, stop), name.size))
            if len(data) < name.size:
                raise Fault(faults.Code.UNAVAILABLE, "a stream ended too early")
            if naming.of_bytes(self._offer.function, data) != name:
                raise WrongBytes
            self._count(name.size, 0)
            return data

        return self._insisting(name, lambda: self._calls.again(once, stop))

    def _held(self, name: Name, storage: Storage) -> bool:
        blob = self._known.blob(name)
        return blob is not None and storage.has(blob, name.size)

    def _insisting(self, name: Name, work: Callable[[], bytes]) -> bytes:
        """Do work that may give wrong bytes; some times, since a line may be bad."""
        for _ in range(_WRONG - 1):
            try:
                return work()
            except WrongBytes:
                self._calls.note(f"the farm gives wrong bytes for {name.hash}; asking again")
        try:
            return work()
        except WrongBytes as error:
            raise wrong(name) from error

    # -- batches ---------------------------------------------------------------------------------

    def _batch(self, names: list[Name], storage: Storage, stop: Event) -> None:
        left = dict.fromkeys(names)
        wrong_bytes: dict[Name, int] = {}

        def attempt() -> None:
            request = api.BatchReadBlobsRequest(
                instance_name=self._offer.instance,
                digests=[name.message for name in left],
                digest_function=self._offer.value,
            )
            if self._offer.zstd:
                request.acceptable_compressors.extend(
                    (api.Compressor.IDENTITY, api.Compressor.ZSTD)
                )
            answer = self._calls.once(self._calls.methods.batch_read, request, stop)
            failed: Fault | None = None
            for one in answer.responses:
                name = Name.parse(one.digest)
                if name not in left:
                    continue
                fault = faults.of_status(one.status)
                if fault is not None:
                    failed = fault
                    continue
                data = _plain(one, name)
                if data is None or naming.of_bytes(self._offer.function, data) != name:
                    wrong_bytes[name] = wrong_bytes.get(name, 0) + 1
                    if wrong_bytes[name] >= _WRONG:
                        raise wrong(name)
                    continue
                self._keep(name, storage.put_bytes(data).hex, len(one.data))
                del left[name]
            if failed is not None:
                raise failed
            if left:
                raise Fault(faults.Code.ABORTED, f"{len(left)} blobs were not in its answer")

        self._calls.again(attempt, stop, progress=lambda: (len(left), sum(wrong_bytes.values())))

    def _keep(self, name: Name, own: str, travelled: int) -> None:
        self._known.add([(own, name.hash)])
        self._count(name.size, travelled)

    def _count(self, size: int, travelled: int) -> None:
        with self._lock:
            self.traffic.add(size, travelled)

    def _arriving(self, answers: Iterator[api.ReadResponse]) -> Iterator[bytes]:
        """The bytes of a stream, counted as they come."""
        for answer in answers:
            with self._lock:
                self.traffic.travelled += len(answer.data)
            yield answer.data

    # -- streams ---------------------------------------------------------------------------------

    def _stream(self, name: Name, storage: Storage, stop: Event) -> None:
        with storage.temporary() as folder:
            path = folder / "blob"

            def whole() -> bytes:
                with path.open("wb") as sink:
                    found = _Arrival(sink, self._offer.function)
                    self._calls.again(
                        lambda: self._go_on(name, found, stop),
                        stop,
                        progress=lambda: found.size,
                    )
                    if found.name != name:
                        raise WrongBytes
                return found.own.encode()

            own = self._insisting(name, whole).decode()
            kept = storage.put_file(path, move=True)
            if kept.hex != own:
                raise InfrastructureError(
                    "a file changed while it was taken into the store", subject=str(path)
                )
            self._keep(name, own, 0)

    def _go_on(self, name: Name, found: _Arrival, stop: Event) -> None:
        # A stream may be cut at its very end.
        if found.size < name.size:
            found.go_on(name, self._pieces(name, found.size, stop))

    def _pieces(self, name: Name, offset: int, stop: Event) -> Iterator[bytes]:
        """The bytes of a blob from an offset on. The offset is one of plain bytes in any case."""
        zstd = self._offer.zstd and name.size >= 1 << 10
        request = api.ReadRequest(
            resource_name=naming.to_read(
                self._offer.function, self._offer.instance, name, zstd=zstd
            ),
            read_offset=offset,
        )
        seconds = DEADLINE + name.size / SLOWEST
        answers = self._calls.streamed(self._calls.methods.read, request, stop, seconds=seconds)
        pieces = self._arriving(answers)
        return _decompressed(pieces) if zstd else pieces


class _Arrival:
    """A blob that arrives, over several attempts: its bytes so far, and their digests."""

    def __init__(self, sink: BinaryIO, function: naming.Function) -> None:
        self._sink = sink
        self._own = blake3()
        self._other = None if function == "blake3" else naming.hasher(function)
        self._done: Name | None = None
        self.size = 0

    def go_on(self, name: Name, pieces: Iterator[bytes]) -> None:
        """Take pieces to the end of the blob.

        Raises:
            Fault: they end too early.
            WrongBytes: there are too many.
        """
        for piece in pieces:
            self.size += len(piece)
            if self.size > name.size:
                raise WrongBytes
            self._sink.write(piece)
            self._own.update(piece)
            if self._other is not None:
                self._other.update(piece)
        if self.size < name.size:
            raise Fault(faults.Code.UNAVAILABLE, f"a stream ended at {self.size} of {name.size}")

    @property
    def own(self) -> str:
        """The BLAKE3 of what arrived."""
        return self._own.hexdigest()

    @property
    def name(self) -> Name:
        """The name of what arrived, at its end."""
        if self._done is None:
            digits = self.own if self._other is None else self._other.hexdigest()
            self._done = Name(digits, self.size)
        return self._done


def wrong(name: Name) -> InfrastructureError:
    """The error for a farm that keeps giving other bytes than those that were asked for."""
    return InfrastructureError(
        "the farm gives other bytes than those of the name that they are asked by",
        subject=f"{name.hash}, {name.size} bytes",
        remedy="its storage, or what stands between, is damaged or not to be trusted: tell its "
        "administrator; nothing of it was kept",
    )


def _plain(one: api.BatchReadBlobsResponse.Response, name: Name) -> bytes | None:
    """The plain bytes of an answer; None where they cannot be those that were asked for."""
    if one.compressor == api.Compressor.IDENTITY:
        return one.data
    if one.compressor != api.Compressor.ZSTD:
        return None
    try:
        return b"".join(_bounded(_decompressed(iter([one.data])), name.size))
    except (Fault, WrongBytes):
        return None


def _bounded(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    for piece in pieces:
        most -= len(piece)
        if most < 0:
            raise WrongBytes
        yield piece


def _decompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces of zstd frames as plain ones; each gives a bounded number of bytes at once.

    Raises:
        Fault: they are none.
        InfrastructureError: they need more memory than they are given.
    """
    # In bytes, whatever its documentation says.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    # `read1`: what has arrived is not lost where the stream is cut.
    with decompressor.stream_reader(
        cast("IO[bytes]", _Pieces(pieces)),  # it calls nothing but `read`
        read_across_frames=True,
    ) as reader:
        while True:
            try:
                piece = reader.read1(1 << 20)
            except zstandard.ZstdError as error:
                if "too much memory" in str(error):
                    raise InfrastructureError(
                        "the farm compresses blobs with windows of more than 8 MiB",
                        remedy="tell its administrator: levels up to 19 need no more",
                    ) from error
                raise Fault(faults.Code.INTERNAL, f"a stream is no zstd: {error}") from error
            if not piece:
                return
            yield piece


class _Pieces:
    """A source of bytes to read from, made of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        while not self._left:
            following = next(self._pieces, None)
            if following is None:
                return b""
            self._left = following
        taken, self._left = self._left[:size], self._left[size:]
        return taken
