"""Turns an action into a request to the launcher: what to stage, what to limit, bubblewrap's words.

The form of a request is what `confine.py` reads; its options are as `arguments.py` says.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers import architecture
from containers.host import system
from containers.sandbox import arguments, proc, system_call_filter
from reproducibility.conditions import STANDARD, STDIN_LINE

if TYPE_CHECKING:
    from threading import Event

    from containers.action import Action
    from containers.engine import Blobs
    from containers.layout import Layout
    from containers.policy import Limits, Share
    from reproducibility.conditions import Conditions
    from reproducibility.manifest import Tree

_OPEN_FILES = 16384
_RELEASE = re.compile(r"\d+")
# What an entry of a tmpfs can cost beside its content, and room to spare, in bytes.
_ENTRY = 16384
_ROOM = 64 << 20
# User ids that actions get on the machine when root runs the orchestrator, one for each process id:
# far above any that is given out by hand, by subuid(5) or by systemd. Where those are not mapped
# (root of a container), systemd's range for dynamic users.
_SPARE = (range(0x70000000, 0x70400000), range(61184, 65184))


def for_action(  # noqa: PLR0913 - an action's fixed data
    program: str,
    action: Action,
    layout: Layout,
    limits: Limits,
    blobs: Blobs,
    *,
    mounting: bool = False,
    in_memory: bool = False,
    views: bool = False,
    stop: Event | None = None,
) -> dict[str, Any]:
    """The request for an action; `work`, `cgroups`, `exits` and `cpus` are still to be filled in.

    `program`: path of bubblewrap. `mounting`: whether the launcher may mount, and so mounts /tmp,
    which can then be looked at. `in_memory`: whether the work directory is a tmpfs too, so that the
    kernel bounds it. `views`: whether it is to hide where the trees lie. `stop`: ends the making of
    checkouts.
    """
    conditions = action.conditions
    trees = [action.root, *(mount.tree for mount in (*layout.read_only, *layout.private))]
    first_private = 1 + len(layout.read_only)
    shuffled = list(range(1, first_private)) if conditions.order_seed else []
    bound = range(1, 1 if shuffled else first_private)
    varied = bool(conditions.order_seed and action.mounts)
    tmpfs = None
    if mounting or varied:
        tmpfs = {
            "inputs": _ROOM + sum(_room(trees[number]) for number in shuffled) if varied else 0,
            "work": limits.work if in_memory or (varied and layout.private) else 0,
            "tmp": limits.tmp if mounting else 0,
            "files": limits.files,
        }
    return {
        **_frame(limits, own_users=mounting),
        "sources": [
            # What is copied gets its times then; one checkout of it is enough.
            str(blobs.checkout(tree, action.mtime if number in bound else action.epoch, stop))
            for number, tree in enumerate(trees)
        ],
        "views": views,
        "copies": [
            {"source": number, "at": mount.at.removeprefix(conditions.work).strip("/")}
            for number, mount in enumerate(layout.private, start=first_private)
        ],
        "directories": list(layout.folders),
        "tmpfs": tmpfs,
        "shuffled": shuffled,
        "order_seed": conditions.order_seed,
        "epoch": action.mtime,
        "domain": conditions.domain,
        "umask": conditions.umask,
        "personality": personality_flags(conditions),
        "stdin": STDIN_LINE.decode() if conditions.stdin == "pipe" else "",
        "program": program,
        "command": list(action.command),
        "options": arguments.for_action(action, layout, limits, _proc(), mounting=mounting),
    }


def for_check(
    program: str, limits: Limits, *, mounting: bool = False, view: Path | None = None
) -> dict[str, Any]:
    """A request that runs bubblewrap itself inside a sandbox, to see whether that works here.

    `mounting`: as for an action. `view`: a folder whose place the launcher is to hide as it would
    for an action, None for none.
    """
    sizes = {"inputs": 0, "work": limits.work, "tmp": limits.tmp, "files": limits.files}
    return {
        **_frame(limits, own_users=mounting),
        **({} if view is None else {"sources": [str(view)], "views": True}),
        "tmpfs": sizes if mounting else None,
        "cgroups": [],
        "exits": [],
        "cpus": [],
        "program": program,
        "command": [program, "--version"],
        "options": [
            *arguments.namespaces(),
            *("--ro-bind", "/", "/", *_proc(), "--dev", "/dev"),
            *("--size", str(limits.tmp), "--tmpfs", arguments.TMP),
            *("--remount-ro", "/", "--chdir", "/", "--clearenv"),
        ],
    }


def _frame(limits: Limits, *, own_users: bool) -> dict[str, Any]:
    linux = architecture.LINUX[architecture.host()]
    return {
        "parent": os.getpid(),
        "users": spare_users(),
        "filter": system_call_filter.compiled().hex(),
        "keyctl": linux.keyctl,
        "rt_sigaction": linux.rt_sigaction,
        "limits": _rlimits(limits, own_users=own_users),
        "sources": [],
        "views": False,
        "copies": [],
        "directories": [],
        "tmpfs": None,
        "shuffled": [],
        "order_seed": 0,
        "epoch": 0,
        "domain": "",
        "umask": STANDARD.umask,
        "personality": 0,
        "stdin": "",
    }


def personality_flags(conditions: Conditions) -> int:
    """Flags of personality(2) that conditions need."""
    fixed = system.ADDR_NO_RANDOMIZE if conditions.addresses == "fixed" else 0
    return fixed | (system.UNAME26 if conditions.kernel == "2.6" else 0)


def _proc() -> list[Any]:
    """Options for /proc without what it tells of the machine and its users."""
    files = [path for path in arguments.HIDDEN if Path(path).exists() and not Path(path).is_dir()]
    folders = [path for path in arguments.HIDDEN if Path(path).is_dir()]
    return arguments.proc(files, folders)


def _rlimits(limits: Limits, *, own_users: bool) -> dict[str, int]:
    """Resource limits by name. RLIMIT_AS would be of no use: Go reserves more than it uses."""
    alone = spare_users() is not None or (own_users and counts_by_namespace())
    running = 0 if alone else proc.threads_of(os.getuid())
    return {
        "RLIMIT_NPROC": limits.processes + running,
        "RLIMIT_DATA": limits.memory,
        "RLIMIT_FSIZE": limits.work,
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_CORE": 0,
        # Some machines let their users go before others, which is a privilege too.
        "RLIMIT_NICE": 0,
        "RLIMIT_RTPRIO": 0,
    }


def counts_by_namespace() -> bool:
    """Return whether RLIMIT_NPROC counts a user's processes in each user namespace by itself."""
    release = tuple(int(part) for part in _RELEASE.findall(os.uname().release)[:2])
    return release >= (5, 14)


def processors(wanted: int, number: int, share: Share | None = None) -> list[int]:
    """The CPUs of the `number`th action; empty for all of them.

    `wanted`: how many at most, 0 for no limit. Those of its share, else taken in turns.
    """
    available = sorted(os.sched_getaffinity(0))
    own = share.among(available) if share else []
    if own:
        return own[: wanted or len(own)]
    if not wanted or wanted >= len(available):
        return []
    first = number * wanted
    return sorted({available[(first + step) % len(available)] for step in range(wanted)})


def spare_users() -> dict[str, int] | None:
    """User ids on the machine that nobody has, or None where this process cannot become another."""
    if os.geteuid() != 0:
        return None
    mapped = []
    for line in Path("/proc/self/uid_map").read_text("ascii").splitlines():
        first, _, count = map(int, line.split())
        mapped.append(range(first, first + count))
    for wanted in _SPARE:
        if any(wanted[0] in ids and wanted[-1] in ids for ids in mapped):
            return {"first": wanted.start, "count": len(wanted)}
    return None


def _room(tree: Tree) -> int:
    """Bytes that a tree can take on a tmpfs."""
    return tree.size + _ENTRY * len(tree)
