"""What a container engine says that it can vary, and why not."""

from __future__ import annotations

from containers.docker import capability
from reproducibility import variations

NEVER = {"aslr", "kernel", "time", "umask"}


def refused(about: dict[str, object], processors: int = 4) -> set[str]:
    found = capability.capabilities(about, processors)
    assert set(found) == set(variations.NAMES)
    assert all(one.how for one in found.values())
    return {name for name, one in found.items() if one.refusal}


def test_what_its_api_cannot_say_is_refused() -> None:
    assert refused({"CPUSet": True}) == NEVER
    # An engine that does not say is asked, and says so then.
    assert refused({}) == NEVER


def test_an_engine_in_a_user_namespace_and_podman_set_no_domain_name() -> None:
    for option in ("name=rootless", "name=userns"):
        found = refused({"SecurityOptions": ["name=seccomp,profile=default", option]})
        assert found == NEVER | {"domain"}
    assert refused({"Components": [{"Name": "Podman Engine"}]}) == NEVER | {"domain"}
    assert refused({"SecurityOptions": ["name=seccomp,profile=default"]}) == NEVER


def test_the_number_of_processors_is_not_always_varied() -> None:
    assert refused({"CPUSet": False}) == NEVER | {"cpus"}
    assert refused({"CPUSet": True}, processors=1) == NEVER | {"cpus"}
