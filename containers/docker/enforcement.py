"""Enforcement report of the docker engine: how it keeps each rule, or that it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containers.policy import Enforcement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.policy import Policy


def enforcement(policy: Policy, about: Mapping[str, object]) -> tuple[Enforcement, ...]:
    """One entry a rule; `about`: what the engine says of itself (`GET /info`)."""
    kept = {
        "no-network": "network mode none: a loopback interface only",
        "read-only-root": "a read-only root file system",
        "read-only-inputs": "read-only mounts",
        "one-writable-output": "the other mounts are read-only, or belong to root",
        "bounded-tmp": "the size of the tmpfs",
        "unprivileged-user": "the user id that the action sees, on the engine's machine too",
        "no-capabilities": "all dropped",
        "no-new-privileges": "no-new-privileges",
        "time": "the container is killed",
        "own-namespaces": "mount, process, network, UTS and cgroup namespaces, no IPC, no /sys, "
        "and a session keyring that runc makes",
    }
    found = [Enforcement(rule, "enforced", means) for rule, means in kept.items()]
    found.append(
        Enforcement(
            "bounded-work",
            "not enforced",
            "RLIMIT_FSIZE bounds a file and fetching bounds the outputs, but a volume of the local "
            "driver has no limit of its own",
        )
    )
    found += [_system_calls(about), _paths(), _identity(about)]
    found.append(_memory(about))
    found.append(_counted("processes", "PidsLimit", "the cgroup's limit on processes", about))
    if policy.limits.cpus == 0:
        found.append(Enforcement("cpus", "enforced", "the policy allows all processors"))
    else:
        found.append(_counted("cpus", "CpuCfsQuota", "the cgroup's processor quota", about))
    return tuple(sorted(found, key=lambda entry: entry.rule))


def filters(about: Mapping[str, object]) -> bool:
    """Return whether an engine can load our filter for system calls, by what it says of itself."""
    if is_podman(about):
        return False
    options = about.get("SecurityOptions")
    return isinstance(options, list) and any("name=seccomp" in str(option) for option in options)


def refused_domain(about: Mapping[str, object]) -> str:
    """Why an engine cannot set a container's NIS domain name, or empty."""
    if is_podman(about):
        return "Podman takes no sysctl kernel.domainname"
    options = str(about.get("SecurityOptions"))
    if "name=rootless" in options or "name=userns" in options:
        # The file belongs to root of the whole machine, in every UTS namespace.
        return "from its user namespace the engine may not write the sysctl kernel.domainname"
    return ""


def is_podman(about: Mapping[str, object]) -> bool:
    """Return whether an engine is Podman, by its parts (Components of `GET /version`).

    It takes the option `seccomp` for the path of a file on its own machine.
    """
    parts = about.get("Components")
    return isinstance(parts, list) and any(
        isinstance(part, dict) and "podman engine" in str(part.get("Name")).lower()
        for part in parts
    )


def _system_calls(about: Mapping[str, object]) -> Enforcement:
    if filters(about):
        return Enforcement("system-calls", "enforced", "a seccomp profile, which runc loads")
    if is_podman(about):
        return Enforcement(
            "system-calls",
            "not enforced",
            "Podman takes a seccomp profile only as a file on its own machine: its own profile is "
            "loaded, which allows more than the list",
        )
    return Enforcement(
        "system-calls",
        "not enforced",
        "the engine's machine offers no seccomp (SecurityOptions): sockets that lead to a "
        "hypervisor, io_uring and the like are open to an action, and a socket among the outputs "
        "is passed over",
    )


def _identity(about: Mapping[str, object]) -> Enforcement:
    refused = refused_domain(about)
    if refused:
        return Enforcement(
            "fixed-identity",
            "not enforced",
            "a host name, and an environment made from nothing, but uname(2) shows the NIS domain "
            f"name of the engine's machine: {refused}",
        )
    return Enforcement(
        "fixed-identity",
        "enforced",
        "a host and a domain name, and an environment made from nothing",
    )


def _paths() -> Enforcement:
    return Enforcement(
        "no-machine-paths",
        "not enforced",
        "/proc/self/mountinfo shows where the engine keeps its layers and volumes, and the folders "
        "that are bound",
    )


def _memory(about: Mapping[str, object]) -> Enforcement:
    limit = "the cgroup's memory limit, no swap"
    found = _counted("memory", "MemoryLimit", limit, about)
    if found.state == "enforced" and str(about.get("CgroupVersion", "")) != "2":
        return Enforcement(
            "memory",
            "not enforced",
            f"{limit}, bounds all but the buffers of TCP and UDP sockets, which cgroup version 1 "
            "(CgroupVersion) counts apart",
        )
    return found


def _counted(rule: str, offered: str, means: str, about: Mapping[str, object]) -> Enforcement:
    if about.get(offered):
        return Enforcement(rule, "enforced", means)
    return Enforcement(
        rule, "not enforced", f"the engine's machine offers no such limit ({offered} is false)"
    )
