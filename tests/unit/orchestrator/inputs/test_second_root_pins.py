"""Second roots that cannot be pinned: wrong names, other architectures, a moody apt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs import second_root
from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.lock.file import GCC, Absent
from orchestrator.spec import model as specs
from orchestrator.spec.second_root import Roots
from reproducibility.errors import InfrastructureError, InputError
from tests.unit.orchestrator.inputs.second_root_world import (
    TABLE,
    VERSIONS,
    elsewhere_only,
    make,
    pinned,
)
from tests.unit.orchestrator.inputs.world import SPEC, done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from containers.host.process import Completed
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from tests.unit.orchestrator.inputs.second_root_world import Debian


def naming(spec: Spec, *packages: str) -> Spec:
    gcc = spec.root.gcc
    assert gcc is not None
    root = Roots(gcc=gcc.model_copy(update={"packages": packages}))
    return spec.model_copy(update={"root": root})


def test_a_name_that_no_architecture_has_is_wrong(
    debian: Debian, wanted: Spec, store: Store
) -> None:
    with pytest.raises(InputError, match=r"trixie has no package gccgo-41 for any of amd64") as no:
        make(debian.world, naming(wanted, "gccgo-14", "gccgo-41"), store)
    assert (no.value.status, no.value.missing) == (2, False)
    assert debian.installing == []


def test_a_package_of_other_architectures_is_absent(
    debian: Debian, wanted: Spec, store: Store
) -> None:
    del debian.packages["gccgo-14"]
    debian.others.add("gccgo-14")
    entry = make(debian.world, wanted, store).roots[GCC]["amd64"]
    assert isinstance(entry, Absent)
    assert entry.reason == "trixie has gccgo-14 for other architectures, not for amd64"


def test_what_is_pinned_is_not_given_up(debian: Debian, wanted: Spec, store: Store) -> None:
    lock = make(debian.world, wanted, store)
    del debian.packages["gccgo-14"]
    debian.others.add("gccgo-14")
    with pytest.raises(InputError, match=r"is pinned for amd64, and could not be any more: trixie"):
        make(debian.world, wanted, store, lock, update={second_root.NAME})
    elsewhere_only(debian.world, "1.24.11")
    with pytest.raises(InputError, match=r"is pinned for amd64, and could not be .* go1\.24\.11"):
        make(debian.world, naming(wanted, "gccgo-14", "libgo23"), store, lock)
    assert pinned(make(debian.world, wanted, store, lock)) == pinned(lock)


def with_version(spec: Spec, version: str) -> Spec:
    """The spec with another version in the first one's place."""
    gcc = spec.root.gcc
    assert gcc is not None
    root = Roots(gcc=gcc.model_copy(update={"versions": (version, *gcc.versions[1:])}))
    return spec.model_copy(update={"root": root})


def test_a_version_that_no_architecture_has_is_wrong(
    debian: Debian, wanted: Spec, store: Store
) -> None:
    """Whether something was pinned before or not."""
    lock = make(debian.world, wanted, store)
    for previous in (None, lock):
        with pytest.raises(InputError, match=r"there is no Go release 1\.21\.31: it is") as no:
            make(debian.world, with_version(wanted, "1.21.31"), store, previous)
        assert (no.value.status, no.value.missing) == (2, False)
        assert no.value.subject == "[root.gcc] versions"
        assert no.value.remedy.startswith(f"correct it in the spec; near it are {VERSIONS[0]}")


def test_a_wrong_version_is_told_where_no_versions_are_listed(
    debian: Debian, wanted: Spec, store: Store
) -> None:
    """A mirror may serve modules and list none."""
    answer = debian.world.failing

    def failing(command: Sequence[str]) -> Completed | None:
        return done("", 1, "go: 403 F\n") if "-versions" in command else answer(command)

    debian.world.failing = failing
    with pytest.raises(InputError, match=r"there is no Go release 1\.21\.31") as no:
        make(debian.world, with_version(wanted, "1.21.31"), store)
    assert no.value.remedy == "correct it in the spec"


def test_a_version_is_not_wrong_where_that_could_not_be_found_out(
    debian: Debian, wanted: Spec, store: Store
) -> None:
    answer = debian.world.failing
    busy = "go: m@v: reading https://proxy.example/m/@v/v.info: 503 Service Unavailable\n"

    def failing(command: Sequence[str]) -> Completed | None:
        return done("", 1, busy) if command[1:3] == ["list", "-m"] else answer(command)

    debian.world.failing = failing
    with pytest.raises(InfrastructureError, match="503"):
        make(debian.world, with_version(wanted, "1.21.31"), store)


def test_another_failure_of_apt_says_nothing_of_the_names(
    debian: Debian, wanted: Spec, store: Store
) -> None:
    debian.unmet = "E: Unable to correct problems, you have held broken packages.\n"
    with pytest.raises(InfrastructureError, match=r"apt would not install gccgo-14 .*held broken"):
        make(debian.world, wanted, store)
    debian.broken = True
    with pytest.raises(InfrastructureError, match="apt-cache does not say whether there is"):
        make(debian.world, wanted, store)


@pytest.mark.parametrize("name", ["g++", "gccgo-", "libgo.23"])
def test_apt_takes_a_name_as_it_is_written(
    debian: Debian, wanted: Spec, store: Store, name: str
) -> None:
    debian.packages[name] = debian.packages["libgo23"]
    debian.publish(name)
    make(debian.world, naming(wanted, "gccgo-14", name), store)
    assert debian.installing == [["gccgo-14:amd64", f"{name}:amd64"]]


def test_a_package_that_is_named_twice() -> None:
    text = SPEC + TABLE.replace('["gccgo-14"]', '["gccgo-14", "g++", "gccgo-14"]')
    with pytest.raises(InputError, match="gccgo-14 is named twice"):
        specs.parse(text)


def test_what_every_debian_system_has_is_pinned_where_that_is_asked(
    debian: Debian, store: Store
) -> None:
    asked: list[list[str]] = []
    answer = debian.world.failing

    def watching(command: Sequence[str]) -> Completed | None:
        asked.append([word for word in command if word.startswith("?")])
        return answer(command)

    debian.world.failing = watching
    transport = DebianTransport(debian.world.clients())
    for essential in (False, True):
        transport.closure(["gccgo-14"], "trixie", "amd64", store, essential=essential)
        assert (["?essential"] in asked) is essential
    with pytest.raises(InputError, match="no package none") as wrong:
        transport.closure(["none"], "trixie", "amd64", store, named="a list of mine")
    assert wrong.value.subject == "a list of mine"
