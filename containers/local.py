"""Engines whose actions leave their outputs in a folder of this machine, to be kept from there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from containers import blame
from containers.engine import Outcome
from reproducibility.errors import ActionError, InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from threading import Event

    from containers.action import Action
    from containers.engine import Blobs, Capability, Identity, Storage
    from containers.policy import Enforcement, Policy


@dataclass(frozen=True, slots=True)
class Ended:
    """An action that has ended, and what it left.

    `outputs`: folder with the declared outputs, at the paths that the action names. `stdout`,
    `stderr`: files, cut at the policy's log limit. The others, `cut` among them, as in `Outcome`.
    """

    exit_status: int
    outputs: Path
    stdout: Path
    stderr: Path
    seconds: float
    peak_memory: int
    ended_by: str
    cpus: int
    cut: bool = False


class LocalEngine(ABC):
    """Keeps what an action left; how one is executed is the subclass's matter.

    `name`: see `Engine.name`.
    """

    name: str
    # They share this machine with who asks for them.
    actions = 0

    @abstractmethod
    def __enter__(self) -> Self:
        """See `Engine`."""

    @abstractmethod
    def __exit__(self, *exception: object) -> None:
        """See `Engine`."""

    @property
    @abstractmethod
    def processors(self) -> int:
        """See `Engine.processors`."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """See `Engine.identity`."""

    @abstractmethod
    def capabilities(self) -> Mapping[str, Capability]:
        """See `Engine.capabilities`."""

    @abstractmethod
    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """See `Engine.enforcement`."""

    @abstractmethod
    def execute(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event
    ) -> Ended:
        """Run an action that is `placed`; may be called from several threads at once.

        `into`: an empty folder of the caller's; on return it holds `outputs/`, `stdout`, `stderr`.
        `stop`: when set, the action is ended and `Stopped` raised.

        Raises:
            ActionError: the outputs have paths that are too deep or too long.
            InfrastructureError: the action could not be run (not: it ran and failed).
            OSError: the outputs cannot be kept, on a full disk for one; names the file.
            Stopped: `stop` was set.
        """

    def run(self, action: Action, policy: Policy, storage: Storage, stop: Event) -> Outcome:
        """See `Engine.run`."""
        with (
            storage.temporary() as folder,
            blame.telling(action.name, folder / "result", storage.root),
        ):
            into = folder / "result"
            into.mkdir()
            ended = self.execute(action.placed(), policy, storage, into, stop)
            enforcement = self.enforcement(policy)
            failed = ended.exit_status != 0 or ended.ended_by
            return Outcome(
                exit_status=ended.exit_status,
                tree=Tree() if failed else _kept(action, ended.outputs, storage, stop),
                stdout=storage.put_file(ended.stdout),
                stderr=storage.put_file(ended.stderr),
                seconds=ended.seconds,
                peak_memory=ended.peak_memory,
                ended_by=ended.ended_by,
                engine=self.identity,
                enforcement=enforcement,
                cpus=ended.cpus,
                cut=ended.cut,
            )


def _kept(action: Action, outputs: Path, storage: Storage, stop: Event) -> Tree:
    try:
        return storage.put_tree(outputs, move=True, stop=stop)
    except InputError as error:
        raise ActionError(
            f"{action.name} made something that cannot go on the stick: {error.summary}",
            subject=error.subject,
            remedy="have it write only files and folders, with names that a tree can hold",
        ) from error
