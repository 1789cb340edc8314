"""Enforcement report of the sandbox engine: how this machine keeps each rule, or that it cannot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from containers.host import system
from containers.policy import Enforcement
from containers.sandbox.request import counts_by_namespace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.policy import Policy
    from containers.sandbox.cgroup import Cgroups
    from containers.sandbox.room import Room


def enforcement(
    policy: Policy,
    cgroups: Cgroups,
    spare_users: Mapping[str, int] | None,
    room: Room,
    *,
    no_views: str = "",
) -> tuple[Enforcement, ...]:
    """One entry a rule.

    `spare_users`: None where actions run as this process's own user. `no_views`: why it cannot be
    hidden where trees lie, or empty.
    """
    kept = {
        "no-network": "a network namespace that holds a loopback interface only",
        "read-only-root": "read-only bind mounts on a root that is remounted read-only",
        "read-only-inputs": "read-only bind mounts",
        "one-writable-output": "every other mount is read-only",
        "bounded-tmp": "the size of the tmpfs",
        "no-capabilities": "bubblewrap drops all",
        "no-new-privileges": "PR_SET_NO_NEW_PRIVS, and no further user namespaces",
        "time": "the action is killed",
        "own-namespaces": "user, mount, process, network, IPC, UTS and cgroup namespaces, an empty "
        "session keyring, and a cover over /proc/1, which is bubblewrap",
        "system-calls": "a seccomp filter, loaded by bubblewrap last of all",
    }
    found = [Enforcement(rule, "enforced", means) for rule, means in kept.items()]
    found.append(_user(spare_users))
    staged = spare_users is not None or not (room.refusal and no_views)
    found.append(_identity("" if staged else room.refusal))
    found += _counted(policy, cgroups, spare_users, room)
    found.append(_work(room.lacking(policy)))
    found.append(_paths(no_views, room.lacking(policy)))
    return tuple(sorted(found, key=lambda entry: entry.rule))


def _user(spare_users: Mapping[str, int] | None) -> Enforcement:
    if spare_users is not None:
        first = spare_users["first"]
        means = f"a user id of its own on the machine, from {first} on, in a user namespace"
    elif os.geteuid() != 0:
        means = f"the orchestrator's own user (id {os.getuid()}), in a user namespace"
    else:
        return Enforcement(
            "unprivileged-user",
            "not enforced",
            "the orchestrator is root in a user namespace that maps no other user ids: actions run "
            "as that same user, and only inside the sandbox under another id",
        )
    return Enforcement("unprivileged-user", "enforced", means)


def _identity(refusal: str) -> Enforcement:
    """`refusal`: why the launcher cannot make a UTS namespace, or empty."""
    means = "a UTS namespace, and an environment made from nothing"
    # bubblewrap makes one too, and leaves the domain name in it as it was.
    if refusal and system.domain_name() != system.NO_DOMAIN:
        shown = f"uname(2) shows the machine's NIS domain name ({refusal})"
        return Enforcement("fixed-identity", "not enforced", f"{means}, but {shown}")
    return Enforcement("fixed-identity", "enforced", means)


def _work(lacking: str) -> Enforcement:
    if not lacking:
        return Enforcement("bounded-work", "enforced", "the size of the tmpfs that it is")
    return Enforcement(
        "bounded-work",
        "not enforced",
        "RLIMIT_FSIZE for a file; the sum is looked at twice a second, with deleted files that "
        f"are open ({lacking})",
    )


def _paths(no_views: str, lacking: str) -> Enforcement:
    shown = []
    if no_views:
        shown.append(f"the trees, since there are no overlays here ({no_views})")
    if lacking:
        shown.append(f"the work directory ({lacking})")
    if shown:
        words = f"/proc/self/mountinfo shows the place of {', and of '.join(shown)}"
        return Enforcement("no-machine-paths", "not enforced", words)
    return Enforcement(
        "no-machine-paths",
        "enforced",
        "overlays over the trees, whose names in /proc/self/mountinfo are the same everywhere",
    )


def _counted(
    policy: Policy,
    cgroups: Cgroups,
    spare_users: Mapping[str, int] | None,
    room: Room,
) -> list[Enforcement]:
    if cgroups.reason == "":
        return [
            Enforcement("processes", "enforced", "the cgroup's pids.max"),
            _memory_of_group(cgroups.version),
            _processors(policy, cgroups),
        ]
    return [
        _processes(cgroups, spare_users, room),
        Enforcement(
            "memory",
            "not enforced",
            "RLIMIT_DATA for the private memory of one process; what all of them have, shared "
            "memory and files in memory too, is looked at twice a second, and buffers of sockets "
            f"and pipes are not seen ({cgroups.reason})",
        ),
        _processors(policy, cgroups),
    ]


def _memory_of_group(version: int) -> Enforcement:
    if version > 1:
        return Enforcement("memory", "enforced", "the cgroup's memory.max")
    return Enforcement(
        "memory",
        "not enforced",
        "the cgroup's memory.limit_in_bytes bounds all but the buffers of TCP connections, which "
        "cgroup version 1 counts apart and lets grow; what they take is looked at twice a second",
    )


def _processes(cgroups: Cgroups, spare_users: Mapping[str, int] | None, room: Room) -> Enforcement:
    instead = f"({cgroups.reason})"
    if spare_users is not None:
        means = f"RLIMIT_NPROC of a user id of its own {instead}"
    elif not room.refusal and counts_by_namespace():
        means = f"RLIMIT_NPROC in a user namespace of its own {instead}"
    else:
        return Enforcement(
            "processes",
            "not enforced",
            "RLIMIT_NPROC counts what the user runs besides, so that it is set higher by as much "
            f"as that is at the start {instead}",
        )
    return Enforcement("processes", "enforced", means)


def _processors(policy: Policy, cgroups: Cgroups) -> Enforcement:
    if policy.limits.cpus == 0:
        return Enforcement("cpus", "enforced", "the policy allows all processors")
    if cgroups.reason == "" and cgroups.cpu:
        quota = "cpu.cfs_quota_us" if cgroups.version == 1 else "cpu.max"
        return Enforcement("cpus", "enforced", f"the cgroup's {quota}, and processor affinity")
    # sched_setaffinity(2) needs no privilege to widen what it has narrowed.
    reason = cgroups.reason or "the cgroup has no cpu controller"
    return Enforcement(
        "cpus", "not enforced", f"only processor affinity, which a program can undo ({reason})"
    )
