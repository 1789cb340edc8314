"""Sandbox launcher: mounts the inputs of one action, starts bubblewrap, guards it to its end.

Started by `launch.py` in a Python of its own (`containers/host/standalone.py`); so it uses the
standard library only, as little of that as it can (importing is most of an action's start), and
nothing later than at its start: the user that it becomes may not be able to read Python's own
files. It reads a request (`request.py`) from standard input, in `marshal`'s form: its other
end is the same Python. On a socket it reports in messages of two words: a failure (`error`, and
what failed), a folder that only it can see (`mounted`, and `work` or `tmp`; with a descriptor), and
how much memory the largest process took (`largest`, and the number of bytes).

As root it first makes a private mount namespace in which the inputs are visible to an unprivileged
user whatever folder they lie in, and becomes such a user: resource limits do not bind root. As an
ordinary user it only sets the limits, or, where something belongs on a tmpfs, makes a user
namespace to mount one in. All mounts are private to this process and its children, and end with
them.

Then it stays as the guard. Whatever bubblewrap started becomes its child when bubblewrap ends
(PR_SET_CHILD_SUBREAPER), and is killed before it ends itself: so when the guard is gone, nothing of
the action runs any more, and when the orchestrator is gone, the guard sees it and ends the action.
bubblewrap's own --die-with-parent leaves a gap while it sets up its namespaces.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import resource
import select
import signal
import socket
import stat
import sys
import zlib

from containers.host import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_SIGNALS = 64

# Everything is staged below this folder: bubblewrap itself needs it to exist, so it always does.
STAGE = "/tmp"  # noqa: S108 - covered by a tmpfs of our own in our own mount namespace
_STAGED_TMP = f"{STAGE}/tmp"  # noqa: S108 - the same

_CHUNK, _UMASK, _GO = 1 << 30, 0o022, 16


class _RefusedError(Exception):
    """Failure to confine, in words."""


class _Terminated(Exception):  # noqa: N818 - not an error
    """The orchestrator wants the action ended."""


def main() -> NoReturn:
    """Carry out the request on standard input; exits with the action's status, or with 1."""
    request: dict[str, Any] = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 - our parent's
    channel: int = request["report"]
    os.set_inheritable(channel, False)  # noqa: FBT003 - positional only
    # First of all: by now this process is in its cgroup. What is left unread resets the socket.
    os.read(channel, _GO)
    try:
        parent = _parent(request["parent"])
        # Opened with the rights of now, which count when it is written to: cgroups(7).
        groups = [os.open(path, os.O_WRONLY) for path in request["cgroups"]]
        exits = [os.open(path, os.O_WRONLY) for path in request["exits"]]
        places = _prepare(request, channel)
        os.dup2(_standard_input(request["stdin"]), 0)
        _limit(request["limits"], request["cpus"])
        options = [_resolve(part, places, request["status"]) for part in request["options"]]
        arguments = _hidden(options, request["filter"], request["command"])
        _leave_keyring(request["keyctl"])
        system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
        # Held back until the guard is in place.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGTERM, _terminate)
        guard = os.getpid()
        child = os.fork()
        if child == 0:
            _forget_signals(request["rt_sigaction"])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
            with contextlib.suppress(OSError):  # where memory runs out, the action is ended first
                # Else a process that changed its user may not write it.
                system.prctl(system.PR_SET_DUMPABLE, 1)
                _write("/proc/self/oom_score_adj", "1000")
            if os.getppid() != guard:
                os._exit(1)
            for group in groups:
                # Not the guard: the kernel ends a group that is out of memory as a whole.
                os.write(group, b"0")
            os.umask(request["umask"])
            # Before the filter for system calls, which bubblewrap loads and which refuses it.
            if request["personality"]:
                system.add_personality(request["personality"])
            os.execve(request["program"], arguments, {})  # noqa: S606 - no shell wanted
    except (OSError, ValueError, _RefusedError) as error:
        os.write(channel, b"error " + os.fsencode(str(error)))
        os._exit(1)
    for group in exits:
        # Not the guard, as above: it was taken in so that what it starts is in from the first.
        with contextlib.suppress(OSError):
            os.write(group, b"0")
    os._exit(_guard(child, parent, channel, request["status"]))


def _parent(pid: int) -> int:
    """A descriptor of the process that wanted this action, which shows when it ends."""
    descriptor = os.pidfd_open(pid)
    if os.getppid() != pid:
        raise _RefusedError("the process that wanted this action is gone")
    return descriptor


def _guard(child: int, parent: int, channel: int, progress: int) -> int:
    """Wait until bubblewrap or the orchestrator ends; then end and reap all that is left.

    Reports the memory of the largest process: from its own wait the orchestrator would learn at
    least its own size, because a process starts out with what it was forked from (execve keeps
    the peak). Returns the exit status of bubblewrap, 128 + N when signal N ended it.
    """
    result = _until_quiet(child, parent, progress)
    kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with contextlib.suppress(OSError):
        os.write(channel, b"largest %d" % (kibibytes * 1024))
    return result


def _until_quiet(child: int, parent: int, progress: int) -> int:
    try:
        for descriptor in (progress, 1, 2):
            os.close(descriptor)
        poll = select.poll()
        poll.register(os.pidfd_open(child), select.POLLIN)
        poll.register(parent, select.POLLIN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        poll.poll()
    except _Terminated:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    result = 128 + signal.SIGKILL
    while True:
        for pid in _children(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return result
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            result = 128 - code if code < 0 else code


def _children(parent: int) -> list[int]:
    """Process ids of a process's children that still run."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    # The program's name in parentheses may hold anything: proc(5).
                    state, ppid = stream.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if int(ppid) == parent and state != b"Z":
                found.append(int(name))
    return found


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise _Terminated


def _prepare(request: dict[str, Any], channel: int) -> list[str]:
    """Set the stage; the folders that the request's numbered places stand for."""
    os.umask(_UMASK)
    sources: list[str] = request["sources"]
    work: str = request["work"]
    users = request["users"]
    uid = users["first"] + os.getpid() % users["count"] if users else None
    if uid is not None or request["tmpfs"] or request["views"] or request["domain"]:
        sources, work = _stage(request, uid)
    if uid is not None:
        _become(uid)
    for copy in request["copies"]:
        _copy_in(sources[copy["source"]], work, copy["at"], request["epoch"], request["order_seed"])
    for folder in request["directories"]:
        os.makedirs(os.path.join(work, folder), exist_ok=True)
    for number in request["shuffled"]:
        target = f"{STAGE}/shuffled/{number}"
        copy_tree(sources[number], target, request["order_seed"], request["epoch"], writable=False)
        sources[number] = target
    tmpfs = request["tmpfs"] or {"work": 0, "tmp": 0}
    places = [work, *sources]
    if tmpfs["work"]:
        _hand_over(channel, "work", work)
    if tmpfs["tmp"]:
        places.append(_STAGED_TMP)
        _hand_over(channel, "tmp", places[-1])
    return places


def _stage(request: dict[str, Any], uid: int | None) -> tuple[list[str], str]:
    """Make the inputs and the work folder visible below `STAGE`; their paths there."""
    namespaces = system.CLONE_NEWNS | system.CLONE_NEWUTS
    if uid is None:
        me, group = os.getuid(), os.getgid()
        system.unshare(system.CLONE_NEWUSER | namespaces, "user, mount and UTS namespaces")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{me} {me} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    else:
        system.unshare(namespaces, "mount and UTS namespaces")
    # bubblewrap has no option for it, and its own UTS namespace begins as a copy of this one.
    system.set_domain_name(request["domain"] or system.NO_DOMAIN)
    system.mount("none", "/", "", system.MS_REC | system.MS_PRIVATE, "")
    # Opened before STAGE is covered: a source may lie below it.
    flags = os.O_PATH | os.O_DIRECTORY
    opened = [os.open(source, flags) for source in request["sources"]]
    work_folder = os.open(request["work"], flags)
    if uid is not None:
        os.chown(request["work"], uid, uid)
    system.mount("tmpfs", STAGE, "tmpfs", system.MS_NOSUID | system.MS_NODEV, "mode=0755,size=16m")
    sources = [f"{STAGE}/inputs/{number}" for number in range(len(opened))]
    for source, target in zip(opened, sources, strict=True):
        os.makedirs(target)
        system.mount(f"/proc/self/fd/{source}", target, "", system.MS_BIND | system.MS_REC, "")
        os.close(source)
    if request["views"]:
        sources = [_view(source, number) for number, source in enumerate(sources)]
    work = f"{STAGE}/work"
    os.mkdir(work)
    tmpfs = request["tmpfs"] or {"inputs": 0, "work": 0, "tmp": 0, "files": 0}
    if tmpfs["work"]:
        _mount_tmpfs(work, tmpfs["work"], "0755", tmpfs["files"], uid)
    else:
        system.mount(f"/proc/self/fd/{work_folder}", work, "", system.MS_BIND | system.MS_REC, "")
    os.close(work_folder)
    if tmpfs["inputs"]:
        _mount_tmpfs(f"{STAGE}/shuffled", tmpfs["inputs"], "0755", 0, uid)
    if tmpfs["tmp"]:
        _mount_tmpfs(_STAGED_TMP, tmpfs["tmp"], "1777", tmpfs["files"], uid)
    return sources, work


def _mount_tmpfs(folder: str, size: int, mode: str, files: int, uid: int | None) -> None:
    """Mount a tmpfs of so many bytes, and so many files where that is not 0, of a user's."""
    os.makedirs(folder, exist_ok=True)
    # One more for the folder itself.
    options = f"mode={mode},size={size}" + (f",nr_inodes={files + 1}" if files else "")
    system.mount("tmpfs", folder, "tmpfs", system.MS_NOSUID | system.MS_NODEV, options)
    if uid is not None:
        os.chown(folder, uid, uid)


def _view(source: str, number: int) -> str:
    """Mount a folder of the stage once more, as one that lies nowhere else; its path.

    Of a bind mount /proc/self/mountinfo tells where on its disk the folder lies. Of an overlay it
    tells the names of the layers as they were given: here, those of the stage, the same everywhere.
    """
    target, nothing = f"{STAGE}/views/{number}", f"{STAGE}/nothing"
    os.makedirs(target)
    os.makedirs(nothing, exist_ok=True)
    # One layer alone is refused where none can be written.
    layers = f"lowerdir={source}:{nothing}"
    system.mount(
        "overlay", target, "overlay", system.MS_RDONLY | system.MS_NOSUID | system.MS_NODEV, layers
    )
    return target


def _standard_input(text: str) -> int:
    """A descriptor to read from: a pipe that holds a text, or /dev/null where that is empty."""
    if not text:
        return os.open(os.devnull, os.O_RDONLY)
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return reading


def _become(uid: int) -> None:
    """Become an unprivileged user for good, with nothing of root left."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _limit(limits: dict[str, int], cpus: list[int]) -> None:
    """Set resource limits (soft and hard), as far down as the present hard limit at most."""
    if cpus:
        os.sched_setaffinity(0, cpus)
    for name, wanted in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def _forget_signals(rt_sigaction: int) -> None:
    """Give every signal its usual effect: what is ignored stays so over an execve.

    Python ignores some, and GNU make has its children ignore two that the C library keeps for
    itself, so they can only be set by the system call, whose number is `rt_sigaction`.
    """
    for number in set(range(1, _SIGNALS + 1)) - {signal.SIGKILL, signal.SIGSTOP}:
        system.reset_signal(number, rt_sigaction)


def _write(path: str, text: str) -> None:
    with open(path, "wb", buffering=0) as stream:  # as text it could need more of Python's files
        stream.write(text.encode())


def _hidden(options: list[str], system_calls: str, command: list[str]) -> list[str]:
    """The words that start bubblewrap: its options, and the filter, in files that it reads.

    An action sees the words of its first process, so no folder of the machine is among them.
    `system_calls`: BPF instructions as hexadecimal digits. The last thing that bubblewrap does
    before it runs the command is to load them.
    """
    instructions = bytes.fromhex(system_calls)
    words = [*options, "--seccomp", str(_file("filter", instructions))]
    content = b"".join(os.fsencode(word) + b"\0" for word in words)
    return ["bwrap", "--args", str(_file("arguments", content)), "--", *command]


def _file(name: str, content: bytes) -> int:
    """A descriptor of a file in memory, to be read from its beginning, also after an execve."""
    descriptor = os.memfd_create(name, 0)
    with open(descriptor, "wb", buffering=0, closefd=False) as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _leave_keyring(keyctl: int) -> None:
    """Start an empty session keyring: whoever runs the orchestrator may keep secrets in theirs.

    No namespace covers it. A kernel without keyrings has nothing to leave; where this process may
    not (a container engine's filter), what it starts may not use one either. `keyctl`: the number
    of that system call.
    """
    try:
        system.join_session_keyring(keyctl)
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EPERM}:
            raise


def _resolve(part: str | dict[str, Any], places: list[str], status: int) -> str:
    """An argument: text as it is, the status descriptor, or a place and what lies below it."""
    if isinstance(part, str):
        return part
    if "status" in part:
        return str(status)
    place: str = places[part["place"]]
    return os.path.join(place, part["below"]).rstrip("/")


def _hand_over(channel: int, name: str, folder: str) -> None:
    """Send an open descriptor of a folder that only this mount namespace can see."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with socket.socket(fileno=os.dup(channel)) as connection:
        socket.send_fds(connection, [b"mounted " + name.encode()], [descriptor])
    os.close(descriptor)


def _copy_in(source: str, work: str, at: str, epoch: int, order_seed: int) -> None:
    """A private, writable copy of a tree below the work folder."""
    copy_tree(source, os.path.join(work, at).rstrip("/"), order_seed, epoch, writable=True)


def copy_tree(source: str, target: str, order_seed: int, epoch: int, *, writable: bool) -> None:
    """Copy files and folders, every modification time `epoch` (seconds), in an order by the seed.

    `writable`: modes become 0644, or 0755 where the source is executable, and 0755 for folders;
    else they are the source's own. Seed 0 is the order of the names.
    """
    os.makedirs(target, exist_ok=True)
    folders = [(source, target)]
    made: list[tuple[str, int]] = []
    while folders:
        here, there = folders.pop()
        made.append((there, 0o755 if writable else stat.S_IMODE(os.stat(here).st_mode)))
        for entry in _ordered(here, order_seed):
            path = f"{there}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                os.makedirs(path, exist_ok=True)
                folders.append((entry.path, path))
            else:
                _copy_file(entry.path, path, epoch, writable=writable)
    for path, mode in reversed(made):
        os.chmod(path, mode)
        os.utime(path, (epoch, epoch))


def order_key(name: str, order_seed: int) -> tuple[int, str]:
    """Return what to sort a folder's names by: seed 0 is their own order."""
    # The factor is odd, so no two sums fall together; CRC alone orders alike under many seeds.
    factor = 2 * order_seed + 1 if order_seed else 0
    return (zlib.crc32(os.fsencode(name)) * factor % (1 << 32), name)


def _ordered(folder: str, order_seed: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        return sorted(listing, key=lambda entry: order_key(entry.name, order_seed))


def _copy_file(source: str, target: str, epoch: int, *, writable: bool) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        mode = stat.S_IMODE(os.fstat(reading).st_mode)
        if writable:
            mode = 0o755 if mode & 0o111 else 0o644
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            while os.sendfile(writing, reading, None, _CHUNK):
                pass
            os.fchmod(writing, mode)
            os.utime(writing, (epoch, epoch))
        finally:
            os.close(writing)
    finally:
        os.close(reading)
