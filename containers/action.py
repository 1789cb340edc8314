"""Action: one isolated step as a value, and its key.

The shape is that of the Remote Execution API's Action: a command, an environment, an input root,
declared outputs, a platform. Limits (time, memory) are not part of the key: they bound the work,
they do not change its result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.variations import STANDARD, Surroundings

if TYPE_CHECKING:
    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

Placement = Literal["read-only", "private"]

# The version of the rules by which engines run an action; part of every key, so that a change of
# the rules forgets what was made under the old ones.
RULES = 1


@dataclass(frozen=True, slots=True)
class Mount:
    """An input tree at a place in the sandbox.

    `at`: absolute path. `read-only`: shared with other actions, not writable. `private`: a copy of
    its own below the writable work directory, for a program that writes into its own source tree.
    """

    at: str
    tree: Tree
    placement: Placement = "read-only"


@dataclass(frozen=True)
class Action:
    """One isolated step.

    `name`: for people, not part of the key. `command`: argv, the first part an absolute path.
    `environment`: all of it, nothing is inherited. `directory`: where the command starts, absolute.
    `root`: the builder image's file tree. `mounts`: the input trees. `outputs`: paths relative to
    the work directory (`surroundings.work`), files or folders, that make the result.
    `surroundings`: host name, user, order of files and the like, as the command sees them.
    `epoch`: modification time of every input in seconds since 1970-01-01 UTC.
    """

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    directory: str
    root: Tree
    mounts: tuple[Mount, ...]
    outputs: tuple[str, ...]
    epoch: int
    architecture: str
    surroundings: Surroundings = field(default=STANDARD)

    @cached_property
    def document(self) -> bytes:
        """The canonical JSON that the key is taken of."""
        return canonical.dumps(
            {
                "rules": RULES,
                "command": list(self.command),
                "environment": dict(self.environment),
                "directory": self.directory,
                "root": str(self.root.digest),
                "mounts": [
                    {"at": mount.at, "tree": str(mount.tree.digest), "placement": mount.placement}
                    for mount in sorted(self.mounts, key=lambda mount: mount.at)
                ],
                "outputs": sorted(self.outputs),
                "epoch": self.epoch,
                "platform": {"os": "linux", "architecture": self.architecture},
                "surroundings": self.surroundings.describe(),
            }
        )

    @cached_property
    def key(self) -> Digest:
        """BLAKE3 of `document`."""
        return digests.of_bytes(self.document)
