"""A real farm, BuildGrid with two nodes that isolate nothing: whole builds, and what goes wrong.

`make test-farm` runs it, as root; it builds the toolchain several times.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.golang.handles import F1
from tests.integration import building, sharing
from tests.integration.building import HOST, Orchestrate, Ran
from tests.integration.conftest import Built
from tests.integration.cutting import Proxy
from tests.real_farm import RealFarm, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.building import Running

pytestmark = [
    *(pytest.mark.long, pytest.mark.slow, pytest.mark.needs_network, pytest.mark.needs_sandbox),
    pytest.mark.needs_tools("unshare"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a farm"),
]

_STEP = f"programs/{HOST}"
_PATIENCE = 3600


@dataclass(frozen=True)
class Place:
    """A farm, and a project that is built on it. `local`: the same built in the sandbox."""

    farm: RealFarm
    project: Path
    local: Built
    folder: Path

    def store(self, name: str, *, like: Path | None = None) -> Orchestrate:
        """The command line on a store that has inputs and no results; or a copy of another."""
        into = self.folder / name
        into.mkdir()
        building.clone(like or self.local_store, into)
        for kind in (into / "results").iterdir() if like is None else ():
            if kind.name.startswith(("action-", "computed-", "sha256-")):
                shutil.rmtree(kind)
        return Orchestrate(self.project, into)

    @property
    def local_store(self) -> Path:
        """The store of the build in the sandbox."""
        return self.folder / "local-store"

    def settings(self, name: str, **keys: object) -> Path:
        """A file for `--farm`."""
        return self.farm.file(self.folder / f"{name}.toml", **keys)

    def options(self, name: str, **keys: object) -> tuple[str | Path, ...]:
        """Options of a build on the farm."""
        return ("--arch", HOST, "--offline", "--farm", self.settings(name, **keys))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the users of the nodes reach."""
    made = Path(tempfile.mkdtemp(prefix="farm-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def farm(folder: Path) -> Iterator[RealFarm]:
    prepare()
    with RealFarm(folder / "run", port=50_061) as running:
        yield running


@pytest.fixture(scope="module")
def local(orchestrate: Orchestrate, usable_lock: Path, workshop: Path, folder: Path) -> Built:
    """The small project for this machine's architecture, built in the sandbox."""
    project = folder / "project"
    project.mkdir()
    text = building.spec_text(architectures=[HOST], source=building.SMALL_SOURCE)
    text += f'\n[workers]\narchitectures = ["{HOST}"]\n'
    (project / "sourcery.toml").write_text(text)
    shutil.copyfile(usable_lock, project / "sourcery.lock")
    command = Orchestrate(project, orchestrate.store)
    command.run("lock")
    out = folder / "local"
    built = sharing.once(workshop, "farm-local", partial(command.build, out))
    (folder / "local-store").mkdir()
    building.clone(orchestrate.store, folder / "local-store")
    return Built(built, out)


@pytest.fixture(scope="module")
def place(farm: RealFarm, local: Built, folder: Path) -> Place:
    return Place(farm, folder / "project", local, folder)


def made_remotely(ran: Ran) -> dict[str, dict[str, Any]]:
    """The provenance of each step that an engine ran, by name."""
    found = {}
    for step in ran.actions():
        if step["kind"] == "action":
            assert step["provenance"]["engine"]["name"] == "remote", step["name"]
            found[step["name"]] = step["provenance"]
    return found


def same_outputs(ran: Ran, other: Ran) -> None:
    """Each step gave the same, and so the images are the same."""
    outputs = {step["name"]: step["outputs"] for step in other.document["steps"]}
    assert {step["name"]: step["outputs"] for step in ran.document["steps"]} == outputs
    assert ran.image == other.image


@pytest.fixture(scope="module")
def remote(place: Place) -> Built:
    """The project built on the farm, into a store of its own."""
    out = place.folder / "remote"
    began = time.monotonic()
    command = place.store("remote-store")
    ran = command.build(out, *place.options("plain"), engine="remote")
    stored = place.farm.stored() >> 20
    building.remarks.append(
        f"on the farm in {time.monotonic() - began:.0f} s; its storage holds {stored} MiB"
    )
    return Built(ran, out)


def test_the_image_is_that_of_the_sandbox(place: Place, remote: Built) -> None:
    same_outputs(remote.ran, place.local.ran)
    made = made_remotely(remote.ran)
    assert all(re.match(r"node[12]\b", one["worker"]) for one in made.values())
    assert not any("taken_from" in one for one in made.values())
    kept = {one["id"]: one["enforcement"] for one in remote.ran.document["isolation"]["enforced"]}
    for name, one in made.items():
        rules = {rule["rule"]: rule for rule in kept[one["isolation"]]}
        assert rules["no-network"]["state"] == "enforced", name
        assert "observed on worker node" in rules["no-network"]["means"], name


def test_a_second_build_takes_what_the_farm_has(place: Place, remote: Built) -> None:
    command = place.store("second-store")
    out = place.folder / "second"
    began = time.monotonic()
    ran = command.build(out, *place.options("all", cache="all"), engine="remote")
    building.remarks.append(f"again with a warm farm in {time.monotonic() - began:.0f} s")
    same_outputs(ran, remote.ran)
    taken = {one.get("taken_from") for one in made_remotely(ran).values()}
    assert taken == {"action cache (all)"}


def until_on_a_node(place: Place, running: Running, words: str) -> int:
    """Wait until a node runs something; its number."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = place.farm.node_of(words)
        if found is not None:
            return found
        assert running.process.poll() is None, running.end().stderr[-3000:]
        time.sleep(0.2)
    raise AssertionError(f"no node ever ran {words!r}")


def test_faults_in_the_middle_change_nothing(place: Place) -> None:
    command = place.store("faults-store")
    out = place.folder / "faults"
    began = time.monotonic()
    with Proxy(place.farm.port) as proxy:
        options = place.options("proxy", address=f"grpc://127.0.0.1:{proxy.port}")
        running = command.start("build", "--engine", "remote", "--out", out, *options)
        # The server starts again in the middle of one action,
        running.wait_for(r"started +T1 \(compiler")
        until_on_a_node(place, running, "pkg/tool")
        place.farm.restart_server()
        # the connection is cut twice in the middle of another,
        running.wait_for(r"started +F1 ")
        for _ in range(2):
            until_on_a_node(place, running, "pkg/tool")
            time.sleep(5)
            proxy.cut()
        # and a node is killed in the middle of F2.
        running.wait_for(r"started +F2 ")
        number = until_on_a_node(place, running, "elsewhere/a longer path")
        place.farm.kill_node(number)
        ran = running.end()
        place.farm.start_node(number)
    assert ran.status == 0, ran.stderr[-3000:]
    building.remarks.append(
        f"with a restart, two cuts and a lost node in {time.monotonic() - began:.0f} s"
    )
    same_outputs(ran, place.local.ran)
    assert "the farm answers again" in ran.stderr


def test_interrupting_ends_what_runs_there(place: Place) -> None:
    command = place.store("interrupt-store")
    out = place.folder / "interrupted"
    running = command.start(
        "build", "--engine", "remote", "--out", out, *place.options("interrupt")
    )
    running.wait_for(r"started +T1 \(compiler")
    until_on_a_node(place, running, "pkg/tool")
    running.process.send_signal(signal.SIGINT)
    assert running.end().status == 130
    deadline = time.monotonic() + 60
    while place.farm.node_of("pkg/tool") is not None:
        assert time.monotonic() < deadline, "something still runs on the farm"
        time.sleep(0.2)


def poisoned(place: Place, remote: Built, step: str) -> Ran:
    """A build that takes a step's result from a cache that somebody else has written to.

    An audit of that step on this machine finds it.
    """
    number = len(list(place.folder.glob("poison-store-*")))
    command = place.store(f"poison-store-{number}", like=place.folder / "remote-store")
    shutil.rmtree(command.store / "results/computed-image")
    forget(command.store, remote.ran, step)
    settings = place.settings("poison", cache="all")
    options = ("--arch", HOST, "--offline", "--engine", "remote", "--farm", settings)
    out = place.folder / f"poisoned-{number}"
    deceived = replace(command, environment={**command.environment, "POISON": step})
    ran = start(deceived, "tests.integration.poisoning", "build", "--out", out, *options).end()
    taken = {one["name"]: one for one in ran.document["steps"]}[step]
    assert taken["provenance"]["taken_from"] == "action cache (all)"
    audit = command.run(
        *("audit", "--engine", "sandbox", "--out", out, "--vary", "-all", "--offline"),
        *("--only", step, "--farm", settings),
        status=1,
    )
    guilty = {
        one["name"]
        for one in audit.document["steps"]
        if any(made["check"]["verdict"] == "FAIL" for made in one["rounds"])
    }
    assert guilty == {step}
    return ran


def test_a_poisoned_cache_is_not_taken_and_an_audit_finds_it(place: Place, remote: Built) -> None:
    ran = poisoned(place, remote, _STEP)
    assert ran.status == 0
    assert ran.image != remote.ran.image
    # Who believes nothing gets what is right.
    command = place.store("unpoisoned-store", like=place.folder / "remote-store")
    shutil.rmtree(command.store / "results/computed-image")
    forget(command.store, remote.ran, _STEP)
    ran = command.build(place.folder / "right", *place.options("none"), engine="remote")
    same_outputs(ran, remote.ran)


def test_a_poisoned_toolchain_is_found_by_the_build_itself(place: Place, remote: Built) -> None:
    """And by an audit, which names it: all that follows was made with it, as it should be."""
    ran = poisoned(place, remote, F1)
    assert ran.status == 1
    failed = {one["name"] for one in ran.document["checks"] if one["verdict"] == "FAIL"}
    assert {"F1 == F2", "== published release"} <= failed


def forget(store: Path, ran: Ran, name: str) -> None:
    """Drop what a store remembers of a step."""
    (key,) = (step["key"] for step in ran.document["steps"] if step["name"] == name)
    digits = key.removeprefix("blake3:")
    (store / "results/action-remote" / digits[:2] / f"{digits}.json").unlink()


def start(command: Orchestrate, module: str, *arguments: str | Path) -> Running:
    """Begin a run of another program in the place of `orchestrate`."""
    import subprocess

    told = [*map(str, arguments), "--json", "--store", str(command.store)]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *told],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=command.project,
        env=dict(command.environment),
    )
    return building.Running(json.dumps(told[:2]), process)
