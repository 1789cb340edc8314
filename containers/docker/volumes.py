"""Bind mounts and volumes that bring input trees and work directories to a container engine.

Volumes of inputs are shared by the actions of a run; those of work directories, and those on a
tmpfs, belong to one action. What a volume holds travels through the API (`put_archive`), for which
a container must exist that may write it: never the action's own, which may write nothing else.
"""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docker.types import Mount as DockerMount

from containers.docker import archive
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from threading import Event

    from containers.action import Action, Mount
    from containers.docker.api import Api
    from containers.engine import Blobs
    from containers.layout import Layout
    from containers.policy import Limits

# Where the containers that fill and hold volumes have them.
_PLACE = "volumes"
# What an entry of a tmpfs can cost beside its content, and room to spare, in bytes.
_ENTRY = 16384
_ROOM = 64 << 20


@dataclass(frozen=True, slots=True)
class Connection:
    """An engine's API, as one run of the orchestrator uses it.

    `label`: key and value that everything carries that is made. `bind`: whether the engine sees
    this machine's folders.
    """

    api: Api
    label: tuple[str, str]
    bind: bool

    @property
    def labels(self) -> dict[str, str]:
        """The label as the API wants it."""
        return dict([self.label])


@dataclass(frozen=True, slots=True)
class _Filled:
    """A volume, where the action has it, and what is to be put in.

    `parts`: folders below `place` (relative) and the trees that lie in them.
    """

    volume: str
    at: str
    read_only: bool
    place: str
    parts: tuple[tuple[str, Tree], ...]
    form: archive.Form

    def in_action(self) -> DockerMount:
        return DockerMount(
            self.at, self.volume, type="volume", read_only=self.read_only, no_copy=True
        )

    def in_filler(self) -> DockerMount:
        return DockerMount(f"/{self.place}", self.volume, type="volume", no_copy=True)


class Volumes:
    """The volumes of one run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._inputs: dict[str, _Filled] = {}
        self._filling: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def for_action(  # noqa: PLR0913 - an action's fixed data
        self,
        action: Action,
        layout: Layout,
        limits: Limits,
        blobs: Blobs,
        image: str,
        stack: ExitStack,
        stop: Event | None = None,
    ) -> list[DockerMount]:
        """The mounts of an action, filled; what belongs to it alone is removed by `stack`.

        Raises:
            InfrastructureError: the engine cannot do it.
            Stopped: `stop` was set while a checkout was made.
        """
        if action.conditions.order_seed and action.mounts:
            return self._shuffled(action, layout, limits, blobs, image, stack)
        work = _work(action, layout, self._make(stack))
        self._fill(image, work, blobs)
        inputs = [
            self._bound(mount, action.mtime, blobs, stop)
            if self._connection.bind
            else self._input(mount, action.mtime, blobs, image)
            for mount in layout.read_only
        ]
        return [*inputs, work.in_action()]

    @staticmethod
    def _bound(mount: Mount, epoch: int, blobs: Blobs, stop: Event | None) -> DockerMount:
        """An input tree that the engine sees where it lies."""
        source = str(blobs.checkout(mount.tree, epoch, stop))
        return DockerMount(mount.at, source, type="bind", read_only=True)

    def _input(self, mount: Mount, epoch: int, blobs: Blobs, image: str) -> DockerMount:
        """An input tree that other actions of the run may have too."""
        key = f"{mount.tree.digest.hex}-{epoch}"
        with self._lock:
            lock = self._filling.setdefault(key, threading.Lock())
        with lock:
            if key not in self._inputs:
                filled = _input(mount, archive.Form(epoch), self._make(None), _PLACE)
                self._fill(image, filled, blobs)
                self._inputs[key] = filled
        known = self._inputs[key]
        return DockerMount(mount.at, known.volume, type="volume", read_only=True, no_copy=True)

    def _shuffled(  # noqa: PLR0913 - an action's fixed data
        self,
        action: Action,
        layout: Layout,
        limits: Limits,
        blobs: Blobs,
        image: str,
        stack: ExitStack,
    ) -> list[DockerMount]:
        """Inputs, and a work directory with private copies, on tmpfs volumes.

        Such a volume is empty again when no container uses it, so a container that does nothing but
        wait holds them all until the action is over.
        """
        form = archive.Form(action.mtime, order_seed=action.conditions.order_seed)
        held = [
            _input(mount, form, self._make(stack, _room(mount.tree)), f"{_PLACE}/{number}")
            for number, mount in enumerate(layout.read_only)
        ]
        held.append(_work(action, layout, self._make(stack, limits.work if layout.private else 0)))
        holder = self._container(
            image,
            [_waiting_program(action.root)],
            [filled.in_filler() for filled in held],
            stack,
        )
        with self._connection.api.lend("start the container that holds tmpfs volumes") as client:
            client.start(holder)
        for filled in held:
            self._put(holder, filled, blobs)
        return [filled.in_action() for filled in held]

    def _make(self, stack: ExitStack | None, tmpfs: int = 0) -> str:
        """A new volume, on a tmpfs of so many bytes where `tmpfs` is not 0."""
        name = f"{self._connection.label[1]}-{next(self._numbers)}"
        options = {}
        if tmpfs:
            options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={tmpfs},mode=755"}
        self._connection.api.ask(
            "make a volume on a tmpfs" if tmpfs else "make a volume",
            lambda client: client.create_volume(
                name, driver="local", driver_opts=options, labels=self._connection.labels
            ),
        )
        if stack is not None:
            stack.callback(self._connection.api.remove_volume, name)
        return name

    def _fill(self, image: str, filled: _Filled, blobs: Blobs) -> None:
        with ExitStack() as stack:
            container = self._container(image, ["/"], [filled.in_filler()], stack)
            self._put(container, filled, blobs)

    def _put(self, container: str, filled: _Filled, blobs: Blobs) -> None:
        with self._connection.api.lend("fill a volume") as client:
            stream = archive.pack(filled.parts, filled.form, blobs.path)
            client.put_archive(container, "/", stream)

    def _container(
        self, image: str, command: list[str], mounts: list[DockerMount], stack: ExitStack
    ) -> str:
        """A container that fills or holds volumes; what it would run reads its open stdin."""
        api = self._connection.api
        with api.lend("make a container that fills volumes") as client:
            config = client.create_host_config(network_mode="none", cap_drop=["ALL"], mounts=mounts)
            container: str = client.create_container(
                image,
                command=command,
                entrypoint=[],
                stdin_open=True,
                user="65534:65534",
                labels=self._connection.labels,
                host_config=config,
            )["Id"]
        stack.callback(api.remove_container, container)
        return container


def _input(mount: Mount, form: archive.Form, volume: str, place: str) -> _Filled:
    return _Filled(
        volume, mount.at, read_only=True, place=place, parts=((place, mount.tree),), form=form
    )


def _work(action: Action, layout: Layout, volume: str) -> _Filled:
    """The work directory: folders that must be there, and private copies."""
    conditions = action.conditions
    place = f"{_PLACE}/work"
    private = [
        (mount.at.removeprefix(conditions.work).strip("/"), mount.tree) for mount in layout.private
    ]
    folders = {
        "/".join(parts[:depth])
        for path in (*layout.folders, *(path for path, _ in private))
        for parts in [path.split("/")]
        for depth in range(1, len(parts) + 1)
    }
    trees = [*((folder, Tree()) for folder in sorted(folders - {""})), *private]
    return _Filled(
        volume,
        conditions.work,
        read_only=False,
        place=place,
        parts=(
            (place, Tree()),
            *((f"{place}/{folder}".rstrip("/"), tree) for folder, tree in trees),
        ),
        form=archive.Form(
            action.mtime,
            conditions.user,
            conditions.group,
            writable=True,
            order_seed=conditions.order_seed,
        ),
    )


def _waiting_program(root: Tree) -> str:
    """A program of the builder image that reads its standard input for ever when that is open."""
    for entry in root.files():
        if entry.path.endswith("/bin/gofmt"):
            return f"/{entry.path}"
    raise InfrastructureError(
        "nothing in the builder image (gofmt) can wait and so hold inputs on a tmpfs, "
        "which a varied order of files needs",
        remedy="use --engine sandbox, or a bootstrap Go with gofmt",
    )


def _room(tree: Tree) -> int:
    """Bytes that a tree can take on a tmpfs."""
    return _ROOM + tree.size + _ENTRY * len(tree)
