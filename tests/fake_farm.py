"""A build farm in memory: the services of the Remote Execution API, with faults on demand.

Actions are functions, as with `tests.fakes.FakeEngine`. It listens on a socket of the file system,
so that it needs no network.
"""

# ruff: noqa: ANN401 - messages and contexts of many types

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import grpc
import zstandard

from containers.remote import naming
from containers.remote import reapi_pb2 as api
from containers.remote.naming import Name
from containers.remote.request import OUTPUTS, REPORT, TOOLS
from tests.fakes import Made
from tests.farm_messages import V2, Folder, Running, missing, named, operation, serialized

if TYPE_CHECKING:
    from pathlib import Path

    from containers.remote.naming import Function

_PIECE = 64 << 10
WORKER = "node1"


@dataclass(frozen=True)
class Seen:
    """What an action sees: its input root as paths and bytes, and when it is to end."""

    name: str
    inputs: dict[str, bytes]
    executable: frozenset[str]
    command: api.Command
    action: api.Action
    ended: threading.Event


Work = Callable[[Seen], Made]


@dataclass
class Trouble:
    """A fault to come: of a method's next calls, `times` of them.

    `code`: what it is answered with. `after`: messages (of a stream), bytes of one blob (Read),
    or that a Write has kept, that come first.
    """

    method: str
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    times: int = 1
    after: int = 0
    words: str = "planted"


class Cut(Exception):  # noqa: N818 - what a test plants
    """A call that is to end with a code."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.words)
        self.trouble = trouble


class FakeFarm:
    """Runs actions as functions; a context manager that serves while it is entered.

    `table`: by the action's name. `blobs`, `results`: storage and action cache. `calls`: how often
    each method was called. `runs`: names of the actions that were begun. `most`: how many ran at
    once. `credentials`: for TLS. `busy`: says of actions that they wait. `lies`: blobs that other
    bytes are given for. `statuses`: of the next executions, instead of running anything. `heeds`:
    whether it runs what its cache is not to be asked for (`skip_cache_lookup`).
    """

    def __init__(  # noqa: PLR0913 - what there is to choose
        self,
        place: Path,
        table: dict[str, Work] | None = None,
        *,
        function: Function = "blake3",
        zstd: bool = False,
        batch: int = 0,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.address = f"unix:{place}/farm.sock"
        self.function = function
        self.zstd = zstd
        self.batch = batch
        self._credentials = credentials
        self.table = dict(table or {})
        self.blobs: dict[Name, bytes] = {}
        self.results: dict[Name, api.ActionResult] = {}
        self.calls: Counter[str] = Counter()
        self.headers: list[dict[str, str | bytes]] = []
        self.runs: list[str] = []
        self.most = 0
        self.lies: dict[Name, bytes] = {}
        self.statuses: list[api.Status] = []
        self.cancelled: list[str] = []
        self.updates = True
        self.heeds = True
        self.token = ""
        self.busy = False
        self.sent: Counter[Name] = Counter()
        self._troubles: list[Trouble] = []
        self._uploads: dict[str, bytearray] = {}
        self._operations: dict[str, Running] = {}
        self._active = 0
        self._lock = threading.RLock()
        self._server: grpc.Server | None = None

    # -- what tests do ---------------------------------------------------------------------------

    def plant(self, method: str, **trouble: Any) -> None:
        """Have the next calls of a method fail; see `Trouble`."""
        self._troubles.append(Trouble(method, **trouble))

    def forget(self, *names: Name) -> None:
        """Lose blobs; all of them where none is named."""
        with self._lock:
            for name in names or list(self.blobs):
                self.blobs.pop(name, None)

    def name(self, data: bytes) -> Name:
        return naming.of_bytes(self.function, data)

    def put(self, data: bytes) -> Name:
        name = self.name(data)
        with self._lock:
            self.blobs[name] = data
        return name

    def result_of(self, made: Made) -> api.ActionResult:
        """What stands in an action cache for what an action made."""
        return self._finished(made)

    def __enter__(self) -> Self:
        options = (("grpc.max_receive_message_length", 16 << 20), ("grpc.so_reuseport", 0))
        self._server = grpc.server(ThreadPoolExecutor(32), options=options)
        self._server.add_generic_rpc_handlers(tuple(self._handlers()))
        if self._credentials is None:
            self._server.add_insecure_port(self.address)
        else:
            self._server.add_secure_port(self.address, self._credentials)
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for one in list(self._operations.values()):
            one.ended.set()
        if self._server is not None:
            self._server.stop(0).wait()

    def restart(self) -> None:
        """Close all connections, forget what ran, and listen again."""
        self.__exit__()
        with self._lock:
            self._operations.clear()
        self.__enter__()

    # -- the services ----------------------------------------------------------------------------

    def _handlers(self) -> Iterator[grpc.GenericRpcHandler[Any, Any]]:
        plain: list[tuple[str, str, Callable[..., Any]]] = [
            (f"{V2}Capabilities", "GetCapabilities", self._capabilities),
            (f"{V2}ContentAddressableStorage", "FindMissingBlobs", self._find),
            (f"{V2}ContentAddressableStorage", "BatchUpdateBlobs", self._update),
            (f"{V2}ContentAddressableStorage", "BatchReadBlobs", self._batch_read),
            (f"{V2}ActionCache", "GetActionResult", self._get_result),
            (f"{V2}ActionCache", "UpdateActionResult", self._put_result),
            ("google.bytestream.ByteStream", "QueryWriteStatus", self._write_status),
            ("google.longrunning.Operations", "CancelOperation", self._cancel),
        ]
        streams: list[tuple[str, str, Callable[..., Any]]] = [
            (f"{V2}Execution", "Execute", self._execute),
            (f"{V2}Execution", "WaitExecution", self._wait),
            ("google.bytestream.ByteStream", "Read", self._read),
        ]
        services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for service, method, answer in plain:
            request = getattr(api, f"{method}Request")
            services.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(
                self._guarded(method, answer),
                request.FromString,
                lambda message: message if isinstance(message, bytes) else serialized(message),
            )
        for service, method, answers in streams:
            request = getattr(api, f"{method}Request")
            services.setdefault(service, {})[method] = grpc.unary_stream_rpc_method_handler(
                self._guarded_stream(method, answers), request.FromString, serialized
            )
        services["google.bytestream.ByteStream"]["Write"] = grpc.stream_unary_rpc_method_handler(
            self._guarded("Write", self._write), api.WriteRequest.FromString, serialized
        )
        for service, handlers in services.items():
            yield grpc.method_handlers_generic_handler(service, handlers)

    def _guarded(self, method: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            trouble = self._begun(method, context)
            if method != "Write":
                if trouble is not None:
                    context.abort(trouble.code, trouble.words)
                return answer(request, context)
            try:
                return answer(request, context, trouble)
            except Cut as cut:
                context.abort(cut.trouble.code, cut.trouble.words)

        return call

    def _guarded_stream(self, method: str, answers: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            trouble = self._begun(method, context, request)
            left = trouble.after if trouble else 0
            if trouble is not None and not left:
                context.abort(trouble.code, trouble.words)
            for answer in answers(request, context):
                yield answer
                left -= len(answer.data) if isinstance(answer, api.ReadResponse) else 1
                if trouble is not None and left <= 0:
                    context.abort(trouble.code, trouble.words)
            if trouble is not None:
                context.abort(trouble.code, trouble.words)

        return call

    def _begun(
        self, method: str, context: grpc.ServicerContext, request: Any = None
    ) -> Trouble | None:
        given = dict(context.invocation_metadata())
        with self._lock:
            self.calls[method] += 1
            self.headers.append(given)
            # A blob that is not so large is not cut there.
            size = 1 << 60
            if isinstance(request, api.ReadRequest):
                size = int(request.resource_name.rpartition("/")[2])
            found = next(
                (one for one in self._troubles if one.method == method and one.after < size), None
            )
            if found is not None:
                found.times -= 1
                if found.times <= 0:
                    self._troubles.remove(found)
        if self.token and given.get("authorization") != self.token:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")
        return found

    def _capabilities(self, *_: object) -> api.ServerCapabilities:
        value = naming.value(self.function)
        found = api.ServerCapabilities(
            cache_capabilities=api.CacheCapabilities(
                digest_functions=[api.DigestFunction.SHA256, value],
                action_cache_update_capabilities=api.ActionCacheUpdateCapabilities(
                    update_enabled=self.updates
                ),
                max_batch_total_size_bytes=self.batch,
            ),
            execution_capabilities=api.ExecutionCapabilities(
                digest_function=value, exec_enabled=True, digest_functions=[value]
            ),
            low_api_version=api.SemVer(major=2),
            high_api_version=api.SemVer(major=2, minor=3),
        )
        if self.zstd:
            found.cache_capabilities.supported_compressors.append(api.Compressor.ZSTD)
            found.cache_capabilities.supported_batch_update_compressors.append(api.Compressor.ZSTD)
        return found

    def _find(self, request: api.FindMissingBlobsRequest, _: object) -> Any:
        missing = [one for one in request.blob_digests if Name.parse(one) not in self.blobs]
        return api.FindMissingBlobsResponse(missing_blob_digests=missing)

    def _update(self, request: api.BatchUpdateBlobsRequest, _: object) -> Any:
        answer = api.BatchUpdateBlobsResponse()
        for one in request.requests:
            data = one.data
            if one.compressor == api.Compressor.ZSTD:
                data = zstandard.ZstdDecompressor().decompress(data, one.digest.size_bytes)
            name = Name.parse(one.digest)
            assert self.put(data) == name
            self.sent[name] += 1
            answer.responses.add(digest=one.digest)
        return answer

    def _batch_read(self, request: api.BatchReadBlobsRequest, _: object) -> Any:
        answer = api.BatchReadBlobsResponse()
        packed = api.Compressor.ZSTD in request.acceptable_compressors
        for digest in request.digests:
            name = Name.parse(digest)
            one = answer.responses.add(digest=digest)
            data = self.lies.get(name, self.blobs.get(name))
            if data is None:
                one.status.code = grpc.StatusCode.NOT_FOUND.value[0]
            elif packed:
                one.compressor, one.data = api.Compressor.ZSTD, zstandard.compress(data)
            else:
                one.data = data
        return answer

    def _read(self, request: api.ReadRequest, context: Any) -> Iterator[Any]:
        name = named(request.resource_name)
        data = self.lies.get(name, self.blobs.get(name))
        if data is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
            return
        data = data[request.read_offset :]
        if "compressed-blobs/zstd" in request.resource_name:
            data = zstandard.compress(data)
        for start in range(0, len(data), _PIECE):
            yield api.ReadResponse(data=data[start : start + _PIECE])

    def _write(
        self, requests: Iterator[api.WriteRequest], context: Any, trouble: Trouble | None
    ) -> Any:
        # What counts is the plain bytes, but that a stream of compressed ones goes on counting
        # those from its first offset on (remote_execution.proto, ContentAddressableStorage).
        place, kept, offset, finished = "", bytearray(), 0, False
        unpacked = zstandard.ZstdDecompressor().decompressobj()
        for request in requests:
            if not place:
                place = request.resource_name
                kept = self._uploads.setdefault(place, bytearray())
                offset = len(kept)
            assert request.write_offset == offset
            packed = "/compressed-blobs/zstd/" in f"/{place}"
            offset += len(request.data)
            kept += unpacked.decompress(request.data) if packed else request.data
            finished = request.finish_write
            if finished:
                self._written(place, bytes(kept), context)
            if trouble is not None and len(kept) >= trouble.after:
                raise Cut(trouble)
        assert finished
        return api.WriteResponse(committed_size=offset)

    def _written(self, place: str, data: bytes, context: Any) -> None:
        name = named(place)
        if self.put(data) != name:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "other bytes")
        self.sent[name] += 1

    def _write_status(self, request: api.QueryWriteStatusRequest, context: Any) -> Any:
        kept = self._uploads.get(request.resource_name)
        if kept is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such upload")
            return None
        complete = named(request.resource_name) in self.blobs
        return api.QueryWriteStatusResponse(committed_size=len(kept), complete=complete)

    def _get_result(self, request: api.GetActionResultRequest, context: Any) -> Any:
        found = self.results.get(Name.parse(request.action_digest))
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such result")
        return found

    def _put_result(self, request: api.UpdateActionResultRequest, context: Any) -> Any:
        if not self.updates:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")
        self.results[Name.parse(request.action_digest)] = request.action_result
        return request.action_result

    # -- execution -------------------------------------------------------------------------------

    def _execute(self, request: api.ExecuteRequest, context: Any) -> Iterator[api.Operation]:
        name = Name.parse(request.action_digest)
        known = self.results.get(name)
        if known is not None and not (request.skip_cache_lookup and self.heeds):
            response = api.ExecuteResponse(result=known, cached_result=True)
            yield operation(Running("cached", name, response=response))
            return
        with self._lock:
            running = next((r for r in self._operations.values() if r.action == name and
                            r.response is None), None)  # fmt: skip
            if running is None:
                running = Running(f"operations/{len(self._operations) + 1}", name)
                if self.busy:
                    running.stage = api.ExecutionStage.QUEUED
                self._operations[running.name] = running
                threading.Thread(target=self._run, args=(running,), daemon=True).start()
        yield from self._followed(running, context)

    def _wait(self, request: api.WaitExecutionRequest, context: Any) -> Iterator[api.Operation]:
        running = self._operations.get(request.name)
        if running is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such operation")
            return
        yield from self._followed(running, context)

    def _followed(self, running: Running, context: Any) -> Iterator[api.Operation]:
        yield operation(running)
        with running.changed:
            while running.response is None and context.is_active():
                running.changed.wait(0.05)
        yield operation(running)

    def _cancel(self, request: api.CancelOperationRequest, context: Any) -> bytes:
        running = self._operations.get(request.name)
        if running is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such operation")
        else:
            self.cancelled.append(request.name)
            running.ended.set()
        return b""

    def _run(self, running: Running) -> None:
        response = api.ExecuteResponse()
        with self._lock:
            status = self.statuses.pop(0) if self.statuses else None
        if status is not None:
            response.status.CopyFrom(status)
        else:
            try:
                response.result.CopyFrom(self._ran(running))
            except KeyError as error:
                response.status.CopyFrom(missing(error.args[0]))
        with running.changed:
            running.response = response
            running.changed.notify_all()
        if response.status.code == 0:
            self.results.setdefault(running.action, response.result)

    def _ran(self, running: Running) -> api.ActionResult:
        action = api.Action.FromString(self.blobs[running.action])
        command = api.Command.FromString(self.blobs[Name.parse(action.command_digest)])
        inputs: dict[str, bytes] = {}
        executable: set[str] = set()
        self._collect(Name.parse(action.input_root_digest), "", inputs, executable)
        name = json.loads(inputs[f"{TOOLS}/request"])["name"]
        with self._lock:
            self.runs.append(name)
            self._active += 1
            self.most = max(self.most, self._active)
        seen = Seen(name, inputs, frozenset(executable), command, action, running.ended)
        try:
            made = self.table[name](seen)
        finally:
            with self._lock:
                self._active -= 1
        result = self._finished(made)
        if not made.exit_status:
            self.results[running.action] = result
        return result

    def _collect(
        self, name: Name, start: str, inputs: dict[str, bytes], executable: set[str]
    ) -> None:
        empty = self.name(b"")
        message = api.Directory.FromString(b"" if name == empty else self.blobs[name])
        for file in message.files:
            own = Name.parse(file.digest)
            inputs[start + file.name] = b"" if own == empty else self.blobs[own]
            if file.is_executable:
                executable.add(start + file.name)
        for folder in message.directories:
            self._collect(Name.parse(folder.digest), f"{start}{folder.name}/", inputs, executable)

    def _finished(self, made: Made) -> api.ActionResult:
        result = api.ActionResult(
            exit_code=made.exit_status,
            stdout_digest=self.put(made.stdout).message,
            stderr_raw=made.stderr,
        )
        result.execution_metadata.worker = WORKER
        report = {"status": made.exit_status, "ended_by": made.ended_by}
        if made.stderr.startswith(b"refused: "):
            report |= {"refusal": made.stderr.decode(), "remedy": "allow it", "status": 125}
        result.output_files.add(path=REPORT, digest=self.put(json.dumps(report).encode()).message)
        tree, root = api.Tree(), Folder()
        for path, content in made.files.items():
            root.add(path, content, executable=path in made.programs)
        tree.root.CopyFrom(root.message(self, tree))
        result.output_directories.add(path=OUTPUTS, tree_digest=self.put(serialized(tree)).message)
        return result
