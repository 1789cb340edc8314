"""PID 1 of `orchestrate run`: sets up namespaces, mounts and a new root, then runs the command.

Started by `session.py` in a Python of its own (`containers/host/standalone.py`) with the number of
a socket's descriptor; so it uses the standard library only, and imports nothing once the root is
changed. It reads a request as JSON from the socket, and reports there in JSON what went wrong
before the command ran. Three processes stand in a row, each waiting for the next and passing
signals on: the launcher on the machine's side, the first process of the PID namespace, and the
command. When the launcher or whoever started it ends, the kernel ends all of them.

There are two user namespaces, one in the other. The outer one owns the mounts. In the inner one the
command is root as on the device: it may mount, name the host, configure the loopback; but the
kernel holds what the outer one has mounted read-only (mount_namespaces(7), "Restrictions on mount
namespaces"), and nothing of this machine belongs to it. Where the caller is root, the launcher
first becomes a user that nobody is: root's number alone opens files such as
/proc/sys/kernel/core_pattern, whatever the namespace.

The command leads a session of its own. It is never given the caller's terminal to control, so it
cannot push input into it (ioctl TIOCSTI); where there is a terminal, it is one that the caller has
made for it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import termios
from pathlib import Path
from typing import Any, NoReturn

from containers.host import system

# Constants of the kernel's interface: include/uapi/linux/{sockios,if}.h.
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

STATUS_NOT_SET_UP, STATUS_CANNOT_RUN, STATUS_NOT_FOUND = 125, 126, 127
_SIGNALLED = 128

# Everything is staged below this folder; it is covered in our own mount namespace only.
_STAGE = Path("/tmp")  # noqa: S108 - see above
_TREE = _STAGE / "tree"
_ROOT = _STAGE / "root"
_BINFMT = _STAGE / "binfmt"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}

# What a person or a program sends to a command through us. A terminal means a whole group with
# the first ones.
_GROUP = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
RELAYED = _GROUP | {
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGALRM,
}


def main() -> NoReturn:
    """Read the request, carry it out, end with the command's exit status."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    signal.pthread_sigmask(signal.SIG_BLOCK, RELAYED | {signal.SIGCHLD})
    status = STATUS_NOT_SET_UP
    try:
        with channel.makefile("r", encoding="utf-8") as stream:
            request = json.load(stream)
        status = _launch(request, channel)
    except Exception as error:  # noqa: BLE001 - a status alone would tell nobody what happened
        _report(channel, "setup", _words(error))
    os._exit(status)


def _report(channel: socket.socket, stage: str, words: str) -> None:
    channel.sendall(json.dumps({"stage": stage, "words": words}).encode() + b"\n")


def _words(error: Exception) -> str:
    """Return what to say of an error: only those of the system say by themselves what they are."""
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _launch(request: dict[str, Any], channel: socket.socket) -> int:
    """The launcher: user and mount namespace, then the first process of the PID namespace."""
    flags = system.CLONE_NEWUSER | system.CLONE_NEWNS | system.CLONE_NEWPID
    if request["user"]:
        system.unshare(system.CLONE_NEWNS)
        _stage(request["root"])
        user = request["user"]
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        # Else /proc/self would belong to root, and the maps could not be written.
        system.prctl(system.PR_SET_DUMPABLE, 1)
    _die_with_parent(request["parent"])
    user, group = os.geteuid(), os.getegid()
    system.unshare(flags)
    _map(user, group)
    if not request["user"]:
        _stage(request["root"])
    if request["registration"]:
        _register(request["registration"])
    me = os.getpid()
    child = os.fork()
    if child == 0:
        status = STATUS_NOT_SET_UP
        try:
            status = _first(request, channel, me)
        except Exception as error:  # noqa: BLE001 - as above
            _report(channel, "setup", _words(error))
        finally:
            os._exit(status)
    channel.close()
    _drop_streams()
    return _attend(child, group=False)


def _stage(root: str) -> None:
    """Bind the tree below the stage, in a mount namespace that is ours."""
    system.mount("none", Path("/"), "", system.MS_REC | system.MS_PRIVATE)
    # By descriptor: the tree may lie in what the stage is about to cover.
    tree = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        system.mount("tmpfs", _STAGE, "tmpfs", system.MS_NOSUID | system.MS_NODEV, "mode=0755")
        for folder in (_TREE, _ROOT, _BINFMT):
            folder.mkdir(mode=0o755)
        system.mount(f"/proc/self/fd/{tree}", _TREE, "", system.MS_BIND | system.MS_REC)
    finally:
        os.close(tree)


def _register(registration: str) -> None:
    """Have an emulator run programs of another architecture, in our user namespace only.

    Linux 6.7 and later. The mount lives as long as this process, which stays outside of the root.
    """
    system.mount(
        "binfmt_misc",
        _BINFMT,
        "binfmt_misc",
        system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC,
    )
    (_BINFMT / "register").write_bytes(registration.encode())


def _first(request: dict[str, Any], channel: socket.socket, launcher: int) -> int:
    """The first process of the PID namespace: mounts, changes the root, runs the command."""
    # The launcher's death is to be ours: this process's own number says nothing of it here.
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    if not Path(f"/proc/{launcher}").exists():
        return STATUS_NOT_SET_UP
    os.umask(0o022)
    # The launcher keeps its own: an emulator is registered as long as that mount is there.
    system.unshare(system.CLONE_NEWNS)
    # Once more: what root has mounted is locked here, and a locked mount cannot become the root.
    system.mount(str(_TREE), _ROOT, "", system.MS_BIND | system.MS_REC)
    if os.statvfs(_ROOT).f_flag & os.ST_NOEXEC:
        raise OSError(errno.EACCES, "the file system that the root lies on is mounted noexec")
    system.mount(
        "none",
        _ROOT,
        "",
        system.MS_REMOUNT | system.MS_BIND | system.MS_RDONLY | system.MS_NOSUID | system.MS_NODEV,
    )
    system.mount(
        "proc", _ROOT / "proc", "proc", system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC
    )
    _devices(_ROOT / "dev")
    for target, options in request["memory"].items():
        folder = _ROOT / target.strip("/")
        if target.startswith("/dev/"):
            folder.mkdir()
        system.mount("tmpfs", folder, "tmpfs", system.MS_NOSUID | system.MS_NODEV, options)
    _etc(_ROOT / "etc", request["etc"])
    _change_root(request["pivot_root"])
    system.unshare(
        system.CLONE_NEWUSER
        | system.CLONE_NEWNS
        | system.CLONE_NEWUTS
        | system.CLONE_NEWIPC
        | system.CLONE_NEWNET
    )
    _map(0, 0)
    # The command is root here, and could open and trace this process: this machine's Python lies
    # behind its /proc/1/exe, map_files and mem. Undone for the command by execve (prctl(2)).
    system.prctl(system.PR_SET_DUMPABLE, 0)
    host = Path("/etc/hostname").read_text("utf-8", "replace").strip()
    socket.sethostname(host)
    _raise_loopback()
    for folder in request["folders"]:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return _command(request, channel)


def _devices(folder: Path) -> None:
    system.mount(
        "tmpfs", folder, "tmpfs", system.MS_NOSUID | system.MS_NOEXEC, "mode=0755,size=64k"
    )
    for name in _DEVICES:
        if not Path("/dev", name).exists():  # a container has no terminal of its own
            continue
        (folder / name).touch()
        system.mount(f"/dev/{name}", folder / name, "", system.MS_BIND)
    for name, target in _LINKS.items():
        (folder / name).symlink_to(target)
    (folder / "pts").mkdir()
    options = "newinstance,mode=0620,ptmxmode=0666"
    system.mount("devpts", folder / "pts", "devpts", system.MS_NOSUID | system.MS_NOEXEC, options)
    (folder / "ptmx").symlink_to("pts/ptmx")


def _etc(folder: Path, missing: dict[str, str]) -> None:
    """A writable /etc: the stick's own files, and those that programs expect besides."""
    own = _copies(folder)
    system.mount("tmpfs", folder, "tmpfs", system.MS_NOSUID | system.MS_NODEV, "mode=0755,size=10%")
    content = {**{name: text.encode() for name, text in missing.items()}, **own}
    for name, data in sorted(content.items()):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def _copies(folder: Path) -> dict[str, bytes]:
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def _change_root(pivot_root: int) -> None:
    """Make the tree the root, and let go of the machine's (pivot_root(2), NOTES).

    `pivot_root`: the number of that system call.
    """
    os.chdir(_ROOT)
    system.pivot_root(".", ".", pivot_root)
    system.detach(".")
    os.chdir("/")


def _command(request: dict[str, Any], channel: socket.socket) -> int:
    command, environment = request["command"], request["environment"]
    os.chdir(request["directory"])
    path = _find(command[0], environment.get("PATH", ""))
    if path is None:
        _report(channel, "command", f"{command[0]}: there is no such command")
        return STATUS_NOT_FOUND
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if request["terminal"] is not None:
                fcntl.ioctl(request["terminal"], termios.TIOCSCTTY, 0)
            system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
            ignored = set(request["ignored"])
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                usual = signal.SIG_IGN if number in ignored else signal.SIG_DFL
                signal.signal(number, usual)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            # As login and init do it: a bare name stays the program's own.
            os.execve(path, command, environment)  # noqa: S606 - no shell is wanted
        except OSError as error:
            _report(channel, "command", f"{command[0]}: {error.strerror} (errno {error.errno})")
        except Exception as error:  # noqa: BLE001 - as above
            _report(channel, "command", f"{command[0]}: {_words(error)}")
        finally:
            os._exit(STATUS_CANNOT_RUN)
    channel.close()
    _drop_streams()
    return _attend(child, group=True)


def _drop_streams() -> None:
    """Hold no end of the command's streams: their other ends are to see when it closes them."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.closerange(3, 256)


def _find(name: str, path: str) -> str | None:
    """The path of a command; None where there is none.

    A path that cannot be looked at is given as it is: execve says best what is in the way.
    """
    # os.path, since methods of Path raise where a name is too long, or a folder is not to be read.
    if "/" in name:
        try:
            os.stat(name)  # noqa: PTH116 - a Path would drop a slash at the end
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            pass
        return name
    for folder in path.split(":"):
        candidate = f"{folder}/{name}"
        if folder and name and os.path.isfile(candidate) and os.access(candidate, os.X_OK):  # noqa: PTH113
            return candidate
    return None


def _attend(child: int, *, group: bool) -> int:
    """Pass signals on until a child ends; its exit status, 128 + N if signal N ended it.

    `group`: those that a terminal sends go to the child's whole process group. All others whose
    parent we have become are reaped.
    """
    while True:
        came = signal.sigwaitinfo(RELAYED | {signal.SIGCHLD})
        if came.si_signo != signal.SIGCHLD:
            try:
                if group and came.si_signo in _GROUP:
                    os.killpg(child, came.si_signo)
                else:
                    os.kill(child, came.si_signo)
            except ProcessLookupError:
                pass
            continue
        while True:
            try:
                pid, state = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == child:
                return _exit_status(state)
            if pid == 0:
                break


def _exit_status(state: int) -> int:
    code = os.waitstatus_to_exitcode(state)
    return _SIGNALLED - code if code < 0 else code


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        ifreq = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(channel, _SIOCGIFFLAGS, ifreq)
        flags = struct.unpack("16sh14x", answer)[1]
        fcntl.ioctl(channel, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _map(user: int, group: int) -> None:
    """Make a user and a group of the namespace above root in this one."""
    # As bytes: a codec would be imported now, and Python's files may be out of reach by now.
    Path("/proc/self/setgroups").write_bytes(b"deny")
    Path("/proc/self/uid_map").write_bytes(b"0 %d 1" % user)
    Path("/proc/self/gid_map").write_bytes(b"0 %d 1" % group)


def _die_with_parent(parent: int) -> None:
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(STATUS_NOT_SET_UP)
