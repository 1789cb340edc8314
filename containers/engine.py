"""Engine protocol: what runs an action. Callers never ask which engine they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from reproducibility import variations
from reproducibility.errors import ActionError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from threading import Event

    from containers.action import Action
    from containers.policy import Enforcement, Policy
    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry, Tree


class Blobs(Protocol):
    """Source of the bytes of input files, for an engine."""

    def path(self, entry: Entry) -> Path:
        """The file that holds an entry's bytes, verified; read-only.

        Raises:
            InfrastructureError: the blob is not there, or its bytes are not what its name says.
        """

    def checkout(self, tree: Tree, epoch: int, stop: Event | None = None) -> Path:
        """A folder that holds the tree and is not written to, readable for everybody.

        Files have mode 0444 or 0555, folders 0755; every modification time is `epoch` (seconds).

        Raises:
            Stopped: `stop` was set while it was made, here or by another process.
        """


class Storage(Blobs, Protocol):
    """Storage that an engine puts what actions make into, too: the store, or a fake in tests.

    `root`: its folder, for messages.
    """

    @property
    def root(self) -> Path:
        """See the class."""

    def temporary(self) -> AbstractContextManager[Path]:
        """A new folder on the disk of the blobs, removed at the end."""

    def put_tree(self, folder: Path, *, move: bool = False, stop: Event | None = None) -> Tree:
        """Take the files of a folder. `move`: the folder is no longer needed.

        Raises:
            InputError: something in it can be in no tree; names it.
            Stopped: `stop` was set.
        """

    def put_file(self, path: Path, *, move: bool = False) -> Digest:
        """Take one file. `move`: it is no longer needed."""

    def put_bytes(self, data: bytes) -> Digest:
        """Take bytes."""

    def save_tree(self, tree: Tree) -> Digest:
        """Take a tree's manifest; its files are there, or are brought."""

    def has(self, digest: Digest, size: int | None = None) -> bool:
        """Return whether a blob is there. `size`: of so many bytes; None for any."""

    def read(self, digest: Digest) -> bytes:
        """A blob's bytes, verified.

        Raises:
            InfrastructureError: it is not there, or its bytes are not what its name says.
        """

    def remember(self, kind: str, key: Digest, document: dict[str, Any]) -> None:
        """Write down something about a key."""

    def recall(self, kind: str, key: Digest) -> dict[str, Any] | None:
        """Return what is written down of a key, or None."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity of the engine that ran an action: two may share a name.

    `name`: as `Engine.name`. `own`: what tells this one from others of that name, such as the ID
    that a container engine gives itself. `version`: of its program.
    """

    name: str
    own: str
    version: str

    def document(self) -> dict[str, str]:
        """The identity as a JSON object."""
        return {"name": self.name, "identity": self.own, "version": self.version}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of an action.

    `exit_status`: the command's own; 128 + N when signal N ended it. `tree`: the declared outputs,
    at the paths that the action names; empty where the action failed. `stdout`, `stderr`: blobs,
    cut at the policy's log limit. `seconds`: wall-clock time. `peak_memory`: bytes, 0 where the
    engine cannot tell. `ended_by`: empty, or the limit that ended it (`time`, `memory`, `work`,
    `tmp`, `files`); one that the outputs alone exceed too. `engine`, `enforcement`: what ran it,
    and how each rule of the policy was enforced there. `cpus`: on how many CPUs it could run, as
    it saw by its affinity; its share of them, where it was given one. `worker`: the machine of a
    farm that ran it, empty where the engine has but one. `taken_from`: where a result comes from
    that nothing was run for, such as a farm's action cache; empty where it was run. `cut`: whether
    `stdout` is only the beginning of what was written.
    """

    exit_status: int
    tree: Tree
    stdout: Digest
    stderr: Digest
    seconds: float
    peak_memory: int
    ended_by: str
    engine: Identity
    enforcement: tuple[Enforcement, ...]
    cpus: int
    worker: str = ""
    taken_from: str = ""
    cut: bool = False

    @property
    def failed(self) -> bool:
        """Tell whether it was ended, or ended by itself with another exit status than 0."""
        return self.exit_status != 0 or bool(self.ended_by)

    def said_whole(self, name: str, limit: int) -> Self:
        """Itself, of an action whose standard output is used. `name`: the action's.

        `limit`: bytes that are kept of it (`limits.log`).

        Raises:
            ActionError: there was more.
        """
        if self.cut:
            raise ActionError(
                f"{name} wrote more to its standard output, which is used, than the {limit} bytes "
                "that are kept of it (limits.log)",
                remedy="raise limits.log in the spec, or leave it out for the usual 64 MiB",
            )
        return self

    def run_again(self, name: str) -> Self:
        """Itself, of an action that was made again to be compared. `name`: the action's.

        Raises:
            InfrastructureError: nothing was run for it, so it would be compared with itself.
        """
        if self.taken_from:
            raise InfrastructureError(
                f"{name} was to be run again, and its result comes from the {self.taken_from}: "
                "to compare it would prove nothing",
                subject=self.engine.own,
                remedy="have the engine run it; a farm that takes nothing from its cache does "
                '(`cache = "none"` in its file)',
            )
        return self


@dataclass(frozen=True, slots=True)
class Capability:
    """Ability of an engine to apply a variation.

    `how`: by what it does so, or would. `refusal`: why it cannot, or empty.
    """

    how: str
    refusal: str = ""


def refused_everywhere() -> dict[str, Capability]:
    """Return what every engine answers for the variations that none can apply."""
    return {name: Capability("nothing", why) for name, why in variations.REFUSED.items()}


class Engine(Protocol):
    """Runs actions in isolation.

    An engine is a context manager: on leaving, however that happens, no container, volume, mount or
    process of it is left.
    """

    @property
    def name(self) -> str:
        """`sandbox`, `docker` or `remote`; action results are remembered per name."""

    @property
    def identity(self) -> Identity:
        """Return which engine of that name this is.

        Raises:
            InfrastructureError: it does not say.
        """

    @property
    def processors(self) -> int:
        """Return how many CPUs its actions have, without a limit of the policy's.

        Raises:
            InfrastructureError: it does not say.
        """

    @property
    def actions(self) -> int:
        """Return how many actions it runs at once; 0 leaves that to whoever asks for them."""

    def capabilities(self) -> Mapping[str, Capability]:
        """Tell whether it can apply each variation of `variations.NAMES`, by its name."""

    def run(self, action: Action, policy: Policy, storage: Storage, stop: Event) -> Outcome:
        """Run an action; may be called from several threads at once.

        `storage`: has the inputs, and gets the outputs. `stop`: when set, the action is ended and
        `Stopped` raised.

        Raises:
            ActionError: the outputs cannot be kept: by their names, depth or kinds.
            InfrastructureError: the action could not be run (not: it ran and failed), or its
                outputs could not be kept, on a full disk for one.
            Stopped: `stop` was set.
        """

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """Return how each rule of the policy is enforced on this machine."""

    def __enter__(self) -> Self:
        """Start using the engine."""

    def __exit__(self, *exception: object) -> None:
        """Leave nothing behind."""
