"""Sandbox engine: bubblewrap, for machines without a container engine; needs no daemon.

An action becomes a request (`request.py`) for the launcher (`confine.py`), which starts
bubblewrap and guards it. What the action sees is decided in `layout.py`, what is measured while it
runs in `supervise.py`; here is what lies around one run.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from containers import outputs
from containers.engine import Identity
from containers.host.scratch import Scratch, remove
from containers.layout import lay_out
from containers.local import Ended, LocalEngine
from containers.policy import Limits
from containers.sandbox import (
    bubblewrap,
    capability,
    request,
    system_call_filter,
)
from containers.sandbox import (
    enforcement as sandbox_enforcement,
)
from containers.sandbox.cgroup import Cgroups
from containers.sandbox.launch import launch
from containers.sandbox.room import Room
from containers.sandbox.usage import Usage
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from threading import Event

    from containers.action import Action
    from containers.engine import Blobs, Capability
    from containers.policy import Enforcement, Policy
    from containers.sandbox.cgroup import Group
    from containers.sandbox.cgroup_v1 import LegacyGroup
    from containers.sandbox.launch import Launched

_PREFIX = "sandbox"
# Go asks for memory in pieces of 64 MiB, and RLIMIT_DATA counts them before they are touched.
_MARGIN = 128 << 20
_CHECK = Limits(seconds=30, log=1 << 16)


class SandboxEngine(LocalEngine):
    """Runs actions in bubblewrap, as root or as an ordinary user.

    Checked-out trees must be readable for everybody where the orchestrator is root, because actions
    run as a user of their own.
    """

    name = "sandbox"

    def __init__(self, scratch: Path) -> None:
        """`scratch`: folder for temporary work directories, on a disk with room.

        Raises:
            InfrastructureError: bubblewrap is not there or too old.
        """
        self._program = bubblewrap.find()
        self._parent = scratch
        self._numbers: Iterator[int] = itertools.count(1)
        self._scratch: Scratch | None = None
        self._cgroups: Cgroups | None = None
        self._room = Room(self._try_mounting)

    @cached_property
    def identity(self) -> Identity:
        """See `Engine.identity`: it is this machine's kernel that isolates."""
        machine = os.uname()
        own = f"{machine.sysname} {machine.release} {machine.machine}"
        return Identity(self.name, own, bubblewrap.version(self._program))

    @property
    def processors(self) -> int:
        """See `Engine.processors`: those that this process may use, and so what it starts."""
        return len(os.sched_getaffinity(0))

    def __enter__(self) -> Self:
        """Claim a scratch folder, after removing those of engines that are gone."""
        self._scratch = Scratch(self._parent, _PREFIX)
        self._cgroups = Cgroups()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the scratch folder."""
        if self._cgroups is not None:
            self._cgroups.close()
        if self._scratch is not None:
            self._scratch.close()
        self._scratch = self._cgroups = None

    def execute(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event
    ) -> Ended:
        """See `LocalEngine.execute`."""
        layout = lay_out(action)
        if self._scratch is None or self._cgroups is None:
            raise InfrastructureError("the sandbox engine is used outside its `with` block")
        conditions = action.conditions
        limits = policy.limits.under(conditions)
        number = next(self._numbers)
        folder = self._scratch.folder / str(number)
        with ExitStack() as stack:
            work = _make(folder)
            stack.callback(remove, folder)
            asked = request.for_action(
                self._program,
                action,
                layout,
                limits,
                blobs,
                mounting=not self._room.refusal,
                in_memory=not self._room.lacking(policy),
                views=not self._no_views,
                stop=stop,
            )
            group = _join(self._cgroups, f"action-{os.getpid()}-{number}", limits, stack)
            asked["cgroups"] = group.entrances if group else []
            asked["exits"] = list(group.exits) if group else []
            cpus = min(filter(None, (limits.cpus, conditions.processors)), default=0)
            asked["cpus"] = request.processors(cpus, number, policy.share)
            asked["work"] = str(work)
            usage = Usage(work, limits, group)
            stack.callback(usage.close)
            launched = launch(asked, limits, into, stop, usage)
            exceeded = _take(work, action, into, limits, stop, usage)
            # No list of them leaves it all.
            count = len(asked["cpus"]) or self.processors
            return _outcome(launched, limits, group, into, usage, exceeded, count)

    def capabilities(self) -> Mapping[str, Capability]:
        """See `Engine.capabilities`."""
        return capability.capabilities(self._program, self.processors, self._room.refusal)

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """See `Engine.enforcement`."""
        cgroups = self._cgroups or Cgroups()
        try:
            return sandbox_enforcement.enforcement(
                policy,
                cgroups,
                request.spare_users(),
                self._room,
                no_views=self._no_views,
            )
        finally:
            if cgroups is not self._cgroups:
                cgroups.close()

    def check(self) -> None:
        """Run a program in a sandbox that is made in the same way as for an action.

        Raises:
            InfrastructureError: this machine refuses; says what to do about it.
        """
        # Before the trial, whose errors are about bubblewrap.
        system_call_filter.compiled()
        try:
            self._try(mounting=False)
        except InfrastructureError as error:
            raise bubblewrap.refusal(error.subject) from error

    @cached_property
    def _can_all(self) -> bool:
        """Try whether the launcher can mount, and hide where trees lie: the usual, at once."""
        try:
            self._try(mounting=True, views=True)
        except InfrastructureError:
            return False
        return True

    @cached_property
    def _no_views(self) -> str:
        """Why the launcher cannot hide where trees lie, or empty."""
        try:
            if not self._can_all:
                self._try(mounting=False, views=True)
        except InfrastructureError as error:
            return error.subject
        return ""

    def _try_mounting(self) -> None:
        if not self._can_all:
            self._try(mounting=True)

    def _try(self, *, mounting: bool, views: bool = False) -> None:
        """`views`: with a view of the disk that the trees lie on, as the scratch folder does."""
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            place = self._parent if self._parent.is_dir() else Path(folder)
            asked = request.for_check(
                self._program, _CHECK, mounting=mounting, view=place if views else None
            )
            asked["work"] = folder
            usage = Usage(Path(folder), _CHECK, None)
            stack.callback(usage.close)
            launched = launch(asked, _CHECK, Path(folder), threading.Event(), usage)
            if launched.status != 0:
                raise InfrastructureError(
                    "a trial failed", subject=f"a trial ended with exit status {launched.status}"
                )


def _make(folder: Path) -> Path:
    work = folder / "work"
    try:
        work.mkdir(parents=True)
        work.chmod(0o755)
    except OSError as error:
        raise InfrastructureError(
            f"cannot make a work directory: {error.strerror}", subject=str(folder)
        ) from error
    return work


def _join(
    cgroups: Cgroups, name: str, limits: Limits, stack: ExitStack
) -> Group | LegacyGroup | None:
    try:
        group = cgroups.make(name, limits)
    except OSError as error:
        raise InfrastructureError(
            f"cannot make a cgroup: {error.strerror}",
            subject=str(error.filename or name),
            remedy="run the same command again; if it happens again, see the kernel's messages "
            "(`dmesg`) and the limits of the groups above (cgroup.max.descendants)",
        ) from error
    if group is not None:
        stack.callback(group.close)
    return group


def _take(  # noqa: PLR0913 - all of one run
    work: Path, action: Action, into: Path, limits: Limits, stop: Event, usage: Usage
) -> outputs.Exceeded:
    """Take the outputs, from the tmpfs where the work directory is one; the limit they exceed."""
    descriptor = usage.work
    if descriptor is not None:
        return outputs.take(descriptor, action.outputs, into / "outputs", limits, stop)
    work.chmod(0o700)
    descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return outputs.take(descriptor, action.outputs, into / "outputs", limits, stop)
    finally:
        os.close(descriptor)


def _outcome(  # noqa: PLR0913 - all of one run
    launched: Launched,
    limits: Limits,
    group: Group | LegacyGroup | None,
    into: Path,
    usage: Usage,
    exceeded: outputs.Exceeded,
    cpus: int,
) -> Ended:
    ended = launched.ended
    peak = max(launched.largest, usage.peak)
    ended_by: str = ended.ended_by
    if group is not None:
        peak = group.peak_memory() or peak
        if group.ran_out_of_memory():
            ended_by = "memory"
    # A program that is refused memory fails in its own words; that it was about memory is seen
    # from how near to the limit its largest process had come.
    margin = max(limits.memory // 8, min(_MARGIN, limits.memory // 2))
    if launched.status != 0 and not ended_by:
        near = launched.largest > limits.memory - margin
        ended_by = usage.filled() or ("memory" if near else "")
    return Ended(
        exit_status=launched.status,
        outputs=into / "outputs",
        stdout=into / "stdout",
        stderr=into / "stderr",
        seconds=ended.seconds,
        peak_memory=peak,
        ended_by=ended_by or exceeded,
        cpus=cpus,
        cut=launched.cut,
    )
