"""The rules for system calls: what an engine is told, and what the compiled filter answers.

The filter is run here by a small interpreter of the instructions that the kernel's documentation
(networking/filter.rst) lists, so that a call can be tried that this machine must not make.
"""

from __future__ import annotations

import ctypes.util
import errno
import json
import platform
import socket
import struct
from functools import cache
from typing import Any

import pytest

from containers import system_calls
from containers.sandbox import system_call_filter
from containers.system_calls import ABSENT, ALLOWED, DENIED
from reproducibility.errors import InfrastructureError

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_I386, _ARM = 0x40000003, 0x40000028
_X32 = 0x40000000
_RETURN_ERROR, _RETURN_ALLOW, _RETURN_KILL = 0x00050000, 0x7FFF0000, 0


ARCHITECTURES = pytest.mark.parametrize("architecture", sorted(_ARCHITECTURES))


def run(instructions: bytes, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter answers for a call: 0 for allowed, an errno, -1 for the end of a thread."""
    own = _ARCHITECTURES[platform.machine()]
    data = struct.pack(
        "=iIQ6Q", number, architecture or own, 0, *arguments, *[0] * (6 - len(arguments))
    )
    code = list(struct.iter_unpack("=HBBI", instructions))
    accumulator = place = 0
    while True:
        operation, when_true, when_false, value = code[place]
        place += 1
        match operation:
            case 0x20:  # load a word
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:  # and
                accumulator &= value
            case 0x05:  # jump always
                place += value
            case 0x15 | 0x25 | 0x35 | 0x45:
                holds = {
                    0x15: accumulator == value,
                    0x25: accumulator > value,
                    0x35: accumulator >= value,
                    0x45: bool(accumulator & value),
                }[operation]
                place += when_true if holds else when_false
            case 0x06:  # return
                break
            case _:
                raise AssertionError(hex(operation))
    if value == _RETURN_ALLOW:
        return ALLOWED
    if value & 0xFFFF0000 == _RETURN_ERROR:
        return int(value & 0xFFFF)
    assert value == _RETURN_KILL, hex(value)
    return -1


@cache
def compiled(architecture: int) -> bytes:
    return system_call_filter.compiled_for(system_call_filter.library(), architecture)


def answer(name: str, *arguments: int, machine: str = platform.machine()) -> int:
    architecture = _ARCHITECTURES[machine]
    number: int = system_call_filter.library().resolve_syscall(architecture, name)
    assert number >= 0, name
    return run(compiled(architecture), number, *arguments, architecture=architecture)


def test_the_filter_that_is_loaded_is_that_of_this_machine() -> None:
    assert system_call_filter.compiled() == compiled(_ARCHITECTURES[platform.machine()])


@pytest.mark.parametrize(
    "name",
    [
        *("read", "write", "openat", "mmap", "execve", "wait4", "futex", "pidfd_open", "statx"),
        *("exit_group", "rt_sigreturn", "epoll_pwait", "sched_setaffinity", "memfd_create"),
        *(
            "copy_file_range",
            "prlimit64",
            "getrandom",
            "inotify_init1",
            "connect",
            "landlock_create_ruleset",
        ),
    ],
)
@ARCHITECTURES
def test_what_programs_need_is_allowed(name: str, architecture: str) -> None:
    assert answer(name, machine=architecture) == ALLOWED


@pytest.mark.parametrize(
    "name",
    [
        *("io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "bpf"),
        *("keyctl", "add_key", "request_key", "memfd_secret", "perf_event_open", "pidfd_getfd"),
        *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "process_madvise"),
        *("mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick"),
        *("move_mount", "open_tree", "mount_setattr", "unshare", "setns", "syslog", "acct"),
        *("kexec_load", "init_module", "finit_module", "delete_module", "reboot", "swapon"),
        *("open_by_handle_at", "name_to_handle_at", "quotactl", "settimeofday", "clock_settime"),
        *("sethostname", "setdomainname", "bind"),
    ],
)
@ARCHITECTURES
def test_what_reaches_past_the_isolation_is_denied(name: str, architecture: str) -> None:
    assert answer(name, machine=architecture) == DENIED


def test_what_nobody_has_named_is_not_there() -> None:
    assert run(system_call_filter.compiled(), 9999) == ABSENT
    assert answer("clone3") == ABSENT


@ARCHITECTURES
def test_only_four_families_of_sockets(architecture: str) -> None:
    allowed = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    for name in ("socket", "socketpair"):
        for family in range(64):
            expected = ALLOWED if family in allowed else errno.EAFNOSUPPORT
            if (name, family) == ("socketpair", socket.AF_NETLINK):
                expected = errno.EPROTONOSUPPORT
            assert answer(name, family, machine=architecture) == expected, (name, family)
        # The kernel looks at the lower half only: AF_VSOCK, hidden behind a bit of the upper one.
        assert answer(name, 1 << 32 | 40, machine=architecture) == errno.EAFNOSUPPORT
        assert answer(name, 1 << 32 | socket.AF_INET, machine=architecture) == errno.EAFNOSUPPORT
        assert answer(name, 2**64 - 1, machine=architecture) == errno.EAFNOSUPPORT


@ARCHITECTURES
def test_only_one_protocol_of_netlink(architecture: str) -> None:
    def netlink(protocol: int) -> int:
        return answer("socket", socket.AF_NETLINK, 3, protocol, machine=architecture)

    assert netlink(0) == ALLOWED
    for protocol in (1, 2, 9, 15, 22, 1 << 32, 1 << 32 | 2, 2**64 - 1):
        assert netlink(protocol) == errno.EPROTONOSUPPORT
    assert answer("socket", socket.AF_INET, 1, 6, machine=architecture) == ALLOWED


@ARCHITECTURES
def test_clone_makes_processes_and_threads_but_no_namespaces(architecture: str) -> None:
    thread = 0x3D0F00  # as the C library and Go ask for one
    assert answer("clone", 17, machine=architecture) == ALLOWED
    assert answer("clone", thread, machine=architecture) == ALLOWED
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer("clone", flag | 17, machine=architecture) == DENIED
        assert answer("clone", flag | thread, machine=architecture) == DENIED
    assert answer("clone", 0x7E020000, machine=architecture) == DENIED


@ARCHITECTURES
def test_only_the_usual_personality(architecture: str) -> None:
    assert answer("personality", 0, machine=architecture) == ALLOWED
    assert answer("personality", 0xFFFFFFFF, machine=architecture) == ALLOWED
    for value in (0x0040000, 0x0400000, 8, 0x20000, 1 << 32):
        assert answer("personality", value, machine=architecture) != ALLOWED


@ARCHITECTURES
def test_files_and_pipes_can_be_made_but_no_sockets_and_devices(architecture: str) -> None:
    for kind, expected in (
        *((0, ALLOWED), (0o100000, ALLOWED), (0o010000, ALLOWED)),
        *((0o140000, DENIED), (0o020000, DENIED), (0o060000, DENIED)),
    ):
        assert answer("mknodat", 0, 0, kind | 0o644, machine=architecture) == expected
        # The kernel takes sixteen bits of it.
        assert answer("mknodat", 0, 0, 1 << 40 | kind, machine=architecture) == expected


def test_numbers_of_another_architecture_end_the_thread() -> None:
    for own in _ARCHITECTURES.values():
        for other in {_I386, _ARM, *_ARCHITECTURES.values()} - {own}:
            assert run(compiled(own), 1, architecture=other) == -1
    own = _ARCHITECTURES["x86_64"]
    assert run(compiled(own), _X32 | 1, architecture=own) == -1


def test_every_name_is_in_one_list_and_known() -> None:
    seccomp = system_call_filter.library()
    architectures = (seccomp.Arch.X86_64, seccomp.Arch.AARCH64, seccomp.Arch.RISCV64)
    newer = {"listmount", "mseal", "open_tree_attr", "riscv_hwprobe", "statmount"}
    plain = [rule for rule in system_calls.RULES if rule.when is None]
    names = [name for rule in plain for name in rule.names]
    assert len(names) == len(set(names))
    for name in {name for rule in system_calls.RULES for name in rule.names} - newer:
        numbers = [seccomp.resolve_syscall(which, name) for which in architectures]
        assert any(number >= 0 for number in numbers), name


def test_both_engines_get_the_same_rules() -> None:
    """The profile is read back and compared, rule by rule, with what the filter answers."""
    profile: dict[str, Any] = json.loads(system_calls.profile())
    assert profile["defaultErrnoRet"] == ABSENT
    seccomp = system_call_filter.library()
    compared = 0
    for entry in profile["syscalls"]:
        expected = entry.get("errnoRet", ALLOWED)
        assert (entry["action"] == "SCMP_ACT_ALLOW") == (expected == ALLOWED)
        arguments = [0] * 6
        for condition in entry.get("args", []):
            value = condition["value"]
            if condition["op"] == "SCMP_CMP_MASKED_EQ":
                value = condition["valueTwo"]
            arguments[condition["index"]] = value + (condition["op"] == "SCMP_CMP_GT")
        for name in entry["names"]:
            if seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) >= 0:
                assert answer(name, *arguments) == expected, name
                compared += 1
    assert compared > 350


def test_without_libseccomp_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(
        ctypes.util, "find_library", lambda name: None if name == "seccomp" else "libc.so.6"
    )
    monkeypatch.setattr(system_call_filter, "_LIBRARY", "libnonexistent.so")
    monkeypatch.delitem(sys.modules, "pyseccomp", raising=False)
    with pytest.raises(InfrastructureError, match="libseccomp is not installed") as caught:
        system_call_filter.library()
    assert "apt install libseccomp2" in caught.value.remedy


def test_libseccomp_is_found_by_the_loader_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    def find(name: str) -> str | None:
        return None if name == "seccomp" else "libc.so.6"

    monkeypatch.setattr(ctypes.util, "find_library", find)
    monkeypatch.delitem(sys.modules, "pyseccomp", raising=False)
    assert system_call_filter.library().system_arch() > 0
    assert ctypes.util.find_library is find


def test_a_libseccomp_that_makes_no_tree_makes_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    seccomp = system_call_filter.library()

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(seccomp.SyscallFilter, "set_attr", refuse)
    instructions = system_call_filter.compiled_for(seccomp, seccomp.system_arch())
    assert len(instructions) > 1000
