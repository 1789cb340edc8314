"""Lock file (`sourcery.lock`): every input pinned by version and digest; reading and writing it.

The file is sorted, indented JSON, one value a line, with a checksum line over the rest. Reading one
checks its form, its checksum, and that its parts agree with each other; what it claims of the
public log is verified by the build, as a check (`logged.py`), and before a new lock is written.
Nothing here uses a network or a store. Only `load` and `save` touch a file.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.architecture import Architecture
from orchestrator.files import text_file
from orchestrator.files.document import shaped
from orchestrator.lock import contradictions, parts
from orchestrator.lock.model import (
    GCC,
    Absent,
    DebianPackage,
    GoModule,
    Input,
    LocalPath,
    LogEntry,
    PythonWheel,
    Recorded,
    RootEntry,
    SecondRoot,
    Toolchain,
    WorkerEntry,
    WorkerTools,
)
from orchestrator.lock.parts import wanted
from reproducibility import canonical, regular
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orchestrator.spec.model import Spec
    from reproducibility.digest import Digest

__all__ = [
    "GCC",
    "Absent",
    "DebianPackage",
    "GoModule",
    "Input",
    "LocalPath",
    "Lock",
    "LogEntry",
    "PythonWheel",
    "Recorded",
    "RootEntry",
    "SecondRoot",
    "Toolchain",
    "WorkerEntry",
    "WorkerTools",
    "dump",
    "load",
    "make",
    "parse",
    "save",
    "wanted",
]

SCHEMA: Literal[1] = 1
# How the file of every lock begins: its keys are sorted.
MAGIC = b'{\n  "checksum": "blake3:'
# Bytes, and values: a hundred times what a large lock has.
_LARGEST = 8 << 20
_MOST_VALUES = 50_000
_AGAIN = "run `orchestrate lock`"
# Parts of the spec, and keys of the lock, that no build depends on.
_ROOTS = "root."
_FURTHER = (_ROOTS, parts.WORKERS)
_ROOTS_KEY, _WORKERS_KEY = "roots", "workers"
# Keys of a lock that are not written where they hold nothing.
LEFT_OUT_IF_EMPTY = frozenset({_ROOTS_KEY, _WORKERS_KEY})


class Lock(BaseModel):
    """The whole lock. `wanted`: the parts of the spec that it was made for.

    `roots`: further roots of the chain of toolchains, by name and host, or why there is none for a
    host; only audits need them. `workers`: what isolates on a build farm's workers, by their
    architecture; only the remote engine needs it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    wanted: dict[str, str]
    toolchain: Toolchain
    inputs: Annotated[tuple[Input, ...], Field(strict=False)]
    roots: dict[Literal["gcc"], dict[Architecture, RootEntry]] = Field(default={})
    workers: dict[Architecture, WorkerEntry] = Field(default={})

    @property
    def digest(self) -> Digest:
        """BLAKE3 of everything that a build depends on: not of further roots, nor of workers.

        It names the lock in results and bundles, and decides the image's volume ID.
        """
        document = _document(self)
        document.pop(_ROOTS_KEY, None)
        document.pop(_WORKERS_KEY, None)
        document["wanted"] = {
            part: text for part, text in self.wanted.items() if not part.startswith(_FURTHER)
        }
        return digests.of_bytes(canonical.dumps(document))

    @property
    def checksum(self) -> Digest:
        """BLAKE3 of the whole content; the `checksum` line of the file."""
        return digests.of_bytes(canonical.dumps(_document(self)))

    @property
    def root_releases(self) -> tuple[GoModule, ...]:
        """The Go releases of all further roots."""
        return tuple(
            release
            for hosts in self.roots.values()
            for root in hosts.values()
            if isinstance(root, SecondRoot)
            for release in root.releases
        )

    def find(self, name: str, host: str | None = None) -> Input:
        """An input by name and, where it depends on that, the machine's architecture.

        Raises:
            InputError: the lock has none.
        """
        for found in self.inputs:
            if found.name == name and found.host in {None, host}:
                return found
        hosts = sorted({str(found.host) for found in self.inputs if found.name == name})
        raise InputError(
            f"the lock has no input {name!r}" + (f" for {host} machines" if hosts else ""),
            subject=f"{name}, pinned for {', '.join(hosts)}" if hosts else name,
            remedy=f"{_AGAIN} on this machine",
        )

    def check_fits(self, spec: Spec) -> None:
        """Compare with the spec that the build is for, but for further roots and workers.

        Raises:
            InputError: the lock was made for another spec; says what differs.
        """
        self._refuse(one for one in self._changes(spec) if not one.startswith(_FURTHER))

    def check_roots_fit(self, spec: Spec) -> None:
        """Compare what the spec says of further roots, which only audits need.

        Raises:
            InputError: the lock was made for others; says what differs.
        """
        self._refuse(one for one in self._changes(spec) if one.startswith(_ROOTS))

    def fits_roots(self, spec: Spec) -> bool:
        """Return whether the lock was made for what the spec says of further roots."""
        return not any(one.startswith(_ROOTS) for one in self._changes(spec))

    def _changes(self, spec: Spec) -> Iterator[str]:
        now = wanted(spec)
        return (
            f"{key}: the spec says {now.get(key, 'nothing')}, the lock was made for "
            f"{self.wanted.get(key, 'nothing')}"
            for key in sorted(now.keys() | self.wanted.keys())
            if now.get(key) != self.wanted.get(key)
        )

    def _refuse(self, changes: Iterable[str]) -> None:
        if told := "\n  ".join(changes):
            raise InputError(f"the lock does not fit the spec\n  {told}", remedy=_AGAIN)


def make(
    wanted_parts: Mapping[str, str],
    toolchain: Toolchain,
    inputs: Iterable[Input],
    gcc: Mapping[Architecture, RootEntry] | None = None,
    workers: Mapping[Architecture, WorkerEntry] | None = None,
) -> Lock:
    """A lock from its parts, its inputs in their fixed order.

    `gcc`: the second root, by host. `workers`: what isolates on a farm's workers.

    Raises:
        InputError: the parts do not agree with each other.
    """
    lock = Lock(
        wanted=dict(wanted_parts),
        toolchain=toolchain,
        inputs=tuple(sorted(inputs, key=lambda found: (found.name, found.host or ""))),
        roots={GCC: dict(gcc)} if gcc else {},
        workers=dict(workers or {}),
    )
    _check_consistent(lock, "the new lock")
    return lock


def dump(lock: Lock) -> bytes:
    """The lock's file form."""
    return canonical.pretty({"checksum": str(lock.checksum), **_document(lock)})


def parse(data: bytes, subject: str = "sourcery.lock") -> Lock:
    """A lock from its file form, checked.

    Raises:
        InputError: not a lock, of another schema, changed by hand, or inconsistent.
    """
    if len(data) > _LARGEST:
        raise InputError(
            f"not a lock: it has {len(data)} bytes, more than {_LARGEST}",
            subject=subject,
            remedy=_AGAIN,
        )
    data = text_file.without_mark(data, "the lock", subject)
    document = canonical.loads(data, subject=subject)
    if not isinstance(document, dict) or not isinstance(document.get("checksum"), str):
        raise InputError("not a lock: it has no checksum", subject=subject, remedy=_AGAIN)
    if document.get("schema") != SCHEMA or document["schema"] is True:
        raise InputError(
            f"the lock has schema {document.get('schema')!r}, expected {SCHEMA}",
            subject=subject,
            remedy=f"it was made by another version; {_AGAIN}",
        )
    claimed = document.pop("checksum")
    try:
        found = str(digests.of_bytes(canonical.dumps(document)))
    except TypeError as error:
        raise InputError(f"not a lock: {error}", subject=subject, remedy=_AGAIN) from error
    if claimed != found:
        raise InputError(
            f"the lock was changed after it was made: expected {claimed}, found {found}",
            subject=subject,
            remedy=f"restore it, or {_AGAIN}",
        )
    lock = shaped(
        Lock,
        document,
        lambda words: InputError(f"the lock is {words}", subject=subject, remedy=_AGAIN),
        most=_MOST_VALUES,
    )
    _check_consistent(lock, subject)
    return lock


def load(path: Path) -> Lock:
    """Read a lock.

    Raises:
        InputError: there is none, or it is refused.
    """
    return parse(read(path), str(path))


def read(path: Path) -> bytes:
    """The bytes of a lock's file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return regular.read(path)
    except OSError as error:
        raise InputError(
            f"cannot read the lock: {error.strerror}", subject=str(path), remedy=_AGAIN
        ) from error


def save(lock: Lock, path: Path) -> None:
    """Write a lock in one step, after it was read back.

    Raises:
        InputError: it is larger than a lock can be.
        InfrastructureError: it cannot be written.
    """
    data = dump(lock)
    try:
        again = parse(data, str(path))
    except InputError as error:
        raise InputError(
            f"the lock cannot be written, since it would be refused: {error.summary}",
            subject=str(path),
            remedy="have the spec name fewer sources and files",
        ) from error
    if again != lock:
        raise InfrastructureError("the lock does not read back as it was written")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                os.fchmod(stream.fileno(), 0o644)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InfrastructureError(
            f"cannot write the lock: {error.strerror}", subject=str(path)
        ) from error


def _document(lock: Lock) -> dict[str, Any]:
    document = lock.model_dump(mode="json", by_alias=True)
    # A lock without any is the same as before there were any.
    if not lock.roots:
        del document[_ROOTS_KEY]
    if not lock.workers:
        del document[_WORKERS_KEY]
    return document


def _check_consistent(lock: Lock, subject: str) -> None:
    """Refuse a lock whose parts contradict each other.

    Raises:
        InputError: they do; says which.
    """
    for problem in contradictions.found(lock):
        raise InputError(f"the lock contradicts itself: {problem}", subject=subject, remedy=_AGAIN)
