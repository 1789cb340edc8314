"""Action as it is laid out for a worker, and what `isolation.py` makes of it: the two's interface.

A worker gets one input root, whose folders have fixed names:

    root/          the builder image's tree
    inputs/<N>/    the tree of the Nth mount, in the order of `Request.mounts`
    tools/...      what isolation brings (`Wrapped.files`): launcher, bubblewrap, its request

The farm starts `Wrapped.arguments` in it, as whom and with what it likes. What that leaves is

    outputs/       the declared outputs, at the paths that the action names
    report         what isolation found and did, see `Report`

Everything here is a value; nothing reads a disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.action import Action, Mount
    from containers.layout import Layout
    from containers.policy import Enforcement, Limits
    from reproducibility.manifest import Entry

ROOT = "root"
INPUTS = "inputs"
TOOLS = "tools"
OUTPUTS = "outputs"
REPORT = "report"


@dataclass(frozen=True, slots=True)
class Request:
    """One action for a worker.

    `action`: as it is run (`Action.placed`). `layout`: of it. `mounts`: its input trees; that of
    number N lies at `inputs/<N>`. `limits`: under its conditions.
    """

    action: Action
    layout: Layout
    mounts: tuple[Mount, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class File:
    """A file for the input root: a blob of the store (`Entry`), or bytes."""

    content: Entry | bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Wrapped:
    """An action in its isolation.

    `arguments`: what the farm starts, relative to the input root. `environment`: variables that
    the launcher itself needs. `files`: what goes into the input root beside the trees, by path.
    The launcher writes `OUTPUTS` and `REPORT`; its standard output and error are the action's own,
    each cut at the log limit. It ends with the action's exit status (128 + N for signal N).
    """

    arguments: tuple[str, ...]
    files: Mapping[str, File]
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What the launcher says at the end of an action, read back.

    `refusal`: why the worker cannot isolate, empty where it did; then the action was not run, and
    `remedy` names the setting of the farm that would help. `enforcement`: one entry a rule, as it
    was observed there by the inner probe. `exit_status`, `seconds`, `peak_memory`, `ended_by`,
    `cpus`: as in `Outcome`. `machine`: the worker's host name and kernel, as it saw them. `unkept`:
    an output that no tree can hold, and why; empty where all can be kept.
    """

    refusal: str
    remedy: str
    enforcement: tuple[Enforcement, ...]
    exit_status: int
    seconds: float
    peak_memory: int
    ended_by: str
    cpus: int
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    unkept: str = ""
