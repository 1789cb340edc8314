"""Messages of the Remote Execution API as a farm in memory (`fake_farm.py`) makes them."""

# ruff: noqa: ANN401 - messages of many types

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from containers.remote import reapi_pb2 as api
from containers.remote.naming import Name

V2 = "build.bazel.remote.execution.v2."
ANY = "type.googleapis.com/"


class Storage(Protocol):
    """What names blobs, and keeps them."""

    def name(self, data: bytes) -> Name:
        """The name of a blob."""

    def put(self, data: bytes) -> Name:
        """Keep a blob."""


@dataclass
class Running:
    """An operation that goes on, or is over."""

    name: str
    action: Name
    ended: threading.Event = field(default_factory=threading.Event)
    response: api.ExecuteResponse | None = None
    stage: api.ExecutionStage.Value = api.ExecutionStage.EXECUTING
    changed: threading.Condition = field(default_factory=threading.Condition)


class Folder:
    """Folder among the outputs of an action: becomes a Directory, and the children of a Tree."""

    def __init__(self) -> None:
        self.folders: dict[str, Folder] = {}
        self.files: dict[str, tuple[bytes, bool]] = {}

    def add(self, path: str, content: bytes | None, *, executable: bool) -> None:
        *parts, last = path.split("/")
        here = self
        for part in parts:
            here = here.folders.setdefault(part, Folder())
        if content is None:
            here.folders.setdefault(last, Folder())
        else:
            here.files[last] = content, executable

    def message(self, farm: Storage, tree: api.Tree) -> api.Directory:
        found = api.Directory()
        for name, (content, executable) in sorted(self.files.items()):
            found.files.add(name=name, digest=farm.put(content).message, is_executable=executable)
        for name, folder in sorted(self.folders.items()):
            inner = folder.message(farm, tree)
            tree.children.append(inner)
            found.directories.add(name=name, digest=farm.name(serialized(inner)).message)
        return found


def serialized(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def named(place: str) -> Name:
    """The name of a blob, which the name of a stream ends with."""
    *_, digits, size = place.split("/")
    return Name(digits, int(size))


def operation(running: Running) -> api.Operation:
    operation = api.Operation(name=running.name)
    told = api.ExecuteOperationMetadata(stage=running.stage)
    operation.metadata.value = told.SerializeToString()
    if running.response is not None:
        operation.done = True
        operation.response.type_url = f"{ANY}{V2}ExecuteResponse"
        operation.response.value = running.response.SerializeToString()
    return operation


def missing(name: Name) -> api.Status:
    failure = api.PreconditionFailure()
    failure.violations.add(type="MISSING", subject=f"blobs/{name.hash}/{name.size}")
    status = api.Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="missing")
    status.details.add(
        type_url=f"{ANY}google.rpc.PreconditionFailure", value=failure.SerializeToString()
    )
    return status
