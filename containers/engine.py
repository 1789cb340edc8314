"""Engine protocol: what runs an action. Callers never ask which engine they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from containers.action import Action
    from containers.policy import Enforcement, Policy
    from reproducibility.manifest import Entry, Tree


class Blobs(Protocol):
    """Where an engine gets the bytes of input files: the store, or a fake in tests."""

    def path(self, entry: Entry) -> Path:
        """The file that holds an entry's bytes, verified; read-only.

        Raises:
            InfrastructureError: the blob is not there, or its bytes are not what its name says.
        """

    def checkout(self, tree: Tree, epoch: int) -> Path:
        """A folder that holds the tree and is not written to, readable for everybody.

        Files have mode 0444 or 0555, folders 0755; every modification time is `epoch` (seconds).
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action.

    `exit_status`: the command's own; 128 + N when signal N ended it. `outputs`: folder with the
    declared outputs, at the paths the action names, in the caller's `into`. `stdout`, `stderr`:
    files in `into` too, cut at the policy's log limit. `seconds`: wall-clock time. `peak_memory`:
    bytes, 0 where the engine cannot tell. `ended_by`: empty, or the limit that ended it
    (`time`, `memory`, `work`, `tmp`, `files`); one that the outputs alone exceed too.
    """

    exit_status: int
    outputs: Path
    stdout: Path
    stderr: Path
    seconds: float
    peak_memory: int
    ended_by: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Which engine ran an action: two may share a name.

    `name`: as `Engine.name`. `own`: what tells this one from others of that name, such as the ID
    that a container engine gives itself. `version`: of its program.
    """

    name: str
    own: str
    version: str

    def document(self) -> dict[str, str]:
        """The identity as a JSON object."""
        return {"name": self.name, "identity": self.own, "version": self.version}


class Engine(Protocol):
    """Runs actions in isolation.

    An engine is a context manager: on leaving, however that happens, no container, volume, mount or
    process of it is left.
    """

    @property
    def name(self) -> str:
        """`sandbox` or `docker`; action results are remembered per name."""

    @property
    def identity(self) -> Identity:
        """Which engine of that name this is.

        Raises:
            InfrastructureError: it does not say.
        """

    @property
    def processors(self) -> int:
        """How many processors its actions have, without a limit of the policy's.

        Raises:
            InfrastructureError: it does not say.
        """

    def run(self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event) -> Outcome:
        """Run an action; may be called from several threads at once.

        `into`: an empty folder of the caller's; on return it holds `outputs/`, `stdout`, `stderr`.
        `stop`: when set, the action is ended and `Stopped` raised.

        Raises:
            ActionError: the outputs have paths that are too deep or too long.
            InfrastructureError: the action could not be run (not: it ran and failed).
            OSError: the outputs cannot be kept, on a full disk for one; names the file.
            Stopped: `stop` was set.
        """

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """How each rule of the policy is enforced on this machine."""

    def __enter__(self) -> Self:
        """Start using the engine."""

    def __exit__(self, *exception: object) -> None:
        """Leave nothing behind."""
