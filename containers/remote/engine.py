"""Remote engine: actions on a build farm (Remote Execution API v2).

What an action consists of is decided in `messages.py`, what isolates it on the worker in
`isolation.py`; `execution.py` has the farm run it, `sending.py` and `receiving.py` move what
travels. Here is the way from an action to its outcome.
"""

from __future__ import annotations

import os
import threading
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, Self

from containers import blame
from containers.engine import Identity, Outcome
from containers.layout import lay_out
from containers.remote import faults, messages, offer, outputs
from containers.remote import reapi_pb2 as api
from containers.remote.believed import Believed
from containers.remote.calls import Calls
from containers.remote.execution import Executed, Execution
from containers.remote.faults import Code, Fault
from containers.remote.known import Known
from containers.remote.naming import Name, of_bytes
from containers.remote.receiving import Receiver
from containers.remote.request import OUTPUTS, REPORT, Request
from containers.remote.sending import Sender
from reproducibility.errors import ActionError, InfrastructureError, InputError
from reproducibility.manifest import Entry, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from threading import Event

    from containers.action import Action
    from containers.engine import Capability, Storage
    from containers.policy import Enforcement, Limits, Policy
    from containers.remote.farm import Settings, Workers
    from containers.remote.request import Report, Wrapped
    from containers.remote.sending import Content, Traffic
    from reproducibility.digest import Digest

_TOOL = "sourcery"
_CONNECTING = 20.0
_LARGEST_REPORT = 1 << 20
_LARGEST_TREE = 256 << 20
# Trees whose messages are kept: the toolchain's sources have 15,000 files, 2 MB of messages.
_FOLDERS = 24
# How often an action is asked for whose remembered outputs the farm has lost.
_LOST = 2


class Isolation(Protocol):
    """What isolates an action on a worker: `isolation.py`, or a fake in tests."""

    def wrap(self, request: Request, tools: Tree) -> Wrapped:
        """What the farm is to start, and what that needs."""

    def read_report(self, data: bytes, worker: str) -> Report:
        """Read what the launcher wrote on a worker.

        Raises:
            InfrastructureError: it is no report.
        """

    def capabilities(self, processors: int) -> dict[str, Capability]:
        """Tell which variations it can apply."""


def connect(scratch: Path, settings: Settings) -> RemoteEngine:
    """The engine of a farm, seen to answer.

    Raises:
        InfrastructureError: it does not answer, or cannot do what is needed.
    """
    del scratch
    # Its library writes what it thinks of connections to standard error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from containers.remote import isolation  # noqa: PLC0415 - a fake in its place in tests

    engine = RemoteEngine(settings, isolation)
    try:
        engine.meet()
    except BaseException:
        engine.__exit__()
        raise
    return engine


class RemoteEngine:
    """Runs actions on a farm."""

    name = "remote"

    def __init__(self, settings: Settings, isolation: Isolation) -> None:
        """See the class; nothing is connected yet."""
        self._settings = settings
        self._farm = settings.farm
        self._isolation = isolation
        self._stack = ExitStack()
        self._calls = Calls(settings, _TOOL, "1", str(uuid.uuid4()))
        self._stack.enter_context(self._calls)
        self._lock = threading.Lock()
        self._met: _Met | None = None
        self._folders: dict[str, messages.Folder] = {}
        # By the folder of the store that has them, and architecture.
        self._tools: dict[tuple[Path, str], Tree] = {}

    def meet(self) -> offer.Offer:
        """Ask the farm what it offers.

        Raises:
            InfrastructureError: it does not answer, or lacks what is needed.
        """
        return self._farm_met.offer

    @property
    def _farm_met(self) -> _Met:
        with self._lock:
            if self._met is None:
                request = api.GetCapabilitiesRequest(instance_name=self._farm.instance)
                try:
                    answer = self._calls.once(
                        self._calls.methods.capabilities,
                        request,
                        threading.Event(),
                        seconds=_CONNECTING,
                    )
                except Fault as fault:
                    raise faults.error(
                        fault, "ask the farm what it offers", self._farm.identity
                    ) from fault
                used = offer.used(answer, self._farm.instance, self._farm.identity)
                self._met = _Met(self._calls, used)
            return self._met

    @property
    def identity(self) -> Identity:
        """See `Engine.identity`: which farm it is."""
        return Identity(self.name, self._farm.identity, f"REAPI {self.meet().version}")

    @property
    def processors(self) -> int:
        """See `Engine.processors`: the fewest that workers have, by the farm's file."""
        return min(workers.processors for workers in self._farm.workers.values())

    @property
    def actions(self) -> int:
        """See `Engine.actions`."""
        return self._farm.actions

    @property
    def traffic(self) -> tuple[Traffic, Traffic]:
        """What was sent, and what was received."""
        met = self._farm_met
        return met.sender.traffic, met.receiver.traffic

    def capabilities(self) -> Mapping[str, Capability]:
        """See `Engine.capabilities`."""
        return self._isolation.capabilities(self.processors)

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """See `Engine.enforcement`: nothing is known before an action has run on a worker."""
        del policy
        return ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(self, action: Action, policy: Policy, storage: Storage, stop: Event) -> Outcome:
        """See `Engine.run`."""
        try:
            return _Run(self, action, policy, storage, stop).outcome()
        except Fault as fault:
            raise faults.error(
                fault, f"move what {action.name} needs or makes", self._farm.identity
            ) from fault
        except OSError as error:
            doing = f"keep what {action.name} made"
            raise blame.of_machine(error, doing, storage.root) from error

    def workers(self, action: Action) -> Workers:
        """The workers that an action needs.

        Raises:
            InfrastructureError: the farm's file names none of that architecture.
        """
        found = self._farm.workers.get(action.architecture)
        if found is None:
            raise InfrastructureError(
                f"the farm has no workers for {action.architecture}, which {action.name} needs",
                subject=self._farm.identity,
                remedy=f"name them in the farm's file, `[workers.{action.architecture}]`",
            )
        return found

    def tools(self, architecture: str, storage: Storage, stop: Event) -> Tree:
        """What isolates on a worker of an architecture, made once."""
        key = storage.root, architecture
        with self._lock:
            if key not in self._tools:
                self._tools[key] = self._settings.tools(architecture, storage, stop)
            return self._tools[key]

    def folder(self, tree: Tree, storage: Storage, stop: Event) -> messages.Folder:
        """A tree in messages; kept for the next action that has it."""
        met = self._farm_met
        key = tree.digest.hex
        with self._lock:
            found = self._folders.pop(key, None)
            if found is not None:
                self._folders[key] = found  # the latest is the last to go
                return found
        met.known.learn(tree, storage, stop)
        made = messages.folder(tree, met.known.name, met.offer.function)
        with self._lock:
            self._folders[key] = made
            while len(self._folders) > _FOLDERS:
                del self._folders[next(iter(self._folders))]
        return made

    @property
    def met(self) -> _Met:
        """What there is once the farm has said what it offers."""
        return self._farm_met

    @property
    def calls(self) -> Calls:
        """The calls to the farm."""
        return self._calls

    @property
    def isolation(self) -> Isolation:
        """What isolates on a worker."""
        return self._isolation


class _Met:
    """What there is once the farm has said what it offers."""

    def __init__(self, calls: Calls, used: offer.Offer) -> None:
        self.offer = used
        self.known = Known(used.function)
        self.sender = Sender(calls, used)
        self.receiver = Receiver(calls, used, self.known)
        self.believed = Believed(calls, used)


class _Run:
    """One action on its way."""

    def __init__(
        self,
        engine: RemoteEngine,
        action: Action,
        policy: Policy,
        storage: Storage,
        stop: Event,
    ) -> None:
        self._engine = engine
        self._action = action.placed()
        self._layout = lay_out(self._action)
        self._limits: Limits = policy.limits.under(action.conditions)
        self._storage = storage
        self._stop = stop
        self._met = engine.met

    def outcome(self) -> Outcome:
        """Run it, and bring what it left."""
        workers = self._engine.workers(self._action)
        mounts = tuple(sorted(self._action.mounts, key=lambda mount: mount.at))
        request = Request(self._action, self._layout, mounts, self._limits)
        wrapped = self._engine.isolation.wrap(
            request,
            self._engine.tools(self._action.architecture, self._storage, self._stop),
        )
        trees = [self._action.root, *(mount.tree for mount in mounts)]
        folders = [self._engine.folder(tree, self._storage, self._stop) for tree in trees]
        files = self._files(wrapped)
        job = messages.job(
            request,
            wrapped,
            function=self._met.offer.function,
            root=folders[0],
            mounts=folders[1:],
            files={path: name for path, (name, _) in files.items()},
            properties=workers.properties,
            longest=self._engine.calls.farm.timeout,
        )
        wanted: dict[Name, Content] = {}
        for tree in trees:
            wanted |= {self._met.known.name(entry): entry for entry in tree.files()}
        wanted |= dict(files.values())
        wanted |= job.messages
        remembered = self._met.believed.find(job, self._stop)
        if remembered is not None:
            try:
                return self._kept(Executed(remembered, cached=True))
            except Fault as fault:
                if fault.code != Code.NOT_FOUND:
                    raise
                self._engine.calls.note(
                    f"{self._action.name}: the farm remembers a result and has lost its files"
                )
        return self._run(job, wanted)

    def _run(self, job: messages.Job, wanted: Mapping[Name, Content]) -> Outcome:
        met = self._met

        def send(missing: tuple[Name, ...]) -> None:
            if missing:
                met.sender.forget(missing if wanted.keys() >= set(missing) else ())
            met.sender.send(wanted, self._storage, self._stop)

        for number in range(_LOST):
            executed = Execution(self._engine.calls, met.offer, self._action.name, job.action).run(
                send, self._stop, believing=False
            )
            try:
                outcome = self._kept(executed)
            except Fault as fault:
                if fault.code != Code.NOT_FOUND or number == _LOST - 1:
                    raise
                self._engine.calls.note(
                    f"{self._action.name}: the farm has lost what it made; asking for it again"
                )
                continue
            if not outcome.failed:
                met.believed.keep(job, executed.result, self._stop)
            return outcome
        raise AssertionError("the last attempt returns or raises")

    def _files(self, wrapped: Wrapped) -> dict[str, tuple[Name, Content]]:
        """What isolation brings, by path."""
        own = [file.content for file in wrapped.files.values() if isinstance(file.content, Entry)]
        # By its digest: as a tree its files may have any paths.
        tree = Tree(entry.moved(entry.digest) for entry in {e.digest: e for e in own}.values())
        self._met.known.learn(tree, self._storage, self._stop)
        found: dict[str, tuple[Name, Content]] = {}
        for path, file in wrapped.files.items():
            content = file.content
            name = (
                of_bytes(self._met.offer.function, content)
                if isinstance(content, bytes)
                else self._met.known.name(content)
            )
            found[path] = name, content
        return found

    def _kept(self, executed: Executed) -> Outcome:
        """Bring what an action left into the store, and say what came of it."""
        result = executed.result
        worker = result.execution_metadata.worker or "one that the farm does not name"
        report = self._report(executed, worker)
        if report.unkept:
            raise ActionError(
                f"{self._action.name} made something that cannot be kept",
                subject=report.unkept,
                remedy="have it write only files and folders, with names that a tree can hold",
            )
        ended_by = report.ended_by or ("time" if executed.timed_out else "")
        tree = Tree()
        if not ended_by and report.exit_status == 0:
            try:
                tree = self._outputs(result)
            except outputs.ExceededError as error:
                ended_by = error.limit
            except InputError as error:
                raise ActionError(
                    f"{self._action.name} made something that cannot go on the stick: "
                    f"{error.summary}",
                    subject=error.subject,
                    remedy="have it write only files and folders, with names that a tree can hold",
                ) from error
        return Outcome(
            exit_status=report.exit_status,
            tree=tree,
            stdout=self._storage.put_bytes(self._stream(result.stdout_raw, result.stdout_digest)),
            stderr=self._storage.put_bytes(self._stream(result.stderr_raw, result.stderr_digest)),
            seconds=report.seconds,
            peak_memory=report.peak_memory,
            ended_by=ended_by,
            engine=self._engine.identity,
            enforcement=report.enforcement,
            cpus=report.cpus,
            worker=f"{worker} ({report.machine})" if report.machine else worker,
            taken_from=f"action cache ({self._engine.calls.farm.cache})" if executed.cached else "",
        )

    def _report(self, executed: Executed, worker: str) -> Report:
        """What isolation says of the run; without that nothing of it is taken.

        Raises:
            InfrastructureError: there is none, or the worker cannot isolate.
        """
        found = outputs.file(executed.result, REPORT)
        if found is None:
            if executed.timed_out:
                raise InfrastructureError(
                    f"the farm ended {self._action.name} before its own limit of "
                    f"{self._limits.seconds} s",
                    subject=f"worker {worker}",
                    remedy="raise the farm's limit, or say it in its file (`timeout`)",
                )
            words = self._stream(executed.result.stderr_raw, executed.result.stderr_digest)
            said = words[-2000:].decode(errors="replace").strip()
            raise InfrastructureError(
                f"{self._action.name} was not run in isolation, so nothing of it is taken: the "
                f"launcher left no report (exit status {executed.result.exit_code}):\n"
                f"{said or '(it wrote nothing to its standard error)'}",
                subject=f"worker {worker}",
                remedy="look at what the farm's workers can run (docs/farm.md)",
            )
        name, inline = found
        data = (
            inline
            if inline is not None
            else self._met.receiver.read(name, _LARGEST_REPORT, self._stop)
        )
        report = self._engine.isolation.read_report(data, worker)
        if report.refusal:
            raise InfrastructureError(
                f"{self._action.name} was not run: the worker cannot isolate it: {report.refusal}",
                subject=f"worker {worker}",
                remedy=report.remedy,
            )
        return report

    def _outputs(self, result: api.ActionResult) -> Tree:
        name = outputs.folder(result, OUTPUTS)
        if name is None:
            return Tree()
        receiver, known = self._met.receiver, self._met.known
        data = receiver.read(name, _LARGEST_TREE, self._stop)
        found = outputs.listed(data, self._met.offer.function, self._limits)
        receiver.bring([one.name for one in found if one.name], self._storage, self._stop)
        tree = outputs.tree(found, lambda name: _required(known, name))
        self._storage.save_tree(tree)
        known.remember(tree, self._storage)
        return tree

    def _stream(self, raw: bytes, digest: api.Digest) -> bytes:
        """What an action wrote; the launcher has cut it."""
        if raw or not digest.size_bytes:
            return raw[: self._limits.log]
        data = self._met.receiver.read(
            Name.parse(digest), self._limits.log + _LARGEST_REPORT, self._stop
        )
        return data[: self._limits.log]


def _required(known: Known, name: Name) -> Digest:
    found = known.blob(name)
    if found is None:
        raise InfrastructureError("an output was not brought", subject=name.hash)
    return found
