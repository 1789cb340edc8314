"""Isolation that travels with an action to a farm's worker, and what was observed of it there.

The first program of an action is our launcher (`launcher/`), the second bubblewrap, which lies in
the input root too; so the policy is the same wherever the action runs. What each rule came to, a
probe finds out from inside before the action starts. Where a rule that must hold does not, or
nothing can be isolated at all, the action is not run.

Pure: values in, values out. The request's form is what `launcher/request.go` reads, the report's
what `launcher/report.go` writes.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from containers.architecture import ARCHITECTURES
from containers.engine import Capability, refused_everywhere
from containers.host import system
from containers.policy import RULES, Enforcement
from containers.remote.request import INPUTS, ROOT, TOOLS, File, Report, Wrapped
from containers.sandbox import arguments, system_call_filter
from containers.sandbox.capability import BY_BUBBLEWRAP
from containers.sandbox.request import personality_flags
from reproducibility import canonical, visible
from reproducibility.conditions import STDIN_LINE
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.architecture import Architecture
    from containers.remote.request import Request
    from reproducibility.manifest import Tree

# Programs of the tools' tree: ours, and bubblewrap, whose loader and libraries lie in a folder.
LAUNCHER = "launcher"
BUBBLEWRAP = "bwrap"
LIBRARIES = "lib"

# Where a machine has no means for one of these, a build on it goes on, and says so; all others must
# hold on a worker.
_MAY_LACK = frozenset({"bounded-work", "cpus", "memory", "no-machine-paths", "processes"})
REQUIRED = tuple(sorted({rule.name for rule in RULES} - _MAY_LACK))

_SCHEMA = 2
_REQUEST = f"{TOOLS}/request"
_MACHINE_CPUS = 2
_SHOWN = 2000


def wrap(request: Request, tools: Tree) -> Wrapped:
    """What the farm is to start, and what that needs beside the action's trees.

    `tools`: LAUNCHER, BUBBLEWRAP and LIBRARIES for the action's architecture.

    Raises:
        InfrastructureError: the tools are not those, or the filter of system calls cannot be made.
    """
    for needed in (LAUNCHER, BUBBLEWRAP):
        if tools.get(needed) is None:
            raise InfrastructureError(f"what isolates on a worker lacks {needed}", subject=TOOLS)
    files = {
        f"{TOOLS}/{entry.path}": File(entry, executable=entry.executable) for entry in tools.files()
    }
    files[_REQUEST] = File(canonical.dumps(_document(request, tools)))
    return Wrapped((f"./{TOOLS}/{LAUNCHER}",), files)


def _document(request: Request, tools: Tree) -> dict[str, Any]:
    """The request to the launcher."""
    action, layout, limits = request.action, request.layout, request.limits
    conditions = action.conditions
    numbers = {mount.at: number for number, mount in enumerate(request.mounts)}
    placed = (*layout.read_only, *layout.private)
    first_private = 1 + len(layout.read_only)
    # Which of them there are, only the worker knows.
    proc = [*arguments.proc((), ()), *({"cover": path} for path in arguments.HIDDEN)]
    cpus = min(filter(None, (limits.cpus, conditions.processors)), default=0)
    return {
        "schema": _SCHEMA,
        "trees": [
            _tree(ROOT, action.root),
            *(_tree(f"{INPUTS}/{numbers[mount.at]}", mount.tree) for mount in placed),
        ],
        "tools": _tree(TOOLS, tools),
        "copies": [
            {"tree": number, "at": mount.at.removeprefix(conditions.work).strip("/")}
            for number, mount in enumerate(layout.private, start=first_private)
        ],
        "directories": list(layout.folders),
        "order_seed": conditions.order_seed,
        "epoch": action.mtime,
        "domain": conditions.domain or system.NO_DOMAIN,
        "umask": conditions.umask,
        "personality": personality_flags(conditions),
        "stdin": STDIN_LINE.decode() if conditions.stdin == "pipe" else "",
        "options": arguments.for_action(action, layout, limits, proc, mounting=True),
        "filter": _filter(action.architecture),
        "command": list(action.command),
        "outputs": sorted(action.outputs),
        "limits": {
            "memory": limits.memory,
            "tmp": limits.tmp,
            "work": limits.work,
            "files": limits.files,
            "processes": limits.processes,
            "cpus": limits.cpus,
            "seconds": limits.seconds,
            "log": limits.log,
        },
        "cpus": cpus,
        "expected": {
            "work": conditions.work,
            "directory": action.directory,
            "host": conditions.host,
            "user": conditions.user,
            "group": conditions.group,
            "environment": [f"{name}={value}" for name, value in layout.environment.items()],
            "inputs": [mount.at for mount in layout.read_only],
        },
        "required": list(REQUIRED),
    }


def _tree(at: str, tree: Tree) -> dict[str, Any]:
    """A tree as the launcher is to find it: it takes no mode and no empty folder from a farm.

    `digest`: what the launcher works out anew of each byte that it copied (`launcher/manifest.go`).
    """
    files = list(tree.files())
    return {
        "at": at,
        "files": len(files),
        "bytes": tree.size,
        "executables": [entry.path for entry in files if entry.executable],
        "folders": [entry.path for entry in tree if entry.kind == "directory"],
        "digest": tree.digest.hex,
    }


def _filter(architecture: str) -> str:
    known: Mapping[str, Architecture] = {name: name for name in ARCHITECTURES}
    if architecture not in known:
        raise InfrastructureError("nothing can be isolated on such a worker", subject=architecture)
    return base64.b64encode(system_call_filter.compiled(known[architecture])).decode()


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Finding(_Model):
    rule: str
    state: Literal["enforced", "not enforced"]
    seen: str


class _Unkept(_Model):
    path: str
    reason: str


class _Worker(_Model):
    """The worker as it is before anything is isolated."""

    host: str
    kernel: str
    machine: str
    user: int
    group: int
    user_map: str
    folder: str
    namespaces: dict[str, str]
    settings: dict[str, str]
    action_user: int
    room: str


class _Report(_Model):
    schema_version: Literal[1] = Field(alias="schema")
    refused: str
    words: str
    status: Annotated[int, Field(ge=0, le=255)]
    ended_by: Literal["", "time", "memory", "work", "tmp", "files"]
    milliseconds: Annotated[int, Field(ge=0)]
    peak_memory: int
    cpus: int
    unkept: _Unkept
    rules: Annotated[tuple[_Finding, ...], Field(strict=False)]
    worker: _Worker


def read_report(data: bytes, worker: str = "") -> Report:
    """Read what the launcher wrote.

    `worker`: the farm's name for it; without one, its host name.

    Raises:
        InfrastructureError: it is no report, or lacks a rule: then nothing is known of the action.
    """
    try:
        report = _Report.model_validate(canonical.loads(data, subject="the launcher's report"))
    except (InputError, ValidationError) as error:
        raise InfrastructureError(
            "what the launcher is said to have reported is no report, so nothing of the action is "
            f"taken: {str(error).splitlines()[0]}",
            subject=worker,
            remedy="look at what becomes of files on the farm's workers (docs/farm.md)",
        ) from error
    found = report.worker
    if not report.refused:
        _check_complete(report, worker or found.host)
    return Report(
        refusal=_refusal(report),
        remedy=_remedy(report) if report.refused else "",
        enforcement=tuple(
            Enforcement(
                one.rule,
                one.state,
                f"observed on worker {visible.line(worker or found.host)}: "
                f"{visible.line(one.seen[:_SHOWN])}",
            )
            for one in sorted(report.rules, key=lambda one: one.rule)
        ),
        exit_status=report.status,
        seconds=report.milliseconds / 1000,
        peak_memory=report.peak_memory,
        ended_by=report.ended_by,
        cpus=report.cpus,
        machine=visible.line(f"{found.host}, Linux {found.kernel} {found.machine}"),
        unkept=f"{report.unkept.path}: {report.unkept.reason}" if report.unkept.reason else "",
    )


def _check_complete(report: _Report, worker: str) -> None:
    """Demand a finding for each rule, and of those that must hold, that they do.

    Raises:
        InfrastructureError: one is missing or does not hold.
    """
    names = sorted(one.rule for one in report.rules)
    broken = [one.rule for one in report.rules if one.state != "enforced"]
    wrong = sorted({*broken}.intersection(REQUIRED))
    if names != sorted(rule.name for rule in RULES) or wrong:
        raise InfrastructureError(
            "the launcher ran an action without having found that all rules hold which must: "
            f"{', '.join(wrong) or 'its findings are not those of the policy'}",
            subject=f"worker {worker}",
        )


_WHY = {
    "user-namespaces": "it makes no user namespace",
    "user-0": "it runs actions as root",
    "mounts": "it refuses mounts in a mount namespace of the action's own",
    "proc": "it refuses a /proc of the action's own",
    "room": "it has no room for a copy of the inputs",
    "inputs": "it did not lay out the inputs as they were sent",
    "outputs": "it has no room for the outputs",
    "bubblewrap": "bubblewrap makes no sandbox",
    "rules": "rules that must hold do not",
    "request": "the launcher does not understand the request",
    "ended": "the launcher was ended",
    "command": "what is to be run cannot be",
}


def _refusal(report: _Report) -> str:
    if not report.refused:
        return ""
    why = _WHY.get(report.refused, "the launcher failed")
    return visible.line(f"{why}: {report.words[:_SHOWN]}")


_CONTAINER = (
    "where it is a container, start that with `--security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined` (Docker), or the profiles `Unconfined` (Kubernetes)"
)
_PROC = (
    "start the worker's container with the whole of /proc: `--security-opt "
    "systempaths=unconfined` (Docker), `procMount: Unmasked` (Kubernetes)"
)
_USER = (
    "have the farm run actions as an ordinary user: platform properties `unixUID` and `unixGID` "
    "(buildbox-run-bubblewrap), a runner that is started as one (`runAsUser` for Buildbarn's "
    "bb_runner in Kubernetes, `--user` in Docker)"
)
_REMEDIES = {
    "user-0": _USER,
    "mounts": f"let the worker's actions mount in namespaces of their own: {_CONTAINER}",
    "proc": _PROC,
    "room": "give the folder that the worker runs actions in more room, or the worker more memory; "
    "or lower `limits.memory`, so that the inputs find room in memory",
    "inputs": "clean the worker's folder and what it keeps of its storage; look at its log",
    "outputs": "give the folder that the worker runs actions in more room",
    "ended": "look at the worker's log, and at what ends processes there: limits of its own, say",
    "command": "look at what the step is to run, and at its input trees",
    "request": "build with one version of this program; what isolates is made anew by each",
}
_SETTINGS = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "10000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


def _remedy(report: _Report) -> str:
    """The setting of the farm that would help."""
    if report.refused in {"bubblewrap", "mounts", "user-namespaces"}:
        for setting, bad, good in _SETTINGS:
            if report.worker.settings.get(setting) == bad:
                return f"on the worker's machine, as root: `sysctl {setting}={good}`"
        if report.refused == "bubblewrap" and "proc" in report.words:
            return _PROC
        if "uid map" in report.words or "gid map" in report.words:
            return _USER
        return _REMEDIES.get(report.refused, f"allow user namespaces on the worker: {_CONTAINER}")
    if report.refused == "rules":
        return "look at what else the farm's runner mounts or allows; docs/limits.md has each rule"
    return _REMEDIES.get(report.refused, "look at the worker's log")


def capabilities(processors: int) -> dict[str, Capability]:
    """Tell which variations it can apply on a worker, by what.

    `processors`: how many CPUs an action has there.
    """
    one = "" if processors >= _MACHINE_CPUS else "actions have one CPU there, and that has no half"
    found = {
        "aslr": Capability("personality(2), ADDR_NO_RANDOMIZE"),
        "cpus": Capability("processor affinity", one),
        "domain": Capability("setdomainname(2), in a UTS namespace"),
        "kernel": Capability("personality(2), UNAME26"),
        "memory": Capability("RLIMIT_DATA"),
        "mtime": Capability("inputs are copied with other times"),
        "order": Capability("inputs are copied to a tmpfs in another order"),
    }
    return found | BY_BUBBLEWRAP | refused_everywhere()
