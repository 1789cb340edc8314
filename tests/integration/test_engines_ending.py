"""However an action or the orchestrator ends, nothing of it is left: no process, mount, file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from containers.action import Mount
from containers.docker.engine import LABEL, connect
from containers.sandbox.engine import SandboxEngine
from reproducibility.conditions import STANDARD
from reproducibility.errors import Stopped
from reproducibility.variations import VARIED
from tests.conftest import workshop_name
from tests.integration.engine_fixtures import CHECKOUT, ENGINES, architecture

if TYPE_CHECKING:
    from collections.abc import Callable

    from reproducibility.conditions import Conditions
    from tests.integration.engine_fixtures import Bench, Builder, Engines

_PATIENCE = 60.0


def _token() -> str:
    return f"token-{os.urandom(8).hex()}"


def _running(token: str) -> list[int]:
    """Process ids of what carries a token in its command line, this process's children included."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if token.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def _probes(token: str) -> list[int]:
    """Process ids of the probes with a token."""
    found = []
    for pid in _running(token):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/bin/probe"):
                found.append(pid)
    return found


def _eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _mounts() -> set[str]:
    """Mount points of this machine, but for those of tests in the session's other processes."""
    own = f"/popen-{os.environ.get('PYTEST_XDIST_WORKER')}/"
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {
        point
        for point in points
        if own in point or not ("/popen-" in point or workshop_name() in point)
    }


@pytest.mark.parametrize("where", [STANDARD, VARIED], ids=["standard", "varied"])
def test_a_stopped_action_leaves_nothing(bench: Bench, where: Conditions) -> None:
    token, stop, before = _token(), threading.Event(), _mounts()
    tree = bench.input({"file": "content"})
    mounts = (Mount("/input", tree), Mount(f"{where.work}/copy", tree, "private"))
    action = bench.builder.action("sleep", "1000", token, mounts=mounts, conditions=where)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bench.run, action, stop=stop)
        assert _eventually(lambda: bool(_probes(token)))
        stop.set()
        with pytest.raises(Stopped):
            running.result(_PATIENCE)
    assert _running(token) == []
    assert _mounts() <= before


def test_what_an_action_started_ends_with_it(bench: Bench) -> None:
    token = _token()
    outcome = bench.run(bench.builder.action("leave", token))
    assert outcome.exit_status == 0
    assert json.loads(outcome.stdout.read_text().splitlines()[-1])["left"] > 0
    assert _running(token) == []


def test_an_action_that_is_out_of_time_leaves_no_process(bench: Bench) -> None:
    from containers.policy import Limits

    token = _token()
    outcome = bench.run(bench.builder.action("sleep", "1000", token), limits=Limits(seconds=1))
    assert outcome.ended_by == "time"
    assert _running(token) == []


class _Child:
    """An orchestrator in a process of its own that runs one long action."""

    def __init__(
        self, engine: str, builder: Builder, folder: Path, where: str, docker_host: str | None
    ) -> None:
        self.token = _token()
        self.scratch = folder / "scratch"
        source = folder / "source"
        source.mkdir()
        (source / "file").write_text("content")
        request = {
            "engine": engine,
            "store": str(builder.store.root),
            "scratch": str(self.scratch),
            "into": str(folder),
            "root": str(builder.store.save_tree(builder.root)),
            "input": str(builder.store.save_tree(builder.store.put_tree(source))),
            "token": self.token,
            "architecture": architecture(),
            "conditions": where,
        }
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)}
        if docker_host:
            environment["DOCKER_HOST"] = docker_host
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.orchestrator_child", json.dumps(request)],
            env=environment,
            cwd=CHECKOUT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def end(self, number: signal.Signals) -> bytes:
        """Send it a signal and wait for its end; what it wrote to standard error."""
        self.process.send_signal(number)
        _, words = self.process.communicate(timeout=_PATIENCE)
        return words


def _labelled(host: str) -> set[str]:
    """Names of all containers and volumes that any run made on an engine."""
    with closing(docker.DockerClient(host)) as client:
        containers = client.api.containers(all=True, filters={"label": LABEL})
        volumes = client.api.volumes(filters={"label": LABEL})["Volumes"] or []
    return {found["Id"] for found in containers} | {found["Name"] for found in volumes}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
@pytest.mark.parametrize("where", ["standard", "varied"])
@pytest.mark.parametrize("name", ENGINES)
def test_an_orchestrator_that_ends_leaves_nothing(  # noqa: PLR0913 - fixtures and parameters
    name: str,
    where: str,
    number: signal.Signals,
    engines: Engines,
    builder: Builder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = None if name == "sandbox" else engines.docker_host
    made_before = _labelled(host) if host else set()
    mounts_before = _mounts()
    child = _Child(name, builder, tmp_path, where, host)
    try:
        assert _eventually(lambda: bool(_probes(child.token))), child.process.communicate()
    finally:
        child.end(number)
    assert _eventually(lambda: _running(child.token) == []), "a process is left"
    if host:
        assert _eventually(lambda: _labelled(host) <= made_before), "a container or volume is left"
        assert _eventually(lambda: _running("/reap.py") == _reapers_of(os.getpid())), "a reaper"
    assert _eventually(lambda: _mounts() <= mounts_before), "a mount is left"
    if host:
        monkeypatch.setenv("DOCKER_HOST", host)
    following = SandboxEngine(child.scratch) if name == "sandbox" else connect(child.scratch)
    with following:
        left = {path.name.split("-")[0] for path in child.scratch.iterdir()}
        assert left == {following.name}
        assert len(list(child.scratch.iterdir())) == 2, "its own folder and lock only"
    assert list(child.scratch.iterdir()) == []


def _reapers_of(parent: int) -> list[int]:
    """Process ids of the reapers that a process has started."""
    found = []
    for pid in _running("/reap.py"):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if f"PPid:\t{parent}\n" in status:
                found.append(pid)
    return found


@pytest.mark.needs_sandbox
def test_an_orchestrator_killed_at_any_moment_leaves_no_process(
    builder: Builder, tmp_path: Path
) -> None:
    for moment in range(16):
        folder = tmp_path / str(moment)
        folder.mkdir()
        child = _Child("sandbox", builder, folder, "varied" if moment % 2 else "standard", None)
        # The launcher carries no token; its own command line is what there is to see at first.
        assert _eventually(lambda: bool(_children(child.process.pid)))  # noqa: B023 - used at once
        time.sleep(0.004 * moment)
        launched = _children(child.process.pid)
        child.end(signal.SIGKILL)
        assert _eventually(lambda: _running(child.token) == [])  # noqa: B023 - used at once
        assert _eventually(lambda: not any(map(_alive, launched)))  # noqa: B023 - used at once


@pytest.mark.needs_docker
def test_an_orchestrator_killed_at_any_moment_leaves_nothing_on_an_engine(
    engines: Engines, builder: Builder, tmp_path: Path
) -> None:
    host = engines.docker_host
    before = _labelled(host)
    for moment in (0, 2, 4):
        folder = tmp_path / str(moment)
        folder.mkdir()
        child = _Child("docker-api", builder, folder, "varied" if moment % 2 else "standard", host)
        # From its lock on, the run has a label, and soon after a reaper.
        assert _eventually(lambda: bool(list(child.scratch.glob("docker-*"))))  # noqa: B023
        time.sleep(0.2 * moment)
        child.end(signal.SIGKILL)
        own = _reapers_of(os.getpid())
        assert _eventually(lambda: _running("/reap.py") == own)  # noqa: B023 - used at once
        assert _labelled(host) <= before
        assert _running(child.token) == []


def _children(parent: int) -> list[int]:
    with suppress(OSError):
        return [
            int(pid)
            for thread in Path(f"/proc/{parent}/task").iterdir()
            for pid in (thread / "children").read_text().split()
        ]
    return []


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return b"containers.sandbox.confine" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
