"""How the sandbox engine keeps each rule of the policy on this machine, and what it cannot keep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from containers.policy import Enforcement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.cgroup import Cgroups
    from containers.policy import Policy


def enforcement(
    policy: Policy, cgroups: Cgroups, spare_users: Mapping[str, int] | None
) -> tuple[Enforcement, ...]:
    """One entry a rule; `spare_users`: None where actions run as this process's own user."""
    kept = {
        "no-network": "a network namespace that holds a loopback interface only",
        "read-only-root": "read-only bind mounts on a root that is remounted read-only",
        "read-only-inputs": "read-only bind mounts",
        "one-writable-output": "every other mount is read-only",
        "bounded-tmp": "the size of the tmpfs",
        "bounded-work": "RLIMIT_FSIZE for a file; the sum is looked at twice a second",
        "no-capabilities": "bubblewrap drops all",
        "no-new-privileges": "PR_SET_NO_NEW_PRIVS, and no further user namespaces",
        "time": "the action is killed",
        "fixed-identity": "a UTS namespace, and an environment made from nothing",
        "own-namespaces": "user, mount, process, network, IPC, UTS and cgroup namespaces",
    }
    found = [Enforcement(rule, "enforced", means) for rule, means in kept.items()]
    found.append(_user(spare_users))
    found += _counted(policy, cgroups, spare_users)
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
            "the orchestrator is root in a user namespace with no other user ids: actions run as "
            "that same user, as another one only by their own view",
        )
    return Enforcement("unprivileged-user", "enforced", means)


def _counted(
    policy: Policy, cgroups: Cgroups, spare_users: Mapping[str, int] | None
) -> list[Enforcement]:
    if cgroups.reason == "":
        processes, memory = "the cgroup's pids.max", "the cgroup's memory.max"
    else:
        instead = f"({cgroups.reason})"
        processes = "RLIMIT_NPROC of a user id of its own " + instead
        if spare_users is None:
            processes = "RLIMIT_NPROC, on top of what the user runs besides " + instead
        memory = (
            f"RLIMIT_DATA for a process; the sum over all is looked at twice a second {instead}"
        )
    return [
        Enforcement("processes", "enforced", processes),
        Enforcement("memory", "enforced", memory),
        _processors(policy, cgroups),
    ]


def _processors(policy: Policy, cgroups: Cgroups) -> Enforcement:
    if policy.limits.cpus == 0:
        return Enforcement("cpus", "enforced", "the policy allows all processors")
    if cgroups.reason == "" and cgroups.cpu:
        return Enforcement("cpus", "enforced", "the cgroup's cpu.max, and processor affinity")
    # sched_setaffinity(2) needs no privilege to widen what it has narrowed.
    reason = cgroups.reason or "the cgroup has no cpu controller"
    return Enforcement(
        "cpus", "not enforced", f"only processor affinity, which a program can undo ({reason})"
    )
