"""Sends blobs to a farm: only those that it lacks, small ones in batches, large ones as streams.

Several at once, compressed where the farm takes that. A stream that is cut goes on where the farm
says it was (QueryWriteStatus); a compressed one begins anew, as a plain one that can go on. No more
is in memory than a batch for each of a few threads.
"""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import zstandard

from containers.remote import faults, naming
from containers.remote import reapi_pb2 as api
from containers.remote.calls import DEADLINE
from containers.remote.faults import Fault
from containers.remote.naming import Name
from reproducibility import regular
from reproducibility.errors import SourceryError
from reproducibility.manifest import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from threading import Event

    from containers.engine import Storage
    from containers.remote.calls import Calls
    from containers.remote.offer import Offer

Content = bytes | Entry

THREADS = 6
# Digests asked for at once: 750 KB.
_ASKED = 10_000
# Blobs of one batch, and bytes that each takes in it beside its content.
_MANY = 1000
EACH = 200
PIECE = 1 << 20
# Bytes a second that a connection has at least, for the deadline of a stream.
SLOWEST = 200_000
LEVEL = 3
# For so many seconds the farm is not asked again whether it has what it was seen to have. If it
# forgets it meanwhile, it says so when the action is to run.
_TRUSTED = 600.0
# What is not smaller than this gains nothing by compression, in a message of its own.
_WORTH = 1 << 10


@dataclass
class Traffic:
    """What travelled: blobs and bytes, as they were and as they went."""

    blobs: int = 0
    size: int = 0
    travelled: int = 0

    def add(self, size: int, travelled: int) -> None:
        """Count a blob. Called under a lock."""
        self.blobs += 1
        self.size += size
        self.travelled += travelled

    def __str__(self) -> str:
        packed = f" ({_mib(self.travelled)} compressed)" if self.travelled != self.size else ""
        return f"{self.blobs} blobs of {_mib(self.size)}{packed}"


class Sender:
    """Sends blobs to one farm; from several threads, one after the other.

    So what two actions need is not sent twice.
    """

    def __init__(self, calls: Calls, offer: Offer) -> None:
        self._calls = calls
        self._offer = offer
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._seen: dict[Name, float] = {}
        self.traffic = Traffic()

    def send(self, wanted: Mapping[Name, Content], storage: Storage, stop: Event) -> None:
        """Have the farm hold all of `wanted`; `Entry`: a file of the store.

        Raises:
            Fault: it refuses.
            InfrastructureError: a blob of the store cannot be read.
            Stopped: `stop` was set.
        """
        with self._lock:
            now = time.monotonic()
            asked = [n for n in wanted if now - self._seen.get(n, -1e9) > _TRUSTED]
            missing = self._missing(asked, stop)
            self._send({name: wanted[name] for name in missing}, storage, stop)
            self._seen.update(dict.fromkeys(asked, now))

    def forget(self, names: Iterable[Name]) -> None:
        """Take back that the farm holds these: it said that it does not. None named: all."""
        with self._lock:
            gone = list(names)
            for name in gone:
                self._seen.pop(name, None)
            if not gone:
                self._seen.clear()

    def _missing(self, names: list[Name], stop: Event) -> list[Name]:
        found: list[Name] = []
        known = set(names)
        for start in range(0, len(names), _ASKED):
            request = api.FindMissingBlobsRequest(
                instance_name=self._offer.instance,
                blob_digests=[name.message for name in names[start : start + _ASKED]],
                digest_function=self._offer.value,
            )
            answer = self._calls.unary(self._calls.methods.find_missing, request, stop)
            found += [Name.parse(digest) for digest in answer.missing_blob_digests]
        # What was not asked for is nothing that could be sent.
        return [name for name in dict.fromkeys(found) if name in known]

    def _send(self, wanted: Mapping[Name, Content], storage: Storage, stop: Event) -> None:
        small, large = grouped(wanted, self._offer.batch)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="sending") as pool:
            # The largest first: what comes last then is soon done.
            work = [
                partial(self._stream, name, wanted[name], storage, stop)
                for name in sorted(large, key=lambda name: -name.size)
            ]
            work += [
                partial(self._batch, {name: wanted[name] for name in group}, storage, stop)
                for group in small
            ]
            futures = [pool.submit(one) for one in work]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def _batch(self, wanted: Mapping[Name, Content], storage: Storage, stop: Event) -> None:
        left = dict(wanted)

        def attempt() -> None:
            request = api.BatchUpdateBlobsRequest(
                instance_name=self._offer.instance, digest_function=self._offer.value
            )
            for name, content in left.items():
                data = content if isinstance(content, bytes) else _read(content, storage)
                one = request.requests.add(digest=name.message)
                if self._offer.zstd_batch and len(data) >= _WORTH:
                    data = zstandard.ZstdCompressor(level=LEVEL).compress(data)
                    one.compressor = api.Compressor.ZSTD
                one.data = data
            sizes = {n: len(r.data) for n, r in zip(left, request.requests, strict=True)}
            answer = self._calls.once(self._calls.methods.batch_update, request, stop)
            said = {Name.parse(one.digest): one.status for one in answer.responses}
            for name in list(left):
                fault = faults.of_status(said.get(name, api.Status()))
                if fault is None:
                    del left[name]
                    self._count(name.size, sizes[name])
            for status in said.values():
                fault = faults.of_status(status)
                if fault is not None:
                    raise fault

        self._calls.again(attempt, stop, progress=lambda: len(left))

    def _stream(self, name: Name, content: Content, storage: Storage, stop: Event) -> None:
        zstd = self._offer.zstd
        state = _Upload(self._place(name, zstd=zstd), zstd=zstd)

        def attempt() -> None:
            if state.begun:
                committed = self._committed(state.place, stop)
                if committed < 0:
                    return
                if state.zstd:
                    # The first offset of a compressed stream is one of the plain bytes, but what
                    # QueryWriteStatus counts is left open, and farms differ in it (remote-apis,
                    # issue 212). Of plain bytes there is one count.
                    state.place, state.zstd = self._place(name, zstd=False), False
                else:
                    state.committed = committed
            state.begun = True
            # Opened here: what goes wrong within the stream would be gRPC's own error.
            pieces = _pieces(content, storage, zstd=state.zstd)
            parts = state.requests(state.place, pieces, stop)
            seconds = DEADLINE + name.size / SLOWEST
            try:
                answer = self._calls.written(
                    self._calls.methods.write, parts, stop, seconds=seconds
                )
            finally:
                if state.error is not None:
                    raise state.error
            # -1: it was there already, whatever was sent (ByteStream of compressed blobs).
            if answer.committed_size not in {-1, name.size, state.offered}:
                raise Fault(
                    faults.Code.ABORTED, f"it kept {answer.committed_size} of {name.size} bytes"
                )

        self._calls.again(attempt, stop, progress=lambda: state.committed)
        self._count(name.size, state.offered)

    def _place(self, name: Name, *, zstd: bool) -> str:
        """A name for a new stream to the farm."""
        upload = str(uuid.uuid4())
        return naming.to_write(self._offer.function, self._offer.instance, name, upload, zstd=zstd)

    def _committed(self, place: str, stop: Event) -> int:
        """How many bytes of a stream the farm has kept; -1 for all of them."""
        request = api.QueryWriteStatusRequest(resource_name=place)
        try:
            answer = self._calls.once(self._calls.methods.write_status, request, stop)
        except Fault as fault:
            if fault.away or fault.code == faults.Code.UNAUTHENTICATED:
                raise
            return 0  # it knows nothing of it, or cannot tell
        return -1 if answer.complete else max(answer.committed_size, 0)

    def _count(self, size: int, travelled: int) -> None:
        with self._counting:
            self.traffic.add(size, travelled)


class _Upload:
    """One blob as a stream to the farm, over several attempts.

    `place`: the stream's name. `committed`: how many bytes the farm has kept of a plain one.
    """

    def __init__(self, place: str, *, zstd: bool) -> None:
        self.place = place
        self.zstd = zstd
        self.begun = False
        self.committed = 0
        self.offered = 0
        self.error: Exception | None = None

    def requests(
        self, place: str, pieces: Iterator[bytes], stop: Event
    ) -> Iterator[api.WriteRequest]:
        """The messages of the stream, from where the farm is."""
        skip, offset, first = self.committed, 0, True
        try:
            waiting = next(pieces, b"")
            while True:
                if stop.is_set():
                    return
                following = next(pieces, None)
                end = self.offered = offset + len(waiting)
                if end > skip or following is None:
                    start = max(skip - offset, 0)
                    yield api.WriteRequest(
                        resource_name=place if first else "",
                        write_offset=offset + start,
                        finish_write=following is None,
                        data=waiting[start:],
                    )
                    first = False
                offset = end
                if following is None:
                    return
                waiting = following
        except (OSError, SourceryError) as error:
            self.error = error


def grouped(names: Iterable[Name], batch: int) -> tuple[list[list[Name]], list[Name]]:
    """Names in groups that fit into a batch of so many bytes, and those that are too large."""
    groups: list[list[Name]] = []
    large: list[Name] = []
    room = 0
    for name in sorted(names, key=lambda name: (name.size, name.hash)):
        if name.size + EACH > batch:
            large.append(name)
            continue
        if not groups or name.size + EACH > room or len(groups[-1]) == _MANY:
            groups.append([])
            room = batch
        groups[-1].append(name)
        room -= name.size + EACH
    return groups, large


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _read(entry: Entry, storage: Storage) -> bytes:
    return regular.read(storage.path(entry), follow=False)


def _pieces(content: Content, storage: Storage, *, zstd: bool) -> Iterator[bytes]:
    """The bytes of a stream, from the blob's first one on."""
    path = None if isinstance(content, bytes) else storage.path(content)

    def plain() -> Iterator[bytes]:
        if path is None:
            data = content if isinstance(content, bytes) else b""
            for start in range(0, len(data), PIECE):
                yield data[start : start + PIECE]
            return
        with regular.opened(path, follow=False) as stream:
            while piece := stream.read(PIECE):
                yield piece

    return compressed(plain()) if zstd else plain()


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces compressed (zstd), in pieces of about the same size."""
    compressor = zstandard.ZstdCompressor(level=LEVEL).chunker(chunk_size=PIECE)
    for piece in pieces:
        yield from compressor.compress(piece)
    yield from compressor.finish()  # type: ignore[no-untyped-call] # its stubs leave it out
