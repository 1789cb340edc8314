"""Environment and mounts of an action, computed once for every engine.

Pure decisions on values. Both engines start from here, so that they cannot come to differ in what
lies where.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from containers.action import Action, Mount
    from reproducibility.manifest import Tree

HOME = "/nonexistent"
# Made by every engine itself, whatever the root's tree says.
OWN = ("/dev", "/proc", "/tmp")  # noqa: S108 - paths inside
# What every engine hides of /proc, where the kernel has it: what Docker does by default, how many
# keys each of the machine's users has, and what names its disks and devices.
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/key-users"),
    *("/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/bus", "/proc/cmdline", "/proc/swaps"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Mounts of an action, in the order in which they are to be made (parents first).

    `read_only`, `private`: mounts sorted by path. `folders`: paths relative to the work directory
    that must exist before the command starts. `environment`: complete.
    """

    read_only: tuple[Mount, ...]
    private: tuple[Mount, ...]
    folders: tuple[str, ...]
    environment: dict[str, str]


def lay_out(action: Action) -> Layout:
    """The layout of an action.

    Raises:
        InputError: a path of the action is not clean, or two things claim one place.
    """
    work = action.conditions.work
    _check_absolute(work, "the work directory")
    _check_absolute(action.directory, "the starting directory")
    if is_below(action.directory, "/tmp") and not any(  # noqa: S108 - a path inside
        is_below(action.directory, mount.at) for mount in action.mounts
    ):
        # runc would make it, and /tmp with it, with modes of its own.
        raise InputError("an action cannot start in /tmp", subject=action.directory)
    if not action.command or not action.command[0].startswith("/"):
        raise InputError("a command starts with an absolute path", subject=action.name)
    for output in action.outputs:
        _check_relative(output)
    mounts = sorted(action.mounts, key=lambda mount: mount.at)
    for number, mount in enumerate(mounts):
        _check_mount(mount, work)
        if number and mounts[number - 1].at == mount.at:
            raise InputError("two input trees at one place", subject=mount.at)
    read_only = tuple(mount for mount in mounts if mount.placement == "read-only")
    private = tuple(mount for mount in mounts if mount.placement == "private")
    _check_nesting(read_only)
    folders = {
        path.removeprefix(work).strip("/")
        for path in (action.directory, *(mount.at for mount in read_only))
        if is_below(path, work)
    }
    return Layout(read_only, private, tuple(sorted(folders - {""})), environment(action))


def environment(action: Action) -> dict[str, str]:
    """Return all variables of an action, in the order in which it gets them: that of their names.

    `PWD` is the starting directory, because bubblewrap sets it, and `HOME` is set where the action
    does not set it, because runc does: so both are the same under every engine. What the conditions
    say of a variable goes before what the action says. One more variable than usual puts them all
    into the opposite order.
    """
    conditions = action.conditions
    variables = {"HOME": HOME, **dict(action.environment), "PWD": action.directory}
    if conditions.home:
        variables["HOME"] = conditions.home
    if conditions.locale:
        variables |= dict.fromkeys(("LANG", "LC_ALL"), conditions.locale)
    if conditions.zone:
        variables["TZ"] = conditions.zone
    if conditions.search_path:
        folders = (variables.get("PATH", ""), conditions.search_path)
        variables["PATH"] = ":".join(filter(None, folders))
    if conditions.exported:
        name, _, value = conditions.exported.partition("=")
        variables[name] = value
    return dict(sorted(variables.items(), reverse=bool(conditions.exported)))


def is_below(path: str, folder: str) -> bool:
    """Return whether an absolute path is the folder itself or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def root_binds(root: Tree, points: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the paths of the root's tree to make, and those to bind, below an empty root.

    `points`: absolute paths where other things will be mounted. A folder of the root is bound
    whole, unless a mount point inside it has no folder in the tree: then the folder is made and its
    entries are bound one by one, so that the mount point can be made beside them.
    """
    wanted = {point.strip("/") for point in points}
    folders = _folders(root)
    children: dict[str, set[str]] = {}
    for path in [*folders, *(entry.path for entry in root.files())]:
        parent, _, _ = path.rpartition("/")
        children.setdefault(parent, set()).add(path)
    made = {
        point[:end]
        for point in wanted
        for end, letter in enumerate(point)
        if letter == "/" and point[:end] not in folders
    }
    bound: list[str] = []
    waiting = [""]
    while waiting:
        for path in children.get(waiting.pop(), ()):
            inner = [point for point in wanted if point.startswith(path + "/")]
            if path in wanted:
                continue
            if path in folders and any(point not in folders for point in inner):
                made.add(path)
                waiting.append(path)
            else:
                bound.append(path)
    return sorted(made), sorted(bound)


def _folders(tree: Tree) -> set[str]:
    """Return every folder of a tree, empty or not."""
    found: set[str] = set()
    for entry in tree:
        path = entry.path if entry.kind == "directory" else entry.path.rpartition("/")[0]
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _check_mount(mount: Mount, work: str) -> None:
    _check_absolute(mount.at, "an input tree's place")
    if mount.placement == "private" and not is_below(mount.at, work):
        raise InputError(
            "a private input tree must lie below the work directory",
            subject=f"{mount.at} is not below {work}",
        )
    if mount.placement == "read-only" and is_below(work, mount.at):
        raise InputError(
            "the work directory cannot lie in a read-only input tree",
            subject=f"{work} is below {mount.at}",
        )
    if any(is_below(own, mount.at) for own in OWN) or any(
        is_below(mount.at, own)
        for own in OWN
        if own != "/tmp"  # noqa: S108 - a path inside
    ):
        raise InputError("an input tree cannot cover what every engine makes", subject=mount.at)


def _check_nesting(mounts: tuple[Mount, ...]) -> None:
    """A read-only tree inside another needs a folder there to be mounted on."""
    for outer in mounts:
        for inner in mounts:
            if inner is outer or not is_below(inner.at, outer.at):
                continue
            if inner.at[len(outer.at) + 1 :] not in _folders(outer.tree):
                raise InputError(
                    "an input tree lies in another one that has no folder at that place",
                    subject=f"{inner.at} in {outer.at}",
                )


def _check_absolute(path: str, what: str) -> None:
    if (
        not path.startswith("/")
        or path == "/"
        or str(PurePosixPath(path)) != path
        or (".." in path.split("/") or path.startswith("//"))
    ):
        raise InputError(f"{what} must be a clean absolute path", subject=repr(path))


def _check_relative(path: str) -> None:
    if (
        str(PurePosixPath(path)) != path
        or path in {"", "."}
        or (path.startswith("/") or ".." in path.split("/"))
    ):
        raise InputError("an output must be a clean relative path", subject=repr(path))
