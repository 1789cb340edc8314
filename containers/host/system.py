"""System calls of Linux that Python has no function for: mount, unshare, prctl, keyctl and others.

Each wrapper calls the C library through `ctypes` and raises `OSError` with what was tried in its
words. The constants have the kernel's own names: sched.h, mount.h, prctl.h and personality.h in
include/uapi/linux. What the C library has no function for is called by its number on this
architecture, which the caller knows (`containers.architecture`).

The launcher of the sandbox and the first process of `orchestrate run` import this in a Python of
their own (`standalone`). Importing is most of an action's start, so nothing is imported here that
they do not need anyway, and nothing later than at their start: they become users that may not be
able to read Python's own files.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    StrPath = str | os.PathLike[str]

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38

UNAME26, ADDR_NO_RANDOMIZE = 0x0020000, 0x0040000

# The NIS domain name where nobody gave one: UTS_DOMAINNAME in include/linux/uts.h.
NO_DOMAIN = "(none)"

# Bytes of a name that uname(2) says, with its end.
_UTS_NAME = 65
_MNT_DETACH = 2
_ASK_PERSONALITY = 0xFFFFFFFF
_KEYCTL_JOIN_SESSION_KEYRING = 1
# A struct sigaction of the kernel whose handler is SIG_DFL, and the size of its set of signals.
_USUAL, _SIGNAL_SET = bytes(32), 8

_LIBRARY = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: StrPath, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system of a kind, or what `flags` (MS_BIND and so on) make of `source`.

    See mount(2).

    Raises:
        OSError: the kernel refuses it.
    """
    encoded = [os.fsencode(text) for text in (source, target, kind)]
    result = _LIBRARY.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(options) or None)
    _check(result, f"mount {kind or source} on {os.fspath(target)}")


def detach(target: StrPath) -> None:
    """Take a mount away, even where it is in use: umount2(2), MNT_DETACH.

    Raises:
        OSError: the kernel refuses it.
    """
    _check(_LIBRARY.umount2(os.fsencode(target), _MNT_DETACH), "umount")


def pivot_root(new: StrPath, old: StrPath, call: int) -> None:
    """Make `new` the root of the mount namespace, and move the present one to `old`.

    See pivot_root(2). `call`: its number.

    Raises:
        OSError: the kernel refuses it.
    """
    _check(_call(call, os.fsencode(new), os.fsencode(old)), "pivot_root")


def unshare(flags: int, what: str = "") -> None:
    """Put this process into new namespaces (CLONE_NEWNS and so on).

    `what`: the namespaces in words, for the error.

    Raises:
        OSError: the kernel refuses it.
    """
    _check(_LIBRARY.unshare(flags), f"unshare {what or f'{flags:#x}'}")


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process that has one argument (PR_SET_DUMPABLE and so on).

    Raises:
        OSError: the kernel refuses it.
    """
    _check(_LIBRARY.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def add_personality(flags: int) -> int:
    """Set flags of this thread's execution domain, for what it executes; the ones before.

    See personality(2): ADDR_NO_RANDOMIZE, UNAME26.

    Raises:
        OSError: the kernel, or a filter for system calls, refuses it.
    """
    before: int = _LIBRARY.personality(ctypes.c_ulong(_ASK_PERSONALITY))
    _check(min(before, 0), "personality")
    set_personality(before | flags)
    return before


def set_personality(flags: int) -> None:
    """Set all flags of this thread's execution domain.

    Raises:
        OSError: as above.
    """
    _check(min(_LIBRARY.personality(ctypes.c_ulong(flags)), 0), "personality")


def set_domain_name(name: str) -> None:
    """Set the NIS domain name of this UTS namespace: setdomainname(2).

    Raises:
        OSError: it is too long, or the kernel refuses it.
    """
    encoded = name.encode()
    _check(_LIBRARY.setdomainname(encoded, ctypes.c_size_t(len(encoded))), "setdomainname")


def domain_name() -> str:
    """Return the NIS domain name of this UTS namespace: getdomainname(2).

    Raises:
        OSError: the kernel refuses it.
    """
    found = ctypes.create_string_buffer(_UTS_NAME)
    _check(_LIBRARY.getdomainname(found, ctypes.c_size_t(_UTS_NAME)), "getdomainname")
    return os.fsdecode(found.value)


def reset_signal(number: int, rt_sigaction: int) -> None:
    """Give a signal its default action (SIG_DFL), also one that the C library keeps for itself.

    `rt_sigaction`: the number of that system call.

    Raises:
        OSError: there is no such signal, or its action cannot be changed.
    """
    result = _call(rt_sigaction, number, _USUAL, None, ctypes.c_long(_SIGNAL_SET))
    _check(result, "rt_sigaction")


def join_session_keyring(call: int) -> None:
    """Start a session keyring that is new and empty: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING.

    `call`: the number of keyctl.

    Raises:
        OSError: the kernel has no keyrings (ENOSYS), or refuses it.
    """
    result: int = _call(call, ctypes.c_long(_KEYCTL_JOIN_SESSION_KEYRING), None)
    _check(min(result, 0), "an empty session keyring")


def _call(number: int, *arguments: object) -> int:
    result: int = _LIBRARY.syscall(ctypes.c_long(number), *arguments)
    return result


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
