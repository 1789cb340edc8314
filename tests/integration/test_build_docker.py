"""The other engine: a container engine makes the same image, action by action."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import docker
import pytest

from tests.integration import building
from tests.integration.test_build import checked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [
    pytest.mark.needs_docker,
    pytest.mark.needs_sandbox,
    pytest.mark.needs_network,
    pytest.mark.slow,
]


def results(store: Path, engine: str) -> dict[str, tuple[str, str, str]]:
    """What an engine made of each action, by key: the step's name, its outputs, its words."""
    found = {}
    for path in (store / "results" / f"action-{engine}").rglob("*.json"):
        document = json.loads(path.read_bytes())
        found[path.stem] = (document["name"], document["outputs"], document["stdout"])
    return found


def test_engines_agree(
    full: Built, orchestrate: Orchestrate, docker_host: str, place: Path
) -> None:
    environment = {**orchestrate.environment, "DOCKER_HOST": docker_host}
    command = replace(orchestrate, environment=environment)
    ran = command.build(place / "out", engine="docker")
    assert ran.document["engine"] == "docker"
    assert ran.image == full.ran.image
    assert ran.document["cpio"] == full.ran.document["cpio"]
    assert ran.document["root"]["tree"] == full.ran.document["root"]["tree"]
    assert checked(ran) == checked(full.ran)
    # The rules are the same data for both; each says by what means it keeps them.
    here, there = full.ran.document["isolation"], ran.document["isolation"]
    assert there["rules"] == here["rules"]
    assert there["limits"] == here["limits"]
    assert {found["rule"] for found in there["enforcement"]} == set(there["rules"])
    # What was compared on the way: every action of this build was run by both.
    keys = {stage["name"]: stage["key"] for stage in ran.document["stages"]}
    assert keys == {stage["name"]: stage["key"] for stage in full.ran.document["stages"]}
    by_sandbox = results(orchestrate.store, "sandbox")
    by_docker = results(orchestrate.store, "docker")
    shared = by_sandbox.keys() & by_docker.keys()
    assert {key.removeprefix("blake3:") for key in keys.values()} & by_docker.keys() <= shared
    assert len(shared) >= len(building.ARCHITECTURES) * 5
    for key in shared:
        name, outputs, words = by_docker[key]
        # What an observer saw of the order of files is its file system's, which the checks want
        # to differ between F1 and F2, not to be the same under two engines.
        seen = by_sandbox[key][2] if name.startswith("observe/") else words
        assert (name, outputs, seen) == by_sandbox[key]
    with_engine = docker.DockerClient(docker_host)
    try:
        assert with_engine.containers.list(all=True) == []
        assert with_engine.volumes.list() == []
    finally:
        with_engine.close()
