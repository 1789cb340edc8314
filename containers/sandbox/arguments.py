"""Options of bubblewrap for an action, wherever it is to run; pure.

Options are texts, or stand for what only the place that it runs in knows: `{"place": N, "below":
path}` for a path (0 is the work directory, 1 the root's tree, then the input trees; -1 is the
folder for /tmp), `{"status": true}` for the descriptor on which bubblewrap tells what it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from containers.layout import MASKED, root_binds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from containers.action import Action
    from containers.layout import Layout
    from containers.policy import Limits

_FIRST = "/proc/1"
# The machine's program that takes core files. A container engine would put a null device in its
# place, which everybody may write; here that cannot be opened.
_CORES = "/proc/sys/kernel/core_pattern"
# What an action is not to see of /proc, where the kernel has it: files and folders.
HIDDEN = (*MASKED, _CORES)
TMP = "/tmp"  # noqa: S108 - the path inside


def for_action(
    action: Action, layout: Layout, limits: Limits, proc: Iterable[Any], *, mounting: bool
) -> list[Any]:
    """All options for an action.

    `proc`: those for /proc. `mounting`: whether a folder for /tmp is there already (-1).
    """
    conditions = action.conditions
    return [
        *namespaces(),
        *("--uid", str(conditions.user), "--gid", str(conditions.group)),
        *("--hostname", conditions.host),
        *_mounts(action, layout, limits, proc, mounting=mounting),
        *_process(action, layout),
    ]


def namespaces() -> list[Any]:
    """Options that keep an action apart and take every privilege from it."""
    return [
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"),
        *("--unshare-uts", "--unshare-cgroup", "--disable-userns"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--json-status-fd", {"status": True}),
    ]


def proc(files: Iterable[str], folders: Iterable[str]) -> list[Any]:
    """/proc without some of its files and folders, and without the first process.

    That one is bubblewrap, the machine's own program, and belongs to the same user as the action,
    which else could open its memory.
    """
    arguments: list[Any] = ["--proc", "/proc"]
    for path in files:
        arguments += ["--ro-bind", "/dev/null", path]
    for path in (_FIRST, *folders):
        arguments += ["--perms", "0555", "--tmpfs", path, "--remount-ro", path]
    return arguments


def _mounts(
    action: Action, layout: Layout, limits: Limits, proc: Iterable[Any], *, mounting: bool
) -> list[Any]:
    work = action.conditions.work
    points = [*(mount.at for mount in layout.read_only), work, "/dev", "/proc", TMP]
    made, bound = root_binds(action.root, points)
    arguments: list[Any] = []
    for path in made:
        arguments += ["--perms", "0755", "--dir", f"/{path}"]
    for path in bound:
        arguments += ["--ro-bind", _place(1, path), f"/{path}"]
    arguments += [*proc, "--dev", "/dev"]
    if mounting:
        arguments += ["--bind", _place(-1), TMP]
    else:
        arguments += ["--perms", "1777", "--size", str(limits.tmp), "--tmpfs", TMP]
    binds = [
        (mount.at, "--ro-bind", number) for number, mount in enumerate(layout.read_only, start=2)
    ]
    for at, option, number in sorted([*binds, (work, "--bind", 0)]):
        arguments += [option, _place(number), at]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/"]


def _process(action: Action, layout: Layout) -> list[Any]:
    variables = [part for item in layout.environment.items() for part in ("--setenv", *item)]
    return ["--chdir", action.directory, "--clearenv", *variables]


def _place(number: int, below: str = "") -> dict[str, Any]:
    return {"place": number, "below": below}
