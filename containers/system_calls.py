"""System call rules (seccomp) of actions as data, and as a profile for a container engine.

What no namespace covers (keyrings, io_uring, sockets that lead to a hypervisor) can only be kept
from an action here. What the lists allow is Docker's default profile without what an action has no
use for; `system_call_filter.py` compiles the same rules for the sandbox. Nothing here looks at the
machine: which of the names it has, a filter's compiler knows.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Literal

from reproducibility import canonical

Operator = Literal["equal", "masked", "above"]

# What a refused call says. ABSENT: as in a kernel that does not have it, so that a program goes on
# to do without; DENIED: as to a user without the right.
ALLOWED = 0
ABSENT = errno.ENOSYS
DENIED = errno.EPERM

# Whatever no rule names, calls that are newer than these lists among them.
DEFAULT = ABSENT

# The socket families that need no hardware and lead to no other machine than this one.
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)

# Flags of clone(2) that make namespaces: time is not among them, since clone cannot ask for one.
_NAMESPACES = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "network": 0x40000000,
}
# The kinds of file that mknod(2) makes: a pipe and a file are for everybody.
_KINDS, _FIFO, _SOCKET, _CHARACTER, _BLOCK, _FILE = (
    0o170000, 0o010000, 0o140000, 0o020000, 0o060000, 0o100000,
)  # fmt: skip
# personality(2): the usual one, and the question which one it is. The others turn off the
# randomisation of addresses, make pages executable, or change what uname says.
_PERSONALITIES = (0, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition on an argument (from 0) of a system call.

    `equal`: `value`. `masked`: `value` in the bits of `mask`. `above`: greater, without a sign.
    """

    argument: int
    operator: Operator
    value: int
    mask: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule for system calls: `error` is an errno, or `ALLOWED`.

    `when`, `also`: what must be true of the arguments, None for nothing.
    """

    names: tuple[str, ...]
    error: int
    when: Condition | None = None
    also: Condition | None = None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Conditions that must all hold for the arguments."""
        return tuple(one for one in (self.when, self.also) if one is not None)


_NETLINK = Condition(0, "equal", socket.AF_NETLINK)
_NETLINK_ROUTE = 0

# Every 64-bit architecture that builds run on. Names that one of them lacks are passed over there.
_ALLOWED = """
    access alarm arch_prctl brk cachestat capget capset chdir chmod chown clock_getres clock_gettime
    clock_nanosleep close close_range copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat
    exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2
    fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat
    get_robust_list getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer
    getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage
    getsid gettid gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl
    ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise
    map_shadow_stack membarrier memfd_create mincore mkdir mkdirat mlock mlock2 mlockall mmap
    mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal
    msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat
    openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll
    ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv remap_file_pages removexattr rename renameat
    renameat2 restart_syscall riscv_flush_icache riscv_hwprobe rmdir rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
    semtimedop sendfile set_robust_list set_tid_address setfsgid setfsuid setgid setgroups
    setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid
    setxattr shmat shmctl shmdt shmget sigaltstack signalfd signalfd4 splice stat statfs statx
    symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
    timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork
    vmsplice wait4 waitid write writev
    accept accept4 connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg
    sendmmsg sendmsg sendto setsockopt shutdown
"""

_DENIED = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init
    fanotify_mark finit_module fsconfig fsmount fsopen fspick get_mempolicy init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
    keyctl listmount lookup_dcookie mbind memfd_secret migrate_pages modify_ldt mount
    mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree
    open_tree_attr perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv
    process_vm_writev ptrace quotactl quotactl_fd reboot request_key set_mempolicy
    set_mempolicy_home_node setdomainname sethostname setns settimeofday statmount swapoff swapon
    syslog umount2 unshare uselib userfaultfd ustat vhangup
"""

# A socket that is bound to a path is a file that the API of a container engine passes over without
# a word, so that an output with one would pass there and be refused in the sandbox. So none is
# made: not by mknod, and not by bind, whose address a filter cannot look at. Nothing that has no
# network needs to be found by others.
_UNFINDABLE = ("bind",)

RULES: tuple[Rule, ...] = (
    Rule(tuple(sorted(_ALLOWED.split())), ALLOWED),
    Rule(tuple(sorted(_DENIED.split())), DENIED),
    Rule(_UNFINDABLE, DENIED),
    # Its flags lie in memory, where a filter cannot look; the C library goes on to use clone.
    Rule(("clone3",), ABSENT),
    Rule(("clone",), ALLOWED, Condition(0, "masked", 0, sum(_NAMESPACES.values()))),
    *(
        Rule(("clone",), DENIED, Condition(0, "masked", flag, flag))
        for flag in _NAMESPACES.values()
    ),
    *(
        Rule(("socket", "socketpair"), ALLOWED, Condition(0, "equal", family))
        for family in sorted(FAMILIES)
        if family != socket.AF_NETLINK
    ),
    # What its other protocols hold in their sockets is counted as nobody's memory.
    Rule(("socket",), ALLOWED, _NETLINK, Condition(2, "equal", _NETLINK_ROUTE)),
    Rule(("socket",), errno.EPROTONOSUPPORT, _NETLINK, Condition(2, "above", _NETLINK_ROUTE)),
    Rule(("socketpair",), errno.EPROTONOSUPPORT, _NETLINK),
    *(
        Rule(("socket", "socketpair"), errno.EAFNOSUPPORT, Condition(0, "equal", family))
        for family in range(max(FAMILIES))
        if family not in FAMILIES
    ),
    Rule(("socket", "socketpair"), errno.EAFNOSUPPORT, Condition(0, "above", max(FAMILIES))),
    *(
        Rule(("personality",), ALLOWED, Condition(0, "equal", value)) for value in _PERSONALITIES
    ),
    *(
        Rule((name,), error, Condition(argument, "masked", kind, _KINDS))
        for name, argument in (("mknod", 1), ("mknodat", 2))
        for kind, error in (
            (0, ALLOWED),
            (_FILE, ALLOWED),
            (_FIFO, ALLOWED),
            (_SOCKET, DENIED),
            (_CHARACTER, DENIED),
            (_BLOCK, DENIED),
        )
    ),
)  # fmt: skip


def profile() -> str:
    """The rules as a profile for a container engine's `seccomp=` security option, as JSON text.

    No architecture is named, so a call by another one than the engine's own ends the thread.
    """
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": DEFAULT,
        "syscalls": [_entry(rule) for rule in RULES],
    }
    return canonical.dumps(document).decode()


def _entry(rule: Rule) -> dict[str, object]:
    entry: dict[str, object] = {"names": list(rule.names), "action": "SCMP_ACT_ALLOW"}
    if rule.error != ALLOWED:
        entry |= {"action": "SCMP_ACT_ERRNO", "errnoRet": rule.error}
    if rule.conditions:
        entry["args"] = [_argument(condition) for condition in rule.conditions]
    return entry


def _argument(condition: Condition) -> dict[str, object]:
    found: dict[str, object] = {"index": condition.argument, "value": condition.value}
    if condition.operator == "masked":
        return found | {
            "value": condition.mask,
            "valueTwo": condition.value,
            "op": "SCMP_CMP_MASKED_EQ",
        }
    return found | {"op": {"equal": "SCMP_CMP_EQ", "above": "SCMP_CMP_GT"}[condition.operator]}
