"""Worker that isolates nothing: lays an action out as a farm does, and starts what it is told to.

An ordinary user of this machine is what farms run actions as. The input root belongs to that user
and can be written; modes and times are not those that an action is to see, as farms set their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from containers.engine import Identity
from containers.layout import lay_out
from containers.local import Ended, LocalEngine
from containers.remote import isolation
from containers.remote.request import INPUTS, OUTPUTS, REPORT, ROOT, Report, Request, Wrapped
from reproducibility.errors import ActionError, InfrastructureError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from containers.action import Action
    from containers.engine import Blobs, Capability
    from containers.policy import Enforcement, Policy
    from reproducibility.manifest import Entry, Tree

# Nobody's on this machine, and none of those that root's actions get.
USER = 61_777
NAME = "bare"
_FARM_TIME = 1_300_000_000
_TICK = 0.05
# A program cannot be started while anybody has it open for writing, as a process does for a moment
# that another thread starts while this one lays the program out.
_STARTING = threading.Lock()


@dataclass(frozen=True)
class Launched:
    """What the first program of an action ended with, and the report that it left."""

    status: int
    report: Report
    document: dict[str, object]
    folder: Path
    stderr: str


class BareWorker(LocalEngine):
    """Runs actions as a worker of a farm would that isolates nothing.

    `tools`: as `isolation.wrap` takes it. `user`: whom actions are run as, None for this process's.
    `around`: what is run instead of a command, with its argv at the end: the farm's own doing.
    """

    # The hostile attempts come to the same as in the sandbox.
    name = "sandbox"

    def __init__(
        self,
        scratch: Path,
        tools: Tree,
        user: int | None = USER,
        around: tuple[str, ...] = (),
        spoil: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._scratch = scratch
        self._tools = tools
        self._user = user if os.geteuid() == 0 else None
        self._around = around
        self._spoil = spoil
        self._seen: dict[int, tuple[Enforcement, ...]] = {}

    def __enter__(self) -> Self:
        """Make the folder that actions are laid out in."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._scratch.chmod(0o755)
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the folder that actions were laid out in."""
        shutil.rmtree(self._scratch)

    @property
    def processors(self) -> int:
        """See `Engine.processors`."""
        return len(os.sched_getaffinity(0))

    @property
    def identity(self) -> Identity:
        """See `Engine.identity`."""
        return Identity("remote", NAME, "1")

    def capabilities(self) -> Mapping[str, Capability]:
        """See `Engine.capabilities`."""
        return isolation.capabilities(self.processors)

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """What the probe of the last action observed, if possible of one with as many processors.

        A rule that allows all of them is kept by any worker.
        """
        return self._seen.get(policy.limits.cpus) or next(iter(self._seen.values()), ())

    def execute(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event
    ) -> Ended:
        """See `LocalEngine.execute`."""
        launched = self.launch(action, policy, blobs, into, stop)
        try:
            report = launched.report
            if report.refusal:
                raise InfrastructureError(report.refusal, remedy=report.remedy)
            if report.unkept:
                raise ActionError(f"made what cannot be kept: {report.unkept}")
            self._seen[policy.limits.cpus] = report.enforcement
            if (launched.folder / OUTPUTS).is_dir():
                shutil.copytree(launched.folder / OUTPUTS, into / "outputs")
            else:
                (into / "outputs").mkdir()
            return Ended(
                exit_status=launched.status,
                outputs=into / "outputs",
                stdout=into / "stdout",
                stderr=into / "stderr",
                seconds=report.seconds,
                peak_memory=report.peak_memory,
                ended_by=report.ended_by,
                cpus=report.cpus,
            )
        finally:
            shutil.rmtree(launched.folder)

    def launch(
        self,
        action: Action,
        policy: Policy,
        blobs: Blobs,
        into: Path,
        stop: Event | None = None,
    ) -> Launched:
        """Run the first program of an action; its folder is the caller's to remove."""
        stopping = stop or threading.Event()
        folder, process = self.begin(action, policy, blobs, into)
        status = _wait(process, stopping)
        said = (into / "stderr").read_text(errors="replace")
        if stopping.is_set():
            shutil.rmtree(folder)
            raise Stopped("stopped")
        assert (folder / REPORT).is_file(), (status, said)
        data = (folder / REPORT).read_bytes()
        report = isolation.read_report(data, NAME)
        return Launched(status, report, json.loads(data), folder, said)

    def begin(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path
    ) -> tuple[Path, subprocess.Popen[bytes]]:
        """Start the first program of an action; the folder that it runs in, and its process."""
        mounts = tuple(sorted(action.mounts, key=lambda mount: mount.at))
        limits = policy.limits.under(action.conditions)
        request = Request(action, lay_out(action), mounts, limits)
        wrapped = isolation.wrap(request, self._tools)
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        with (
            _STARTING,
            (into / "stdout").open("wb") as stdout,
            (into / "stderr").open("wb") as stderr,
        ):
            self._lay_out(folder, request, wrapped, blobs)
            self._spoil(folder)
            process = subprocess.Popen(
                [*self._around, *wrapped.arguments],
                cwd=folder,
                # What is around it may be found by its name; the launcher itself needs nothing.
                env={"PATH": os.environ["PATH"]} if self._around else {},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        return folder, process

    def _lay_out(self, folder: Path, request: Request, wrapped: Wrapped, blobs: Blobs) -> None:
        for at, tree in (
            (ROOT, request.action.root),
            *((f"{INPUTS}/{n}", mount.tree) for n, mount in enumerate(request.mounts)),
        ):
            (folder / at).mkdir(parents=True)
            for entry in tree:
                if entry.kind == "file":
                    _place(folder / at / entry.path, blobs.path(entry).read_bytes(), entry)
        for path, file in wrapped.files.items():
            content = file.content
            data = content if isinstance(content, bytes) else blobs.path(content).read_bytes()
            _place(folder / path, data, executable=file.executable)
        if self._user is not None:
            for place in (folder, *folder.rglob("*")):
                os.chown(place, self._user, self._user)


def _place(
    path: Path, data: bytes, entry: Entry | None = None, *, executable: bool = False
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    # Every file of a tree is executable, as on some farms.
    path.chmod(0o777 if executable or entry is not None else 0o666)
    os.utime(path, (_FARM_TIME, _FARM_TIME))


def _wait(process: subprocess.Popen[bytes], stop: Event) -> int:
    while True:
        try:
            return process.wait(_TICK)
        except subprocess.TimeoutExpired:
            if stop.is_set():
                process.kill()
                process.wait()
                time.sleep(_TICK)
