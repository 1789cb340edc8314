"""The `sandbox` engine: bubblewrap, for machines without a container engine; needs no daemon.

An action becomes one order for the launcher (`confine.py`), which starts bubblewrap and guards it.
What the action sees is decided in `layout.py`; what is measured while it runs, in `supervise.py`.
"""

from __future__ import annotations

import itertools
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers import bubblewrap, outputs
from containers.cgroup import Cgroups
from containers.engine import Outcome
from containers.launch import launch
from containers.layout import lay_out, root_binds
from containers.scratch import Scratch, remove
from containers.supervise import Growth
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from threading import Event

    from containers.action import Action
    from containers.cgroup import Group
    from containers.engine import Blobs
    from containers.launch import Launched
    from containers.layout import Layout
    from containers.policy import Enforcement, Limits, Policy
    from reproducibility.manifest import Tree

_OPEN_FILES = 16384
_OVERHEAD = 8192
_ROOM = 64 << 20
# User ids that actions get on the machine when root runs the orchestrator, one for each process id:
# far above any that is given out by hand, by subuid(5) or by systemd. Where those are not mapped
# (root of a container), systemd's range for dynamic users.
_SPARE = (range(0x70000000, 0x70400000), range(61184, 65184))


class SandboxEngine:
    """Runs actions in bubblewrap, as root or as an ordinary user."""

    name = "sandbox"

    def __init__(self, scratch: Path) -> None:
        """`scratch`: folder for temporary work directories, on a disk with room.

        Raises:
            InfrastructureError: bubblewrap is not there or too old.
        """
        self._program = bubblewrap.find()
        self._parent = scratch
        self._numbers = itertools.count(1)
        self._scratch: Scratch | None = None
        self._cgroups: Cgroups | None = None

    def __enter__(self) -> SandboxEngine:
        """Claim a scratch folder, after removing those of engines that are gone."""
        self._scratch = Scratch(self._parent, "sandbox")
        self._cgroups = Cgroups()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the scratch folder."""
        if self._cgroups is not None:
            self._cgroups.close()
        if self._scratch is not None:
            self._scratch.close()
        self._scratch = self._cgroups = None

    def run(self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event) -> Outcome:
        """See `Engine.run`."""
        layout = lay_out(action)
        if self._scratch is None or self._cgroups is None:
            raise InfrastructureError("the sandbox engine is used outside its `with` block")
        number = next(self._numbers)
        folder = self._scratch.folder / str(number)
        work = folder / "work"
        with ExitStack() as stack:
            work.mkdir(parents=True)
            stack.callback(remove, folder)
            try:
                group = self._cgroups.make(f"action-{os.getpid()}-{number}", policy.limits)
            except OSError as error:
                raise InfrastructureError(f"cannot make a cgroup: {error}") from error
            if group is not None:
                stack.callback(group.close)
            order = self._order(action, layout, policy.limits, blobs, work)
            order["cgroup"] = group.entrance if group else ""
            order["cpus"] = _processors(policy.limits.cpus, number)
            launched = launch(
                order, policy.limits, into, stop, Growth(work, policy.limits.work).too_large
            )
            descriptor = launched.work or os.open(work, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            _take(descriptor, action, into)
            return _outcome(launched, policy.limits, group, into)

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """See `Engine.enforcement`."""
        cgroups = self._cgroups or Cgroups()
        try:
            return sandbox_enforcement.enforcement(policy, cgroups, _spare_users())
        finally:
            if cgroups is not self._cgroups:
                cgroups.close()

    def check(self) -> None:
        """Run a program in a sandbox made in the same way as for an action.

        Raises:
            InfrastructureError: this machine refuses; says what to do about it.
        """
    def _order(
        self, action: Action, layout: Layout, limits: Limits, blobs: Blobs, work: Path
    ) -> dict[str, Any]:
        """What the launcher is to do, as JSON; its form is what `confine.py` reads."""
        surroundings = action.surroundings
        trees = [action.root, *(mount.tree for mount in (*layout.read_only, *layout.private))]
        sources = [str(blobs.checkout(tree, action.epoch)) for tree in trees]
        first_private = 1 + len(layout.read_only)
        shuffled = list(range(1, first_private)) if surroundings.order_seed else []
        tmpfs = None
        if surroundings.order_seed and action.mounts:
            tmpfs = {
                "inputs": _ROOM + sum(_room(trees[number]) for number in shuffled),
                "work": limits.work if layout.private else 0,
            }
        return {
            "parent": os.getpid(),
            "users": _spare_users(),
            "sources": sources,
            "work": str(work),
            "copies": [
                {"source": number, "at": mount.at.removeprefix(surroundings.work).strip("/")}
                for number, mount in enumerate(layout.private, start=first_private)
            ],
            "directories": list(layout.folders),
            "tmpfs": tmpfs,
            "shuffled": shuffled,
            "order_seed": surroundings.order_seed,
            "epoch": action.epoch,
            "limits": _rlimits(limits),
            "arguments": [
                *_namespaces(self._program, action),
                *_mounts(action, layout, limits),
                *_process(action, layout),
            ],
        }


def _namespaces(program: str, action: Action) -> list[Any]:
    surroundings = action.surroundings
    return [
        program,
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"),
        *("--unshare-uts", "--unshare-cgroup", "--disable-userns"),
        *("--uid", str(surroundings.user), "--gid", str(surroundings.group)),
        *("--hostname", surroundings.host),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--json-status-fd", {"status": True}),
    ]


def _mounts(action: Action, layout: Layout, limits: Limits) -> list[Any]:
    work = action.surroundings.work
    points = [*(mount.at for mount in layout.read_only), work, "/dev", "/proc", "/tmp"]  # noqa: S108
    arguments: list[Any] = []
    made, bound = root_binds(action.root, points)
    for path in made:
        arguments += ["--perms", "0755", "--dir", f"/{path}"]
    for path in bound:
        arguments += ["--ro-bind", _place(1, path), f"/{path}"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    arguments += ["--perms", "1777", "--size", str(limits.tmp), "--tmpfs", "/tmp"]  # noqa: S108
    binds = [
        (mount.at, "--ro-bind", number) for number, mount in enumerate(layout.read_only, start=2)
    ]
    for at, option, number in sorted([*binds, (work, "--bind", 0)]):
        arguments += [option, _place(number), at]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/"]


def _process(action: Action, layout: Layout) -> list[Any]:
    variables = [part for item in layout.environment.items() for part in ("--setenv", *item)]
    return ["--chdir", action.directory, "--clearenv", *variables, "--", *action.command]


def _place(number: int, below: str = "") -> dict[str, Any]:
    """An argument that the launcher replaces by a path: 0 is the work directory, 1 the root."""
    return {"place": number, "below": below}


def _rlimits(limits: Limits) -> dict[str, int]:
    """Resource limits by name. RLIMIT_AS would be of no use: Go reserves more than it uses."""
    processes = limits.processes if os.geteuid() == 0 else limits.processes + _running()
    return {
        "RLIMIT_NPROC": processes,
        "RLIMIT_DATA": limits.memory,
        "RLIMIT_FSIZE": limits.work,
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_CORE": 0,
    }


def _running() -> int:
    """How many threads this process's user has now: RLIMIT_NPROC counts those too."""
    total, user = 0, os.getuid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == user:
                    total += len(os.listdir(f"/proc/{name}/task"))
    return total


def _processors(wanted: int, number: int) -> list[int]:
    """The processors of the `number`th action, taken in turns; empty for all of them."""
    available = sorted(os.sched_getaffinity(0))
    if not wanted or wanted >= len(available):
        return []
    first = number * wanted
    return sorted({available[(first + step) % len(available)] for step in range(wanted)})


def _spare_users() -> dict[str, int] | None:
    """User ids on the machine that nobody has, or None where this process cannot become another."""
    if os.geteuid() != 0:
        return None
    mapped = [
        range(int(line.split()[0]), int(line.split()[0]) + int(line.split()[2]))
        for line in Path("/proc/self/uid_map").read_text("ascii").splitlines()
    ]
    for wanted in _SPARE:
        if any(wanted[0] in ids and wanted[-1] in ids for ids in mapped):
            return {"first": wanted.start, "count": len(wanted)}
    return None


def _take(work: int, action: Action, into: Path) -> None:
    try:
        outputs.take(work, action.outputs, into / "outputs")
    except OSError as error:
        raise InfrastructureError(
            f"cannot take the outputs of {action.name}: {error.strerror}", subject=str(into)
        ) from error


def _outcome(launched: Launched, limits: Limits, group: Group | None, into: Path) -> Outcome:
    ended = launched.ended
    peak = max(ended.largest, ended.sampled)
    ended_by = ended.ended_by
    if group is not None:
        peak = group.peak_memory() or peak
        if group.ran_out_of_memory():
            ended_by = "memory"
    # A program that is refused memory fails in its own words; that it was about memory is seen
    # from how near the limit its largest process had come.
    if launched.status != 0 and not ended_by and ended.largest > limits.memory - limits.memory // 8:
        ended_by = "memory"
    return Outcome(
        exit_status=launched.status,
        outputs=into / "outputs",
        stdout=into / "stdout",
        stderr=into / "stderr",
        seconds=ended.seconds,
        peak_memory=peak,
        ended_by=ended_by,
    )


def _room(tree: Tree) -> int:
    """Bytes that a tree can take on a tmpfs, with what its entries and folders cost."""
    return tree.size + _OVERHEAD * 2 * len(tree)
