"""Every rule of the policy has a statement from each engine, and nothing is claimed that is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from docker import APIClient

from containers.docker import enforcement as docker_enforcement
from containers.docker import engine as docker
from containers.host import system
from containers.policy import RULES, Enforcement, Limits, Policy, Share
from containers.sandbox import enforcement as sandbox_enforcement
from containers.sandbox.cgroup import Cgroups
from containers.sandbox.room import Room
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.errors import InfrastructureError
from tests.fakes import action

if TYPE_CHECKING:
    from pathlib import Path

SPARE = {"first": 1879048192, "count": 4194304}
CAPABLE = {
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
}
# What no container engine keeps: the kernel shows where it keeps its layers.
NEVER_ON_DOCKER = {"bounded-work", "no-machine-paths"}


@pytest.fixture
def undelegated(tmp_path: Path) -> Cgroups:
    found = Cgroups(tmp_path / "absent", tmp_path / "absent")
    assert found.reason
    return found


@pytest.fixture
def delegated(undelegated: Cgroups) -> Cgroups:
    undelegated.reason, undelegated.cpu = "", True
    return undelegated


@pytest.fixture
def room() -> Room:
    """A machine with enough memory, on which the launcher can mount."""
    found = Room(lambda: None)
    found.available = 1 << 50
    return found


def refuse() -> None:
    """As a machine on which the launcher can mount nothing."""
    raise InfrastructureError("no", subject="unshare: Operation not permitted")


def by_rule(entries: tuple[Enforcement, ...]) -> dict[str, Enforcement]:
    assert [entry.rule for entry in entries] == sorted(rule.name for rule in RULES)
    assert all(entry.means for entry in entries)
    return {entry.rule: entry for entry in entries}


def refused(entries: dict[str, Enforcement]) -> set[str]:
    return {rule for rule, entry in entries.items() if entry.state == "not enforced"}


def test_the_policy_can_be_printed() -> None:
    told = Policy(Limits(cpus=2)).describe()
    assert list(told) == ["rules", "limits"]
    rules, limits = told["rules"], told["limits"]
    assert isinstance(rules, dict)
    assert isinstance(limits, dict)
    assert list(rules) == sorted(rule.name for rule in RULES)
    assert limits["cpus"] == 2
    assert len(limits) == 8


def test_the_sandbox_with_control_groups(delegated: Cgroups, room: Room) -> None:
    limited = Policy(Limits(cpus=1))
    entries = by_rule(sandbox_enforcement.enforcement(limited, delegated, SPARE, room))
    assert refused(entries) == set()
    assert entries["memory"].means == "the cgroup's memory.max"
    assert entries["processes"].means == "the cgroup's pids.max"
    assert "cpu.max" in entries["cpus"].means
    delegated.version = 1
    entries = by_rule(sandbox_enforcement.enforcement(limited, delegated, SPARE, room))
    assert refused(entries) == {"memory"}
    assert "TCP" in entries["memory"].means
    assert "cpu.cfs_quota_us" in entries["cpus"].means


def test_what_is_only_sampled_is_not_claimed(undelegated: Cgroups, room: Room) -> None:
    entries = by_rule(sandbox_enforcement.enforcement(Policy(), undelegated, SPARE, room))
    assert refused(entries) == {"memory"}
    assert "RLIMIT_DATA" in entries["memory"].means
    assert "twice a second" in entries["memory"].means
    assert undelegated.reason in entries["memory"].means
    assert "a user id of its own" in entries["processes"].means
    assert "1879048192" in entries["unprivileged-user"].means


def test_a_work_directory_on_a_disk_is_not_claimed_to_be_bounded(
    delegated: Cgroups, room: Room
) -> None:
    room.available = 8 << 30
    fits = Policy(Limits(memory=4 << 30), Share(0, 2), beside=2)
    assert refused(by_rule(sandbox_enforcement.enforcement(fits, delegated, SPARE, room))) == set()
    # Whether it keeps to a share of the processors or not: the others have memory all the same.
    beside = Policy(Limits(memory=4 << 30), beside=3)
    for policy, words in ((beside, "3 times 4096 MiB"), (Policy(Limits(memory=9 << 30)), "9216")):
        entries = by_rule(sandbox_enforcement.enforcement(policy, delegated, SPARE, room))
        assert refused(entries) == {"bounded-work", "no-machine-paths"}
        assert f"a tmpfs needs {words}" in entries["bounded-work"].means
        assert "8192 MiB to give" in entries["bounded-work"].means


def test_a_machine_on_which_nothing_can_be_mounted_says_so(
    undelegated: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    entries = by_rule(sandbox_enforcement.enforcement(Policy(), undelegated, None, Room(refuse)))
    assert refused(entries) == {"bounded-work", "memory", "no-machine-paths", "processes"}
    assert "Operation not permitted" in entries["bounded-work"].means
    assert "besides" in entries["processes"].means


def test_processor_affinity_is_not_claimed_as_a_limit(
    undelegated: Cgroups, delegated: Cgroups, room: Room
) -> None:
    delegated.reason, delegated.cpu = "", False
    limited = Policy(Limits(cpus=1))
    for cgroups in (undelegated, delegated):
        entries = by_rule(sandbox_enforcement.enforcement(limited, cgroups, SPARE, room))
        assert refused(entries) == {"cpus"}
        assert "can undo" in entries["cpus"].means
    free = Policy(Limits(cpus=0))
    assert refused(by_rule(sandbox_enforcement.enforcement(free, delegated, SPARE, room))) == set()


@pytest.mark.parametrize(("user", "expected"), [(1000, set()), (0, {"unprivileged-user"})])
def test_the_sandbox_without_another_user(
    undelegated: Cgroups,
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    expected: set[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    entries = by_rule(sandbox_enforcement.enforcement(Policy(), undelegated, None, room))
    assert refused(entries) == expected | {"memory"}
    assert "a user namespace of its own" in entries["processes"].means
    monkeypatch.setattr(sandbox_enforcement, "counts_by_namespace", lambda: False)
    entries = by_rule(sandbox_enforcement.enforcement(Policy(), undelegated, None, room))
    assert refused(entries) == expected | {"memory", "processes"}
    assert "besides" in entries["processes"].means


def test_docker_says_what_version_1_of_cgroups_does_not_count() -> None:
    for version in ("1", ""):
        entries = by_rule(
            docker_enforcement.enforcement(Policy(), {**CAPABLE, "CgroupVersion": version})
        )
        assert "memory" in refused(entries)
        assert "TCP" in entries["memory"].means


def test_docker_says_what_its_machine_offers() -> None:
    limited = Policy(Limits(cpus=1))
    entries = by_rule(docker_enforcement.enforcement(limited, CAPABLE))
    assert refused(entries) == NEVER_ON_DOCKER
    entries = by_rule(docker_enforcement.enforcement(limited, {}))
    assert refused(entries) == NEVER_ON_DOCKER | {"memory", "processes", "cpus", "system-calls"}
    assert "SecurityOptions" in entries["system-calls"].means
    assert "MemoryLimit is false" in entries["memory"].means
    assert "cpus" not in refused(by_rule(docker_enforcement.enforcement(Policy(), {})))


def test_podman_takes_no_profile_from_afar() -> None:
    podman = {**CAPABLE, "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}
    entries = by_rule(docker_enforcement.enforcement(Policy(), podman))
    assert "system-calls" in refused(entries)
    assert "Podman" in entries["system-calls"].means
    client, plain = APIClient("unix:///nonexistent", version="1.41"), action("an action")
    for components, wanted in (("Podman Engine", False), ("Engine", True)):
        about = {**CAPABLE, "Components": [{"Name": components}]}
        options = docker._host_config(client, plain, Limits(), [], about)["SecurityOpt"]
        assert any(option.startswith("seccomp=") for option in options) is wanted


def test_conditions_lower_two_limits() -> None:
    limits = Limits(memory=1000, tmp=500)
    assert limits.under(STANDARD) == limits
    assert limits.under(Conditions(memory=90)) == Limits(memory=900, tmp=500)
    assert limits.under(Conditions(tmp=50)) == Limits(memory=1000, tmp=250)


@pytest.mark.parametrize(
    ("conditions", "field", "value"),
    [
        (Conditions(processors=3), "CpusetCpus", "0-2"),
        (Conditions(processors=1), "CpusetCpus", "0-0"),
    ],
)
def test_conditions_in_the_words_of_a_container_engine(
    conditions: Conditions, field: str, value: object
) -> None:
    client = APIClient("unix:///nonexistent", version="1.41")

    def config(around: Conditions) -> dict[str, Any]:
        return docker._host_config(client, action("a").under(around), Limits(), [], CAPABLE)

    assert config(conditions)[field] == value
    assert field not in config(STANDARD)
    assert {**config(conditions), field: None} == {**config(STANDARD), field: None}


def test_a_container_has_a_domain_name_of_its_own_where_the_engine_can_give_it() -> None:
    client = APIClient("unix:///nonexistent", version="1.41")

    def config(conditions: Conditions, **about: object) -> dict[str, Any]:
        asked = action("a").under(conditions)
        return docker._host_config(client, asked, Limits(), [], {**CAPABLE, **about})

    usual, varied = config(STANDARD), config(Conditions(domain="d"))
    assert usual["Sysctls"] == {"kernel.domainname": "(none)"}
    assert varied == {**usual, "Sysctls": {"kernel.domainname": "d"}}
    assert "Sysctls" not in config(STANDARD, SecurityOptions=["name=seccomp", "name=rootless"])


def test_an_engine_says_where_the_domain_name_of_its_machine_shows(
    undelegated: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    rootless = {**CAPABLE, "SecurityOptions": ["name=seccomp", "name=rootless"]}
    podman = {**CAPABLE, "Components": [{"Name": "Podman Engine"}]}
    for about, state in (
        (CAPABLE, "enforced"),
        (rootless, "not enforced"),
        (podman, "not enforced"),
    ):
        entry = by_rule(docker_enforcement.enforcement(Policy(), about))["fixed-identity"]
        assert entry.state == state
        assert ("NIS domain name" in entry.means) is (state != "enforced")

    def told(domain: str, spare: dict[str, int] | None, no_views: str) -> str:
        monkeypatch.setattr(system, "domain_name", lambda: domain)
        room = Room(refuse)
        return by_rule(
            sandbox_enforcement.enforcement(Policy(), undelegated, spare, room, no_views=no_views)
        )["fixed-identity"].state

    # Only a launcher that can make no UTS namespace lets it through.
    assert told("a.domain", None, "refused") == "not enforced"
    assert told("(none)", None, "refused") == "enforced"
    assert told("a.domain", None, "") == "enforced"
    assert told("a.domain", SPARE, "refused") == "enforced"


def test_a_container_shows_its_limit_on_memory_where_that_is_varied() -> None:
    client = APIClient("unix:///nonexistent", version="1.41")
    limits = Limits(memory=1000)
    for around, wanted in ((STANDARD, []), (Conditions(memory=90), [(1000, 1000)])):
        config = docker._host_config(client, action("a").under(around), limits, [], CAPABLE)
        found = [one for one in config["Ulimits"] if one["Name"] == "data"]
        assert [(one["Soft"], one["Hard"]) for one in found] == wanted
