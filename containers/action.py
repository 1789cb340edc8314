"""Action: one isolated step as a value, and its key.

The shape is that of the Remote Execution API's Action: a command, an environment, an input root,
declared outputs, a platform. Limits (time, memory) are not part of the key: they bound the work,
they do not change its result.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.conditions import STANDARD, Conditions

if TYPE_CHECKING:
    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

Placement = Literal["read-only", "private"]

# The version of the rules by which engines run an action; part of every key, so that a change of
# the rules forgets what was made under the old ones.
RULES = 2
# Stands for the path of the work directory, which the conditions say when the action is run.
WORK = "{work}"


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
    the work directory, files or folders, that make the result. `epoch`: modification time of
    every input in seconds since 1970-01-01 UTC, where the conditions name no other (`mtime`).
    `conditions`: host name, user, order of files and the like, as the command sees them. Where
    words, variables or paths name the work directory, they say `WORK`.
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
    conditions: Conditions = field(default=STANDARD)

    @cached_property
    def document(self) -> bytes:
        """Canonical JSON of what is done: of everything but the conditions and the name."""
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
            }
        )

    @cached_property
    def digest(self) -> Digest:
        """BLAKE3 of `document`."""
        return digests.of_bytes(self.document)

    @cached_property
    def key(self) -> Digest:
        """BLAKE3 of both: what is done, and under which conditions."""
        conditions = canonical.dumps(self.conditions.describe())
        both = {"action": str(self.digest), "conditions": str(digests.of_bytes(conditions))}
        return digests.of_bytes(canonical.dumps(both))

    @property
    def mtime(self) -> int:
        """Modification time of the input trees' files, in seconds since 1970-01-01 UTC."""
        return self.conditions.mtime or self.epoch

    def under(self, conditions: Conditions) -> Action:
        """The same action under other conditions."""
        return replace(self, conditions=conditions)

    def placed(self) -> Action:
        """The action as it is run: with the work directory's path, and what conditions set."""
        work = self.conditions.work
        variables = dict(self.environment)
        if self.conditions.parallelism:
            variables.setdefault("GOMAXPROCS", str(self.conditions.parallelism))
        return replace(
            self,
            command=tuple(word.replace(WORK, work) for word in self.command),
            environment=tuple(
                sorted((name, value.replace(WORK, work)) for name, value in variables.items())
            ),
            directory=self.directory.replace(WORK, work),
            mounts=tuple(replace(mount, at=mount.at.replace(WORK, work)) for mount in self.mounts),
        )
