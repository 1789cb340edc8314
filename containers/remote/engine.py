"""Remote engine: actions on a build farm (Remote Execution API v2).

What an action consists of is decided in `messages.py`, what isolates it on the worker in
`isolation.py`; `execution.py` has the farm run it, `sending.py` and `receiving.py` move what
travels. Here is the way from an action to its outcome.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, Self

from containers import blame
from containers.engine import Identity
from containers.layout import lay_out
from containers.remote import faults, messages, offer
from containers.remote import reapi_pb2 as api
from containers.remote.believed import Believed
from containers.remote.calls import Calls
from containers.remote.execution import Executed, Execution
from containers.remote.faults import Code, Fault
from containers.remote.known import Known
from containers.remote.naming import of_bytes
from containers.remote.outcome import Left, Reader
from containers.remote.receiving import Receiver
from containers.remote.request import Request
from containers.remote.sending import Sender
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Entry, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from threading import Event

    from containers.action import Action
    from containers.engine import Capability, Outcome, Storage
    from containers.policy import Enforcement, Limits, Policy
    from containers.remote.farm import Settings, Workers
    from containers.remote.naming import Name
    from containers.remote.request import Wrapped
    from containers.remote.sending import Content, Traffic

_TOOL = "sourcery"
_CONNECTING = 20.0
# Trees whose messages are kept: the toolchain's sources have 15,000 files, 2 MB of messages.
_FOLDERS = 24
# How often an action is asked for whose remembered outputs the farm has lost.
_LOST = 2


class Isolation(Reader, Protocol):
    """What isolates an action on a worker: `isolation.py`, or a fake in tests."""

    def wrap(self, request: Request, tools: Tree) -> Wrapped:
        """What the farm is to start, and what that needs."""

    def capabilities(self, processors: int) -> dict[str, Capability]:
        """Tell which variations it can apply."""


def connect(scratch: Path, settings: Settings) -> RemoteEngine:
    """The engine of a farm, seen to answer.

    Raises:
        InfrastructureError: it does not answer, or cannot do what is needed.
    """
    del scratch
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
        met, self._met = self._met, None
        self._stack.close()
        if met is not None and met.sender.traffic.blobs + met.receiver.traffic.blobs:
            self._settings.note(
                f"to the farm went {met.sender.traffic}; from it came {met.receiver.traffic}"
            )

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
        self._left = Left(
            self._action.name,
            self._limits,
            farm=engine.calls.farm,
            identity=engine.identity,
            offer=self._met.offer,
            known=self._met.known,
            receiver=self._met.receiver,
            reader=engine.isolation,
            storage=storage,
            stop=stop,
        )

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
                return self._left.outcome(Executed(remembered, cached=True))
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
                send, self._stop, believing=self._engine.calls.farm.cache == "all"
            )
            try:
                outcome = self._left.outcome(executed)
            except Fault as fault:
                if fault.code != Code.NOT_FOUND or number == _LOST - 1:
                    raise
                self._engine.calls.note(
                    f"{self._action.name}: the farm has lost what it made; asking for it again"
                )
                continue
            if not outcome.failed and not executed.cached:
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
