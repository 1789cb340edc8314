"""The other engine: a container engine makes everything again, to be held against the sandbox's.

A rebuild there has no earlier results of its own, so what the sandbox made is the base. By default
it is of the small project, for this machine's architecture, whose toolchain is the default image's;
`make test-engines` does it for the default image with all architectures.

Three of the sandbox's results are not what they were meanwhile: one has another byte, one is no
JSON, one is gone. Only a rebuild that compares finds the first, and only one that says what it
could not compare tells of the others.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import docker
import pytest

from containers.docker.engine import LABEL
from orchestrator.artifacts import image as making
from orchestrator.golang.handles import HELPERS_AGAIN
from orchestrator.store import Store, records
from reproducibility import codes
from reproducibility.digest import Digest
from reproducibility.manifest import Tree
from tests.integration import building
from tests.integration.test_build import checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.building import Orchestrate, Ran
    from tests.integration.conftest import Built

pytestmark = [
    pytest.mark.needs_docker,
    pytest.mark.needs_sandbox,
    pytest.mark.needs_network,
    pytest.mark.slow,
]

WHOLE = os.environ.get("SOURCERY_TEST_ALL_ARCHITECTURES") == "1"
# Steps that nothing else is made from.
OTHER_BYTE = HELPERS_AGAIN
GONE = f"programs/{building.HOST}"
NO_JSON = "commands/"  # the first of these
_SANDBOX = "the earlier result of sandbox ("


@dataclass(frozen=True)
class Rebuilt:
    """What the sandbox built, and the rebuild on the other engine."""

    before: Ran
    ran: Ran
    engine: dict[str, Any]
    # The name of the step for each of the three that are not what they were.
    planted: dict[str, str]

    def again(self) -> dict[str, dict[str, str]]:
        """The check of each step that was built again, by its name."""
        found = self.ran.document["checks"]
        return {one["subject"]: one for one in found if one["code"].startswith("rebuild.")}


def write(place: Path, record: bytes) -> None:
    """Write a result into this store only: the one that it is a copy of has the same file."""
    place.unlink(missing_ok=True)
    place.write_bytes(record)


def with_another_byte(store: Path, record: bytes) -> bytes:
    """A result whose first file has one bit changed; file and tree are in the store."""
    document = records.opened(record)
    with closing(Store(store)) as opened:
        tree = opened.load_tree(Digest.parse(document["outputs"]))
        first = next(tree.files())
        content = bytearray(opened.read(first.content))
        content[len(content) // 2] ^= 1
        changed = replace(first, digest=opened.put_bytes(bytes(content)).hex)
        document["outputs"] = str(opened.save_tree(tree.overlaid(Tree([changed]))))
    return records.sealed(document)


@pytest.fixture(scope="module")
def base(request: pytest.FixtureRequest) -> tuple[Orchestrate, Built]:
    """The project that is rebuilt, and what the sandbox built of it."""
    names = ("orchestrate", "full") if WHOLE else ("small", "small_own")
    project, built = map(request.getfixturevalue, names)
    return project, built


def _there(client: docker.DockerClient) -> dict[str, str]:
    """The containers and volumes of an engine: their runs by their ids (`LABEL`)."""
    found = {
        str(one.id): (one.attrs.get("Labels") or {}).get(LABEL, "") for one in client.volumes.list()
    }
    for one in client.containers.list(all=True):
        found[str(one.id)] = one.labels.get(LABEL, "")
    return found


def _left(client: docker.DockerClient, others: dict[str, str]) -> list[str]:
    """What is there now and belongs to no run of `others`: engines that other tests keep open."""
    runs = {run for run in others.values() if run}
    return [one for one, run in _there(client).items() if one not in others and run not in runs]


@pytest.fixture(scope="module")
def rebuilt(base: tuple[Orchestrate, Built], docker_host: str, workshop: Path) -> Iterator[Rebuilt]:
    project, built = base
    # Others build from the shared store at the same time.
    store = building.clone(project.store, workshop / "docker-store")
    # A store that is kept from one session to the next may have its own.
    shutil.rmtree(store / "results" / "action-docker", ignore_errors=True)
    keys = {
        stage["name"]: Digest.parse(stage["key"]).hex
        for stage in built.ran.document["steps"]
        if stage["origin"] != "nothing to do"
    }
    folder = store / "results" / "action-sandbox"
    steps = {
        wanted: next(name for name in sorted(keys) if name.startswith(wanted))
        for wanted in (OTHER_BYTE, GONE, NO_JSON)
    }
    planted = {
        wanted: folder / keys[name][:2] / f"{keys[name]}.json" for wanted, name in steps.items()
    }
    kept = {place: place.read_bytes() for place in planted.values()}
    environment = {**project.environment, "DOCKER_HOST": docker_host}
    command = replace(project, store=store, environment=environment)
    arguments = () if WHOLE else ("--arch", building.HOST)
    client = docker.DockerClient(docker_host)
    others = _there(client)
    try:
        write(planted[OTHER_BYTE], with_another_byte(store, kept[planted[OTHER_BYTE]]))
        write(planted[NO_JSON], kept[planted[NO_JSON]][:-9])
        planted[GONE].unlink()
        ran = command.build(
            workshop / "docker" / "out", "--rebuild", *arguments, engine="docker", status=1
        )
        yield Rebuilt(built.ran, ran, client.info(), steps)
        assert _left(client, others) == []
    finally:
        client.close()
        shutil.rmtree(store)


def test_every_action_gives_the_same_on_both_engines(rebuilt: Rebuilt) -> None:
    found = rebuilt.again()
    steps = [step["name"] for step in rebuilt.ran.document["steps"]]
    assert set(found) == set(steps)
    actions = {step["name"] for step in rebuilt.ran.actions()}
    architectures = building.ARCHITECTURES if WHOLE else (building.HOST,)
    # The small project has no boot files.
    boot = {f"boot files/{name}" for name in architectures if WHOLE}
    assert set(steps) - actions == {making.STEP, *boot}
    assert len(actions) >= len(architectures) * 5
    others = set(rebuilt.planted.values())
    ordinary = {name: one for name, one in found.items() if name not in others}
    assert {one["verdict"] for one in ordinary.values()} == {"PASS"}
    ran = set(rebuilt.ran.executed())
    assert all(_SANDBOX in ordinary[name]["reason"] for name in ran & ordinary.keys())
    # All of them were run, and under the keys that the sandbox has for them.
    assert actions - ran <= {n for n, one in found.items() if "nothing to do" in one["reason"]}
    keys = {stage["name"]: stage["key"] for stage in rebuilt.ran.document["steps"]}
    assert keys == {stage["name"]: stage["key"] for stage in rebuilt.before.document["steps"]}


def test_the_image_and_every_other_check_are_the_same(rebuilt: Rebuilt) -> None:
    ran, before = rebuilt.ran, rebuilt.before
    assert ran.document["engine"]["name"] == "docker"
    assert ran.image == before.image
    assert ran.document["cpio"] == before.document["cpio"]
    assert ran.document["root"]["tree"] == before.document["root"]["tree"]
    assert ran.checks()[codes.REBUILD, making.STEP] == "PASS"
    others = {key: said for key, said in checked(ran).items() if key[0] != codes.REBUILD}
    assert others == checked(before)


def test_one_other_byte_of_an_earlier_result_fails(rebuilt: Rebuilt) -> None:
    found = rebuilt.again()[rebuilt.planted[OTHER_BYTE]]
    assert found["verdict"] == "FAIL"
    assert "1 paths differ: out/" in found["reason"]
    assert _SANDBOX in found["reason"]
    assert rebuilt.ran.document["verdict"] == "FAIL"
    assert rebuilt.ran.status == 1


@pytest.mark.parametrize(("step", "why"), [(GONE, ""), (NO_JSON, "that of sandbox cannot be read")])
def test_an_earlier_result_that_is_not_there_is_no_pass(
    rebuilt: Rebuilt, step: str, why: str
) -> None:
    found = rebuilt.again()[rebuilt.planted[step]]
    assert found["verdict"] == "SKIP"
    assert f"no earlier result to compare with{f': {why}' if why else ''}" in found["reason"]


def test_each_result_says_which_engine_made_it(rebuilt: Rebuilt) -> None:
    document = rebuilt.ran.document
    engine = {
        "name": "docker",
        "identity": rebuilt.engine["ID"],
        "version": rebuilt.engine["ServerVersion"],
    }
    ran = [step for step in rebuilt.ran.actions() if not step["cached"]]
    assert [step["origin"] for step in ran] == ["ran here"] * len(ran)
    made = [step["provenance"] for step in ran]
    assert document["engine"] == engine
    assert all(one["engine"] == engine for one in made)
    # The rules are the same data for both; each says by what means it keeps them.
    here, there = rebuilt.before.document["isolation"], document["isolation"]
    assert there["rules"] == here["rules"]
    (kept,) = there["enforced"]
    assert {one["isolation"] for one in made} == {kept["id"]}
    assert {found["rule"] for found in kept["enforcement"]} == set(there["rules"])
    assert kept["limits"] == here["enforced"][0]["limits"]
    assert kept["id"] not in {one["id"] for one in here["enforced"]}
