"""The other engine: a container engine makes the actions again, to be held against the sandbox's.

By default it is of the small project, for this machine's architecture, whose toolchain is the
default image's. The three toolchains are given, as if the engine had made them; the rest of the
chain is made, from the first compiler of all to the commands. `make test-engines` gives it nothing,
and does it for the default image with all architectures.

There, three of the sandbox's results are not what they were meanwhile: one has another byte, one is
no JSON, one is gone. Only a rebuild that compares finds the first, and only one that says what it
could not compare tells of the others. On small actions `test_rebuild.py` has the same.
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
from orchestrator.golang.handles import F1, F2, HELPERS_AGAIN
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
# What is not made here.
GIVEN = () if WHOLE else ("T1/toolchain", F1, F2)
# Steps that nothing else is made from.
OTHER_BYTE = HELPERS_AGAIN
GONE = f"programs/{building.HOST}"
NO_JSON = "commands/"  # the first of these
_SANDBOX = "the earlier result of sandbox ("


@dataclass(frozen=True)
class Rebuilt:
    """What the sandbox built, and what came of it on the other engine: rebuilt, if `WHOLE`."""

    before: Ran
    ran: Ran
    engine: dict[str, Any]
    # The name of the step for each of the three that are not what they were, if any.
    planted: dict[str, str]

    def executed(self) -> set[str]:
        """The actions that the other engine made."""
        return set(self.ran.executed())

    def outputs(self, ran: Ran) -> dict[str, list[str]]:
        """The outputs of each step that was made on both engines."""
        return {
            step["name"]: step["outputs"]
            for step in ran.document["steps"]
            if step["name"] not in GIVEN
        }

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
    environment = {**project.environment, "DOCKER_HOST": docker_host}
    command = replace(project, store=store, environment=environment)
    client = docker.DockerClient(docker_host)
    others = _there(client)
    out = workshop / "docker" / "out"
    try:
        if WHOLE:
            planted = _planted(store, built.ran)
            ran = command.build(out, "--rebuild", engine="docker", status=1)
        else:
            planted = {}
            for step in GIVEN:
                building.hand_over(built.ran, step, project.store, store, "docker")
            ran = command.build(out, "--arch", building.HOST, engine="docker")
        yield Rebuilt(built.ran, ran, client.info(), planted)
        assert _left(client, others) == []
    finally:
        client.close()
        shutil.rmtree(store)


def _planted(store: Path, ran: Ran) -> dict[str, str]:
    """Let three of the sandbox's results be others; the name of the step of each."""
    keys = {
        stage["name"]: Digest.parse(stage["key"]).hex
        for stage in ran.document["steps"]
        if stage["origin"] != "nothing to do"
    }
    folder = store / "results" / "action-sandbox"
    steps = {
        wanted: next(name for name in sorted(keys) if name.startswith(wanted))
        for wanted in (OTHER_BYTE, GONE, NO_JSON)
    }
    places = {
        wanted: folder / keys[name][:2] / f"{keys[name]}.json" for wanted, name in steps.items()
    }
    kept = {wanted: place.read_bytes() for wanted, place in places.items()}
    write(places[OTHER_BYTE], with_another_byte(store, kept[OTHER_BYTE]))
    write(places[NO_JSON], kept[NO_JSON][:-9])
    places[GONE].unlink()
    return steps


def test_every_action_gives_the_same_on_both_engines(rebuilt: Rebuilt) -> None:
    actions = {step["name"] for step in rebuilt.ran.actions()}
    architectures = building.ARCHITECTURES if WHOLE else (building.HOST,)
    # The small project has no boot files.
    boot = {f"boot files/{name}" for name in architectures if WHOLE}
    steps = [step["name"] for step in rebuilt.ran.document["steps"]]
    assert set(steps) - actions == {making.STEP, *boot}
    assert len(actions) >= len(architectures) * 5
    # All of them were run, and under the keys that the sandbox has for them.
    idle = {s["name"] for s in rebuilt.ran.actions() if s["origin"] == "nothing to do"}
    assert rebuilt.executed() == actions - idle - set(GIVEN)
    assert idle <= {s["name"] for s in rebuilt.before.actions() if s["origin"] == "nothing to do"}
    keys = {stage["name"]: stage["key"] for stage in rebuilt.ran.document["steps"]}
    assert keys == {stage["name"]: stage["key"] for stage in rebuilt.before.document["steps"]}
    made = {"T1/dist", f"std/{building.HOST}", *((F1, F2) if WHOLE else ())}
    assert made <= rebuilt.executed()
    assert rebuilt.outputs(rebuilt.ran) == rebuilt.outputs(rebuilt.before)


@pytest.mark.long
def test_a_rebuild_says_of_every_step_that_it_is_the_same(rebuilt: Rebuilt) -> None:
    found = rebuilt.again()
    assert set(found) == {step["name"] for step in rebuilt.ran.document["steps"]}
    others = set(rebuilt.planted.values())
    ordinary = {name: one for name, one in found.items() if name not in others}
    assert {one["verdict"] for one in ordinary.values()} == {"PASS"}
    ran = rebuilt.executed()
    assert all(_SANDBOX in ordinary[name]["reason"] for name in ran & ordinary.keys())
    actions = {step["name"] for step in rebuilt.ran.actions()}
    assert actions - ran <= {n for n, one in found.items() if "nothing to do" in one["reason"]}
    assert rebuilt.ran.checks()[codes.REBUILD, making.STEP] == "PASS"


def test_the_image_and_every_other_check_are_the_same(rebuilt: Rebuilt) -> None:
    ran, before = rebuilt.ran, rebuilt.before
    assert ran.document["engine"]["name"] == "docker"
    assert ran.image == before.image
    assert ran.document["cpio"] == before.document["cpio"]
    assert ran.document["root"]["tree"] == before.document["root"]["tree"]
    others = {key: said for key, said in checked(ran).items() if key[0] != codes.REBUILD}
    assert others == checked(before)


@pytest.mark.long
def test_one_other_byte_of_an_earlier_result_fails(rebuilt: Rebuilt) -> None:
    found = rebuilt.again()[rebuilt.planted[OTHER_BYTE]]
    assert found["verdict"] == "FAIL"
    assert "1 paths differ: out/" in found["reason"]
    assert _SANDBOX in found["reason"]
    assert rebuilt.ran.document["verdict"] == "FAIL"
    assert rebuilt.ran.status == 1


@pytest.mark.long
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
    (used,) = {one["isolation"] for one in made}
    # What is given was isolated by the sandbox.
    assert len(there["enforced"]) == (2 if GIVEN else 1)
    (kept,) = (one for one in there["enforced"] if one["id"] == used)
    assert {found["rule"] for found in kept["enforcement"]} == set(there["rules"])
    assert kept["limits"] == here["enforced"][0]["limits"]
    assert kept["id"] not in {one["id"] for one in here["enforced"]}
